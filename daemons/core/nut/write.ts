/** Writes NUT: one main header, one header a stream, then each access unit behind a syncpoint of its own, so that a reader may begin anywhere. */
import { concatBytes, fromByteString } from '../bytes.ts';
import type { AudioTrack, MediaUnit, VideoTrack } from '../media/unit.ts';
import { FLAG, NUT_ID, NUT_START, nutChecksum, type NutPacket } from './nut.ts';

/** Distance between syncpoints that a reader may count on: above every access unit. */
const MAX_DISTANCE = 65536;
const CLOCK_HZ = 90000;

const FOURCC: Readonly<Record<string, string>> = { h264: 'H264', h265: 'HEVC', mpeg4: 'mp4v', g711a: 'ALAW', g711u: 'ULAW', aac: '\xff\0\0\0' };

/** Codecs that can be carried. */
export const nutCarries = (codec: string): boolean => codec in FOURCC;

/** Octets of the variable-length numbers of NUT: seven bits each, most significant first. */
function push(into: number[], ...values: readonly number[]): void {
  for (const value of values) {
    let weight = 1;
    while (weight * 128 <= value) weight *= 128;
    for (; weight > 1; weight /= 128) into.push((Math.floor(value / weight) % 128) + 128);
    into.push(value % 128);
  }
}

function pushText(into: number[], text: string): void {
  push(into, text.length);
  into.push(...fromByteString(text));
}

function pushUint32(into: number[], value: number): void {
  into.push((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function packet(kind: NutPacket, payload: number[]): Uint8Array {
  const bytes: number[] = [];
  for (const half of NUT_START[kind]) pushUint32(bytes, half);
  push(bytes, payload.length + 4);
  bytes.push(...payload);
  pushUint32(bytes, nutChecksum(payload));
  return Uint8Array.from(bytes);
}

/** All 256 frame codes say the same: everything is written out in the frame header. */
function mainHeader(streams: number): Uint8Array {
  const payload: number[] = [];
  push(payload, 3, streams, MAX_DISTANCE, 1, 1, CLOCK_HZ);
  // flags, six fields: pts_delta, size_mul, stream, size_lsb, reserved, count (255: code `N` is none)
  push(payload, FLAG.coded, 6, 0, 1, 0, 0, 0, 255);
  push(payload, 0);
  return packet('main', payload);
}

function streamHeader(id: number, track: VideoTrack | AudioTrack): Uint8Array {
  const payload: number[] = [];
  const isVideo = 'width' in track;
  push(payload, id, isVideo ? 0 : 1);
  pushText(payload, FOURCC[track.codec] ?? '????');
  // time base, msb_pts_shift, max_pts_distance, decode_delay, flags, codec specific data
  push(payload, 0, 0, 0xffffffff, 0, 0, 0);
  if (isVideo) push(payload, track.width, track.height, 1, 1, 0);
  else push(payload, track.sampleRateHz, 1, track.channels);
  return packet('stream', payload);
}

export class NutWriter {
  readonly #tracks: readonly (VideoTrack | AudioTrack)[];

  /** Streams 0, 1 in this order. */
  constructor(tracks: readonly (VideoTrack | AudioTrack)[]) {
    this.#tracks = tracks;
  }

  header(): Uint8Array {
    return concatBytes(fromByteString(NUT_ID), mainHeader(this.#tracks.length), ...this.#tracks.map((track, id) => streamHeader(id, track)));
  }

  /** What stands before the bytes of the unit. Time stamps below 0 become 0. */
  frameHeader(streamId: number, unit: Pick<MediaUnit, 'pts90k' | 'keyFrame' | 'bytes'>): Uint8Array {
    const pts = Math.max(0, Math.round(unit.pts90k));
    const bytes: number[] = [];
    pushUint32(bytes, NUT_START.syncpoint[0]);
    pushUint32(bytes, NUT_START.syncpoint[1]);
    // forward_ptr: both numbers and the checksum stay below 128 bytes.
    bytes.push(0);
    const point = bytes.length;
    push(bytes, pts, 0);
    pushUint32(bytes, nutChecksum(bytes, point));
    bytes[point - 1] = bytes.length - point;
    const frame = bytes.length;
    bytes.push(0);
    push(bytes, FLAG.codedPts | FLAG.streamId | FLAG.sizeMsb | FLAG.checksum | (unit.keyFrame ? FLAG.key : 0), streamId, pts + 1, unit.bytes.length);
    pushUint32(bytes, nutChecksum(bytes, frame));
    return Uint8Array.from(bytes);
  }
}
