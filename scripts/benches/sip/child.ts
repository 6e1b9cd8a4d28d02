/** Processes beside the daemons: the load and the echo. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Orders, Outcome } from './load.ts';

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
