/** One viewer of one camera for a certain number of pictures, and what it saw of them. */
import { systemClock as clock } from '#kit/clock.ts';
import { type CleanPictures, type PictureMeasure, measurePictures } from '../media/picture-meter.ts';
import type { CameraSession } from '../simulators/camera/session.ts';
import type { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import type { PlayTransport } from '../simulators/platform/receivers.ts';
import type { Platform } from '../simulators/platform/platform.ts';

export interface Viewing {
  readonly platform: Platform;
  /** By which the platform knows the channel. */
  readonly channelId: string;
  readonly camera: CameraSimulator;
  /** By which the camera knows it. */
  readonly cameraChannelId: string;
  /** So many pictures are looked at, from the camera's first one on. */
  readonly pictures: number;
  /** Path without extension, for what the viewer received. */
  readonly recordTo: string;
  readonly clean: CleanPictures;
  /** Role of the viewer; TCP, so that its own leg loses nothing. */
  readonly transport?: PlayTransport;
}

export interface Watched {
  readonly path: string | undefined;
  readonly sent: readonly { readonly pts90k: number; readonly index: number }[];
  /** From when a picture was due at the camera to when its last packet came, one for each picture that came, in order. */
  readonly delaysMs: readonly number[];
}

/** Longer than any buffer on the way: what has not come by then will not. */
const MARGIN_PICTURES = 50;
const PICTURE_MS = 40;
/** What is under way arrives, what is missing is given up. */
const DRAIN_MS = 1000;
const LOOK_MS = 20;
const START_LIMIT_MS = 15_000;

/** Watches in real time. `beforeEnd` may look at what the gateway says when all has come that will come and all is still open. Judge it afterwards with `measure`. */
export async function watch({ platform, channelId, camera, cameraChannelId, pictures, recordTo, transport = 'tcp-passive' }: Omit<Viewing, 'clean'>, beforeEnd?: () => Promise<void>): Promise<Watched> {
  const play = await platform.play(channelId, { transport, recordTo });
  const session = await sessionOf(camera, cameraChannelId);
  const limit = clock.now() + (pictures + MARGIN_PICTURES) * PICTURE_MS * 2;
  while (session.pictures < pictures + MARGIN_PICTURES) {
    if (session.state === 'closed' || clock.now() > limit) throw new Error(`${cameraChannelId} sent ${session.pictures} of ${pictures} pictures`);
    await pause(clock, LOOK_MS);
  }
  session.silence();
  await pause(clock, DRAIN_MS);
  await beforeEnd?.();
  const sent = session.sent.slice(0, pictures);
  const { files } = await play.stop();
  return { path: files.ps, sent, delaysMs: delaysOf(play.markers, session) };
}

export const measure = ({ path, sent }: Watched, clean: CleanPictures): Promise<PictureMeasure> => measurePictures(path, sent, clean);

async function sessionOf(camera: CameraSimulator, channelId: string): Promise<CameraSession> {
  for (const limit = clock.now() + START_LIMIT_MS; clock.now() < limit; await pause(clock, LOOK_MS)) {
    const session = camera.sessions.find(({ channel, state }) => channel.id === channelId && state === 'sending');
    if (session !== undefined) return session;
  }
  throw new Error(`${channelId} does not send`);
}

function delaysOf(markers: readonly { readonly timestamp: number; readonly atMs: number }[], { sent, startedAt }: CameraSession): number[] {
  const place = new Map(sent.map(({ pts90k }, index) => [pts90k % 2 ** 32, index]));
  return markers.flatMap(({ timestamp, atMs }) => {
    const index = place.get(timestamp);
    return index === undefined ? [] : [atMs - startedAt - index * PICTURE_MS];
  });
}
