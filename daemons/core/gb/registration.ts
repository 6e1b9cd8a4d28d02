/**
 * Our registration at one platform above us (gb28181.md 8.2, 12.2): says when to send what, and reads the answers.
 *
 *                enable                    200
 *     DISABLED ---------> REGISTERING ------------> ONLINE --(80 % of the granted time)--> refresh, stays ONLINE
 *        ^                 |  ^   ^                  |  |
 *        | disable:        |  |   +-- keepalives ----+  +-- refresh failed until expiry, 403 -+
 *        | Expires 0       |  |       missed or 403/404, connection lost                      |
 *        |                 |  +---- wait is over -----+                                       |
 *     (from any)           +--- no, 5xx, timeout ---> WAITING <-------------------------------+
 *
 * With what another process remembered, `enable` leads from DISABLED to ONLINE as long as that binding lasts: a keepalive tells whether
 * it still does.
 *
 * 401 is answered once per nonce, 423 with the asked time, 302 (2022) by going there, and back when that one fails.
 */
import type { Challenge, RedirectTarget, RegistrationInput, RegistrationMemory, RegistrationOptions, RegistrationOutput, RegistrationState, RegistrationView } from './registration-io.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs, seconds } from '../units.ts';

export type { Challenge, RedirectTarget, RegistrationInput, RegistrationOptions, RegistrationOutput, RegistrationState, RegistrationView } from './registration-io.ts';

const REFRESH_SHARE = 0.8;
/** Waits double up to this multiple of retryS (configuration). */
const MAX_BACKOFF = 16;
/** A lost connection or binding is made anew after this; a failure of that attempt waits as usual. */
const RECONNECT_MS = 1_000;
/** Challenges with ever new nonces that one attempt answers. */
const MAX_CHALLENGES = 3;
const MAX_REDIRECTS = 3;
const MAX_EXPIRES_S = 604_800;
const MAX_RETRY_AFTER_S = 3_600;
/** No platform answers REGISTER usefully with less. */
const MIN_GRANTED_S = 10;

type Answer<C extends Challenge> = Extract<RegistrationInput<C>, { type: 'register-answer' }>;
type Timer = 'retry' | 'refresh' | 'expiry' | 'keepalive';

export class Registration<C extends Challenge = Challenge> {
  readonly #options: RegistrationOptions;
  readonly #timers = new TimerTable<Timer>();
  #outputs: RegistrationOutput<C>[] = [];
  #state: RegistrationState = 'disabled';
  #reason: string | null = null;
  #attempt = 0;
  /** An attempt is under way; answers to older ones are stale. */
  #pending = false;
  #unregistering = false;
  #cseq = 0;
  #sn = 0;
  /** Keepalives before this one belong to an earlier registration. */
  #firstSn = 1;
  #asksS: number;
  #challenge: C | undefined;
  #challenges = 0;
  #redirects = 0;
  #target: RedirectTarget | undefined;
  #failures = 0;
  /** Bindings lost since the last keepalive that was answered. */
  #losses = 0;
  #misses = 0;
  /** Sent and without any outcome yet. */
  #openSn: number | undefined;
  /** Up to here misses were counted. */
  #missedSn = 0;
  #retryAt: Ms | undefined;
  #expiresAt: Ms | undefined;
  #keepaliveAt: Ms | undefined;
  #refreshAt: Ms | undefined;
  /** Of another process; used once. */
  #remembered: RegistrationMemory | undefined;

  constructor(options: RegistrationOptions, remembered?: RegistrationMemory) {
    this.#options = options;
    this.#asksS = remembered?.asksS ?? options.expiresS;
    this.#cseq = remembered?.cseq ?? 0;
    this.#sn = remembered?.sn ?? 0;
    this.#remembered = remembered;
  }

  /** For a process that goes on with it. */
  get memory(): RegistrationMemory {
    const bound = this.#state === 'online';
    return { cseq: this.#cseq, sn: this.#sn, asksS: this.#asksS, target: this.#target, expiresAt: bound ? this.#expiresAt : undefined, refreshAt: bound ? this.#refreshAt : undefined };
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  get view(): RegistrationView {
    return { state: this.#state, reason: this.#reason, retryAt: this.#retryAt, expiresAt: this.#expiresAt, keepaliveAt: this.#keepaliveAt, target: this.#target };
  }

  handle(input: RegistrationInput<C>, now: Ms): RegistrationOutput<C>[] {
    this.#outputs = [];
    switch (input.type) {
      case 'enable':
        if (this.#state === 'disabled' && !this.#resume(now)) this.#begin(null);
        break;
      case 'disable':
        this.#disable();
        break;
      case 'register-answer':
        if (this.#pending && input.attempt === this.#attempt) this.#onAnswer(input, now);
        break;
      case 'register-failed':
        if (this.#pending && input.attempt === this.#attempt) this.#onFailure(input.why, now);
        break;
      case 'keepalive-answer':
        this.#onKeepaliveAnswer(input.sn, input.status, now);
        break;
      case 'flow-lost':
        this.#onFlowLost(now);
        break;
      case 'tick':
        for (let due = this.#timers.takeDue(now); due !== undefined; due = this.#timers.takeDue(now)) this.#onTimer(due, now);
        break;
    }
    return this.#outputs;
  }

  #onTimer(timer: Timer, now: Ms): void {
    switch (timer) {
      case 'retry':
        this.#retryAt = undefined;
        if (this.#state !== 'online') return this.#begin(this.#reason);
        this.#attemptAnew();
        this.#send();
        break;
      case 'refresh':
        this.#attemptAnew();
        this.#send();
        break;
      case 'expiry':
        this.#wait(now, this.#reason ?? 'registration expired');
        break;
      case 'keepalive':
        this.#onKeepaliveDue(now);
        break;
    }
  }

  /** A new attempt from nothing: no binding is left to keep alive. */
  #begin(reason: string | null): void {
    this.#timers.stopAll();
    this.#retryAt = undefined;
    this.#expiresAt = undefined;
    this.#unregistering = false;
    this.#attemptAnew();
    this.#enter('registering', reason);
    this.#send();
  }

  /** False: there is no binding to go on with. */
  #resume(now: Ms): boolean {
    const { expiresAt, refreshAt, target } = this.#remembered ?? {};
    this.#remembered = undefined;
    if (expiresAt === undefined || refreshAt === undefined || expiresAt <= now) return false;
    this.#target = target;
    this.#firstSn = this.#sn + 1;
    this.#bound(expiresAt, refreshAt);
    this.#timers.set('keepalive', now);
    this.#enter('online', null);
    return true;
  }

  #bound(expiresAt: Ms, refreshAt: Ms): void {
    this.#expiresAt = expiresAt;
    this.#refreshAt = refreshAt;
    this.#timers.set('expiry', expiresAt);
    this.#timers.set('refresh', refreshAt);
  }

  /** Every attempt begins without credentials: platforms give out a nonce once. */
  #attemptAnew(): void {
    this.#challenge = undefined;
    this.#challenges = 0;
    this.#redirects = 0;
  }

  #send(): void {
    this.#pending = true;
    const expiresS = this.#unregistering ? 0 : this.#asksS;
    this.#outputs.push({ type: 'send-register', attempt: ++this.#attempt, cseq: ++this.#cseq, expiresS, challenge: this.#challenge, target: this.#target });
  }

  #onAnswer(answer: Answer<C>, now: Ms): void {
    this.#pending = false;
    if (answer.status >= 200 && answer.status < 300) return this.#onSuccess(answer, now);
    if (answer.status === 401) return this.#onChallenge(answer, now);
    if (this.#unregistering) return this.#unregistered();
    if (answer.status === 423) return this.#onTooBrief(answer, now);
    if (answer.status === 302) return this.#onRedirect(answer, now);
    this.#onFailure(wordsOf(answer), now, answer.status === 403, answer.retryAfterS);
  }

  #onSuccess(answer: Answer<C>, now: Ms): void {
    if (this.#unregistering) return this.#unregistered();
    const grantedS = Math.min(Math.max(answer.expiresS ?? this.#asksS, MIN_GRANTED_S), MAX_EXPIRES_S);
    const wasOnline = this.#state === 'online';
    this.#failures = 0;
    this.#retryAt = undefined;
    this.#timers.stop('retry');
    this.#bound(addMs(now, grantedS * 1000), addMs(now, grantedS * 1000 * REFRESH_SHARE));
    if (!wasOnline) {
      this.#misses = 0;
      this.#openSn = undefined;
      this.#firstSn = this.#sn + 1;
      this.#timers.set('keepalive', addMs(now, this.#options.keepaliveS * 1000));
    }
    this.#enter('online', null);
  }

  /** Credentials once per nonce; the same nonce again means that they are wrong. */
  #onChallenge(answer: Answer<C>, now: Ms): void {
    const { challenge } = answer;
    const refused = challenge === undefined ? 'challenged by a realm that is not its own' : challenge.nonce === this.#challenge?.nonce && !challenge.stale ? 'credentials refused' : undefined;
    if (refused === undefined && ++this.#challenges <= MAX_CHALLENGES) {
      this.#challenge = challenge;
      return this.#send();
    }
    this.#challenge = undefined;
    if (this.#unregistering) this.#unregistered();
    else this.#onFailure(refused ?? 'credentials refused', now, true);
  }

  #onTooBrief({ minExpiresS }: Answer<C>, now: Ms): void {
    if (minExpiresS === undefined || minExpiresS <= this.#asksS || minExpiresS > MAX_EXPIRES_S) return this.#onFailure('423 without a usable Min-Expires', now);
    this.#asksS = minExpiresS;
    this.#send();
  }

  #onRedirect(answer: Answer<C>, now: Ms): void {
    const { redirect } = answer;
    if (!this.#options.followsRedirect || redirect === undefined || ++this.#redirects > MAX_REDIRECTS) return this.#onFailure(wordsOf(answer), now);
    this.#target = redirect;
    this.#challenge = undefined;
    this.#send();
  }

  /** `definite`: the platform said no. Otherwise a binding that still stands is kept while we try again. */
  #onFailure(why: string, now: Ms, definite = false, retryAfterS = 0): void {
    this.#pending = false;
    if (this.#unregistering) return this.#unregistered();
    // A redirect target that fails sends us back to the redirector (2022 9.1.2.3).
    const redirected = this.#target !== undefined;
    this.#target = undefined;
    const waitMs = redirected && this.#failures === 0 ? RECONNECT_MS : this.#backoffMs(retryAfterS);
    if (redirected) this.#failures = Math.max(this.#failures, 1);
    if (this.#state !== 'online' || definite || redirected) return this.#wait(now, why, waitMs);
    this.#retryAt = addMs(now, waitMs);
    this.#timers.set('retry', this.#retryAt);
    this.#enter('online', why);
  }

  /** retryS, doubling to 16 times, spread by a tenth; at least what Retry-After asks. */
  #backoffMs(retryAfterS: number): number {
    const backoffS = this.#options.retryS * Math.min(2 ** this.#failures++, MAX_BACKOFF);
    return seconds(Math.max(backoffS, Math.min(retryAfterS, MAX_RETRY_AFTER_S))) * (1 + this.#options.dice() / 10);
  }

  #wait(now: Ms, why: string, waitMs = this.#backoffMs(0)): void {
    this.#timers.stopAll();
    this.#pending = false;
    this.#expiresAt = undefined;
    this.#retryAt = addMs(now, waitMs);
    this.#timers.set('retry', this.#retryAt);
    this.#enter('waiting', why);
  }

  /** One that is unanswered when the next is due is missed: its transaction may go on for another half minute. */
  #onKeepaliveDue(now: Ms): void {
    if (this.#openSn !== undefined) {
      this.#missedSn = this.#openSn;
      if (this.#miss(now)) return;
    }
    this.#openSn = ++this.#sn;
    this.#outputs.push({ type: 'send-keepalive', sn: this.#sn, target: this.#target });
    this.#timers.set('keepalive', addMs(now, this.#options.keepaliveS * 1000));
  }

  /** True when it was one too many. */
  #miss(now: Ms): boolean {
    if (++this.#misses < this.#options.keepaliveMisses) return false;
    this.#again(now, `${this.#misses} keepalives unanswered`);
    return true;
  }

  #onKeepaliveAnswer(sn: number, status: number | undefined, now: Ms): void {
    if (this.#state !== 'online' || sn < this.#firstSn || sn > this.#sn) return;
    if (sn === this.#openSn) this.#openSn = undefined;
    if (status !== undefined && status >= 200 && status < 300) {
      this.#misses = 0;
      this.#losses = 0;
      this.#keepaliveAt = now;
      return;
    }
    // The platform does not know us any more, e.g. after its own restart.
    if (status === 403 || status === 404) return this.#again(now, `keepalive answered ${status}`);
    if (sn > this.#missedSn) this.#miss(now);
  }

  #onFlowLost(now: Ms): void {
    if (this.#state === 'online') this.#again(now, 'connection lost');
    else if (this.#state === 'registering' && this.#pending) this.#onFailure('connection lost', now);
  }

  /** The binding is void: register soon, to the redirector if there was one. */
  #again(now: Ms, why: string): void {
    this.#target = undefined;
    const waitMs = Math.min(RECONNECT_MS * 2 ** this.#losses, this.#options.retryS * 1000);
    this.#losses = Math.min(this.#losses + 1, 16);
    this.#wait(now, why, waitMs * (1 + this.#options.dice() / 10));
  }

  #disable(): void {
    if (this.#state === 'disabled') return;
    const bound = this.#state === 'online' || this.#pending;
    this.#timers.stopAll();
    this.#retryAt = undefined;
    this.#expiresAt = undefined;
    this.#pending = false;
    this.#enter('disabled', null);
    if (!bound) return;
    this.#unregistering = true;
    this.#attemptAnew();
    this.#send();
  }

  #unregistered(): void {
    this.#unregistering = false;
    this.#pending = false;
    this.#challenge = undefined;
    this.#target = undefined;
  }

  #enter(state: RegistrationState, reason: string | null): void {
    if (state === this.#state && reason === this.#reason) return;
    this.#state = state;
    this.#reason = reason;
    this.#outputs.push({ type: 'state', state, reason });
  }
}

const wordsOf = ({ status, reason }: { readonly status: number; readonly reason?: string }): string => (reason === undefined || reason === '' ? String(status) : `${status} ${reason}`);
