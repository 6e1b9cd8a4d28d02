/**
 * What an INVITE that we send needs beyond its transaction (RFC 3261 13.2, 9.1): when CANCEL may leave, and whose the 2xx is.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { type SipTiming, lifetimeMs } from './timing.ts';

/** Send CANCEL; forget the INVITE whose CANCEL brought no final answer. */
export type InviteClientAction = 'cancel' | 'give-up';

/** A peer that keeps us in 1xx longer than this is cancelled (a proxy's timer C, 16.6). */
export const PROCEEDING_LIMIT_MS = 180_000;

/**
 *            1xx                2xx
 *   calling ----> proceeding --------> accepted     further 2xx are of forks: ACK and BYE
 *      |             | cancel()
 *      |             v         2xx (it crossed our CANCEL): ACK and BYE
 *      |         cancelling ----------------------> ended
 *      +--300-699, timeout, transport error---------^     cancel() while calling waits for the first 1xx (9.1)
 */
export class InviteClientMachine {
  state: 'calling' | 'proceeding' | 'cancelling' | 'accepted' | 'ended' = 'calling';
  readonly #timing: SipTiming;
  readonly #timers = new TimerTable<'proceeding' | 'cancelled'>();
  #unwanted = false;

  constructor(timing: SipTiming) {
    this.#timing = timing;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  /** Somebody asked to cancel, whether or not CANCEL has left. */
  get unwanted(): boolean {
    return this.#unwanted;
  }

  get over(): boolean {
    return this.state === 'accepted' || this.state === 'ended';
  }

  provisional(now: Ms): readonly InviteClientAction[] {
    if (this.state !== 'calling' && this.state !== 'proceeding') return [];
    this.state = 'proceeding';
    if (this.#unwanted) return this.#cancel(now);
    this.#timers.set('proceeding', addMs(now, PROCEEDING_LIMIT_MS));
    return [];
  }

  /** Whether this first 2xx is taken; otherwise it is acknowledged and ended at once. */
  accept(): boolean {
    if (this.over) return false;
    this.#timers.stopAll();
    this.state = this.#unwanted ? 'ended' : 'accepted';
    return this.state === 'accepted';
  }

  end(): void {
    this.#timers.stopAll();
    this.state = 'ended';
  }

  cancel(now: Ms): readonly InviteClientAction[] {
    if (this.over) return [];
    this.#unwanted = true;
    return this.state === 'proceeding' ? this.#cancel(now) : [];
  }

  tick(now: Ms): readonly InviteClientAction[] {
    const due = this.#timers.takeDue(now);
    if (due === undefined) return [];
    if (due === 'proceeding') {
      this.#unwanted = true;
      return this.#cancel(now);
    }
    this.end();
    return ['give-up'];
  }

  #cancel(now: Ms): readonly InviteClientAction[] {
    this.state = 'cancelling';
    this.#timers.stopAll();
    this.#timers.set('cancelled', addMs(now, lifetimeMs(this.#timing)));
    return ['cancel'];
  }
}
