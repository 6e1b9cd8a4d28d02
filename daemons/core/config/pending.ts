/**
 * A commit that may still be returned, as it stands on the disk. `applying`: it was under way; whoever finds that after its configd
 * ended returns it. `waiting`: for `confirm`, until the deadline.
 */
export interface PendingCommit {
  readonly phase: 'applying' | 'waiting';
  readonly revision: number;
  readonly returnsTo: number;
  readonly deadlineWallMs: number;
  /** Milliseconds since boot; means something in the boot of `bootId` only. */
  readonly deadlineBootMs: number;
  readonly armedWallMs: number;
  readonly bootId: string;
}

/** The time by both clocks: the wall may be set, that of the boot ends with it. */
export interface BothClocks {
  readonly wallMs: number;
  readonly bootMs: number;
  readonly bootId: string;
}

/** Milliseconds until it returns by itself; 0 or less: it is due. In the boot in which it was armed no change of the wall clock moves it. */
export function msUntilReturn({ phase, deadlineWallMs, deadlineBootMs, armedWallMs, bootId }: PendingCommit, now: BothClocks): number {
  if (phase === 'applying') return 0;
  if (bootId !== '' && bootId === now.bootId) return deadlineBootMs - now.bootMs;
  // After a reboot with the wall clock set back nobody knows how long it has waited: back is where it is safe.
  return now.wallMs < armedWallMs ? 0 : deadlineWallMs - now.wallMs;
}
