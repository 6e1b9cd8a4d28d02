/** configd as a process of its own that can be killed, and what is asked of it in tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { Author, ConfigdEvent, ConfigdRequests, EditStep } from '#contracts/configd.ts';
import { type AnswerOf, connectRpc, type ParamsOf, type RpcClient } from '#kit/rpc.ts';

const ENTRY = join(import.meta.dirname, '../../daemons/configd/main.ts');

export const authorCalled = (user: string): Author => ({ user, via: 'cli', address: '192.0.2.7' });

export interface ConfigdPlace {
  readonly configPath: string;
  readonly stateDirectory: string;
  readonly socket: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class ConfigdProcess implements AsyncDisposable {
  readonly #place: ConfigdPlace;
  #child: ChildProcess | undefined;
  #client: RpcClient<ConfigdRequests> | undefined;
  /** All that it ever wrote. */
  log = '';
  readonly events: ConfigdEvent[] = [];

  constructor(place: ConfigdPlace) {
    this.#place = place;
  }

  static async start(place: ConfigdPlace): Promise<ConfigdProcess> {
    const configd = new ConfigdProcess(place);
    await configd.start();
    return configd;
  }

  /** `more`: added to its environment this time. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const { configPath, stateDirectory, socket, env } = this.#place;
    const child = (this.#child = spawn(process.execPath, [ENTRY, '--config', configPath, '--state', stateDirectory], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env, ...more } }));
    const ready = Promise.withResolvers<void>();
    createInterface(child.stdout).on('line', line => {
      this.log += `${line}\n`;
      if (line.includes('"configd.ready"')) ready.resolve();
    });
    child.stderr.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    child.once('exit', () => ready.reject(new Error(`configd ended: ${this.log.slice(-2000)}`)));
    await ready.promise;
    this.#client = await connectRpc<ConfigdRequests, ConfigdEvent>(socket, { onEvent: event => this.events.push(event) });
  }

  async call<Method extends keyof ConfigdRequests & string>(method: Method, params: ParamsOf<ConfigdRequests, Method>): Promise<AnswerOf<ConfigdRequests, Method>> {
    return await this.#client!.call(method, params, { timeoutMs: 60_000 });
  }

  edit(user: string, ...steps: readonly EditStep[]): Promise<AnswerOf<ConfigdRequests, 'edit'>> {
    return this.call('edit', { author: authorCalled(user), steps });
  }

  commit(user: string, { reason = 'test', confirmMinutes = null as number | null, restart = false } = {}): Promise<AnswerOf<ConfigdRequests, 'commit'>> {
    return this.call('commit', { author: authorCalled(user), reason, confirmMinutes, restart });
  }

  /** With this signal; returns when it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGTERM');
  }
}

export const set = (path: string, value: Extract<EditStep, { readonly op: 'set' }>['value']): EditStep => ({ op: 'set', path, value });
export const remove = (path: string): EditStep => ({ op: 'delete', path });
