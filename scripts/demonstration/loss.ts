/**
 * A camera behind a network that loses 5 % of its packets: no damaged picture is shown, but the picture stands still now and then,
 * until the gateway asks the camera over TCP.
 */
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { CLEAR } from '../impairment/rules.ts';
import { catalogued } from '../lab/catalogued.ts';
import { LAB_ID, LAB_PASSWORD, type LabGateway } from '../lab/gateway.ts';
import { type CleanPictures, type PictureMeasure, measurePictures } from '../media/picture-meter.ts';
import type { CameraSession } from '../simulators/camera/session.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import type { Shown } from './events.ts';

const CAMERA_ID = '34020000001180000003';
const CHANNEL = { id: '34020000001320000031', name: '山顶 3-1', online: true };
const NETWORK = { lossPercent: 5, burst: 10 };
/** The gateway looks at ten seconds before it calls a leg lossy. */
const MOVED_LIMIT_MS = 30_000;
const PICTURES_AFTER = 100;
/** On their way when the viewer hangs up. */
const UNDER_WAY = 25;
const LOOK_MS = 50;

export interface LossScene {
  readonly gateway: LabGateway;
  readonly upstream: string;
  readonly platform: Platform;
  /** Channels that the gateway has already. */
  readonly channels: number;
  readonly clean: CleanPictures;
  readonly directory: string;
}

export async function lossOnce({ gateway, upstream, platform, channels, clean, directory }: LossScene): Promise<Shown> {
  await using camera = await CameraSimulator.open({
    id: CAMERA_ID, platform: { id: LAB_ID, address: gateway.address, port: gateway.sipPort }, password: LAB_PASSWORD, channelList: [CHANNEL], footage: 'h264',
    impair: () => ({ ...CLEAR, ...NETWORK, seed: 5 }),
  });
  const known = (await catalogued(gateway, channels + 1)).find(({ channelId }) => channelId === CHANNEL.id)!;
  const play = await platform.play(known.mapped.find(mapped => mapped.upstream === upstream)!.id, { transport: 'tcp-passive', recordTo: join(directory, 'loss') });
  const beginAt = clock.now();
  const before = await sessionOf(camera, undefined, 0);
  const after = await sessionOf(camera, before, PICTURES_AFTER + UNDER_WAY);
  const movedAfterS = ((after?.startedAt ?? clock.now()) - beginAt) / 1000;
  const { files } = await play.stop();
  const overUdp = await measurePictures(files.ps, before?.sent ?? [], clean);
  const overTcp = await measurePictures(files.ps, after?.sent.slice(0, PICTURES_AFTER) ?? [], clean);
  const ok = overUdp.damaged + overTcp.damaged + overUdp.decoderErrors === 0 && overTcp.sent === PICTURES_AFTER && overTcp.shown === PICTURES_AFTER;
  return { ok, says: `${NETWORK.lossPercent} % of the packets of ${CHANNEL.id} are lost, in bursts of ${NETWORK.burst}. Over UDP ${words(overUdp)}; after ${movedAfterS.toFixed(0)} s it is asked over TCP: ${words(overTcp)}${ok ? '' : ' - NOT AS IT SHOULD BE'}` };
}

const words = ({ sent, shown, damaged, frozenPercent, longestFreezeMs }: PictureMeasure): string =>
  `${shown} of ${sent} pictures shown, ${damaged} damaged, frozen ${frozenPercent.toFixed(0)} % of the time, longest ${(longestFreezeMs / 1000).toFixed(1)} s`;

/** The camera's session other than `not`, as soon as it has sent so many pictures; undefined when it never does. */
async function sessionOf(camera: CameraSimulator, not: CameraSession | undefined, pictures: number): Promise<CameraSession | undefined> {
  for (const limit = clock.now() + MOVED_LIMIT_MS; clock.now() < limit; await pause(clock, LOOK_MS)) {
    const session = camera.sessions.find(each => each !== not && each.state === 'sending' && each.pictures >= pictures);
    if (session !== undefined) return session;
  }
  return undefined;
}
