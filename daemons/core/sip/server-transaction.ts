/**
 * Server transactions (RFC 3261 17.2, RFC 6026): when to send the last response again, what to hand up, when it is over.
 * Bytes, matching and sockets are the business of transactions.ts.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, NEVER, addMs } from '../units.ts';
import { type SipTiming, TRYING_AFTER_MS, lifetimeMs } from './timing.ts';

/** What the owner does: send 100, send the last response (again), hand up an ACK, report that no ACK came, forget. */
export type ServerAction = 'trying' | 'transmit' | 'deliver-ack' | 'timeout' | 'terminate';
export type ServerActions = readonly ServerAction[];

export interface ServerMachine {
  readonly state: string;
  readonly deadline: Ms;
  /** The same request came again. */
  again(): ServerActions;
  /** The user answers; a second final answer does nothing. */
  respond(status: number, now: Ms): ServerActions;
  /** The user will never answer, and the request shall not reach him again. */
  silence(now: Ms): void;
  tick(now: Ms): ServerActions;
}

const NOTHING: ServerActions = [];
const TRANSMIT: ServerActions = ['transmit'];
const TERMINATE: ServerActions = ['terminate'];

/**
 * INVITE (figure 7, with RFC 6026 figure 2).
 *
 *   INVITE handed up; 100 if nobody answers within 200 ms
 *     |
 *     v            2xx sent
 *   proceeding -------------> accepted --L--> terminated      again in proceeding, completed: last response again
 *     | 300-699 sent              | ACK: handed up            again in accepted: nothing (the user repeats its 2xx)
 *     v          ACK
 *   completed -------> confirmed --I--> terminated            G: response again, doubles to T2      H: no ACK, timeout
 *
 * A reliable transport has no G and no I (0 s). `quiet` leaves out G: nobody who only claims a source address gets
 * more than he sends (faults.md R13); his own retransmission fetches the answer again.
 */
export class InviteServerTransaction implements ServerMachine {
  state: 'proceeding' | 'completed' | 'confirmed' | 'accepted' | 'terminated' = 'proceeding';
  readonly #timing: SipTiming;
  readonly #reliable: boolean;
  readonly #quiet: boolean;
  readonly #timers = new TimerTable<'trying' | 'G' | 'H' | 'I' | 'L'>();
  #intervalMs: number;
  #responded = false;

  constructor(timing: SipTiming, reliable: boolean, now: Ms, quiet = false) {
    this.#timing = timing;
    this.#reliable = reliable;
    this.#quiet = quiet;
    this.#intervalMs = timing.t1Ms;
    this.#timers.set('trying', addMs(now, TRYING_AFTER_MS));
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  again(): ServerActions {
    if (this.state === 'completed') return TRANSMIT;
    return this.state === 'proceeding' && this.#responded ? TRANSMIT : NOTHING;
  }

  respond(status: number, now: Ms): ServerActions {
    if (this.state !== 'proceeding') return NOTHING;
    this.#responded = true;
    this.#timers.stop('trying');
    if (status < 200) return TRANSMIT;
    const lifeEnd = addMs(now, lifetimeMs(this.#timing));
    if (status < 300) {
      this.#timers.set('L', lifeEnd);
      this.state = 'accepted';
      return TRANSMIT;
    }
    if (!this.#reliable && !this.#quiet) this.#timers.set('G', addMs(now, this.#intervalMs));
    this.#timers.set('H', lifeEnd);
    this.state = 'completed';
    return TRANSMIT;
  }

  silence(now: Ms): void {
    if (this.state !== 'proceeding') return;
    this.#timers.stopAll();
    this.#timers.set('L', addMs(now, lifetimeMs(this.#timing)));
    this.state = 'accepted';
  }

  ack(now: Ms): ServerActions {
    if (this.state === 'accepted') return ['deliver-ack'];
    if (this.state !== 'completed') return NOTHING;
    this.#timers.stopAll();
    if (this.#reliable) return this.#terminate();
    this.#timers.set('I', addMs(now, this.#timing.t4Ms));
    this.state = 'confirmed';
    return NOTHING;
  }

  tick(now: Ms): ServerActions {
    const actions: ServerAction[] = [];
    for (let due = this.#timers.takeDue(now); due !== undefined; due = this.#timers.takeDue(now)) {
      if (due === 'trying') {
        actions.push('trying');
      } else if (due === 'G') {
        this.#intervalMs = Math.min(2 * this.#intervalMs, this.#timing.t2Ms);
        this.#timers.set('G', addMs(now, this.#intervalMs));
        actions.push('transmit');
      } else {
        if (due === 'H') actions.push('timeout');
        actions.push(...this.#terminate());
      }
    }
    return actions;
  }

  #terminate(): ServerActions {
    this.#timers.stopAll();
    this.state = 'terminated';
    return TERMINATE;
  }
}

/**
 * Everything but INVITE and ACK (figure 8). Its one timer is a plain field: over a hundred thousand of these linger in J.
 *
 *   request handed up
 *     |
 *     v     1xx sent        200-699 sent
 *   trying ---> proceeding ---> completed --J--> terminated (0 s on a reliable transport)
 *      again: nothing     again: last response again
 *
 * One that its user leaves without answer ends when its client has given up (F), so that none stays for ever.
 */
export class NonInviteServerTransaction implements ServerMachine {
  state: 'trying' | 'proceeding' | 'completed' | 'terminated' = 'trying';
  deadline: Ms;
  readonly #lifetimeMs: number;
  readonly #reliable: boolean;

  constructor(timing: SipTiming, reliable: boolean, now: Ms) {
    this.#lifetimeMs = lifetimeMs(timing);
    this.#reliable = reliable;
    this.deadline = addMs(now, this.#lifetimeMs);
  }

  again(): ServerActions {
    return this.state === 'proceeding' || this.state === 'completed' ? TRANSMIT : NOTHING;
  }

  respond(status: number, now: Ms): ServerActions {
    if (this.state === 'completed' || this.state === 'terminated') return NOTHING;
    if (status < 200) {
      this.state = 'proceeding';
      return TRANSMIT;
    }
    if (this.#reliable) {
      this.#end();
      return ['transmit', 'terminate'];
    }
    this.state = 'completed';
    this.deadline = addMs(now, this.#lifetimeMs);
    return TRANSMIT;
  }

  silence(now: Ms): void {
    if (this.state !== 'trying') return;
    this.state = 'completed';
    this.deadline = addMs(now, this.#lifetimeMs);
  }

  tick(now: Ms): ServerActions {
    if (now < this.deadline || this.state === 'terminated') return NOTHING;
    const unanswered = this.state !== 'completed';
    this.#end();
    return unanswered ? ['timeout', 'terminate'] : TERMINATE;
  }

  #end(): void {
    this.state = 'terminated';
    this.deadline = NEVER;
  }
}
