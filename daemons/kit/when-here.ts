/**
 * Something that listens at an address which moves between two nodes: opened at once where the address is here, else as soon as it comes.
 * It stays open when the address goes, and works again when that is back. Any other failure is one at once.
 *
 *   WAITING --the address is here--> OPEN
 *      | ^
 *      +-+ it is not, a moment later again
 */
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

/** Who has come to the new place is not kept waiting for longer. */
const AGAIN_MS = 100;

export interface WhenHereOptions<T extends AsyncDisposable> {
  readonly open: () => Promise<T>;
  /** For the log. */
  readonly what: string;
  readonly address: string;
  readonly clock: Clock;
  readonly log: Log;
}

export class WhenHere<T extends AsyncDisposable> implements AsyncDisposable {
  readonly #options: WhenHereOptions<T>;
  #opened: T | undefined;
  #again: Disposable | undefined;
  #trying: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: WhenHereOptions<T>) {
    this.#options = options;
  }

  static async open<T extends AsyncDisposable>(options: WhenHereOptions<T>): Promise<WhenHere<T>> {
    const place = new WhenHere(options);
    await place.#try();
    if (place.#opened === undefined) options.log.info({ what: options.what, address: options.address }, 'listen.when-here');
    return place;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#again?.[Symbol.dispose]();
    await this.#trying;
    await this.#opened?.[Symbol.asyncDispose]();
  }

  async #try(): Promise<void> {
    const { open, clock } = this.#options;
    try {
      this.#opened = await open();
    } catch (error) {
      if (!isAbsent(error)) throw error;
      if (this.#closed) return;
      this.#again = clock.schedule(addMs(clock.now(), AGAIN_MS), () => void (this.#trying = this.#later()));
    }
  }

  async #later(): Promise<void> {
    const { what, address, log } = this.#options;
    try {
      await this.#try();
      if (this.#opened !== undefined) log.info({ what, address }, 'listen.here');
    } catch (error) {
      log.error({ what, address, why: (error as Error).message }, 'listen.failed');
    }
  }
}

/** Said by the system, or by whoever told of it in its own words. */
const isAbsent = (error: unknown): boolean => error instanceof Error && ((error as NodeJS.ErrnoException).code === 'EADDRNOTAVAIL' || isAbsent(error.cause));
