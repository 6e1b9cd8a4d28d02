/** What is wrong with one field of a configuration. */
export interface FieldProblem {
  /** Keys and indices from the root to the field. */
  readonly path: readonly (string | number)[];
  readonly why: string;
}
