/** Whether a new configuration of the pair is in force on this node, by what its daemons say while it is on its way. */

export interface PairingSight {
  /** What is waited for is so in clusterd. */
  readonly isThere: boolean;
  /** It was so before. */
  readonly wasThere: boolean;
  /** A commit is under way; null: configd does not answer. */
  readonly applying: boolean | null;
  /** Why the last try ended here. */
  readonly last: string | null;
}

export interface PairingOutcome {
  readonly done: boolean;
  readonly last: string | null;
}

/** Null: it is not known yet. A daemon that comes back with it is not the end: the next one may not, and then all of them return. */
export function pairingOutcome({ isThere, wasThere, applying, last }: PairingSight): PairingOutcome | null {
  if (last !== null) return { done: isThere, last };
  if (applying !== false) return null;
  if (isThere) return { done: true, last: null };
  return wasThere ? { done: false, last: 'it returned, see vlink config history' } : null;
}
