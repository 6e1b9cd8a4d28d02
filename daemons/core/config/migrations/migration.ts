/** What one change of the schema asks of a file that was written before it. */
import type { Json, Place } from '../json.ts';

/** `rename` moves a key inside its object; what stands under it stays as it is. */
export type MigrationStep = { readonly op: 'rename'; readonly place: Place; readonly to: string } | { readonly op: 'set'; readonly place: Place; readonly value: Json } | { readonly op: 'delete'; readonly place: Place };

export interface Migration {
  /** The version that it leads to; one more than that of the migration before. */
  readonly to: number;
  readonly what: string;
  /** Pure. Places are those of `value`, each step sees what the ones before it left. */
  steps(value: Json): readonly MigrationStep[];
}
