/**
 * Looks once a second how short of memory and processor this instance is, and gives up what core/media/strain says: ends viewers, renditions and
 * sessions, and has what is new refused. sipd and healthd hear of it in the load report, and of a change at once.
 */
import type { StrainReport } from '#contracts/mediad.ts';
import { SHEDDABLE, type Ranked, type Running, type Sheddable, Strain, type StrainOutput, firstToEnd } from '#core/media/strain.ts';
import { type HostReading, StrainGauge, type StrainLimits } from '#core/media/strain-gauge.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';

const EVERY_MS = 1000;

/** Something that runs and can be ended. */
export interface Endable extends Ranked {
  readonly kind: Sheddable;
  /** `why`: for the log, and for whoever watches. */
  end(why: string): void;
}

export interface StrainConfig extends StrainLimits {
  readonly calmS: number;
}

export interface StrainWatchOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: StrainConfig;
  readonly read: () => HostReading;
  readonly endables: () => readonly Endable[];
  /** Another level. */
  readonly onLevel: (report: StrainReport) => void;
}

export class StrainWatch implements Disposable {
  readonly #options: StrainWatchOptions;
  readonly #gauge: StrainGauge;
  readonly #strain: Strain;
  readonly #ended: Record<Sheddable, number> = { 'preview': 0, 'transcode': 0, 'pass-through': 0 };
  readonly #refused: Record<Sheddable, number> = { 'preview': 0, 'transcode': 0, 'pass-through': 0 };
  #next: Disposable;

  constructor(options: StrainWatchOptions) {
    this.#options = options;
    this.#gauge = new StrainGauge(options.limits);
    this.#strain = new Strain(options.limits.calmS);
    this.#next = this.#schedule();
  }

  set limits(limits: StrainConfig) {
    this.#gauge.limits = limits;
    this.#strain.calmS = limits.calmS;
  }

  /** Why nothing new of this kind is let in; null when it is. */
  refusal(kind: Sheddable): string | null {
    return this.#strain.refusal(kind);
  }

  /** CAPACITY_EXHAUSTED when nothing new of this kind is let in. */
  admit(kind: Sheddable): void {
    const why = this.refusal(kind);
    if (why === null) return;
    this.#refused[kind] += 1;
    throw new GatewayError('CAPACITY_EXHAUSTED', { why });
  }

  report(): StrainReport {
    return { level: this.#strain.level, says: this.#strain.says, ended: { ...this.#ended } };
  }

  counters(): Readonly<Record<string, number>> {
    const of = (what: string, counts: Readonly<Record<Sheddable, number>>): [string, number][] => SHEDDABLE.map(kind => [`strain.${what}.${kind}`, counts[kind]]);
    return { 'strain.level': this.#strain.level, ...Object.fromEntries([...of('ended', this.#ended), ...of('refused', this.#refused)]) };
  }

  [Symbol.dispose](): void {
    this.#next[Symbol.dispose]();
  }

  #schedule(): Disposable {
    const { clock } = this.#options;
    const due = addMs(clock.now(), EVERY_MS);
    return clock.schedule(due, () => {
      this.#look(due);
      this.#next = this.#schedule();
    });
  }

  #look(due: Ms): void {
    const { clock, read, endables } = this.#options;
    const at = clock.now();
    const verdict = this.#gauge.take({ ...read(), at, lateMs: Math.max(0, at - due) });
    const running = endables();
    const outputs = this.#strain.take(verdict, countsOf(running), at);
    if (outputs.length > 0) this.#gauge.restart();
    for (const output of outputs) this.#carryOut(output, running);
  }

  #carryOut(output: StrainOutput, running: readonly Endable[]): void {
    const { log, onLevel } = this.#options;
    const why = this.#strain.says ?? 'strained';
    if (output.type === 'level') {
      log[output.level > output.before ? 'warn' : 'info']({ level: output.level, before: output.before, says: this.#strain.says, calmMs: this.#strain.calmMs }, 'media.strained');
      return onLevel(this.report());
    }
    const chosen = firstToEnd(running.filter(({ kind }) => kind === output.kind), output.count);
    this.#ended[output.kind] += chosen.length;
    log.warn({ kind: output.kind, count: chosen.length, lowest: chosen[0]?.priority, why }, 'strain.ended');
    for (const each of chosen) each.end(why);
  }
}

const countsOf = (running: readonly Endable[]): Running => {
  const counts = { 'preview': 0, 'transcode': 0, 'pass-through': 0 };
  for (const { kind } of running) counts[kind] += 1;
  return counts;
};
