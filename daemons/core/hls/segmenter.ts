/**
 * Cuts a live stream into fMP4 segments and keeps the last few. A segment ends at the first key picture after `MIN_SEGMENT_S`; where a
 * source has none for too long it ends anyway, and the playlist no longer promises independent segments.
 */
import { type Mp4Fragment, Mp4Fragmenter } from '../mp4/fragment.ts';
import type { MediaTracks, MediaUnit } from '../media/unit.ts';
import { type ListedSegment, writePlaylist } from './playlist.ts';

const CLOCK_HZ = 90000;
const MIN_SEGMENT_S = 1;
const MAX_SEGMENT_S = 10;
const MAX_SEGMENT_BYTES = 32 * 1024 * 1024;
/** A player three segments behind the end has as many again to be late. */
const LISTED_SEGMENTS = 6;
/** For players that read a list that has since moved on (RFC 8216 6.2.2). */
const KEPT_SEGMENTS = 10;
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

export interface HlsSegment extends ListedSegment {
  /** To be sent in order. */
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

interface OpenSegment {
  readonly at90k: number;
  end90k: number;
  readonly independent: boolean;
  readonly parts: Uint8Array[];
  bytes: number;
}

export class HlsSegmenter {
  readonly #fragmenter: Mp4Fragmenter;
  readonly #inits = new Map<number, Uint8Array>();
  #initId = -1;
  #hasVideo = false;
  #open: OpenSegment | undefined;
  #segments: HlsSegment[] = [];
  #nextSequence = 0;
  #targetS = MIN_SEGMENT_S;
  #ended = false;

  constructor(options: { readonly keepG711?: boolean } = {}) {
    this.#fragmenter = new Mp4Fragmenter(options);
  }

  /** Whole segments that a playlist can list. */
  get count(): number {
    return this.#segments.length;
  }

  tracks(tracks: MediaTracks): void {
    this.#take(this.#fragmenter.flush());
    this.#close();
    const init = this.#fragmenter.tracks(tracks);
    if (init === undefined) return;
    this.#hasVideo = init.hasVideo;
    this.#initId += 1;
    this.#inits.set(this.#initId, init.bytes);
  }

  unit(unit: MediaUnit): void {
    this.#take(this.#fragmenter.unit(unit));
  }

  end(): void {
    this.#take(this.#fragmenter.flush());
    this.#close();
    this.#ended = true;
  }

  playlist(query: string): string {
    const segments = this.#segments.slice(-LISTED_SEGMENTS);
    return writePlaylist({ segments, targetDurationS: this.#targetS, discontinuitySequence: segments[0]?.initId ?? 0, ended: this.#ended }, query);
  }

  init(initId: number): Uint8Array | undefined {
    return this.#inits.get(initId);
  }

  segment(sequence: number): HlsSegment | undefined {
    return this.#segments.find(segment => segment.sequence === sequence);
  }

  #take(fragments: readonly Mp4Fragment[]): void {
    for (const fragment of fragments) {
      const lastsS = this.#open === undefined ? 0 : (fragment.at90k - this.#open.at90k) / CLOCK_HZ;
      const isFull = lastsS >= MAX_SEGMENT_S || (this.#open?.bytes ?? 0) > MAX_SEGMENT_BYTES;
      const leads = fragment.kind === 'video' || !this.#hasVideo;
      const independent = fragment.keyFrame || !this.#hasVideo;
      if (leads && ((independent && lastsS >= MIN_SEGMENT_S) || isFull || lastsS < 0)) this.#close();
      // Sound before the first picture has nothing to belong to.
      if (this.#open === undefined && !leads) continue;
      this.#open ??= { at90k: fragment.at90k, end90k: fragment.at90k, independent, parts: [], bytes: 0 };
      this.#open.parts.push(...fragment.bytes);
      this.#open.bytes += fragment.bytes.reduce((sum, part) => sum + part.length, 0);
      if (leads) this.#open.end90k = fragment.at90k + fragment.duration90k;
    }
  }

  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    const durationS = (open.end90k - open.at90k) / CLOCK_HZ;
    // RFC 8216 4.3.3.1: durations, rounded, are not above the target. It should not change; a source that changes leaves no choice.
    this.#targetS = Math.max(this.#targetS, Math.round(durationS));
    this.#segments.push({ sequence: this.#nextSequence, durationS, initId: this.#initId, independent: open.independent, parts: open.parts, bytes: open.bytes });
    this.#nextSequence += 1;
    this.#forget();
  }

  #forget(): void {
    let bytes = this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    while (this.#segments.length > KEPT_SEGMENTS || (bytes > MAX_KEPT_BYTES && this.#segments.length > 1)) bytes -= this.#segments.shift()!.bytes;
    const needed = Math.min(this.#segments[0]?.initId ?? this.#initId, this.#initId);
    for (const initId of this.#inits.keys()) if (initId < needed) this.#inits.delete(initId);
  }
}
