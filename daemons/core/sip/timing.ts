/** RFC 3261 table 4: what all transaction timers are made of, in milliseconds. */
export interface SipTiming {
  /** Round trip estimate; first retransmission interval. */
  readonly t1Ms: number;
  /** Longest retransmission interval of non-INVITE requests and INVITE responses. */
  readonly t2Ms: number;
  /** Longest time that a message stays in the network. */
  readonly t4Ms: number;
}

export const RFC_TIMING: SipTiming = { t1Ms: 500, t2Ms: 4000, t4Ms: 5000 };

/** Timers B, D, F, H, J, L, M and N: 64*T1, 32 s by default. */
export const lifetimeMs = (timing: SipTiming): number => 64 * timing.t1Ms;

/** A transaction that is not asked again within this time answers 100 by itself (17.2.1). */
export const TRYING_AFTER_MS = 200;
