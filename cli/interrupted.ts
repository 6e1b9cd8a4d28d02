/** Somebody pressed Ctrl-C: no failure, and nothing to explain. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** As a shell says it: 128 and the number of SIGINT. */
export const EXIT_INTERRUPTED = 130;
