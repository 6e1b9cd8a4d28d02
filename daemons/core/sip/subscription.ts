/**
 * The two ends of a subscription (RFC 6665 4.1, 4.2) as automata: when to refresh, when it is over, and why.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs, seconds } from '../units.ts';
import { type SipTiming, lifetimeMs } from './timing.ts';

/** Part of the granted time after which we refresh (gb28181.md 5.2). */
const REFRESH_AT = 0.8;
/** Shortest wait before a refresh that brought no answer is tried again. */
const MIN_RETRY_MS = 5000;
/** Unanswered NOTIFYs in a row after which nobody listens any more (gb28181.md 5.2). */
const MAX_UNANSWERED = 3;

export type SubscriberAction = 'refresh' | 'ended';

/** Why it ended. Of a NOTIFY with `terminated`: its reason (RFC 6665 4.1.3). */
export type EndCause = 'rejected' | 'expired' | 'unsubscribed' | 'gone' | 'unanswered' | 'replaced' | `terminated:${string}`;

/**
 * Subscriber. The first NOTIFY may come before the 2xx, or, from GB/T 28181 platforms, not before something happens; so nothing
 * waits for it.
 *
 *                2xx or NOTIFY                 refresh due: SUBSCRIBE again
 *   subscribing --------------> active ------> active          (no answer: again in half of what is left)
 *       |                        |  \-- unsubscribe: SUBSCRIBE, Expires 0 --> leaving --NOTIFY terminated, or 64*T1--> terminated
 *       | refused                | expiry; 404, 481 ... to a refresh; NOTIFY terminated
 *       +--> terminated <--------+
 */
export class SubscriberMachine {
  state: 'subscribing' | 'active' | 'leaving' | 'terminated' = 'subscribing';
  cause: EndCause = 'rejected';
  expiresAt: Ms | undefined;
  readonly #timing: SipTiming;
  readonly #timers = new TimerTable<'refresh' | 'expiry' | 'leave'>();

  constructor(timing: SipTiming) {
    this.#timing = timing;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  /** 2xx to our SUBSCRIBE, or a NOTIFY that says how long. */
  granted(expiresS: number, now: Ms): void {
    if (this.state !== 'subscribing' && this.state !== 'active') return;
    this.state = 'active';
    this.expiresAt = addMs(now, seconds(expiresS));
    if (expiresS > 0) this.#timers.set('refresh', addMs(now, seconds(expiresS * REFRESH_AT)));
    else this.#timers.stop('refresh');
    this.#timers.set('expiry', this.expiresAt);
  }

  /** A final non-2xx. Before the first 2xx it is the end; later only when the peer knows nothing of us any more. */
  refused(status: number, now: Ms): readonly SubscriberAction[] {
    if (this.state === 'terminated') return [];
    if (this.state !== 'active') return this.#end(this.state === 'leaving' ? 'unsubscribed' : 'rejected');
    if (FATAL_TO_SUBSCRIPTION.has(status)) return this.#end('gone');
    this.unanswered(now);
    return [];
  }

  /** No final answer to a refresh: the subscription lives to its end, and we try again before. */
  unanswered(now: Ms): readonly SubscriberAction[] {
    if (this.state === 'leaving') return this.#end('unsubscribed');
    if (this.state === 'subscribing') return this.#end('unanswered');
    const left = (this.expiresAt ?? now) - now;
    if (this.state === 'active' && left > MIN_RETRY_MS) this.#timers.set('refresh', addMs(now, Math.max(MIN_RETRY_MS, left / 2)));
    return [];
  }

  /** NOTIFY with Subscription-State `terminated`. */
  terminated(reason: string): readonly SubscriberAction[] {
    return this.#end(this.state === 'leaving' ? 'unsubscribed' : `terminated:${reason}`);
  }

  leave(now: Ms): boolean {
    if (this.state !== 'active') return false;
    this.state = 'leaving';
    this.#timers.stopAll();
    this.#timers.set('leave', addMs(now, lifetimeMs(this.#timing)));
    return true;
  }

  /** Another one took its place, or the peer has forgotten it: nothing more is said in this one. */
  replaced(): readonly SubscriberAction[] {
    return this.#end('replaced');
  }

  tick(now: Ms): readonly SubscriberAction[] {
    const due = this.#timers.takeDue(now);
    if (due === undefined) return [];
    if (due === 'refresh') return ['refresh'];
    return this.#end(due === 'leave' ? 'unsubscribed' : 'expired');
  }

  #end(cause: EndCause): readonly SubscriberAction[] {
    if (this.state === 'terminated') return [];
    this.state = 'terminated';
    this.cause = cause;
    this.#timers.stopAll();
    return ['ended'];
  }
}

/** RFC 6665 4.1.2.2 and RFC 5057: responses to a refresh that end it. */
const FATAL_TO_SUBSCRIPTION = new Set([404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]);

export type NotifierAction = 'expired' | 'ended';

/**
 * Notifier.
 *
 *   active --refresh--> active      expiry: NOTIFY terminated;reason=timeout      end(): NOTIFY terminated
 *     | 481 or three times no answer to a NOTIFY, or the answer to NOTIFY terminated
 *     v
 *   terminated
 */
export class NotifierMachine {
  state: 'active' | 'ending' | 'terminated' = 'active';
  cause: EndCause = 'expired';
  expiresAt: Ms;
  readonly #timers = new TimerTable<'expiry'>();
  #unanswered = 0;

  constructor(expiresS: number, now: Ms) {
    this.expiresAt = now;
    this.refreshed(expiresS, now);
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  refreshed(expiresS: number, now: Ms): void {
    if (this.state !== 'active') return;
    this.expiresAt = addMs(now, seconds(expiresS));
    this.#timers.set('expiry', this.expiresAt);
  }

  /** The last NOTIFY is on its way. */
  ending(cause: EndCause): boolean {
    if (this.state !== 'active') return false;
    this.state = 'ending';
    this.cause = cause;
    this.#timers.stopAll();
    return true;
  }

  /** Another one took its place: nothing more is said in this one. */
  replaced(): readonly NotifierAction[] {
    return this.state === 'terminated' ? [] : this.#end('replaced');
  }

  /** Final status of a NOTIFY; undefined: none came. */
  answered(status: number | undefined): readonly NotifierAction[] {
    if (this.state === 'terminated') return [];
    this.#unanswered = status === undefined ? this.#unanswered + 1 : 0;
    if (this.state === 'ending') return this.#end(this.cause);
    if (status === 481) return this.#end('gone');
    return this.#unanswered >= MAX_UNANSWERED ? this.#end('unanswered') : [];
  }

  tick(now: Ms): readonly NotifierAction[] {
    return this.#timers.takeDue(now) === undefined ? [] : ['expired'];
  }

  #end(cause: EndCause): readonly NotifierAction[] {
    this.state = 'terminated';
    this.cause = cause;
    this.#timers.stopAll();
    return ['ended'];
  }
}

/** Value of a Subscription-State header (RFC 6665 8.4). */
export interface SubscriptionStateValue {
  readonly state: string;
  readonly reason: string | undefined;
  readonly expiresS: number | undefined;
}

/** Total: what cannot be read counts as `active`, as GB/T 28181 peers leave the header out. */
export function parseSubscriptionState(text: string | undefined): SubscriptionStateValue {
  const [state = '', ...params] = (text ?? 'active').split(';').map(part => part.trim());
  const find = (name: string): string | undefined => params.find(param => param.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1).trim();
  const expires = find('expires');
  return { state: state.toLowerCase() || 'active', reason: find('reason'), expiresS: expires !== undefined && /^\d{1,9}$/.test(expires) ? Number(expires) : undefined };
}
