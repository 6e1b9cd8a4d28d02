/**
 * What an INVITE that we answer needs beyond its transaction (RFC 3261 13.3): the 2xx is repeated until its ACK comes, and nobody
 * leaves it unanswered for ever.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { type SipTiming, lifetimeMs } from './timing.ts';

/** Send the 2xx again; report that no ACK came; answer in place of a user who forgot. */
export type InviteServerAction = 'repeat' | 'ack-timeout' | 'give-up';

/** A user who has not answered in this time never will (a proxy's timer C is 3 minutes). */
export const ANSWER_LIMIT_MS = 180_000;

/**
 *              2xx                    ACK, or BYE before it
 *   proceeding ----> accepted --------------------------------> ended     2xx again after T1, doubling to T2 (13.3.1.4)
 *       | 300-699, CANCEL, limit  \-- 64*T1 without ACK -------^
 *       +-------------------------------------------------------^
 */
export class InviteServerMachine {
  state: 'proceeding' | 'accepted' | 'ended' = 'proceeding';
  readonly #timing: SipTiming;
  readonly #timers = new TimerTable<'limit' | 'repeat' | 'ack'>();
  #intervalMs: number;

  constructor(timing: SipTiming, now: Ms) {
    this.#timing = timing;
    this.#intervalMs = timing.t1Ms;
    this.#timers.set('limit', addMs(now, ANSWER_LIMIT_MS));
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  accept(now: Ms): void {
    if (this.state !== 'proceeding') return;
    this.#timers.stopAll();
    this.#timers.set('repeat', addMs(now, this.#intervalMs));
    this.#timers.set('ack', addMs(now, lifetimeMs(this.#timing)));
    this.state = 'accepted';
  }

  end(): void {
    this.#timers.stopAll();
    this.state = 'ended';
  }

  tick(now: Ms): readonly InviteServerAction[] {
    const due = this.#timers.takeDue(now);
    if (due === undefined) return [];
    if (due !== 'repeat') {
      this.end();
      return [due === 'ack' ? 'ack-timeout' : 'give-up'];
    }
    this.#intervalMs = Math.min(2 * this.#intervalMs, this.#timing.t2Ms);
    this.#timers.set('repeat', addMs(now, this.#intervalMs));
    return ['repeat'];
  }
}
