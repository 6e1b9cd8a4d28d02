/**
 * Users and tokens of a pair: both nodes take changes, each row by itself, and come to the same. A row has a version that grows
 * with each change of it; of two with the same version, made while the nodes were apart, the one that permits less stays.
 */
export interface MergedRow {
  /** `user NAME`, `token HASH`. */
  readonly place: string;
  readonly version: number;
  /** JSON of the row; null: it is gone, and that is remembered. */
  readonly json: string | null;
}

/** Whether theirs takes the place of ours. Whatever the order in which rows come, the same one is left in the end. */
export function takesPlace(theirs: MergedRow, ours: MergedRow | undefined): boolean {
  if (ours === undefined || theirs.version !== ours.version) return ours === undefined || theirs.version > ours.version;
  if (theirs.json === ours.json) return false;
  const [theirStrictness, ourStrictness] = [strictness(theirs), strictness(ours)];
  return theirStrictness === ourStrictness ? theirs.json! > ours.json! : theirStrictness > ourStrictness;
}

/** Gone, shut out, there. */
const strictness = ({ json }: MergedRow): number => (json === null ? 2 : /"disabled":true\b/.test(json) ? 1 : 0);

/** What only one node knows of a user, and no change for the other. */
const OWN_FIELD = 'lastLoginWallMs';

/** The row as both nodes have it. Total: what is no JSON object stays as it is. */
export function sharedJson(json: string): string {
  return withField(json, undefined);
}

/** Theirs, with what only we know of it. */
export function withOwnField(theirs: string, ours: string | null): string {
  return withField(theirs, ours === null ? null : (asObject(ours)?.[OWN_FIELD] ?? null));
}

function withField(json: string, value: unknown): string {
  const row = asObject(json);
  if (row === undefined) return json;
  const { [OWN_FIELD]: _, ...rest } = row;
  const sorted = Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(value === undefined ? sorted : { ...sorted, [OWN_FIELD]: value });
}

function asObject(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
