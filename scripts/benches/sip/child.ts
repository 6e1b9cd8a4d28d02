/** Processes beside the daemons: the load and the echo, and what the kernel says of a process. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Order, Orders, Outcome } from './load.ts';

/** USER_HZ of Linux, the unit of proc(5) times. */
const TICKS_PER_S = 100;

/** Seconds of CPU that a process took so far, all threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Seconds that its main thread was ready to run and had no core (sched-stats of the kernel's documentation): what other work takes away. */
export const waitedSeconds = (pid: number): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e9;

export function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? NaN) * 1024;
}

function start(entry: string): ChildProcess {
  return fork(fileURLToPath(new URL(entry, import.meta.url)), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

export class Load implements AsyncDisposable {
  readonly #child = start('./load.ts');
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #orders = 0;

  constructor() {
    this.#child.on('message', (outcome: Outcome) => this.#waiting.get(outcome.id)?.(outcome));
    this.#child.on('exit', () => {
      for (const [id, settle] of this.#waiting) settle({ id, error: 'the load process ended' });
    });
  }

  /** Rejects when the load says that it failed. */
  async order<Name extends keyof Orders>(name: Name, ...[params]: Parameters<Orders[Name]>): Promise<ReturnType<Orders[Name]>> {
    const id = ++this.#orders;
    const outcome = await new Promise<Outcome>(resolve => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, name, params: params ?? {} } satisfies Order);
    });
    this.#waiting.delete(id);
    if ('error' in outcome) throw new Error(`${name}: ${outcome.error}`);
    return outcome.result as ReturnType<Orders[Name]>;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child);
  }
}

export class Echo implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async open(): Promise<Echo> {
    const child = start('./echo.ts');
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new Echo(child, port);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child);
  }
}
