/** RTCP that a receiver sends us, compound or reduced-size (RFC 3550 6.4, RFC 4585 6, RFC 5104 4.3.1, RFC 5506). Total and bounded. */
import { type Result, fail, ok } from '../result.ts';

const MAX_RTCP_BYTES = 1500;
const MAX_PACKETS = 32;
/** Packets asked for again in one datagram. */
export const MAX_NACKS = 256;

const TYPE = { receiverReport: 201, bye: 203, transportFeedback: 205, payloadFeedback: 206 } as const;
const GENERIC_NACK = 1;
const PICTURE_LOSS = 1;
const FULL_INTRA_REQUEST = 4;

export interface ReceivedFeedback {
  /** Sequence numbers, by the SSRC that we send with. */
  readonly nacks: readonly { readonly ssrc: number; readonly sequence: number }[];
  readonly keyFrameWanted: boolean;
  /** Share of 256 lost since the last report, the worst of all. */
  readonly fractionLost: number;
  readonly goodbye: boolean;
}

export function parseFeedback(bytes: Uint8Array): Result<ReceivedFeedback> {
  if (bytes.length > MAX_RTCP_BYTES) return fail(MAX_RTCP_BYTES, 'too long');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = { nacks: [] as { ssrc: number; sequence: number }[], keyFrameWanted: false, fractionLost: 0, goodbye: false };
  let packets = 0;
  for (let at = 0; at < bytes.length; packets += 1) {
    if (packets >= MAX_PACKETS) return fail(at, 'too many packets');
    if (at + 4 > bytes.length || bytes[at]! >> 6 !== 2) return fail(at, 'no RTCP header');
    const end = at + 4 + view.getUint16(at + 2) * 4;
    if (end > bytes.length) return fail(at, 'longer than the datagram');
    readPacket(view, at, end, found);
    at = end;
  }
  return packets === 0 ? fail(0, 'empty') : ok(found);
}

function readPacket(view: DataView, at: number, end: number, found: { nacks: { ssrc: number; sequence: number }[]; keyFrameWanted: boolean; fractionLost: number; goodbye: boolean }): void {
  const format = view.getUint8(at) & 0x1f;
  switch (view.getUint8(at + 1)) {
    case TYPE.receiverReport:
      for (let block = at + 8; block + 24 <= end; block += 24) found.fractionLost = Math.max(found.fractionLost, view.getUint8(block + 4));
      return;
    case TYPE.bye:
      found.goodbye = true;
      return;
    case TYPE.transportFeedback:
      if (format === GENERIC_NACK && at + 12 <= end) readNacks(view, at, end, found.nacks);
      return;
    case TYPE.payloadFeedback:
      found.keyFrameWanted ||= format === PICTURE_LOSS || format === FULL_INTRA_REQUEST;
      return;
    default:
  }
}

/** PID and the bit mask of the 16 behind it. */
function readNacks(view: DataView, at: number, end: number, nacks: { ssrc: number; sequence: number }[]): void {
  const ssrc = view.getUint32(at + 8);
  for (let field = at + 12; field + 4 <= end; field += 4) {
    const first = view.getUint16(field);
    const mask = view.getUint16(field + 2);
    for (let bit = -1; bit < 16; bit++) {
      if (nacks.length >= MAX_NACKS) return;
      if (bit < 0 || (mask & (1 << bit)) !== 0) nacks.push({ ssrc, sequence: (first + 1 + bit) & 0xffff });
    }
  }
}
