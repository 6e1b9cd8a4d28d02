/**
 * What every part of the user agent shares: outputs, names, time and the way out. Deaf and blind like the rest of core: chance
 * and routing come in as functions.
 */
import type { Deadlines } from '../deadlines.ts';
import type { Ms } from '../units.ts';
import { MAGIC_COOKIE } from './build.ts';
import type { Flow, Target } from './flow.ts';
import type { SipMessage } from './message.ts';
import type { SipTiming } from './timing.ts';

/** Something with a deadline that knows what to do at it. */
export interface Expiring {
  readonly deadline: Ms;
  expire(now: Ms): void;
}

/** Bytes for a flow. `fallbackPort`: where a response goes when its connection is gone (RFC 3261 18.2.2). */
export interface Transmit {
  readonly type: 'transmit';
  readonly bytes: Uint8Array;
  readonly flow: Flow;
  /** Undefined when kept bytes are sent again. */
  readonly message: SipMessage | undefined;
  readonly fallbackPort?: number;
  /** Give it back with `transmitFailed` when the flow takes no bytes. */
  readonly sender?: object;
}

export interface Dice {
  /** Lower-case hex of `count` random bytes. */
  hex(count: number): string;
  int(below: number): number;
}

export interface EngineOptions {
  readonly timing: SipTiming;
  readonly userAgent: string;
  readonly dice: Dice;
  /** The flow that a message to `target` would take; undefined when there is no way. May begin to open a connection. */
  readonly route: (target: Target) => Flow | undefined;
  readonly count: (name: string) => void;
}

export interface Engine<Output> extends EngineOptions {
  readonly deadlines: Deadlines<Expiring>;
  readonly out: (output: Output) => void;
}

/** 64 bits nobody can guess: a forged response needs the branch. */
export const newBranch = (dice: Dice): string => MAGIC_COOKIE + dice.hex(8);
export const newTag = (dice: Dice): string => dice.hex(5);
export const newCallId = (dice: Dice, flow: Flow): string => `${dice.hex(10)}@${flow.localAddress}`;
