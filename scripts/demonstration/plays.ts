/** The nine leg combinations: what is played, and what is found out about what came. */
import { join } from 'node:path';
import type { Footage } from '../media/footage.ts';
import { decodePictures, matchLoop } from '../media/pictures.ts';
import { type PlayReport, type Platform } from '../simulators/platform/platform.ts';

/** The gateway's role; the platform's is the reverse. */
export type Leg = 'udp' | 'tcp-active' | 'tcp-passive';
export const LEGS: readonly Leg[] = ['udp', 'tcp-active', 'tcp-passive'];

const REVERSE: Readonly<Record<Leg, Leg>> = { udp: 'udp', 'tcp-active': 'tcp-passive', 'tcp-passive': 'tcp-active' };
const FIRST_FRAME_LIMIT_MS = 3000;

export interface Row {
  readonly cameraLeg: Leg;
  readonly upstreamLeg: Leg;
  readonly upstream: string;
  readonly codec: string;
  readonly frames: number;
  readonly damaged: number;
  readonly lost: number;
  readonly firstFrameMs: number | undefined;
  /** Decoded pictures, and how many of them are the source's own. */
  readonly pictures: number;
  readonly same: number;
  /** Empty when all is well. */
  readonly faults: readonly string[];
  readonly files: PlayReport['files'];
}

export interface Wanted {
  readonly platform: Platform;
  readonly upstream: string;
  readonly channelId: string;
  readonly cameraLeg: Leg;
  readonly upstreamLeg: Leg;
  readonly footage: Footage;
  readonly frames: number;
  readonly directory: string;
}

/** Plays one channel until enough pictures came, hangs up, and compares with the source. Never throws for what went wrong on the way. */
export async function playOnce(wanted: Wanted, sourceHashes: readonly string[]): Promise<Row> {
  const { platform, upstream, channelId, cameraLeg, upstreamLeg, footage, frames, directory } = wanted;
  const recordTo = join(directory, `${upstream}-${cameraLeg}-to-${upstreamLeg}-${footage.videoCodec}`);
  const common = { cameraLeg, upstreamLeg, upstream, codec: footage.name };
  let report: PlayReport;
  try {
    const play = await platform.play(channelId, { transport: REVERSE[upstreamLeg], recordTo });
    await play.waitFrames(frames);
    report = await play.stop();
  } catch (error) {
    return { ...common, frames: 0, damaged: 0, lost: 0, firstFrameMs: undefined, pictures: 0, same: 0, faults: [(error as Error).message], files: {} };
  }
  const { hashes, complaints } = report.files.ps === undefined ? { hashes: [], complaints: ['nothing was recorded'] } : await decodePictures(report.files.ps);
  const { same } = matchLoop(sourceHashes, hashes);
  const row = { ...common, frames: report.frames, damaged: report.damaged, lost: report.lost, firstFrameMs: report.firstFrameMs, pictures: hashes.length, same, files: report.files };
  return { ...row, faults: faultsOf(row, report, frames, complaints) };
}

function faultsOf(row: Omit<Row, 'faults'>, report: PlayReport, wantedFrames: number, complaints: readonly string[]): string[] {
  const faults: string[] = [];
  if (row.frames < wantedFrames) faults.push(`${row.frames} frames of ${wantedFrames}`);
  if (row.damaged > 0) faults.push(`${row.damaged} damaged`);
  if (row.lost > 0) faults.push(`${row.lost} packets lost`);
  if (row.pictures === 0 || row.same !== row.pictures) faults.push(`${row.same} of ${row.pictures} pictures as the source`);
  if (row.firstFrameMs === undefined || row.firstFrameMs > FIRST_FRAME_LIMIT_MS) faults.push(`first picture after ${row.firstFrameMs ?? '?'} ms`);
  if (report.seenSsrc !== report.expectedSsrc) faults.push(`SSRC ${report.seenSsrc} for ${report.expectedSsrc}`);
  if (complaints.length > 0) faults.push(`ffmpeg: ${complaints[0]!}`);
  return faults;
}
