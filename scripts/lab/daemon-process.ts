/** A daemon of ours as a child process: started, watched for events in its log, restarted after a crash as systemd does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** RestartSec of the units. */
const RESTART_MS = 200;
const READY_LIMIT_MS = 30_000;

export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface DaemonOptions {
  readonly name: string;
  /** From the project's root; or a program, which is ready when it runs. */
  readonly entry: string;
  readonly isProgram?: boolean;
  /** What stands before it on the command line, e.g. `ip netns exec NAME`. */
  readonly within?: readonly string[];
  /** After it has ended, however it did. */
  readonly onExit?: () => void;
  readonly args: readonly string[];
  /** Event in its log that says it is ready. */
  readonly readyEvent: string;
  readonly logPath: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Before the entry: options of Node and V8. */
  readonly nodeFlags?: readonly string[];
}

const ROOT = new URL('../../', import.meta.url);

export class DaemonProcess implements AsyncDisposable {
  readonly #options: DaemonOptions;
  readonly #log: WriteStream;
  readonly #waiting = new Set<{ readonly matches: (line: LogLine) => boolean; readonly resolve: (line: LogLine) => void }>();
  #child: ChildProcess | undefined;
  #closing = false;
  #restart: NodeJS.Timeout | undefined;
  /** How often it came back by itself. */
  restarts = 0;

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#log = createWriteStream(options.logPath, { flags: 'a' });
  }

  /** Returns when the daemon says that it is ready; throws with its last words when it ends before. */
  static async start(options: DaemonOptions): Promise<DaemonProcess> {
    const daemon = new DaemonProcess(options);
    await daemon.#launch();
    return daemon;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The next log line that fits, from now on. */
  next(matches: (line: LogLine) => boolean, limitMs = READY_LIMIT_MS): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
    const entry = { matches, resolve };
    this.#waiting.add(entry);
    const limit = setTimeout(() => reject(new Error(`${this.#options.name}: no such log line within ${limitMs} ms`)), limitMs);
    // A line that nobody needs any more must not keep the process.
    limit.unref();
    return promise.finally(() => {
      clearTimeout(limit);
      this.#waiting.delete(entry);
    });
  }

  /** kill -9 and the way back; returns when it is ready again. */
  async crash(): Promise<void> {
    const ready = this.next(line => line.msg === this.#options.readyEvent);
    this.#child?.kill('SIGKILL');
    await ready;
  }

  /** Ends it and does not start it again; returns at once. */
  halt(): void {
    this.#closing = true;
    clearTimeout(this.#restart);
    this.#child?.kill('SIGKILL');
  }

  /** Ends it in its order and does not start it again. */
  async stop(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }

  /** After `halt` or `stop`. */
  async again(): Promise<void> {
    this.#closing = false;
    await this.#launch();
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    }
    if (!this.#log.writableEnded) await new Promise(resolve => this.#log.end(resolve));
  }

  #launch(): Promise<unknown> {
    const { name, entry, args, env, nodeFlags = [], within = [], isProgram = false } = this.#options;
    const [command, ...rest] = [...within, ...(isProgram ? [entry] : [process.execPath, ...nodeFlags, fileURLToPath(new URL(entry, ROOT))]), ...args];
    const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.#child = child;
    const ready = this.next(line => line.msg === this.#options.readyEvent);
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => {
      words = `${words}${chunk.toString()}`.slice(-4000);
      this.#log.write(chunk);
    });
    createInterface(child.stdout).on('line', line => this.#take(line));
    const ended = new Promise<never>((_, reject) => {
      child.once('exit', (code, signal) => {
        reject(new Error(`${name} ended with ${signal ?? code}: ${words}`));
        this.#onExit(child);
      });
    });
    ended.catch(() => undefined);
    ready.catch(() => undefined);
    if (isProgram) return Promise.resolve();
    return Promise.race([ready, ended]);
  }

  /** One that was halted may end after another one was begun. */
  #onExit(child: ChildProcess): void {
    this.#options.onExit?.();
    if (this.#closing || child !== this.#child) return;
    this.restarts += 1;
    this.#restart = setTimeout(() => void this.#launch().catch(() => undefined), RESTART_MS);
  }

  #take(line: string): void {
    if (!this.#closing) this.#log.write(`${line}\n`);
    let parsed: LogLine;
    try {
      parsed = JSON.parse(line) as LogLine;
    } catch {
      return;
    }
    for (const entry of [...this.#waiting]) if (entry.matches(parsed)) entry.resolve(parsed);
  }
}
