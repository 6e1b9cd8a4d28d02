/** RTP packets on their way through a leg: header, gate, numbers, order, probe, whole pictures, queue. The input is cut into packets by its own octets. */
import { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import { SourceGate } from '#core/rtp/latch.ts';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import type { PacketColumns } from '#core/rtp/packet-columns.ts';
import { PacketGate } from '#core/rtp/packet-gate.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { beginsKeyPicture, PayloadProbe } from '#core/rtp/payload-probe.ts';
import { pieceCount, pieceLength } from '#core/rtp/reslice.ts';
import { SequenceTracker, SinkNumbering } from '#core/rtp/sequence.ts';
import { ViewerQueue } from '#core/rtp/viewer-queue.ts';
import { ms } from '#core/units.ts';

const HEAD = [0x80, 0xe0, 0x12, 0x34, 0, 0x0d, 0xbb, 0xa0, 5, 0xf5, 0xe1, 1];
const PACK = [0, 0, 1, 0xba, 0x44, 0, 0xdd, 0xdd, 4, 1, 0, 0x5f, 0x6b, 0xf8, 0, 0, 1, 0xbb, 0, 0, 0, 0, 1, 0xbc, 0, 0x12, 0xe0, 0xff, 0, 0, 0, 8, 0x1b, 0xe0, 0, 0, 0x90, 0xc0, 0, 0, 0xfe, 0xdf, 0xb1, 0xd7];

class Columns implements PacketColumns {
  count = 0;
  readonly memory: Uint8Array[] = [];
  readonly payloadOffset: number[] = [];
  readonly payloadLength: number[] = [];
  readonly marker: boolean[] = [];
  readonly timestamp: number[] = [];
  readonly index: number[] = [];
  kind: PacketColumns['kind'] = null;
  restartAt = NaN;

  add(memory: Uint8Array, offset: number, length: number, marker: boolean, timestamp: number, index: number): void {
    const at = this.count++;
    if (at > 0 && index <= this.index[at - 1]!) throw new Error('packets that are not in order');
    this.memory[at] = memory;
    this.payloadOffset[at] = offset;
    this.payloadLength[at] = length;
    this.marker[at] = marker;
    this.timestamp[at] = timestamp;
    this.index[at] = index;
  }
}

export default {
  name: 'rtp',
  seeds: [
    Uint8Array.of(HEAD.length + PACK.length, ...HEAD, ...PACK),
    Uint8Array.of(16, ...HEAD, 0x67, 0x64, 0, 0x28, 20, 0x90, ...HEAD.slice(1), 0xbe, 0xde, 0, 1, 0, 0, 0, 0),
    Uint8Array.of(8, 0x80, 0xc8, 0, 1, 0, 0, 0, 1, 20, 0xa2, ...HEAD.slice(1), 1, 1, 1, 1, 2, 2, 2, 3),
  ],
  run(input: Uint8Array): void {
    const header = newRtpHeader();
    const gate = new SourceGate();
    const tracker = new SequenceTracker();
    const probe = new PayloadProbe();
    const queue = new ViewerQueue();
    const numbering = new SinkNumbering(65_000);
    gate.connect({ latch: 'nat', address: 'a', port: 1, isAllowed: address => address !== 'c', ssrc: 0x05f5e101, ssrcPolicy: 'adopt', payloadType: 96 }, ms(0));
    const store = new PacketStore();
    const buffer = new JitterBuffer(store, { minWaitMs: 20, maxWaitMs: 200 });
    const pictures = new PacketGate(store);
    let now = 0;
    for (let at = 0; at < input.length; ) {
      const length = Math.min(input[at]!, input.length - at - 1);
      const octet = input[at + 1] ?? 0;
      now += octet * 4;
      if (readRtp(input, at + 1, length, header) === 'rtp') {
        if (header.payloadOffset + header.payloadLength > at + 1 + length) throw new Error('a payload outside of its packet');
        gate.admit('abc'[octet % 3]!, octet % 2, header.ssrc, header.payloadType, ms(now));
        const arrival = tracker.update(header.sequence, header.timestamp, ms(now));
        probe.look(input, header.payloadOffset, header.payloadLength);
        beginsKeyPicture(probe.kind, input, header.payloadOffset, header.payloadLength);
        queue.admit(probe.kind, input, header.payloadOffset, header.payloadLength, now * 1000, octet * 50_000, ms(now));
        if (arrival !== 'duplicate' && arrival !== 'stale') {
          const [batch, whole] = [new Columns(), new Columns()];
          const { index } = tracker;
          if (arrival === 'restart') buffer.restart(index, ms(now), batch);
          if (arrival === 'restart') batch.restartAt = index;
          if (buffer.passes(index)) batch.add(input, header.payloadOffset, header.payloadLength, header.marker, header.timestamp, index);
          else buffer.take(input, header.payloadOffset, header.payloadLength, header.marker, header.timestamp, index, ms(now), batch, (octet & 1) === 1, (octet & 2) === 2);
          batch.kind = probe.kind;
          pictures.take(batch, whole, ms(now));
          store.recycle(true);
          if (store.used > 5000) throw new Error('packets that are kept for ever');
        }
        if (arrival === 'next' || arrival === 'late') numbering.sequenceOf(tracker.index);
        numbering.insert(pieceCount(header.payloadLength * octet) - 1);
        if (pieceLength(header.payloadLength, 0) > header.payloadLength) throw new Error('a piece longer than its payload');
      }
      at += 1 + length;
    }
  },
};
