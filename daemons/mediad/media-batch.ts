/**
 * Accepted RTP packets of one source on their way to its sinks: arrays that grow once and are reused, no object per packet.
 * In front of every payload there are at least RTP_HEADER_BYTES of memory, so a sink writes its own header there and sends
 * without a copy; the next sink writes its own over it.
 */
import type { PacketColumns } from '#core/rtp/packet-columns.ts';
import type { PayloadKind } from '#core/rtp/payload-probe.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';

export class MediaBatch implements PacketColumns {
  count = 0;
  readonly memory: Uint8Array[] = [];
  readonly payloadOffset: number[] = [];
  readonly payloadLength: number[] = [];
  readonly marker: boolean[] = [];
  readonly timestamp: number[] = [];
  /** Number on the source's one timeline (SequenceTracker). */
  readonly index: number[] = [];
  /** What the payloads are, as far as the probe knows. */
  kind: PayloadKind | null = null;
  /** A payload longer than this leaves in pieces when it leaves as datagrams; Infinity: it cannot be cut. */
  datagramPayloadBytes = Infinity;
  /** As in PacketColumns: here another run begins, of this source or of another one. */
  restartAt = NaN;

  /** Empty, for the packets of one wakeup. */
  begin(): void {
    this.count = 0;
    this.restartAt = NaN;
  }

  add(memory: Uint8Array, payloadOffset: number, payloadLength: number, marker: boolean, timestamp: number, index: number): void {
    const at = this.count++;
    this.memory[at] = memory;
    this.payloadOffset[at] = payloadOffset;
    this.payloadLength[at] = payloadLength;
    this.marker[at] = marker;
    this.timestamp[at] = timestamp;
    this.index[at] = index;
  }

  /** Leaves the present memory to those who still read it and goes on with a copy. */
  detach(): void {
    for (let i = 0; i < this.count; i++) {
      const copy = new Uint8Array(RTP_HEADER_BYTES + this.payloadLength[i]!);
      copy.set(this.memory[i]!.subarray(this.payloadOffset[i], this.payloadOffset[i]! + this.payloadLength[i]!), RTP_HEADER_BYTES);
      this.memory[i] = copy;
      this.payloadOffset[i] = RTP_HEADER_BYTES;
    }
  }

  /** Moves everything onto another timeline; what would lie before `floor` there is taken out. */
  shift(indexOffset: number, ticksOffset: number, floor: number): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const index = this.index[i]! + indexOffset;
      if (index < floor) continue;
      this.memory[kept] = this.memory[i]!;
      this.payloadOffset[kept] = this.payloadOffset[i]!;
      this.payloadLength[kept] = this.payloadLength[i]!;
      this.marker[kept] = this.marker[i]!;
      this.timestamp[kept] = (this.timestamp[i]! + ticksOffset) >>> 0;
      this.index[kept++] = index;
    }
    this.count = kept;
    this.restartAt += indexOffset;
  }

  /** Forgets the first ones. */
  dropFirst(dropped: number): void {
    for (let i = dropped; i < this.count; i++) {
      this.memory[i - dropped] = this.memory[i]!;
      this.payloadOffset[i - dropped] = this.payloadOffset[i]!;
      this.payloadLength[i - dropped] = this.payloadLength[i]!;
      this.marker[i - dropped] = this.marker[i]!;
      this.timestamp[i - dropped] = this.timestamp[i]!;
      this.index[i - dropped] = this.index[i]!;
    }
    this.count = Math.max(0, this.count - dropped);
  }

  /** Lets the memory of the last packets go. */
  clear(): void {
    this.memory.length = 0;
    this.count = 0;
  }
}
