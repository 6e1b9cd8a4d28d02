/** One step of the schema. Once released, a step is never edited: the next one comes after it. */
export interface Migration {
  /** 1, 2, 3 ... without gaps; `PRAGMA user_version` after it. */
  readonly version: number;
  readonly sql: string;
}
