/** The RTP packets of one leg as they came, counted for the validator, and their payloads put together again (RFC 3550 5.1). */
import { concatBytes } from '../bytes.ts';
import { newRtpHeader, readRtp } from '../rtp/packet.ts';

/** Far behind is another stream, not a late packet. */
const MAX_REORDER = 200;
/** Payload that is put together. */
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;
const MAX_DETAILS = 16;

export interface SeenPacket {
  readonly bytes: Uint8Array;
  /** Whom it came from. */
  readonly address: string;
  readonly port: number;
}

export interface RtpFacts {
  packets: number;
  rtcp: number;
  malformed: number;
  readonly sources: Set<string>;
  /** In the order in which they came. */
  readonly ssrcs: Set<number>;
  readonly payloadTypes: Map<number, number>;
  holes: number;
  reordered: number;
  repeated: number;
  markers: number;
  /** Pictures by timestamp: how many ended, how many of them without a marker, and markers in the middle of one. */
  pictures: number;
  unmarked: number;
  markersInside: number;
  extended: number;
  /** `from -> to` of timestamps that step back or leap. */
  readonly leaps: string[];
  leapCount: number;
  /** Pieces of payload without a hole. */
  readonly runs: Uint8Array[];
  payloadBytes: number;
}

/** Ten seconds at 90 kHz. */
const MAX_STEP_TICKS = 900_000;
const FIXED_HEADER_BYTES = 12;

const newFacts = (): RtpFacts => ({
  packets: 0, rtcp: 0, malformed: 0, sources: new Set(), ssrcs: new Set(), payloadTypes: new Map(), holes: 0, reordered: 0, repeated: 0, markers: 0,
  pictures: 0, unmarked: 0, markersInside: 0, extended: 0, leaps: [], leapCount: 0, runs: [], payloadBytes: 0,
});

interface Piece {
  readonly index: number;
  readonly timestamp: number;
  readonly marker: boolean;
  readonly payload: Uint8Array;
}

export function walkRtp(packets: readonly SeenPacket[]): RtpFacts {
  const facts = newFacts();
  let pieces: Piece[] = [];
  let ssrc: number | undefined;
  let last = -1;
  const seen = new Set<number>();
  const header = newRtpHeader();
  for (const { bytes, address, port } of packets) {
    const verdict = readRtp(bytes, 0, bytes.length, header);
    if (verdict !== 'rtp') {
      facts[verdict === 'rtcp' ? 'rtcp' : 'malformed'] += 1;
      continue;
    }
    facts.packets += 1;
    facts.sources.add(`${address}:${port}`);
    facts.ssrcs.add(header.ssrc);
    facts.payloadTypes.set(header.payloadType, (facts.payloadTypes.get(header.payloadType) ?? 0) + 1);
    if (header.marker) facts.markers += 1;
    if (header.payloadOffset !== FIXED_HEADER_BYTES || header.payloadOffset + header.payloadLength !== bytes.length) facts.extended += 1;
    const step = last < 0 ? 1 : ((header.sequence - last + 0x18000) & 0xffff) - 0x8000;
    if (header.ssrc !== ssrc || Math.abs(step) > MAX_REORDER) {
      join(facts, pieces);
      pieces = [];
      seen.clear();
      ssrc = header.ssrc;
      last = header.sequence;
    } else if (step > 0) last += step;
    else if (!seen.has(last + step)) facts.reordered += 1;
    const index = Math.abs(step) > MAX_REORDER || pieces.length === 0 ? header.sequence : step > 0 ? last : last + step;
    if (pieces.length === 0) last = index;
    if (seen.has(index)) facts.repeated += 1;
    else pieces.push({ index, timestamp: header.timestamp, marker: header.marker, payload: bytes.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength) });
    seen.add(index);
  }
  join(facts, pieces);
  return facts;
}

/** One SSRC's packets, put in order: holes, pictures, payload. */
function join(facts: RtpFacts, pieces: Piece[]): void {
  pieces.sort((a, b) => a.index - b.index);
  let run: Uint8Array[] = [];
  for (const [i, piece] of pieces.entries()) {
    const before = pieces[i - 1];
    if (before !== undefined) {
      const missing = piece.index - before.index - 1;
      facts.holes += missing;
      if (missing > 0) {
        endRun(facts, run);
        run = [];
      } else compare(facts, before, piece);
    }
    run.push(piece.payload);
  }
  endRun(facts, run);
}

/** A pack or a packet of its own: sounds may share the timestamp of a picture. */
const beginsUnit = (payload: Uint8Array): boolean => payload[0] === 0 && payload[1] === 0 && payload[2] === 1 && payload[3]! >= 0xb9;

function compare(facts: RtpFacts, before: Piece, piece: Piece): void {
  if (before.timestamp === piece.timestamp) {
    if (before.marker && !beginsUnit(piece.payload)) facts.markersInside += 1;
    return;
  }
  facts.pictures += 1;
  if (!before.marker) facts.unmarked += 1;
  const ticks = (piece.timestamp - before.timestamp) | 0;
  if (ticks > 0 && ticks <= MAX_STEP_TICKS) return;
  facts.leapCount += 1;
  if (facts.leaps.length < MAX_DETAILS) facts.leaps.push(`${before.timestamp} -> ${piece.timestamp}`);
}

function endRun(facts: RtpFacts, run: readonly Uint8Array[]): void {
  const bytes = run.reduce((sum, piece) => sum + piece.length, 0);
  if (bytes === 0 || facts.payloadBytes + bytes > MAX_PAYLOAD_BYTES) return;
  facts.payloadBytes += bytes;
  facts.runs.push(concatBytes(...run));
}
