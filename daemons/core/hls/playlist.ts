/** Media playlist of a live stream in fMP4 segments (RFC 8216). */

export interface ListedSegment {
  readonly sequence: number;
  readonly durationS: number;
  /** Which initialization segment it needs. */
  readonly initId: number;
  /** It begins with a random access picture (or holds sound only). */
  readonly independent: boolean;
}

export interface Playlist {
  /** Oldest first. */
  readonly segments: readonly ListedSegment[];
  readonly targetDurationS: number;
  /** Changes of the initialization segment before the first listed one. */
  readonly discontinuitySequence: number;
  readonly ended: boolean;
}

export const PLAYLIST_FILE = 'index.m3u8';
export const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl';
/** EXT-X-MAP outside of I-frame playlists (7). */
const VERSION = 7;

export const initFile = (initId: number): string => `init-${initId}.mp4`;
export const segmentFile = (sequence: number): string => `segment-${sequence}.m4s`;

/** What a file name asks for; undefined when it is none of ours. */
export function parseHlsFile(file: string): { readonly kind: 'playlist' } | { readonly kind: 'init' | 'segment'; readonly number: number } | undefined {
  if (file === PLAYLIST_FILE) return { kind: 'playlist' };
  const form = /^(?:init-(\d{1,9})\.mp4|segment-(\d{1,9})\.m4s)$/.exec(file);
  if (form === null) return undefined;
  return form[1] === undefined ? { kind: 'segment', number: Number(form[2]) } : { kind: 'init', number: Number(form[1]) };
}

/** `query`: goes behind every URI, so that who may read the playlist may read what it lists; empty or `a=b&c=d`. */
export function writePlaylist({ segments, targetDurationS, discontinuitySequence, ended }: Playlist, query: string): string {
  const behind = query === '' ? '' : `?${query}`;
  const lines = ['#EXTM3U', `#EXT-X-VERSION:${VERSION}`, `#EXT-X-TARGETDURATION:${targetDurationS}`, `#EXT-X-MEDIA-SEQUENCE:${segments[0]?.sequence ?? 0}`];
  if (discontinuitySequence > 0) lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${discontinuitySequence}`);
  if (segments.every(segment => segment.independent)) lines.push('#EXT-X-INDEPENDENT-SEGMENTS');
  let initId: number | undefined;
  for (const segment of segments) {
    if (initId !== undefined && initId !== segment.initId) lines.push('#EXT-X-DISCONTINUITY');
    if (initId !== segment.initId) lines.push(`#EXT-X-MAP:URI="${initFile(segment.initId)}${behind}"`);
    initId = segment.initId;
    lines.push(`#EXTINF:${segment.durationS.toFixed(3)},`, `${segmentFile(segment.sequence)}${behind}`);
  }
  if (ended) lines.push('#EXT-X-ENDLIST');
  return `${lines.join('\n')}\n`;
}
