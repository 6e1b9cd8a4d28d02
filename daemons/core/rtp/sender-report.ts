/** RTCP that a sender owes its receivers: SR with SDES CNAME (RFC 3550 6.4.1, 6.5), and what a receiver's RTCP begins with. */
import type { WallMs } from '../units.ts';
import { fromByteString } from '../bytes.ts';

const SR = 200;
const SDES = 202;
const BYE = 203;
const CNAME = 1;
const SR_BYTES = 28;
/** Seconds from 1900 to 1970. */
const NTP_EPOCH_S = 2_208_988_800;

export interface SenderReport {
  readonly ssrc: number;
  /** When `rtpTime` was or will be. */
  readonly wall: WallMs;
  readonly rtpTime: number;
  readonly packets: number;
  readonly octets: number;
  readonly cname: string;
}

export function writeSenderReport({ ssrc, wall, rtpTime, packets, octets, cname }: SenderReport): Uint8Array {
  const name = fromByteString(cname.slice(0, 255));
  // Chunk: SSRC, item header and text, then at least one zero up to a word.
  const chunkBytes = 4 + Math.ceil((2 + name.length + 1) / 4) * 4;
  const bytes = new Uint8Array(SR_BYTES + 4 + chunkBytes);
  const view = new DataView(bytes.buffer);
  header(view, 0, 0, SR, SR_BYTES);
  view.setUint32(4, ssrc);
  view.setUint32(8, Math.floor(wall / 1000) + NTP_EPOCH_S);
  view.setUint32(12, Math.floor(((wall % 1000) / 1000) * 2 ** 32));
  view.setUint32(16, rtpTime);
  view.setUint32(20, packets);
  view.setUint32(24, octets);
  header(view, SR_BYTES, 1, SDES, 4 + chunkBytes);
  view.setUint32(SR_BYTES + 4, ssrc);
  bytes.set([CNAME, name.length], SR_BYTES + 8);
  bytes.set(name, SR_BYTES + 10);
  return bytes;
}

/** BYE (RFC 3550 6.6): nothing follows from this sender. */
export function writeGoodbye(ssrc: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  header(view, 0, 1, BYE, 8);
  view.setUint32(4, ssrc);
  return bytes;
}

/** An RR without a report block: keeps a path and a session alive. */
export function writeReceiverReport(ssrc: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  header(view, 0, 0, 201, 8);
  view.setUint32(4, ssrc);
  return bytes;
}

function header(view: DataView, at: number, count: number, type: number, bytes: number): void {
  view.setUint8(at, 0x80 | count);
  view.setUint8(at + 1, type);
  view.setUint16(at + 2, bytes / 4 - 1);
}

/** The first SR of a compound packet; undefined when there is none that can be read. Total (fault 62). */
export function readSenderReport(memory: Uint8Array, offset: number, length: number): { readonly ssrc: number; readonly ntpMs: number; readonly rtpTime: number } | undefined {
  if (length < SR_BYTES || memory[offset]! >> 6 !== 2 || memory[offset + 1] !== SR) return undefined;
  const view = new DataView(memory.buffer, memory.byteOffset + offset, length);
  const ntpS = view.getUint32(8);
  if (ntpS === 0) return undefined;
  return { ssrc: view.getUint32(4), ntpMs: ntpS * 1000 + (view.getUint32(12) / 2 ** 32) * 1000, rtpTime: view.getUint32(16) };
}
