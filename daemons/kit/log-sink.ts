/**
 * Where the lines of a log go: one descriptor of this process. Whoever logs neither waits for it nor fails by it (fault 108). What is
 * not taken, by a disk that is full or a journal that stands still, waits here; what is too much is given up and counted.
 *
 *              not taken                   more than MAX_WAITING_BYTES wait
 *   writing ----------------> waiting ----------------------------------------> waiting, giving up
 *      ^                        |                                                  |
 *      +---- all of it went <---+--------------------------------------------------+   tried again every RETRY_MS; then the count is said
 */
import { writeSync } from 'node:fs';
import { addMs } from '#core/units.ts';
import { type Clock, idleClock } from './clock.ts';

const MAX_WAITING_BYTES = 1024 * 1024;
const RETRY_MS = 100;
const STDOUT = 1;
/** At the end of the process: so often, and so long between two tries. */
const LAST_TRIES = 20;
const LAST_PAUSE_MS = 10;

export class LogSink {
  readonly #fd: number;
  readonly #clock: Clock;
  /** Lines, oldest first; of the first one maybe the rest only. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #retry: Disposable | undefined;
  /** Lines are taken again, and so many of them are missing. */
  onRecovered: ((dropped: number) => void) | undefined;

  constructor(fd: number, clock: Clock = idleClock) {
    this.#fd = fd;
    this.#clock = clock;
    // A pipe or socket is made one that never blocks by the stream that Node lays over it.
    if (fd === STDOUT) void process.stdout;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get dropped(): number {
    return this.#dropped;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waiting.length === 0) {
      const rest = this.#put(bytes);
      if (rest.length > 0) this.#wait(rest);
    } else if (this.#waitingBytes + bytes.length <= MAX_WAITING_BYTES) this.#wait(bytes);
    else this.#dropped += 1;
  }

  /** As much as is taken at once; true when nothing waits any more. */
  drain(): boolean {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      const rest = this.#put(first!);
      this.#waitingBytes -= first!.length - rest.length;
      if (rest.length > 0) {
        this.#waiting[0] = rest;
        return false;
      }
      this.#waiting.shift();
    }
    this.#sayDropped();
    return this.#waiting.length === 0;
  }

  /** The last words of a process: a reader that is only slow still gets them. */
  end(): void {
    for (let i = 0; i < LAST_TRIES && !this.drain(); i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_PAUSE_MS);
  }

  #sayDropped(): void {
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.onRecovered?.(dropped);
  }

  #wait(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#arm();
  }

  #arm(): void {
    this.#retry ??= this.#clock.schedule(addMs(this.#clock.now(), RETRY_MS), () => {
      this.#retry = undefined;
      if (!this.drain()) this.#arm();
    });
  }

  /** What was not taken, for whatever reason: a log has nobody to tell of it. */
  #put(bytes: Buffer): Buffer {
    try {
      return bytes.subarray(writeSync(this.#fd, bytes));
    } catch {
      return bytes;
    }
  }
}
