/**
 * A recording that goes on elsewhere (gb28181.md 7). Where it stands is known as of when it was written down; over UDP it went on since. A
 * connection dies with its node: the recorder is then asked for the rest. Its times count from the begin of what it was asked for, those
 * of the platform from the begin of what that asked for.
 *
 * Not asked for again: a download, whose pace nobody knows (a part that is missing or comes twice spoils the file), and what plays
 * backwards, for which the rest lies before its begin.
 */
import type { WallMs } from '../units.ts';
import type { NptRange } from './mansrtsp.ts';
import type { PlaybackPosition } from './playback-session.ts';

/** Shown once more rather than left out: what was under way, and what was sent to nobody until the other node took over. */
const BACK_S = 2;
/** Of the rest: less than this is the end. */
const LEAST_S = 5;

/** A row on disk; without a time (of an older release): as of now. */
export interface StoredPlayback extends PlaybackPosition {
  readonly atWallMs?: number | undefined;
}

export interface AskedRecording {
  readonly kind: 'Playback' | 'Download';
  /** Unix seconds. */
  readonly startS: number;
  readonly stopS: number;
  readonly downloadSpeed: number | undefined;
}

/** Where it is now, if it went on. */
export function wentOn({ atWallMs, ...stood }: StoredPlayback, { downloadSpeed = 1 }: Pick<AskedRecording, 'downloadSpeed'>, now: WallMs): PlaybackPosition {
  if (stood.state !== 'playing' || atWallMs === undefined) return stood;
  return { ...stood, positionS: Math.max(0, stood.positionS + (Math.max(0, now - atWallMs) / 1000) * stood.scale * downloadSpeed) };
}

/** Whether the rest can be asked for at all. */
export const mayResume = ({ kind }: Pick<AskedRecording, 'kind'>, stood: Pick<PlaybackPosition, 'state' | 'scale'> | undefined): boolean => kind === 'Playback' && stood?.state !== 'over' && (stood?.scale ?? 1) > 0;

/** What is asked for once more; null: nothing, for that cannot be or it is as good as over. */
export function restOf<Asked extends AskedRecording>(asked: Asked, stood: PlaybackPosition): Asked | null {
  const startS = asked.startS + Math.floor(Math.max(0, stood.positionS - BACK_S * stood.scale));
  return mayResume(asked, stood) && asked.stopS - startS >= LEAST_S ? { ...asked, startS } : null;
}

/** The same place for somebody whose begin is `byS` later; undefined: it lies before that. */
export function shiftedRange({ from, to }: NptRange, byS: number): NptRange | undefined {
  const shifted = { from: from === 'now' ? from : from - byS, to: to === undefined ? to : to - byS };
  return [shifted.from, shifted.to].some(at => typeof at === 'number' && at < 0) ? undefined : shifted;
}
