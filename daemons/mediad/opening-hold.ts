/**
 * What came while a sink was about to start: a camera sends its first key picture with its ACK, the upstream's own ACK
 * comes a round trip later, and without this the viewer would wait a whole GOP for the next one.
 *
 *   idle ──a sink waits──► holding from the latest key picture ──it starts: delivered, nobody else waits──► idle
 */
import { beginsKeyPicture } from '#core/rtp/payload-probe.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { MediaBatch } from './media-batch.ts';

/** A key picture and what follows it while an ACK is on its way. More is not for a sink that starts late: it gets the next one. */
const MAX_HELD_BYTES = 1024 * 1024;

export class OpeningHold {
  readonly #held = new MediaBatch();
  #bytes = 0;
  /** Too much came: nothing is held until the next key picture. */
  #overrun = false;

  take(batch: MediaBatch): void {
    this.#held.kind = batch.kind;
    this.#held.datagramPayloadBytes = batch.datagramPayloadBytes;
    for (let i = 0; i < batch.count; i++) this.#takeOne(batch, i);
  }

  /** The held packets, oldest first; none when no key picture is among them. */
  get batch(): MediaBatch {
    return this.#held;
  }

  clear(): void {
    this.#held.clear();
    this.#bytes = 0;
    this.#overrun = false;
  }

  #takeOne(batch: MediaBatch, i: number): void {
    const length = batch.payloadLength[i]!;
    if (beginsKeyPicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, length)) this.clear();
    else if (this.#overrun || this.#bytes === 0) return;
    if (this.#bytes + length > MAX_HELD_BYTES) {
      this.clear();
      this.#overrun = true;
      return;
    }
    const copy = new Uint8Array(RTP_HEADER_BYTES + length);
    copy.set(batch.memory[i]!.subarray(batch.payloadOffset[i], batch.payloadOffset[i]! + length), RTP_HEADER_BYTES);
    this.#held.add(copy, RTP_HEADER_BYTES, length, batch.marker[i]!, batch.timestamp[i]!, batch.index[i]!);
    this.#bytes += length;
  }
}
