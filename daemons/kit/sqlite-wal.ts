/**
 * Takes what was committed past a power cut without waiting for the disk: the write-ahead log is synchronised on a thread of the pool,
 * which is all that SQLite does in a synchronous commit (WAL, FULL). The directory entry is SQLite's own care: it synchronises the log's header.
 */
import { closeSync, fdatasync, openSync } from 'node:fs';

export class WalSync implements Disposable {
  readonly #path: string;
  #descriptor: number | undefined;
  #closed = false;
  /** A sync is under way: what it takes along is not known to be on the disk yet. */
  busy = false;

  /** `path`: of the log. It is opened with the first sync. */
  constructor(path: string) {
    this.#path = path;
  }

  /** One at a time. `done` gets why the disk did not take it, or null; after dispose it is not called. */
  start(done: (why: string | null) => void): void {
    try {
      this.#descriptor ??= openSync(this.#path, 'r');
    } catch (error) {
      return done((error as Error).message);
    }
    this.busy = true;
    fdatasync(this.#descriptor, error => {
      this.busy = false;
      if (this.#closed) this.#close();
      else done(error?.message ?? null);
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    if (!this.busy) this.#close();
  }

  #close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
