/**
 * What a media process gives up when it is short of memory or processor (strain-gauge.ts), and in which order (fault 112).
 *
 *   0 calm ──strained──► 1 no previews ──strained, none left──► 2 no transcodes ──strained, none left──► 3 no sessions
 *   one down, and one more, each after it was eased for `calmS`: 3 ──► 2 ──► 1 ──► 0
 *
 * On a level nothing new of its kind, or of a kind before, is let in, and what runs of them is ended: the first kind that has any left, of that the
 * lowest priority first, the newest first, a few; then it is looked again, and only what is strained still ends the next few. Running
 * pass-through sessions end last, one by one, and only when it is dire: a machine that others keep busy is no better for it.
 * Signalling, registrations, keepalives and alarms are of no kind: nothing here ends or refuses them.
 *
 * - preview: a viewer of an outlet of this gateway, and who wants a snapshot. Its priority is that of its user (outlets.users), or of operators of the
 *   gateway itself (devices.localPriority) when it came with a token.
 * - transcode: a rendition that a process makes for sessions of platforms; its priority is the highest of theirs.
 * - pass-through: a session of a platform that gets the stream as it is (priority of the upstream), or a configured push (devices.localPriority).
 *
 * Who is strained again soon after it went down stays on its level twice as long the next time, up to sixteen times.
 */
import type { Ms } from '../units.ts';
import type { StrainVerdict } from './strain-gauge.ts';

export const SHEDDABLE = ['preview', 'transcode', 'pass-through'] as const;
export type Sheddable = (typeof SHEDDABLE)[number];
export type StrainLevel = 0 | 1 | 2 | 3;

/** How many of each run. */
export type Running = Readonly<Record<Sheddable, number>>;

export type StrainOutput =
  /** One up or down. */
  | { readonly type: 'level'; readonly level: StrainLevel; readonly before: StrainLevel }
  /** So many of this kind, never more than run. Then look anew (StrainGauge.restart). */
  | { readonly type: 'shed'; readonly kind: Sheddable; readonly count: number };

const LEVEL_SAYS = ['', 'previews', 'previews and transcodes', 'previews, transcodes and new sessions'] as const;

/** At once: a quarter of them, but not more than a few; half of them when it is dire. */
const FEW = { part: 4, most: 8 };
const MANY = { part: 2, most: 32 };
/** Strained again within so many times calmS after it went down: it went down too early. */
const RELAPSE_FACTOR = 10;
const MAX_RELAPSES = 4;

export class Strain {
  calmS: number;
  #level: StrainLevel = 0;
  /** Of the level that is. */
  #cause = '';
  #easedSince: Ms | undefined;
  #wentDownAt: Ms | undefined;
  #relapses = 0;

  constructor(calmS: number) {
    this.calmS = calmS;
  }

  get level(): StrainLevel {
    return this.#level;
  }

  /** For people: what is given up, and what was short when it was strained last; null when calm. */
  get says(): string | null {
    return this.#level === 0 ? null : `no ${LEVEL_SAYS[this.#level]}: ${this.#cause}`;
  }

  /** Eased for so long it goes one down. */
  get calmMs(): number {
    return this.calmS * 1000 * 2 ** this.#relapses;
  }

  /** Why nothing new of this kind is let in; null when it is. */
  refusal(kind: Sheddable): string | null {
    return this.#level > SHEDDABLE.indexOf(kind) ? this.says : null;
  }

  take(verdict: StrainVerdict, running: Running, now: Ms): StrainOutput[] {
    if (verdict.state === 'strained') return this.#strained(verdict, running, now);
    if (verdict.state === 'unsure' || this.#level === 0) this.#easedSince = undefined;
    else this.#easedSince ??= now;
    if (this.#easedSince === undefined || now - this.#easedSince < this.calmMs) return [];
    this.#easedSince = now;
    this.#wentDownAt = now;
    return [this.#go(-1)];
  }

  #strained({ isDire, cause }: StrainVerdict, running: Running, now: Ms): StrainOutput[] {
    this.#easedSince = undefined;
    this.#cause = cause;
    const left = this.#shed(running, isDire);
    if (left !== undefined) return [left];
    if (this.#level === SHEDDABLE.length) return [];
    this.#noteRelapse(now);
    const up = this.#go(1);
    // New sessions are refused before the first one that runs is ended.
    const next = this.level < SHEDDABLE.length ? this.#shed(running, isDire) : undefined;
    return next === undefined ? [up] : [up, next];
  }

  /** Of the first kind that this level gives up and that has any left. */
  #shed(running: Running, isDire: boolean): StrainOutput | undefined {
    const kind = SHEDDABLE.slice(0, this.#level).find(each => running[each] > 0);
    if (kind === undefined) return undefined;
    if (kind === 'pass-through') return isDire ? { type: 'shed', kind, count: 1 } : undefined;
    const { part, most } = isDire ? MANY : FEW;
    return { type: 'shed', kind, count: Math.min(most, Math.ceil(running[kind] / part)) };
  }

  #noteRelapse(now: Ms): void {
    if (this.#wentDownAt === undefined) return;
    const soon = now - this.#wentDownAt < RELAPSE_FACTOR * this.calmMs;
    this.#relapses = soon ? Math.min(MAX_RELAPSES, this.#relapses + 1) : 0;
    this.#wentDownAt = undefined;
  }

  #go(step: 1 | -1): StrainOutput {
    const before = this.#level;
    this.#level = (before + step) as StrainLevel;
    return { type: 'level', level: this.#level, before };
  }
}

export interface Ranked {
  readonly priority: number;
  readonly since: Ms;
}

/** Whose turn it is: the lowest priority first, of equal ones the newest. */
export function firstToEnd<T extends Ranked>(candidates: readonly T[], count: number): readonly T[] {
  return [...candidates].sort((a, b) => a.priority - b.priority || b.since - a.since).slice(0, count);
}
