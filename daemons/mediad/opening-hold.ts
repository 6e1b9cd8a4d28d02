/**
 * What came while a sink was about to start: a camera sends its first key picture with its ACK, the upstream's own ACK
 * comes a round trip later, and without this the viewer would wait a whole GOP for the next one.
 *
 *   idle ──a sink waits──► holding from the latest key picture ──it starts: delivered, nobody else waits──► idle
 *
 * Datagrams are not poured out at once: a sink behind the live stream (CatchUp) sends a few held packets for every live one.
 */
import { beginsKeyPicture } from '#core/rtp/payload-probe.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import type { Ms } from '#core/units.ts';
import { MediaBatch } from './media-batch.ts';

/** A key picture and what follows it while an ACK is on its way. More is not for a sink that starts late: it gets the next one. */
const MAX_HELD_BYTES = 1024 * 1024;
/** An older picture would keep the viewer that far behind (gb28181.md 6.6: 2 s from end to end). */
const MAX_HELD_MS = 2000;
/** Held datagrams that go out at once, then for every live one: receivers have small buffers. */
const FIRST_BURST = 32;
const PER_LIVE_PACKET = 8;

export class OpeningHold {
  readonly #held = new MediaBatch();
  #bytes = 0;
  #since: Ms | undefined;
  /** Too much came: nothing is held until the next key picture. */
  #overrun = false;

  take(batch: MediaBatch, now: Ms): void {
    this.#held.kind = batch.kind;
    this.#held.datagramPayloadBytes = batch.datagramPayloadBytes;
    for (let i = 0; i < batch.count; i++) this.#takeOne(batch, i, now);
  }

  /** The held packets, oldest first; none when no key picture is among them, or only one that is too old. */
  batch(now: Ms): MediaBatch {
    if (this.#since !== undefined && now - this.#since > MAX_HELD_MS) this.clear();
    return this.#held;
  }

  clear(): void {
    this.#held.clear();
    this.#bytes = 0;
    this.#since = undefined;
    this.#overrun = false;
  }

  #takeOne(batch: MediaBatch, i: number, now: Ms): void {
    const length = batch.payloadLength[i]!;
    if (beginsKeyPicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, length)) {
      this.clear();
      this.#since = now;
    } else if (this.#overrun || this.#since === undefined) return;
    if (this.#bytes + length > MAX_HELD_BYTES) {
      this.clear();
      this.#overrun = true;
      return;
    }
    addCopy(this.#held, batch, i);
    this.#bytes += length;
  }
}

function addCopy(into: MediaBatch, batch: MediaBatch, i: number): void {
  const length = batch.payloadLength[i]!;
  const copy = new Uint8Array(RTP_HEADER_BYTES + length);
  copy.set(batch.memory[i]!.subarray(batch.payloadOffset[i], batch.payloadOffset[i]! + length), RTP_HEADER_BYTES);
  into.add(copy, RTP_HEADER_BYTES, length, batch.marker[i]!, batch.timestamp[i]!, batch.index[i]!);
}

/** What one sink is behind the live stream: held packets first, live ones queue up after them until it has caught up. */
export class CatchUp {
  readonly #behind = new MediaBatch();
  readonly #portion = new MediaBatch();
  #at = 0;

  /** Takes the memory of `held` over. */
  constructor(held: MediaBatch) {
    for (let i = 0; i < held.count; i++) this.#behind.add(held.memory[i]!, held.payloadOffset[i]!, held.payloadLength[i]!, held.marker[i]!, held.timestamp[i]!, held.index[i]!);
    this.#portion.kind = held.kind;
    this.#portion.datagramPayloadBytes = held.datagramPayloadBytes;
  }

  get done(): boolean {
    return this.#at === this.#behind.count;
  }

  /** Everything: a stream has its own flow control. */
  all(): MediaBatch {
    return this.#next(Infinity);
  }

  first(): MediaBatch {
    return this.#next(FIRST_BURST);
  }

  /** What to send instead of the live packets, which wait their turn. */
  next(live: MediaBatch): MediaBatch {
    for (let i = 0; i < live.count; i++) addCopy(this.#behind, live, i);
    return this.#next(live.count * PER_LIVE_PACKET);
  }

  #next(count: number): MediaBatch {
    const behind = this.#behind;
    this.#portion.count = 0;
    for (const end = Math.min(behind.count, this.#at + count); this.#at < end; this.#at++) {
      const i = this.#at;
      this.#portion.add(behind.memory[i]!, behind.payloadOffset[i]!, behind.payloadLength[i]!, behind.marker[i]!, behind.timestamp[i]!, behind.index[i]!);
    }
    return this.#portion;
  }
}
