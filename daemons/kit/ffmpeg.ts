/**
 * The ffmpeg program: where it is, what it can, and one run of it in a cage. Arguments come from core/media/transcode-plan and never
 * pass a shell.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { systemClock } from './clock.ts';

/** A machine under load takes its time to load the libraries. */
const PROBE_TIMEOUT_MS = 20_000;
const MAX_PROBE_BYTES = 4 * 1024 * 1024;
/** What ffmpeg said last, for the log. */
const STDERR_TAIL_CHARS = 2000;
/** A child that says more in a minute is of no use (fault 76): one that decodes broken pictures says some 50 KiB. */
export const MAX_STDERR_BYTES = 4 * 1024 * 1024;
const STDERR_WINDOW_MS = 60_000;
/** Address space: an 8K picture is 50 MB and a decoder keeps 16 of them. */
const MAX_ADDRESS_SPACE_BYTES = 4 * 1024 * 1024 * 1024;
const MAX_OPEN_FILES = 64;
const NICE = 5;
const ENVIRONMENT = { LC_ALL: 'C' };

export interface FfmpegFacts {
  readonly path: string;
  readonly version: string;
  readonly encoders: ReadonlySet<string>;
  /** Commands that start the next one with less rights: those that work here. */
  readonly cage: readonly string[];
  /** Names of the parts of the cage. */
  readonly caged: readonly string[];
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** First in PATH, as an absolute path. */
function inPath(name: string, path = process.env['PATH'] ?? '/usr/bin:/bin'): string | undefined {
  return path.split(':').filter(folder => folder.startsWith('/')).map(folder => join(folder, name)).find(isExecutable);
}

/** Each starts what follows it. A part that does not work here (no such program, forbidden by the unit) is left out. */
const CAGE: readonly (readonly [name: string, program: string, ...args: string[]])[] = [
  // Where memory runs out it is what the kernel kills, and not the relay.
  ['sacrifice', 'choom', '-n', '1000', '--'],
  ['limits', 'prlimit', `--as=${MAX_ADDRESS_SPACE_BYTES}`, '--core=0', '--fsize=0', `--nofile=${MAX_OPEN_FILES}`],
  ['network', 'unshare', '--user', '--net'],
  ['privileges', 'setpriv', '--no-new-privs', '--pdeathsig', 'KILL'],
  ['nice', 'nice', '-n', String(NICE)],
];

/** `configured`: path of the configuration, empty for PATH. A sentence when there is none. */
export async function probeFfmpeg(configured: string): Promise<FfmpegFacts | { readonly why: string }> {
  const path = configured === '' ? inPath('ffmpeg') : configured;
  if (path === undefined) return { why: 'ffmpeg is not installed (transcode.ffmpeg names it, else PATH)' };
  if (!isExecutable(path)) return { why: `${path} cannot be executed` };
  const cage: string[] = [];
  const caged: string[] = [];
  for (const [name, program, ...args] of CAGE) {
    const found = inPath(program);
    if (found === undefined || (await output(found, [...args, path, '-version'])) === undefined) continue;
    cage.push(found, ...args);
    caged.push(name);
  }
  const version = await output(path, ['-version']);
  const list = await output(path, ['-hide_banner', '-encoders']);
  if (version === undefined || list === undefined) return { why: `${path} does not run` };
  const encoders = new Set([...list.matchAll(/^ [VA][A-Z.]{5} (\w+)/gm)].map(([, name]) => name!));
  return { path, version: /^ffmpeg version (\S+)/.exec(version)?.[1] ?? 'unknown', encoders, cage, caged };
}

function output(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise(resolve => {
    execFile(program, args, { env: ENVIRONMENT, cwd: '/', timeout: PROBE_TIMEOUT_MS, maxBuffer: MAX_PROBE_BYTES, killSignal: 'SIGKILL' }, (error, stdout) => resolve(error === null ? stdout : undefined));
  });
}

export interface FfmpegExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** It could not be started, or was ended by us: for this reason. */
  readonly why: string | null;
}

export interface FfmpegRunOptions {
  readonly argv: readonly string[];
  /** Outputs beside standard output: descriptors 3 and on. */
  readonly extraOutputs?: number;
  readonly onOutput: (fd: number, bytes: Uint8Array) => void;
  /** Once, when it is gone and all it wrote was given. */
  readonly onExit: (exit: FfmpegExit) => void;
}

/** One child in a session of its own: empty environment, no open files but its pipes, killed as a group, gone when we are gone. */
export class FfmpegRun {
  readonly #child: ChildProcess;
  #tail = '';
  #why: string | null = null;
  #ended = false;
  stderrBytes = 0;
  #stderrWindow = { from: systemClock.now(), bytes: 0 };

  constructor(facts: Pick<FfmpegFacts, 'path' | 'cage'>, { argv, extraOutputs = 0, onOutput, onExit }: FfmpegRunOptions) {
    const [program, ...args] = [...facts.cage, facts.path, ...argv];
    const stdio = Array.from({ length: 3 + extraOutputs }, () => 'pipe' as const);
    this.#child = spawn(program!, args, { env: ENVIRONMENT, cwd: '/', detached: true, stdio });
    this.#child.on('error', error => {
      this.#why ??= error.message;
      if (this.#child.pid === undefined) this.#end({ code: null, signal: null, why: this.#why }, onExit);
    });
    this.#child.on('close', (code, signal) => this.#end({ code, signal, why: this.#why }, onExit));
    for (const [fd, pipe] of this.#child.stdio.entries()) {
      // EPIPE when it dies: `close` tells.
      pipe?.on('error', () => undefined);
      if (fd === 2) (pipe as Readable | undefined)?.on('data', (bytes: Uint8Array) => this.#hear(bytes));
      else if (fd !== 0) (pipe as Readable | undefined)?.on('data', (bytes: Uint8Array) => onOutput(fd, bytes));
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that it has not read yet, as far as we hold them. */
  get waitingBytes(): number {
    return this.#input?.writableLength ?? 0;
  }

  /** The last words on its standard error, in one line of printable characters. */
  get lastWords(): string {
    return this.#tail.replace(/[^\x20-\x7e]+/g, ' ').trim().slice(-STDERR_TAIL_CHARS);
  }

  write(...parts: readonly Uint8Array[]): void {
    const input = this.#input;
    if (input === null || input.destroyed || input.writableEnded) return;
    input.cork();
    for (const part of parts) input.write(part);
    input.uncork();
  }

  /** Nothing more comes: it writes what it has and ends. */
  endInput(): void {
    this.#input?.end();
  }

  kill(why: string): void {
    if (this.#ended) return;
    this.#why ??= why;
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // It was faster, or has not made its group yet.
      this.#child.kill('SIGKILL');
    }
  }

  /** CPU milliseconds so far; undefined when it is gone. */
  cpuMs(): number | undefined {
    if (this.#child.pid === undefined || this.#ended) return undefined;
    try {
      const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // utime and stime of proc(5), in ticks of 10 ms.
      return (Number(fields[11]) + Number(fields[12])) * 10;
    } catch {
      return undefined;
    }
  }

  get #input(): Writable | null {
    return this.#child.stdin;
  }

  #hear(bytes: Uint8Array): void {
    this.stderrBytes += bytes.length;
    this.#tail = (this.#tail + Buffer.from(bytes.subarray(Math.max(0, bytes.length - STDERR_TAIL_CHARS))).toString('latin1')).slice(-STDERR_TAIL_CHARS);
    const now = systemClock.now();
    if (now - this.#stderrWindow.from > STDERR_WINDOW_MS) this.#stderrWindow = { from: now, bytes: 0 };
    this.#stderrWindow.bytes += bytes.length;
    if (this.#stderrWindow.bytes > MAX_STDERR_BYTES) this.kill('floods its standard error');
  }

  #end(exit: FfmpegExit, onExit: (exit: FfmpegExit) => void): void {
    if (this.#ended) return;
    this.#ended = true;
    onExit(exit);
  }
}
