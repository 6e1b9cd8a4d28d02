/**
 * One commit from the question to the daemons until nothing can bring it back. Sans-IO: says what is to be done, is told what came of it.
 *
 *                      a refusal                     a refusal, or a daemon that dies now
 *   checking ---------------------------> ended     +------------------------------------+
 *      | all agree            aborted       ^       |                                    v
 *      v                                    |       |                              writing-back --written--> reapplying
 *   writing --write-failed------------------+   applying --all have it--> ended          ^  | write-failed         |
 *      |                                            ^      | (committed)                 |  v                      | everybody
 *      +--------------------written-----------------+      | with a deadline             |  stuck --retry--^       | was told
 *                                                          v                             |                         v
 *                                                       waiting ---deadline, return------+                       ended
 *                                                          | confirm                                             (returned)
 *                                                          v
 *                                                        ended (committed)
 *
 * `resume` begins in waiting or writing-back: a configd that was killed goes on where the disk says it was.
 */
import { NEVER, addMs, type Ms } from '../units.ts';
import { assertNever } from '../result.ts';

/** A disk that refuses the old configuration is asked again so often. */
const RETRY_MS = 5000;

export interface Refusal {
  readonly daemon: string;
  readonly why: string;
}

export type CommitInput =
  | { readonly type: 'checked'; readonly daemon: string; readonly refused: string | null }
  | { readonly type: 'written' }
  | { readonly type: 'write-failed'; readonly why: string }
  /** `refused`: also that it died or did not come back. */
  | { readonly type: 'applied'; readonly daemon: string; readonly refused: string | null }
  | { readonly type: 'confirm' }
  /** Before the deadline: somebody wants the old one now. */
  | { readonly type: 'return'; readonly why: string }
  | { readonly type: 'tick' };

export type CommitOutput =
  | { readonly type: 'check'; readonly daemon: string }
  /** The new text takes the place of the old one, or the old one its place again. */
  | { readonly type: 'write'; readonly which: 'new' | 'old' }
  | { readonly type: 'apply'; readonly daemon: string }
  /** Everybody has it; from now on it waits for `confirm`. */
  | { readonly type: 'waiting'; readonly deadline: Ms }
  | { readonly type: 'ended'; readonly how: 'committed' | 'aborted' | 'returned'; readonly why: string };

type Phase =
  | { readonly phase: 'checking'; readonly waitingFor: ReadonlySet<string> }
  | { readonly phase: 'writing' }
  | { readonly phase: 'applying'; readonly index: number }
  | { readonly phase: 'waiting'; readonly deadline: Ms }
  | { readonly phase: 'writing-back'; readonly why: string }
  | { readonly phase: 'stuck'; readonly why: string; readonly retryAt: Ms }
  | { readonly phase: 'reapplying'; readonly index: number; readonly why: string }
  | { readonly phase: 'ended' };

export interface CommitPlan {
  /** Who is asked and told, in this order. */
  readonly daemons: readonly string[];
  /** Null: for good. */
  readonly confirmWithinMs: number | null;
}

export class ConfigCommit {
  #plan: CommitPlan;
  #state: Phase;
  readonly #refusals: Refusal[] = [];

  private constructor(plan: CommitPlan, state: Phase) {
    this.#plan = plan;
    this.#state = state;
  }

  static begin(plan: CommitPlan): { readonly commit: ConfigCommit; readonly outputs: readonly CommitOutput[] } {
    const commit = new ConfigCommit(plan, { phase: 'checking', waitingFor: new Set(plan.daemons) });
    return { commit, outputs: plan.daemons.length === 0 ? commit.#write() : plan.daemons.map(daemon => ({ type: 'check', daemon })) };
  }

  /** What the disk says of a commit before this process: it waits until `deadline`; one that is past, or was never done, returns. */
  static resume(daemons: readonly string[], deadline: Ms, now: Ms, why: string): { readonly commit: ConfigCommit; readonly outputs: readonly CommitOutput[] } {
    const commit = new ConfigCommit({ daemons, confirmWithinMs: null }, { phase: 'waiting', deadline });
    return { commit, outputs: deadline <= now ? commit.#writeBack(why) : [] };
  }

  /** Who is there now: after a wait others may be. */
  meet(daemons: readonly string[]): void {
    if (this.#state.phase === 'waiting' || this.#state.phase === 'stuck') this.#plan = { ...this.#plan, daemons };
  }

  get refusals(): readonly Refusal[] {
    return this.#refusals;
  }

  get phase(): Phase['phase'] {
    return this.#state.phase;
  }

  get deadline(): Ms {
    if (this.#state.phase === 'waiting') return this.#state.deadline;
    return this.#state.phase === 'stuck' ? this.#state.retryAt : NEVER;
  }

  /** What does not fit the state is late news and changes nothing. */
  handle(input: CommitInput, now: Ms): readonly CommitOutput[] {
    switch (input.type) {
      case 'checked': return this.#onChecked(input.daemon, input.refused);
      case 'written': return this.#onWritten(now);
      case 'write-failed': return this.#onWriteFailed(input.why, now);
      case 'applied': return this.#onApplied(input.daemon, input.refused, now);
      case 'confirm': return this.#state.phase === 'waiting' ? this.#end('committed', 'confirmed') : [];
      case 'return': return this.#state.phase === 'waiting' ? this.#writeBack(input.why) : [];
      case 'tick': return this.#onTick(now);
      default: return assertNever(input);
    }
  }

  #onChecked(daemon: string, refused: string | null): readonly CommitOutput[] {
    if (this.#state.phase !== 'checking' || !this.#state.waitingFor.has(daemon)) return [];
    if (refused !== null) this.#refusals.push({ daemon, why: refused });
    const waitingFor = new Set([...this.#state.waitingFor].filter(one => one !== daemon));
    this.#state = { phase: 'checking', waitingFor };
    if (waitingFor.size > 0) return [];
    return this.#refusals.length > 0 ? this.#end('aborted', 'a daemon refused') : this.#write();
  }

  #write(): readonly CommitOutput[] {
    this.#state = { phase: 'writing' };
    return [{ type: 'write', which: 'new' }];
  }

  #onWritten(now: Ms): readonly CommitOutput[] {
    if (this.#state.phase === 'writing') return this.#plan.daemons.length === 0 ? this.#allHaveIt(now) : this.#apply(0);
    return this.#state.phase === 'writing-back' ? this.#reapply(0, this.#state.why) : [];
  }

  #apply(index: number): readonly CommitOutput[] {
    this.#state = { phase: 'applying', index };
    return [{ type: 'apply', daemon: this.#plan.daemons[index]! }];
  }

  #onWriteFailed(why: string, now: Ms): readonly CommitOutput[] {
    if (this.#state.phase === 'writing') return this.#end('aborted', why);
    if (this.#state.phase !== 'writing-back') return [];
    this.#state = { phase: 'stuck', why: this.#state.why, retryAt: addMs(now, RETRY_MS) };
    return [];
  }

  #onApplied(daemon: string, refused: string | null, now: Ms): readonly CommitOutput[] {
    const state = this.#state;
    if (state.phase === 'reapplying') return this.#plan.daemons[state.index] === daemon ? this.#reapply(state.index + 1, state.why) : [];
    if (state.phase !== 'applying' || this.#plan.daemons[state.index] !== daemon) return [];
    if (refused !== null) {
      this.#refusals.push({ daemon, why: refused });
      return this.#writeBack(`${daemon}: ${refused}`);
    }
    return state.index + 1 < this.#plan.daemons.length ? this.#apply(state.index + 1) : this.#allHaveIt(now);
  }

  #allHaveIt(now: Ms): readonly CommitOutput[] {
    const { confirmWithinMs } = this.#plan;
    if (confirmWithinMs === null) return this.#end('committed', '');
    const deadline = addMs(now, confirmWithinMs);
    this.#state = { phase: 'waiting', deadline };
    return [{ type: 'waiting', deadline }];
  }

  #onTick(now: Ms): readonly CommitOutput[] {
    if (now < this.deadline) return [];
    if (this.#state.phase === 'waiting') return this.#writeBack('it was not confirmed in time');
    return this.#state.phase === 'stuck' ? this.#writeBack(this.#state.why) : [];
  }

  #writeBack(why: string): readonly CommitOutput[] {
    this.#state = { phase: 'writing-back', why };
    return [{ type: 'write', which: 'old' }];
  }

  #reapply(index: number, why: string): readonly CommitOutput[] {
    const daemon = this.#plan.daemons[index];
    if (daemon === undefined) return this.#end('returned', why);
    this.#state = { phase: 'reapplying', index, why };
    return [{ type: 'apply', daemon }];
  }

  #end(how: 'committed' | 'aborted' | 'returned', why: string): readonly CommitOutput[] {
    this.#state = { phase: 'ended' };
    return [{ type: 'ended', how, why }];
  }
}
