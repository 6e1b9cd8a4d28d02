/** Who had the SIP address when, as either kernel says it: `ip monitor` with its own time stamps, so that we may be late. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemClock as clock } from '#kit/clock.ts';
import { pause } from '../simulators/common/names.ts';
import { type PairLab, SIP_ADDRESS } from './pair.ts';

interface Change {
  readonly node: number;
  readonly atWallMs: number;
  readonly has: boolean;
}

/** A line of what the monitor wrote comes within this. */
const DRAIN_MS = 100;
const LINE = new RegExp(`^\\[([-0-9T:.]+)\\] (Deleted )?.* inet ${SIP_ADDRESS.replaceAll('.', '\\.')}/`);

export class Owners implements Disposable {
  readonly #monitors: readonly ChildProcessWithoutNullStreams[];
  readonly #changes: Change[] = [];
  readonly #has: boolean[];

  constructor({ nodes }: PairLab) {
    this.#has = nodes.map(node => node.serves);
    this.#monitors = nodes.map(({ namespace, index }) => {
      const child = spawn('ip', ['-n', namespace, '-ts', '-o', '-4', 'monitor', 'address'], { env: { ...process.env, TZ: 'UTC' } });
      createInterface(child.stdout).on('line', line => this.#read(index, line));
      return child;
    });
  }

  /** Of the time since the last call: how long both had it. */
  async overlapMs(): Promise<number> {
    const from = clock.wall();
    await pause(clock, DRAIN_MS);
    const changes = this.#changes.splice(0).sort((a, b) => a.atWallMs - b.atWallMs);
    let overlapMs = 0;
    let bothSince = this.#has.every(Boolean) ? (changes[0]?.atWallMs ?? from) : undefined;
    for (const { node, atWallMs, has } of changes) {
      this.#has[node] = has;
      if (this.#has.every(Boolean)) bothSince ??= atWallMs;
      else if (bothSince !== undefined) {
        overlapMs += atWallMs - bothSince;
        bothSince = undefined;
      }
    }
    return bothSince === undefined ? overlapMs : overlapMs + Math.max(0, from - bothSince);
  }

  [Symbol.dispose](): void {
    for (const monitor of this.#monitors) monitor.kill();
  }

  #read(node: number, line: string): void {
    const found = LINE.exec(line);
    if (found !== null) this.#changes.push({ node, atWallMs: Date.parse(`${found[1]}Z`), has: found[2] === undefined });
  }
}
