/** A platform plays a recording of a camera, faster and elsewhere, and downloads a piece of it: what came of it, in one line. */
import { systemClock as clock } from '#kit/clock.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import type { Shown } from './events.ts';

const START_S = 1_773_100_800;
const RECORDING_S = 600;
const DOWNLOAD_S = 8;
const DOWNLOAD_SPEED = 8;
const SCALE = 4;
const SEEK_S = 300;
const PICTURES = 100;
const PICTURES_PER_S = 25;
const LIMIT_MS = 15_000;

export interface PlaybackScene {
  readonly upstream: string;
  readonly platform: Platform;
  readonly channelId: string;
}

export async function playbackOnce({ upstream, platform, channelId }: PlaybackScene): Promise<Shown> {
  const play = await platform.play(channelId, { transport: 'udp', history: { startS: START_S, stopS: START_S + RECORDING_S } });
  await play.waitFrames(10);
  const faster = await play.steer({ method: 'PLAY', scale: SCALE });
  const [before, beganAt] = [play.report.frames, clock.now()];
  await play.waitFrames(before + PICTURES);
  const pace = (PICTURES / (clock.now() - beganAt)) * 1000;
  const elsewhere = await play.steer({ method: 'PLAY', range: { from: SEEK_S, to: undefined } });
  await play.waitFrames(play.report.frames + PICTURES);
  const at = (play.arrivals.at(-1)!.pts90k - play.arrivals[0]!.pts90k) / 90_000;
  const { damaged } = await play.stop();
  const { frames, tookMs, ended } = await download(platform, channelId);
  const statuses = [faster.status, elsewhere.status];
  const ok = statuses.every(status => status === 200) && pace > PICTURES_PER_S * 1.5 && at >= SEEK_S && damaged === 0 && Math.abs(frames - DOWNLOAD_S * PICTURES_PER_S) <= 1 && tookMs < DOWNLOAD_S * 1000 && ended;
  return { ok, says: `${upstream} played a recording of ${channelId}: at scale ${SCALE} ${Math.round(pace)} pictures a second, then from ${SEEK_S} s on; ${DOWNLOAD_S} s downloaded in ${(tookMs / 1000).toFixed(1)} s, ${frames} pictures${ended ? ', and told that this was all' : ''}${ok ? '' : ' - NOT AS IT SHOULD BE'}` };
}

/** A piece at the speed that the recorder can, until MediaStatus says that it is over. */
async function download(platform: Platform, channelId: string): Promise<{ readonly frames: number; readonly tookMs: number; readonly ended: boolean }> {
  const beganAt = clock.now();
  const play = await platform.play(channelId, { transport: 'tcp-passive', history: { startS: START_S, stopS: START_S + DOWNLOAD_S, downloadSpeed: DOWNLOAD_SPEED } });
  const ended = await play.waitMessage(LIMIT_MS).then(
    message => message.cmdType === 'MediaStatus',
    () => false,
  );
  const tookMs = clock.now() - beganAt;
  const { frames } = await play.stop();
  return { frames, tookMs, ended };
}
