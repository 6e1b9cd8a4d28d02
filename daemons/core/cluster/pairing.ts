/**
 * The window in which a node lets another one into its pair. What comes in is only whether somebody knew the code; who he is and
 * what he gets is not decided here.
 *
 *             open             right
 *   closed --------> open --------------> busy -- joined --> closed
 *     ^               | ^ <- not joined --+
 *     |      deadline | | fifth wrong one
 *     |               v v
 *     |         expired  locked
 *     +-- some time later, or `close` --+
 *
 * A code that is over is still listened to for some time, so that who types it is told what is the matter. One that was used is not:
 * what listens there from then on takes the other node and nobody else.
 */
import { type Ms, NEVER, addMs } from '../units.ts';

const MAX_WRONG = 5;
const LINGER_MS = 600_000;
/** Of one exchange: a daemon there may have to answer, and one here. */
const BUSY_MS = 90_000;

export type PairingState = 'closed' | 'open' | 'busy' | 'expired' | 'locked';
/** `busy`: somebody with the code is being let in at this moment. */
export type PairingVerdict = 'right' | 'wrong' | 'busy' | 'expired' | 'locked';

export type PairingInput =
  | { readonly type: 'open'; readonly lifeMs: number }
  | { readonly type: 'proof'; readonly right: boolean }
  /** The one with the right code is in the pair now, or is not. One that was given up says nothing any more. */
  | { readonly type: 'joined' | 'not-joined'; readonly attempt: number }
  | { readonly type: 'close' }
  | { readonly type: 'tick' };

export type PairingOutput = { readonly type: 'listen' } | { readonly type: 'verdict'; readonly verdict: PairingVerdict } | { readonly type: 'shut' };

export class PairingWindow {
  #state: PairingState = 'closed';
  #until: Ms = NEVER;
  /** Of the code, whatever happens meanwhile. */
  #expires: Ms = NEVER;
  #wrong = 0;
  #attempt = 0;

  get state(): PairingState {
    return this.#state;
  }

  /** Who is being let in at this moment; null: nobody. */
  get attempt(): number | null {
    return this.#state === 'busy' ? this.#attempt : null;
  }

  get wrong(): number {
    return this.#wrong;
  }

  get expires(): Ms {
    return this.#expires;
  }

  /** When something changes by itself. */
  get deadline(): Ms {
    return this.#until;
  }

  handle(input: PairingInput, now: Ms): readonly PairingOutput[] {
    const passed = this.#pass(now);
    return [...passed, ...this.#take(input, now)];
  }

  #take(input: PairingInput, now: Ms): readonly PairingOutput[] {
    switch (input.type) {
      case 'open':
        this.#wrong = 0;
        this.#expires = addMs(now, input.lifeMs);
        this.#enter('open', this.#expires);
        return [{ type: 'listen' }];
      case 'proof':
        return this.#state === 'closed' ? [] : [{ type: 'verdict', verdict: this.#judge(input.right, now) }];
      case 'joined':
        return this.attempt === input.attempt ? this.#shut() : [];
      case 'not-joined':
        if (this.attempt === input.attempt) this.#enter('open', this.#expires);
        return this.#pass(now);
      case 'close':
        return this.#shut();
      case 'tick':
        return [];
    }
  }

  #judge(right: boolean, now: Ms): PairingVerdict {
    if (this.#state === 'locked') return 'locked';
    if (!right) return this.#miss(now);
    if (this.#state !== 'open') return this.#state as PairingVerdict;
    this.#attempt += 1;
    this.#enter('busy', addMs(now, BUSY_MS));
    return 'right';
  }

  /** Counted as long as there is something to guess. */
  #miss(now: Ms): PairingVerdict {
    if (this.#state === 'open' || this.#state === 'busy') this.#wrong += 1;
    if (this.#wrong >= MAX_WRONG && this.#state === 'open') this.#enter('locked', addMs(now, LINGER_MS));
    return 'wrong';
  }

  /** What time alone has changed. */
  #pass(now: Ms): readonly PairingOutput[] {
    if (this.#state === 'busy' && now >= this.#until) this.#enter('open', this.#expires);
    if (this.#state === 'open' && this.#wrong >= MAX_WRONG) this.#enter('locked', addMs(now, LINGER_MS));
    if (this.#state === 'open' && now >= this.#expires) this.#enter('expired', addMs(now, LINGER_MS));
    return now >= this.#until ? this.#shut() : [];
  }

  #shut(): readonly PairingOutput[] {
    if (this.#state === 'closed') return [];
    this.#enter('closed', NEVER);
    return [{ type: 'shut' }];
  }

  #enter(state: PairingState, until: Ms): void {
    this.#state = state;
    this.#until = until;
  }
}
