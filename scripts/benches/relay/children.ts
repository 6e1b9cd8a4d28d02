/** Processes of the bench: started, asked, and looked at through /proc from outside. */
import { type ChildProcess, execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CLOCK_TICKS_PER_S = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const ANSWER_MS = 30_000;

/** A script of this folder with a message channel. */
export class Helper<Command extends object, Answer extends { readonly type: string }> implements Disposable {
  readonly #child: ChildProcess;

  constructor(script: string) {
    this.#child = fork(fileURLToPath(new URL(script, import.meta.url)), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async next<Type extends Answer['type']>(type: Type): Promise<Extract<Answer, { type: Type }>> {
    const limit = AbortSignal.timeout(ANSWER_MS);
    for (;;) {
      const [message] = (await once(this.#child, 'message', { signal: limit })) as [Answer];
      if (message.type === type) return message as Extract<Answer, { type: Type }>;
    }
  }

  ask<Type extends Answer['type']>(command: Command, answer: Type): Promise<Extract<Answer, { type: Type }>> {
    const answered = this.next(answer);
    this.tell(command);
    return answered;
  }

  tell(command: Command): void {
    this.#child.send(command);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** A program that prints one line when it is ready. */
export async function start(command: string, args: readonly string[]): Promise<{ readonly pid: number; readonly line: string; stop(): void }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout);
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${command} ended with ${String(code)}`)));
  ended.catch(() => undefined);
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  return { pid: child.pid!, line, stop: () => void child.kill('SIGTERM') };
}

/** CPU seconds of a process since it began, user and system. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_S;
}

export function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? NaN);
}

/**
 * Gives the relay a core to itself and the others the rest, so that the scheduler's choices do not move the figures. Says how it went.
 */
export class Cores {
  readonly method: string;
  readonly #pinned: boolean;

  constructor() {
    const enough = availableParallelism() > 1;
    this.#pinned = enough && spawnSync('taskset', ['--version']).status === 0;
    this.method = this.#pinned ? 'relay alone on core 0, sender and receiver on the others' : enough ? 'processes not pinned: no taskset' : 'all processes on one core';
  }

  relay(pid: number): void {
    this.#pin(pid, '0');
  }

  others(pid: number): void {
    this.#pin(pid, `1-${availableParallelism() - 1}`);
  }

  #pin(pid: number, cores: string): void {
    if (this.#pinned) execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)], { stdio: 'ignore' });
  }
}
