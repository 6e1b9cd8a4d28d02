/** What configd asks of every daemon when the configuration changes; each has it as its method `reload`. */
export interface ReloadParams {
  readonly sections: readonly string[];
  /** Only what it would say. */
  readonly checkOnly?: boolean | undefined;
  /** What cannot be applied alive is no refusal: it ends itself, is started again by systemd, and reads the file then. */
  readonly restart?: boolean | undefined;
}

export interface ReloadAnswer {
  /** A sentence; the old configuration stays in force. */
  readonly refused: string | null;
  /** It starts anew now, or would. */
  readonly restarting?: boolean | undefined;
}
