/** Elementary half of the demultiplexer: joins PES payload into pictures and audio frames, tells their codec and time. */
import { AAC_SAMPLES_PER_FRAME, g711Ticks90k, looksLikeAdts, parseAdts } from '../media/audio.ts';
import { type VideoCodec, inspectAccessUnit, sniffVideoCodec, startsAccessUnit } from '../media/h26x.ts';
import type { ProgramStreamMap } from './psm.ts';
import { PictureCutter } from './picture-cutter.ts';
import type { PesSink } from './pes-scanner.ts';
import { type Codec, codecOf, isVideoId, streamTypeOf } from './stream-types.ts';
import { TimestampTrack, unwrappedStep } from './timestamps.ts';

/** A picture of a 4K camera at its worst (faults.md 72). */
export const MAX_UNIT_BYTES = 4 * 1024 * 1024;
/** One camera has one picture and one or two sounds. */
export const MAX_STREAMS = 6;
/** Parameter sets stand at the begin of a picture. */
const SNIFF_BYTES = 512;
/** 25 pictures a second, until two time stamps say otherwise. */
const DEFAULT_PICTURE_TICKS = 3600;
const FIRST_BUFFER_BYTES = 16 * 1024;

/** One access unit (video) or the audio frames of one PES packet. */
export interface PsUnit {
  readonly type: 'unit';
  readonly kind: 'video' | 'audio';
  readonly streamId: number;
  /** What the bytes are: the map's stream_type unless the bytes say otherwise; 0 when unknown. */
  readonly streamType: number;
  readonly codec: Codec;
  /** Continuous 90 kHz. */
  readonly pts90k: number;
  readonly dts90k: number;
  readonly ptsEstimated: boolean;
  /** Holds a random access picture. Of a codec that is not looked into (SVAC, MPEG-4): it came right after a map. */
  readonly keyFrame: boolean;
  /** Bytes are known to be missing from it. */
  readonly damaged: boolean;
  /** Annex B, ADTS or raw codec frames. The receiver's own copy. */
  readonly bytes: Uint8Array;
}

export interface PsMapSeen {
  readonly type: 'map';
  readonly map: ProgramStreamMap;
}

export type PsEvent = PsUnit | PsMapSeen;

export interface UnitCounters {
  videoUnits: number;
  audioUnits: number;
  damagedUnits: number;
  oversizeUnits: number;
  /** Packets of streams beyond MAX_STREAMS. */
  strayPackets: number;
  estimatedTimestamps: number;
}

interface Track {
  readonly streamId: number;
  readonly isVideo: boolean;
  readonly clock: TimestampTrack;
  codec: Codec;
  open: boolean;
  damaged: boolean;
  afterMap: boolean;
  /** Bytes were missing before what opens next. */
  afterGap: boolean;
  /** Its packets begin anywhere, not with pictures. */
  cutter: PictureCutter | undefined;
  rawPts: number | undefined;
  rawDts: number | undefined;
  buffer: Uint8Array;
  used: number;
  pictureTicks: number;
  lastPts90k: number | undefined;
}

export class UnitAssembler implements PesSink {
  readonly counters: UnitCounters = { videoUnits: 0, audioUnits: 0, damagedUnits: 0, oversizeUnits: 0, strayPackets: 0, estimatedTimestamps: 0 };
  readonly #tracks = new Map<number, Track>();
  readonly #mapped = new Map<number, number>();
  #current: Track | undefined;
  /** A map came, and no picture began since. */
  #mapSeen = false;
  #events: PsEvent[] = [];

  takeEvents(): PsEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  map(map: ProgramStreamMap): void {
    this.#mapped.clear();
    this.#mapSeen = true;
    for (const { streamId, streamType } of map.streams) this.#mapped.set(streamId, streamType);
    this.#events.push({ type: 'map', map });
  }

  lost(): void {
    for (const track of this.#tracks.values()) {
      // Pictures that ended before are whole.
      if (track.cutter !== undefined && track.open) this.#cut(track, track.cutter);
      track.damaged ||= track.open;
    }
  }

  pes(streamId: number, pts90k: number | undefined, dts90k: number | undefined, head: Uint8Array): void {
    const track = this.#trackOf(streamId);
    this.#current = track;
    if (track === undefined) {
      this.counters.strayPackets += 1;
      return;
    }
    if (track.open && track.cutter === undefined && beginsAnywhere(track, pts90k, head)) track.cutter = new PictureCutter();
    if (track.open && track.cutter !== undefined) {
      if (pts90k !== undefined) track.cutter.stamp(track.used, pts90k, dts90k);
      return;
    }
    if (track.open && !continues(track, pts90k, head)) this.#emit(track);
    if (track.open) return;
    track.open = true;
    track.damaged = beginsInside(track, head);
    track.afterGap = false;
    track.used = 0;
    track.afterMap = this.#mapSeen;
    if (track.isVideo) this.#mapSeen = false;
    track.rawPts = pts90k;
    track.rawDts = dts90k;
  }

  data(bytes: Uint8Array): void {
    const track = this.#current;
    if (track === undefined || !append(track, bytes)) {
      if (track !== undefined && !track.damaged) this.counters.oversizeUnits += 1;
      if (track !== undefined) track.damaged = true;
    }
  }

  end(): void {
    const track = this.#current;
    if (track === undefined) return;
    if (!track.isVideo) this.#emit(track);
    else if (track.cutter !== undefined) this.#cut(track, track.cutter);
  }

  closeAll(): void {
    for (const track of this.#tracks.values()) if (track.open) this.#emit(track);
    for (const track of this.#tracks.values()) {
      track.cutter?.reset();
      track.afterGap = true;
    }
    this.#current = undefined;
  }

  #cut(track: Track, cutter: PictureCutter): void {
    const codec = codecOfOpen(track);
    if (codec === undefined) return;
    for (let end = cutter.cut(codec, open(track)); end >= 0; end = cutter.cut(codec, open(track))) {
      const rest = track.buffer.slice(end, track.used);
      track.used = end;
      this.#emit(track);
      const stamp = cutter.next(end);
      Object.assign(track, { open: true, damaged: false, used: rest.length, rawPts: stamp?.pts90k, rawDts: stamp?.dts90k });
      track.buffer.set(rest);
    }
  }

  #trackOf(streamId: number): Track | undefined {
    const known = this.#tracks.get(streamId);
    if (known !== undefined || this.#tracks.size >= MAX_STREAMS) return known;
    const track: Track = {
      streamId, isVideo: isVideoId(streamId), clock: new TimestampTrack(), codec: 'unknown', open: false, damaged: false, afterMap: false, afterGap: true, cutter: undefined,
      rawPts: undefined, rawDts: undefined, buffer: new Uint8Array(FIRST_BUFFER_BYTES), used: 0, pictureTicks: DEFAULT_PICTURE_TICKS, lastPts90k: undefined,
    };
    this.#tracks.set(streamId, track);
    return track;
  }

  #emit(track: Track): void {
    track.open = false;
    if (track.used === 0) return;
    const bytes = track.buffer.slice(0, track.used);
    const declared = codecOf(this.#mapped.get(track.streamId) ?? 0);
    track.codec = track.isVideo ? videoCodecOf(bytes, declared, track.codec) : audioCodecOf(bytes, declared);
    const streamType = track.codec === 'unknown' ? (this.#mapped.get(track.streamId) ?? 0) : streamTypeOf(track.codec);
    const stamped = this.#stamp(track, bytes);
    const offset90k = track.rawPts === undefined || track.rawDts === undefined ? 0 : unwrappedStep(track.rawDts, track.rawPts);
    const keyFrame = track.isVideo && (isVideoCodec(track.codec) ? inspectAccessUnit(track.codec, bytes).keyFrame : track.afterMap);
    this.#count(track, stamped.estimated);
    this.#events.push({
      type: 'unit', kind: track.isVideo ? 'video' : 'audio', streamId: track.streamId, streamType, codec: track.codec,
      pts90k: stamped.pts90k, dts90k: stamped.pts90k - offset90k, ptsEstimated: stamped.estimated, keyFrame, damaged: track.damaged, bytes,
    });
  }

  #stamp(track: Track, bytes: Uint8Array): ReturnType<TimestampTrack['next']> {
    if (!track.isVideo) {
      const isG711 = track.codec === 'g711a' || track.codec === 'g711u';
      return track.clock.next(track.rawPts, audioTicks90k(track.codec, bytes), isG711 ? bytes.length : 0);
    }
    const stamped = track.clock.next(track.rawPts, track.pictureTicks);
    const step = track.lastPts90k === undefined ? 0 : stamped.pts90k - track.lastPts90k;
    if (step > 0 && step < 90000) track.pictureTicks = step;
    track.lastPts90k = stamped.pts90k;
    return stamped;
  }

  #count(track: Track, estimated: boolean): void {
    if (track.isVideo) this.counters.videoUnits += 1;
    else this.counters.audioUnits += 1;
    if (track.damaged) this.counters.damagedUnits += 1;
    if (estimated) this.counters.estimatedTimestamps += 1;
  }
}

const isVideoCodec = (codec: Codec): codec is VideoCodec => codec === 'h264' || codec === 'h265';

/**
 * Whether a packet belongs to the picture that is open. A new PTS never does. Without one, or with the same again (every fragment or
 * every NAL unit stamped), the first NAL header decides.
 */
function continues(track: Track, pts90k: number | undefined, head: Uint8Array): boolean {
  if (!track.isVideo || (pts90k !== undefined && pts90k !== track.rawPts)) return false;
  const codec = codecOfOpen(track);
  const at = nalHeaderAt(head);
  if (codec === undefined || at < 0 || !startsAccessUnit(codec, head, at)) return true;
  return !inspectAccessUnit(codec, open(track)).hasPicture;
}

const open = (track: Track): Uint8Array => track.buffer.subarray(0, track.used);

const codecOfOpen = (track: Track): VideoCodec | undefined => (isVideoCodec(track.codec) ? track.codec : sniffVideoCodec(open(track).subarray(0, SNIFF_BYTES)));

/** It opens with the rest of a picture whose begin is missing; after a loss that may look like a slice. */
function beginsInside(track: Track, head: Uint8Array): boolean {
  if (!track.isVideo || head.length === 0) return false;
  const codec = isVideoCodec(track.codec) ? track.codec : track.codec === 'unknown' ? sniffVideoCodec(head) : undefined;
  if (codec === undefined) return false;
  const at = nalHeaderAt(head);
  return at < 0 || (track.afterGap && !startsAccessUnit(codec, head, at));
}

/** A packet with a time of its own that does not begin with a NAL unit goes on with the picture before it. */
function beginsAnywhere(track: Track, pts90k: number | undefined, head: Uint8Array): boolean {
  return track.isVideo && !track.damaged && pts90k !== undefined && pts90k !== track.rawPts && head.length > 0 && nalHeaderAt(head) < 0 && codecOfOpen(track) !== undefined;
}

/** Where the NAL header stands when the payload opens with a start code. */
function nalHeaderAt(head: Uint8Array): number {
  let zeros = 0;
  while (head[zeros] === 0) zeros += 1;
  return zeros >= 2 && head[zeros] === 1 ? zeros + 1 : -1;
}

function append(track: Track, bytes: Uint8Array): boolean {
  const needed = track.used + bytes.length;
  if (needed > MAX_UNIT_BYTES) return false;
  if (needed > track.buffer.length) {
    const grown = new Uint8Array(Math.min(MAX_UNIT_BYTES, Math.max(needed, track.buffer.length * 2)));
    grown.set(track.buffer.subarray(0, track.used));
    track.buffer = grown;
  }
  track.buffer.set(bytes, track.used);
  track.used = needed;
  return true;
}

/** NAL headers beat the map, which some cameras let flip within one stream (quirk 45). */
function videoCodecOf(bytes: Uint8Array, declared: Codec, before: Codec): Codec {
  if (declared !== 'unknown' && !isVideoCodec(declared)) return declared;
  const seen = sniffVideoCodec(bytes.subarray(0, SNIFF_BYTES));
  if (seen !== undefined) return seen;
  return before !== 'unknown' ? before : declared;
}

/** ADTS beats a map that says G.711 (quirk 49); without a map the default of GB/T 28181 is G.711 A-law. */
function audioCodecOf(bytes: Uint8Array, declared: Codec): Codec {
  if (looksLikeAdts(bytes)) return 'aac';
  return declared === 'unknown' ? 'g711a' : declared;
}

function audioTicks90k(codec: Codec, bytes: Uint8Array): number {
  if (codec === 'g711a' || codec === 'g711u') return g711Ticks90k(bytes.length);
  const adts = codec === 'aac' ? parseAdts(bytes) : undefined;
  return adts?.ok === true ? Math.round((AAC_SAMPLES_PER_FRAME * 90000) / adts.value.sampleRateHz) : 0;
}
