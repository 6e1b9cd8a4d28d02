/** Headless Chromium over its DevTools protocol: a page, and what scripts in it answer. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';

const START_MS = 30_000;
const CALL_MS = 60_000;
const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly args?: readonly { readonly value?: unknown; readonly description?: string }[]; readonly exceptionDetails?: { readonly exception?: { readonly description?: string }; readonly text?: string } };
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly sessionId?: string;
}

export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #socket: WebSocket;
  readonly #profile: string;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;
  /** Lines of the console and uncaught errors of all pages. */
  readonly console: string[] = [];

  private constructor(child: ChildProcess, socket: WebSocket, profile: string) {
    this.#child = child;
    this.#socket = socket;
    this.#profile = profile;
    socket.on('message', (data: Buffer) => this.#onMessage(JSON.parse(data.toString()) as Reply));
    socket.on('close', () => {
      for (const waiting of this.#waiting.values()) waiting.reject(new Error('the browser is gone'));
    });
  }

  static async open(): Promise<Browser> {
    const path = PATHS.find(existsSync);
    if (path === undefined) throw new Error('chromium is not installed (apt-get install chromium)');
    const profile = mkdtempSync(join(tmpdir(), 'browser-'));
    const args = [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--mute-audio', '--autoplay-policy=no-user-gesture-required',
      '--disable-background-networking', '--disable-component-update', '--disable-features=WebRtcHideLocalIpsWithMdns,Translate,OptimizationHints', '--allow-loopback-in-peer-connection',
      '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
    ];
    const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const url = await new Promise<string>((resolve, reject) => {
      let said = '';
      const limit = setTimeout(() => reject(new Error(`chromium did not start: ${said.slice(-500)}`)), START_MS);
      child.stderr.on('data', (data: Buffer) => {
        said += data.toString();
        const found = /DevTools listening on (ws:\S+)/.exec(said);
        if (found === null) return;
        clearTimeout(limit);
        resolve(found[1]!);
      });
      child.on('error', reject);
    });
    const socket = new WebSocket(url, { maxPayload: 64 * 1024 * 1024 });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Browser(child, socket, profile);
  }

  async page(url: string): Promise<Page> {
    const { targetId } = (await this.call('Target.createTarget', { url: 'about:blank' })) as { targetId: string };
    const { sessionId } = (await this.call('Target.attachToTarget', { targetId, flatten: true })) as { sessionId: string };
    await this.call('Runtime.enable', {}, sessionId);
    await this.call('Page.enable', {}, sessionId);
    await this.call('Page.navigate', { url }, sessionId);
    const page = new Page(this, sessionId);
    await page.evaluate('new Promise(done => document.readyState === "complete" ? done() : addEventListener("load", () => done()))');
    return page;
  }

  call(method: string, params: object, sessionId?: string): Promise<unknown> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    const limit = setTimeout(() => waiting.reject(new Error(`${method}: no answer`)), CALL_MS);
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }));
    return waiting.promise.finally(() => {
      clearTimeout(limit);
      this.#waiting.delete(id);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise(resolve => this.#child.once('exit', resolve));
    this.#socket.terminate();
    try {
      process.kill(-this.#child.pid!, 'SIGKILL');
    } catch {
      this.#child.kill('SIGKILL');
    }
    if (this.#child.exitCode === null && this.#child.signalCode === null) await gone;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #onMessage({ id, method, params, result, error }: Reply): void {
    if (id === undefined) {
      if (method === 'Runtime.consoleAPICalled') this.console.push((params?.args ?? []).map(arg => String(arg.value ?? arg.description)).join(' '));
      else if (method === 'Runtime.exceptionThrown') this.console.push(params?.exceptionDetails?.exception?.description ?? params?.exceptionDetails?.text ?? 'error');
    } else if (error !== undefined) this.#waiting.get(id)?.reject(new Error(error.message));
    else this.#waiting.get(id)?.resolve(result);
  }
}

export class Page {
  readonly #browser: Browser;
  readonly #sessionId: string;

  constructor(browser: Browser, sessionId: string) {
    this.#browser = browser;
    this.#sessionId = sessionId;
  }

  /** Value of an expression; promises are awaited. Throws what the page throws. */
  async evaluate<T = unknown>(expression: string): Promise<T> {
    const answer = (await this.#browser.call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, this.#sessionId)) as {
      readonly result: { readonly value: T };
      readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } };
    };
    if (answer.exceptionDetails !== undefined) throw new Error(answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text);
    return answer.result.value;
  }
}
