/** Packets of one bridge out of mediad, while they come, and as a capture file. */
import type { CaptureLeg } from '#contracts/mediad.ts';
import { CaptureWriter } from '#core/pcap/capture.ts';
import { FRAME_LENGTH_BYTES, writeFrameLength } from '#core/rtp/tcp-framing.ts';
import { systemRandom } from '#kit/random.ts';
import type { Context } from '../command.ts';
import { pause } from './pause.ts';

const LOOK_EVERY_MS = 200;
const WHOLE_PACKETS = 65_535;

export interface CapturedPacket {
  readonly leg: number;
  readonly atWallMs: number;
  readonly bytes: Uint8Array;
}

export interface Captured {
  readonly legs: readonly CaptureLeg[];
  readonly packets: readonly CapturedPacket[];
  /** Packets that were not kept. */
  readonly dropped: number;
}

/** Runs for `seconds`, or until its bridge ends. */
export function captured(context: Context, instance: string, bridgeId: string, seconds: number): Promise<Captured> {
  return context.mediad(instance, async client => {
    const captureId = `vlink-${systemRandom.hex(6)}`;
    await client.call('startCapture', { captureId, bridgeId, seconds, packetBytes: WHOLE_PACKETS });
    const packets: CapturedPacket[] = [];
    for (;;) {
      await pause(LOOK_EVERY_MS);
      if (context.signal.aborted) await client.call('stopCapture', { captureId });
      let page = await client.call('readCapture', { captureId });
      for (;;) {
        packets.push(...page.packets.map(({ leg, atWallMs, base64 }) => ({ leg, atWallMs, bytes: new Uint8Array(Buffer.from(base64, 'base64')) })));
        if (page.isEnd) return { legs: page.legs, packets, dropped: page.dropped };
        if (page.packets.length === 0) break;
        page = await client.call('readCapture', { captureId });
      }
    }
  });
}

export const packetsOf = ({ packets }: Captured, leg: number): readonly CapturedPacket[] => packets.filter(packet => packet.leg === leg);

/** Datagrams as they were; streams with the length in front of each packet that they had (RFC 4571). */
export function mediaCaptureOf({ legs, packets }: Captured): Uint8Array[] {
  const writer = new CaptureWriter();
  const records = packets.map(({ leg, atWallMs, bytes }) => {
    const { role, transport, local, remote } = legs[leg]!;
    const [from, to] = role === 'source' ? [remote, local] : [local, remote];
    return transport === 'udp' ? writer.datagram(atWallMs, from, to, bytes) : writer.stream(atWallMs, from, to, framed(bytes));
  });
  return [writer.header(), ...records];
}

function framed(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_LENGTH_BYTES + bytes.length);
  writeFrameLength(frame, 0, bytes.length);
  frame.set(bytes, FRAME_LENGTH_BYTES);
  return frame;
}
