/**
 * Sends large pictures in portions: whole ones leave at once when they are complete, and a key picture of hundreds of packets in one
 * breath is more than the receive buffer of many a platform takes.
 *
 *   idle ──more than a portion──► pacing: one portion each millisecond, what comes meanwhile waits behind it ──all sent──► idle
 */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { DatagramBatch } from '#kit/udp-batch.ts';

/** About 350 Mbit/s. */
const PORTION = 32;
const EVERY_MS = 1;
/** More than this does not wait: the receiver would be seconds behind. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export class Pacer {
  readonly #clock: Clock;
  readonly #send: (batch: DatagramBatch) => boolean;
  readonly #waiting = new DatagramBatch();
  readonly #portion = new DatagramBatch();
  #at = 0;
  #bytes = 0;
  #timer: Disposable | undefined;

  constructor(clock: Clock, send: (batch: DatagramBatch) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Answers how many did not find room, and what `send` answered for what left at once; what waits is copied. */
  push(batch: DatagramBatch): { readonly dropped: number; readonly taken: boolean } {
    const idle = this.#timer === undefined;
    if (idle && batch.count <= PORTION) return { dropped: 0, taken: this.#send(batch) };
    let at = 0;
    let taken = true;
    if (idle) {
      taken = this.#send(this.#slice(batch, 0, PORTION));
      at = PORTION;
    }
    const dropped = this.#hold(batch, at);
    this.#timer ??= this.#next();
    return { dropped, taken };
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#waiting.memory.length = this.#waiting.count = this.#at = this.#bytes = 0;
  }

  #slice(batch: DatagramBatch, from: number, to: number): DatagramBatch {
    const portion = this.#portion;
    portion.count = 0;
    for (let i = from; i < Math.min(to, batch.count); i++) portion.add(batch.memory[i]!, batch.offset[i]!, batch.length[i]!, batch.address[i]!, batch.port[i]!);
    return portion;
  }

  #hold(batch: DatagramBatch, from: number): number {
    for (let i = from; i < batch.count; i++) {
      const length = batch.length[i]!;
      if (this.#bytes + length > MAX_WAITING_BYTES) return batch.count - i;
      const copy = Buffer.allocUnsafe(length);
      copy.set(batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + length));
      this.#waiting.add(copy, 0, length, batch.address[i]!, batch.port[i]!);
      this.#bytes += length;
    }
    return 0;
  }

  #next(): Disposable {
    return this.#clock.schedule(addMs(this.#clock.now(), EVERY_MS), () => this.#onDue());
  }

  #onDue(): void {
    const waiting = this.#waiting;
    const portion = this.#slice(waiting, this.#at, this.#at + PORTION);
    this.#at += portion.count;
    for (let i = 0; i < portion.count; i++) this.#bytes -= portion.length[i]!;
    this.#send(portion);
    if (this.#at < waiting.count) this.#timer = this.#next();
    else this.close();
  }
}
