/**
 * Who may feed a source leg (faults.md 4, faults 53, 54, 60):
 *
 *            connect(strict)
 *   closed ───────────────────────────────► locked to the SDP address and port ◄─── 3 s without one: SDP only
 *      │                                        ▲                                            │
 *      └── connect(nat) ──► open for 3 s ───────┘ first packet from an allowed address with the right SSRC and payload type
 *
 * The SSRC is exact, or with `adopt` that of the first packet that passed. A camera that restarts under another SSRC is adopted
 * again only after the old one was quiet, so a spoofed SSRC beside a flowing stream changes nothing.
 * The 5-tuple never changes again: that needs a re-INVITE. What fails is dropped and counted, never more.
 */
import { type Ms, NEVER, addMs } from '../units.ts';

/** Window of the `nat` rule, from connect. */
const NAT_WINDOW_MS = 3000;
/** The old SSRC must be quiet this long before another is adopted; with it a restart is picked up in 2 s (fault 60). */
const READOPT_QUIET_MS = 1000;

export interface GateRule {
  readonly latch: 'strict' | 'nat';
  /** From the SDP answer, in the text that the socket reports. */
  readonly address: string;
  readonly port: number;
  readonly isAllowed: (address: string) => boolean;
  readonly ssrc: number;
  readonly ssrcPolicy: 'exact' | 'adopt';
  readonly payloadType: number;
}

/** `first`: accepted and locked; `restarted`: accepted under a new SSRC. The others are reasons to drop. */
export type Admission = 'accepted' | 'first' | 'restarted' | 'not-connected' | 'wrong-source' | 'wrong-ssrc' | 'wrong-payload-type';

export class SourceGate {
  #rule: GateRule | undefined;
  #locked = false;
  #openUntil: Ms = NEVER;
  #flowing = false;
  #lastAt: Ms = NEVER;
  /** The 5-tuple's far end: of the SDP until locked. */
  address = '';
  port = 0;
  ssrc = 0;

  /** Takes the answer's rule; a second call begins anew (re-INVITE). */
  connect(rule: GateRule, now: Ms): void {
    this.#rule = rule;
    this.#locked = rule.latch === 'strict';
    this.#openUntil = addMs(now, NAT_WINDOW_MS);
    this.#flowing = false;
    this.address = rule.address;
    this.port = rule.port;
    this.ssrc = rule.ssrc;
  }

  get connected(): boolean {
    return this.#rule !== undefined;
  }

  /** The far end of an accepted TCP connection: its address was judged when it came. */
  lockTo(address: string, port: number): void {
    this.#locked = true;
    this.address = address;
    this.port = port;
  }

  admit(address: string, port: number, ssrc: number, payloadType: number, now: Ms): Admission {
    const rule = this.#rule;
    if (rule === undefined) return 'not-connected';
    const expected = port === this.port && address === this.address;
    if (!expected && (this.#locked || now >= this.#openUntil || !rule.isAllowed(address))) return 'wrong-source';
    if (ssrc !== this.ssrc && !this.#mayAdopt(rule, now)) return 'wrong-ssrc';
    if (payloadType !== rule.payloadType) return 'wrong-payload-type';
    this.#lastAt = now;
    if (this.#flowing && ssrc === this.ssrc) return 'accepted';
    const admission = this.#flowing ? 'restarted' : 'first';
    this.lockTo(address, port);
    this.ssrc = ssrc;
    this.#flowing = true;
    return admission;
  }

  #mayAdopt(rule: GateRule, now: Ms): boolean {
    if (rule.ssrcPolicy === 'exact') return false;
    return !this.#flowing || now - this.#lastAt >= READOPT_QUIET_MS;
  }
}
