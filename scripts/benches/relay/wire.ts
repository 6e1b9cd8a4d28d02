/** What the processes of the relay bench say to each other, and the packets that they exchange. */
import { writeRtpHeader } from '#core/rtp/packet.ts';

export const LOOPBACK = '127.0.0.1';
/** One stream: 4 Mbit/s of RTP in datagrams of 1400 octets, 25 pictures a second. */
export const PACKET_BYTES = 1400;
export const PACKETS_PER_SECOND = 4_000_000 / (8 * PACKET_BYTES);
export const PACKETS_PER_PICTURE = 14;
const PICTURES_PER_KEY = 50;
/** Behind the headers of a key picture: when the packet was sent, and by which stream. */
const STAMP_AT = 80;
const STREAM_AT = 88;
const KEY_HEAD = Buffer.from('000001ba4400dddd0401005f6bf8000001bb000c80ccf504e17fe0e190c0c020000001bc0012e0ff000000081be0000090c00000fedfb1d7', 'hex');

export interface StreamTarget {
  readonly ssrc: number;
  readonly port: number;
}

export type SenderCommand =
  | { readonly type: 'open'; readonly transport: 'udp' | 'tcp'; readonly targets: readonly StreamTarget[] }
  | { readonly type: 'go' }
  | { readonly type: 'stop' };
export type SenderAnswer = { readonly type: 'bound'; readonly port: number } | { readonly type: 'opened' } | { readonly type: 'stopped'; readonly sent: number };

export type ReceiverCommand = { readonly type: 'reset' } | { readonly type: 'report' };
export interface ReceiverReport {
  readonly type: 'report';
  /** Since the last reset. */
  readonly packets: number;
  /** Milliseconds on the machine's monotonic clock. */
  readonly at: number;
  /** Of what arrived since the last report or reset. */
  readonly p50Us: number;
  readonly p99Us: number;
}
export type ReceiverAnswer = { readonly type: 'bound'; readonly udp: readonly number[]; readonly tcp: number } | { readonly type: 'reset' } | ReceiverReport;

/** One clock for all processes: the machine's monotonic one, in milliseconds with fractions. */
performance.now(); // its first call takes milliseconds
const CLOCK_BASE_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();
export const monotonicMs = (): number => CLOCK_BASE_MS + performance.now();

const view = (packet: Uint8Array, offset: number): DataView => new DataView(packet.buffer, packet.byteOffset + offset);

/** Writes packet `number` of a stream into `memory` at `offset`: a program stream as far as a relay looks at it. */
export function writePacket(memory: Uint8Array, offset: number, stream: number, ssrc: number, number: number): void {
  const inPicture = number % PACKETS_PER_PICTURE;
  const picture = Math.floor(number / PACKETS_PER_PICTURE);
  writeRtpHeader(memory, offset, inPicture === PACKETS_PER_PICTURE - 1, 96, number & 0xffff, (picture * 3600) >>> 0, ssrc);
  if (inPicture === 0) memory.set(picture % PICTURES_PER_KEY === 0 ? KEY_HEAD : KEY_HEAD.subarray(0, 14), offset + 12);
  const at = view(memory, offset);
  at.setFloat64(STAMP_AT, monotonicMs());
  at.setUint32(STREAM_AT, stream);
}

/** When a packet was sent. */
export const stampOf = (memory: Uint8Array, offset: number): number => view(memory, offset).getFloat64(STAMP_AT);
