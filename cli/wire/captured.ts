/** Packets of one bridge out of mediad, while they come, and as a capture file. */
import type { CaptureLeg } from '#contracts/mediad.ts';
import { type TcpWalk, walkTcp } from '#core/diagnose/tcp-walk.ts';
import type { Agreed } from '#core/diagnose/validate-media.ts';
import { CaptureWriter } from '#core/pcap/capture.ts';
import { FRAME_LENGTH_BYTES, writeFrameLength } from '#core/rtp/tcp-framing.ts';
import { systemRandom } from '#kit/random.ts';
import type { Context } from '../command.ts';
import { pause } from './pause.ts';

const LOOK_EVERY_MS = 200;
const WHOLE_PACKETS = 65_535;
const NOTHING = new Uint8Array(0);

export interface CapturedPacket {
  readonly leg: number;
  readonly atWallMs: number;
  /** A packet, or a piece of a stream. */
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

export interface LegPackets {
  readonly packets: readonly Uint8Array[];
  /** Of a stream: how it was framed, and octets in front of its first frame. */
  readonly tcp: TcpWalk | undefined;
}

/** RTP and RTCP packets of one leg. */
export function packetsOf({ legs, packets }: Captured, index: number, { ssrc, payloadType }: Agreed): LegPackets {
  const pieces = packets.filter(({ leg }) => leg === index).map(({ bytes }) => bytes);
  const { framing, fromStart } = legs[index]!;
  if (framing === 'packets') return { packets: pieces, tcp: undefined };
  const tcp = walkTcp(pieces, ssrc, payloadType, fromStart);
  return { packets: tcp.packets, tcp };
}

/** Datagrams and streams as they were; a stream begins with a whole frame, so that dissectors find the others. `agreed`: by leg. */
export function mediaCaptureOf(taken: Captured, agreed: readonly Agreed[]): Uint8Array[] {
  const writer = new CaptureWriter();
  const lead = taken.legs.map((leg, index) => (leg.framing === 'packets' || leg.fromStart ? 0 : packetsOf(taken, index, agreed[index]!).tcp!.leadBytes));
  const records = taken.packets.map(({ leg, atWallMs, bytes }) => {
    const { role, transport, framing, local, remote } = taken.legs[leg]!;
    const [from, to] = role === 'source' ? [remote, local] : [local, remote];
    if (transport === 'udp') return writer.datagram(atWallMs, from, to, bytes);
    if (framing === 'packets') return writer.stream(atWallMs, from, to, framed(bytes));
    const dropped = Math.min(lead[leg]!, bytes.length);
    lead[leg]! -= dropped;
    return dropped === bytes.length ? NOTHING : writer.stream(atWallMs, from, to, bytes.subarray(dropped));
  });
  return [writer.header(), ...records];
}

function framed(bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_LENGTH_BYTES + bytes.length);
  writeFrameLength(frame, 0, bytes.length);
  frame.set(bytes, FRAME_LENGTH_BYTES);
  return frame;
}
