/** The configuration as configd tells of it. */
import { Gathering, type Measured } from '../model.ts';

export interface ConfigurationFacts {
  readonly revision: number;
  readonly pending: { readonly revision: number; readonly returnsTo: number; readonly deadlineWallMs: number } | null;
  readonly changedOutside: boolean;
}

export function measureConfiguration({ revision, pending, changedOutside }: ConfigurationFacts, nowWallMs: number): Measured {
  const found = new Gathering();
  const waits = pending === null ? '' : `revision ${pending.revision} waits for its confirmation and returns to ${pending.returnsTo} in ${Math.max(0, Math.ceil((pending.deadlineWallMs - nowWallMs) / 60_000))} min`;
  found.observe('config.pending', 'configuration', pending === null ? 0 : 1, pending === null ? `revision ${revision}` : waits);
  found.observe('config.changed-outside', 'configuration', changedOutside ? 1 : 0, changedOutside ? 'the file was written past configd' : '');
  return found;
}
