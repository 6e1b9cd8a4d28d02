/**
 * Client transactions (RFC 3261 17.1, RFC 6026): when to send, what to hand up, when it is over. Bytes, matching and
 * sockets are the business of transactions.ts. Feed an input, carry out the actions in their order, call `tick` at `deadline`.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { type SipTiming, lifetimeMs } from './timing.ts';

/** What the owner does: send the request (again), send the ACK to a final non-2xx, hand up the response, report, forget. */
export type ClientAction = 'transmit' | 'acknowledge' | 'deliver' | 'timeout' | 'transport-error' | 'terminate';
export type ClientActions = readonly ClientAction[];

export interface ClientMachine {
  readonly state: string;
  readonly deadline: Ms;
  start(now: Ms): ClientActions;
  response(status: number, now: Ms): ClientActions;
  tick(now: Ms): ClientActions;
  transportError(): ClientActions;
}

const NOTHING: ClientActions = [];

/**
 * INVITE (figure 5, with RFC 6026 figure 1).
 *
 *   start: send, A=T1, B=64*T1
 *     |
 *     v     1xx          2xx
 *   calling ----> proceeding ----> accepted --M--> terminated     A: send again, A doubles      B: timeout
 *     |  \________________________^   ^ 2xx handed up each time
 *     | 300-699: ACK      | 300-699: ACK
 *     +-----> completed <-+        300-699 again: ACK again        D: terminated
 *
 * A reliable transport has no A and no D (0 s).
 */
export class InviteClientTransaction implements ClientMachine {
  state: 'calling' | 'proceeding' | 'completed' | 'accepted' | 'terminated' = 'calling';
  readonly #timing: SipTiming;
  readonly #reliable: boolean;
  readonly #timers = new TimerTable<'A' | 'B' | 'D' | 'M'>();
  #intervalMs: number;

  constructor(timing: SipTiming, reliable: boolean) {
    this.#timing = timing;
    this.#reliable = reliable;
    this.#intervalMs = timing.t1Ms;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  start(now: Ms): ClientActions {
    if (!this.#reliable) this.#timers.set('A', addMs(now, this.#intervalMs));
    this.#timers.set('B', addMs(now, lifetimeMs(this.#timing)));
    return ['transmit'];
  }

  response(status: number, now: Ms): ClientActions {
    switch (this.state) {
      case 'calling':
      case 'proceeding':
        this.#timers.stopAll();
        if (status < 200) return this.#to('proceeding', ['deliver']);
        return status < 300 ? this.#accept(now) : this.#complete(now);
      case 'accepted':
        return status >= 200 && status < 300 ? ['deliver'] : NOTHING;
      case 'completed':
        return status >= 300 ? ['acknowledge'] : NOTHING;
      case 'terminated':
        return NOTHING;
    }
  }

  tick(now: Ms): ClientActions {
    const actions: ClientAction[] = [];
    for (let due = this.#timers.takeDue(now); due !== undefined; due = this.#timers.takeDue(now)) {
      if (due === 'A') {
        this.#intervalMs *= 2;
        this.#timers.set('A', addMs(now, this.#intervalMs));
        actions.push('transmit');
      } else {
        actions.push(...this.#end(due === 'B' ? 'timeout' : undefined));
      }
    }
    return actions;
  }

  transportError(): ClientActions {
    return this.state === 'terminated' || this.state === 'accepted' ? NOTHING : this.#end(this.state === 'completed' ? undefined : 'transport-error');
  }

  #accept(now: Ms): ClientActions {
    this.#timers.set('M', addMs(now, lifetimeMs(this.#timing)));
    return this.#to('accepted', ['deliver']);
  }

  #complete(now: Ms): ClientActions {
    if (this.#reliable) return this.#to('terminated', ['acknowledge', 'deliver', 'terminate']);
    this.#timers.set('D', addMs(now, lifetimeMs(this.#timing)));
    return this.#to('completed', ['acknowledge', 'deliver']);
  }

  #end(report: 'timeout' | 'transport-error' | undefined): ClientActions {
    this.#timers.stopAll();
    return this.#to('terminated', report === undefined ? ['terminate'] : [report, 'terminate']);
  }

  #to(state: InviteClientTransaction['state'], actions: ClientActions): ClientActions {
    this.state = state;
    return actions;
  }
}

/**
 * Everything but INVITE and ACK (figure 6).
 *
 *   start: send, E=T1, F=64*T1
 *     |
 *     v     1xx
 *   trying ----> proceeding      E: send again; E doubles to T2, and is T2 in proceeding      F: timeout
 *     |  200-699    | 200-699
 *     +-> completed <-           K: terminated (0 s on a reliable transport)
 */
export class NonInviteClientTransaction implements ClientMachine {
  state: 'trying' | 'proceeding' | 'completed' | 'terminated' = 'trying';
  readonly #timing: SipTiming;
  readonly #reliable: boolean;
  readonly #timers = new TimerTable<'E' | 'F' | 'K'>();
  #intervalMs: number;

  constructor(timing: SipTiming, reliable: boolean) {
    this.#timing = timing;
    this.#reliable = reliable;
    this.#intervalMs = timing.t1Ms;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  start(now: Ms): ClientActions {
    if (!this.#reliable) this.#timers.set('E', addMs(now, this.#intervalMs));
    this.#timers.set('F', addMs(now, lifetimeMs(this.#timing)));
    return ['transmit'];
  }

  response(status: number, now: Ms): ClientActions {
    if (this.state === 'completed' || this.state === 'terminated') return NOTHING;
    if (status < 200) {
      this.state = 'proceeding';
      return ['deliver'];
    }
    this.#timers.stopAll();
    if (this.#reliable) {
      this.state = 'terminated';
      return ['deliver', 'terminate'];
    }
    this.#timers.set('K', addMs(now, this.#timing.t4Ms));
    this.state = 'completed';
    return ['deliver'];
  }

  tick(now: Ms): ClientActions {
    const actions: ClientAction[] = [];
    for (let due = this.#timers.takeDue(now); due !== undefined; due = this.#timers.takeDue(now)) {
      if (due === 'E') {
        this.#intervalMs = this.state === 'proceeding' ? this.#timing.t2Ms : Math.min(2 * this.#intervalMs, this.#timing.t2Ms);
        this.#timers.set('E', addMs(now, this.#intervalMs));
        actions.push('transmit');
      } else {
        actions.push(...this.#end(due === 'F' ? 'timeout' : undefined));
      }
    }
    return actions;
  }

  transportError(): ClientActions {
    if (this.state === 'terminated') return NOTHING;
    return this.#end(this.state === 'completed' ? undefined : 'transport-error');
  }

  #end(report: 'timeout' | 'transport-error' | undefined): ClientActions {
    this.#timers.stopAll();
    this.state = 'terminated';
    return report === undefined ? ['terminate'] : [report, 'terminate'];
  }
}
