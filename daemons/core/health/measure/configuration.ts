/** The configuration as configd tells of it. */
import { Gathering, type Measured } from '../model.ts';

export interface ConfigurationFacts {
  readonly revision: number;
  readonly pending: { readonly revision: number; readonly returnsTo: number; readonly deadlineWallMs: number } | null;
  readonly changedOutside: boolean;
}

/** As both nodes of a pair have it. */
export interface PairFacts {
  readonly revision: number;
  readonly peer: { readonly node: string; readonly reached: boolean; readonly revision: number | null };
  readonly inStep: boolean;
  readonly held: string | null;
  readonly asides: readonly number[];
}

/** `pair`: null where there is none. */
export function measureConfiguration({ revision, pending, changedOutside }: ConfigurationFacts, pair: PairFacts | null, nowWallMs: number): Measured {
  const found = new Gathering();
  const waits = pending === null ? '' : `revision ${pending.revision} waits for its confirmation and returns to ${pending.returnsTo} in ${Math.max(0, Math.ceil((pending.deadlineWallMs - nowWallMs) / 60_000))} min`;
  found.observe('config.pending', 'configuration', pending === null ? 0 : 1, pending === null ? `revision ${revision}` : waits);
  found.observe('config.changed-outside', 'configuration', changedOutside ? 1 : 0, changedOutside ? 'the file was written past configd' : '');
  if (pair !== null) measurePair(found, pair);
  return found;
}

function measurePair(found: Gathering, { revision, peer, inStep, held, asides }: PairFacts): void {
  const apart = peer.reached && !inStep;
  found.observe('config.not-in-step', 'configuration', apart ? 1 : 0, apart ? `revision ${revision} here, revision ${peer.revision} on ${peer.node}` : '');
  found.observe('config.held', 'configuration', held === null ? 0 : 1, held ?? '');
  found.observe('config.aside', 'configuration', asides.length === 0 ? 0 : 1, asides.length === 0 ? '' : `revision ${asides.join(', ')} was set aside: config compare, then config rollback or the next commit`);
}
