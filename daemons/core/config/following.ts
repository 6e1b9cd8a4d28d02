/**
 * How a node keeps up with the configuration of the other one. Both do this towards each other, whoever is active: what line.ts
 * says decides which of the two goes on. Nothing of theirs is in force here before all of it is on the disk.
 *
 *            link up                told: theirs goes on              each is on the disk
 *   AWAY --------------> ASKING --------------------------> FETCHING --------------------> TAKING
 *    ^                   ^    | told: same, or ours goes on    | failed, or cannot be read    | taken, moved or failed
 *    |                   |    v                                v                              |
 *    |                   +-- RESTING <------------------------------------------- (taken, moved: ASKING at once, so that they know)
 *    |                        ^ every second, and on news of either side
 *    +---- link down, from everywhere; what is being taken is taken
 */
import { type Ms, NEVER, addMs } from '../units.ts';
import { type LineRow, type LineSide, missingRows, type Precedence, precedence, strayRows, type ToldPending } from './line.ts';

const ASK_EVERY_MS = 1000;

/** What the other node tells of itself. */
export interface ToldLine extends LineSide {
  readonly rows: readonly LineRow[];
  readonly current: number;
  readonly pending: ToldPending | null;
}

export interface OwnLine extends LineSide {
  readonly rows: readonly LineRow[];
}

/** What is to be made of it when every revision is here. */
export interface Takeover {
  readonly told: ToldLine;
  /** Ours that give way, oldest first. */
  readonly strays: readonly LineRow[];
  /** Mark of ours that this holds for: whatever was committed here since then would be lost by it. */
  readonly from: string;
}

export type FollowInput =
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  /** Something changed there, or here. */
  | { readonly type: 'news' }
  | { readonly type: 'tick' }
  /** Null: they stand where we stand. */
  | { readonly type: 'told'; readonly line: ToldLine | null }
  | { readonly type: 'fetched'; readonly revision: number }
  | { readonly type: 'taken' }
  /** Something was committed here before they could be taken: nothing was. */
  | { readonly type: 'moved' }
  /** This release cannot read it, or it is for nobody here: until theirs is another one it is not asked for again. */
  | { readonly type: 'held'; readonly why: string }
  | { readonly type: 'failed'; readonly why: string };

export type FollowOutput =
  | { readonly type: 'ask' }
  | { readonly type: 'fetch'; readonly row: LineRow; readonly told: ToldLine }
  | { readonly type: 'take'; readonly takeover: Takeover };

export const takeoverOf = (own: OwnLine, told: ToldLine, found: 'theirs' | 'yield'): Takeover => ({ told, strays: found === 'yield' ? strayRows(own.rows, told.rows) : [], from: own.trail[0]! });

type Phase =
  | { readonly phase: 'away' | 'asking' }
  | { readonly phase: 'resting'; readonly askAt: Ms }
  | { readonly phase: 'fetching'; readonly takeover: Takeover; readonly missing: readonly LineRow[] }
  | { readonly phase: 'taking'; readonly up: boolean };

export class Following {
  #state: Phase = { phase: 'away' };
  #newsCame = false;
  /** Mark of theirs that cannot be taken. */
  #heldMark: string | undefined;
  #heldWhy: string | null = null;
  /** What was found when they were asked last. */
  #found: Precedence | null = null;

  get phase(): Phase['phase'] {
    return this.#state.phase;
  }

  get deadline(): Ms {
    return this.#state.phase === 'resting' ? this.#state.askAt : NEVER;
  }

  get found(): Precedence | null {
    return this.#found;
  }

  /** Why theirs cannot be in force here; null: it is, or nothing is known of it. */
  get held(): string | null {
    return this.#heldWhy;
  }

  /** What does not fit the state is late news and changes nothing. */
  handle(input: FollowInput, own: OwnLine, now: Ms): readonly FollowOutput[] {
    switch (input.type) {
      case 'up': return this.#up();
      case 'down': return this.#down();
      case 'news': return this.#news();
      case 'tick': return this.#state.phase === 'resting' && now >= this.#state.askAt ? this.#ask() : [];
      case 'told': return this.#state.phase === 'asking' ? this.#told(input.line, own, now) : [];
      case 'fetched': return this.#fetched(input.revision);
      case 'taken':
      case 'moved': return this.#taken();
      case 'held': return this.#hold(input.why, now);
      case 'failed': return this.#failed(now);
    }
  }

  #ask(): readonly FollowOutput[] {
    this.#newsCame = false;
    this.#state = { phase: 'asking' };
    return [{ type: 'ask' }];
  }

  #up(): readonly FollowOutput[] {
    if (this.#state.phase !== 'taking') return this.#ask();
    this.#state = { phase: 'taking', up: true };
    return [];
  }

  #down(): readonly FollowOutput[] {
    this.#found = null;
    this.#state = this.#state.phase === 'taking' ? { phase: 'taking', up: false } : { phase: 'away' };
    return [];
  }

  #news(): readonly FollowOutput[] {
    if (this.#state.phase === 'resting') return this.#ask();
    this.#newsCame = true;
    return [];
  }

  #rest(now: Ms): readonly FollowOutput[] {
    if (this.#newsCame) return this.#ask();
    this.#state = { phase: 'resting', askAt: addMs(now, ASK_EVERY_MS) };
    return [];
  }

  #told(told: ToldLine | null, own: OwnLine, now: Ms): readonly FollowOutput[] {
    const found = (this.#found = told === null ? 'same' : precedence(own, told));
    if (told === null || (found !== 'theirs' && found !== 'yield')) {
      this.#forgetHeld();
      return this.#rest(now);
    }
    if (told.trail[0] === this.#heldMark) return this.#rest(now);
    this.#forgetHeld();
    return this.#goOn(takeoverOf(own, told, found), missingRows(own.rows, told.rows));
  }

  #goOn(takeover: Takeover, missing: readonly LineRow[]): readonly FollowOutput[] {
    const [next] = missing;
    if (next === undefined) {
      this.#state = { phase: 'taking', up: true };
      return [{ type: 'take', takeover }];
    }
    this.#state = { phase: 'fetching', takeover, missing };
    return [{ type: 'fetch', row: next, told: takeover.told }];
  }

  #fetched(revision: number): readonly FollowOutput[] {
    if (this.#state.phase !== 'fetching' || this.#state.missing[0]?.revision !== revision) return [];
    return this.#goOn(this.#state.takeover, this.#state.missing.slice(1));
  }

  #taken(): readonly FollowOutput[] {
    if (this.#state.phase !== 'taking') return [];
    if (this.#state.up) return this.#ask();
    this.#state = { phase: 'away' };
    return [];
  }

  #hold(why: string, now: Ms): readonly FollowOutput[] {
    if (this.#state.phase !== 'fetching') return [];
    this.#heldMark = this.#state.takeover.told.trail[0];
    this.#heldWhy = why;
    return this.#rest(now);
  }

  #forgetHeld(): void {
    this.#heldMark = undefined;
    this.#heldWhy = null;
  }

  #failed(now: Ms): readonly FollowOutput[] {
    if (this.#state.phase === 'taking' && !this.#state.up) this.#state = { phase: 'away' };
    if (this.#state.phase === 'away') return [];
    // Not at once, whatever is new: it would fail again.
    this.#newsCame = false;
    return this.#rest(now);
  }
}
