/** What stands around an appliance on a site: cameras below, a platform above. In this process, and so seen from outside. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { playOnce } from '../demonstration/plays.ts';
import { LAB_ID, LAB_PASSWORD } from '../lab/gateway.ts';
import { prepareFootage } from '../media/footage.ts';
import { decodePictures } from '../media/pictures.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import { Platform } from '../simulators/platform/platform.ts';
import type { CaseContext } from './case.ts';
import { HOST } from './site.ts';

export const CITY_ID = '33010000002000000001';
export const CITY_LOCAL_ID = '33010000002000000099';
const CITY_PORT = 5061;
const CITY_PASSWORD = 'city-secret';
export const DEVICE_ID = '34020000001180000001';
/** Two groups of pictures of the footage. */
const PICTURES = 100;
/** A processor that is emulated wakes up slowly. */
const SLOW_MS = 600_000;

/** Of a gateway at this address; sections over or beside these come behind. */
export function gatewayConfig(address: string): Record<string, unknown> {
  return {
    sip: { id: LAB_ID, listen: [{ transport: 'udp', address, port: 5060 }, { transport: 'tcp', address, port: 5060 }] },
    devices: { admit: [{ networks: [`${HOST}/32`], password: LAB_PASSWORD }] },
    upstreams: [{ name: 'city', id: CITY_ID, address: HOST, port: CITY_PORT, localId: CITY_LOCAL_ID, password: CITY_PASSWORD, retryS: 2 }],
  };
}

export const openPlatform = (): Promise<Platform> => Platform.open({ id: CITY_ID, password: CITY_PASSWORD, address: HOST, port: CITY_PORT });

export async function openCamera(address: string, channels: number): Promise<CameraSimulator> {
  const camera = await CameraSimulator.open({ id: DEVICE_ID, localAddress: HOST, platform: { id: LAB_ID, address, port: 5060 }, password: LAB_PASSWORD, channels, retryS: 3 });
  await camera.registered();
  return camera;
}

/** IDs under which the platform sees the cameras, as soon as it sees so many. */
export async function camerasSeen(platform: Platform, count: number): Promise<readonly string[]> {
  await platform.waitRegistered(CITY_LOCAL_ID, SLOW_MS);
  for (let tries = 0; ; tries++) {
    const items = await platform.catalog({ timeoutMs: SLOW_MS }).then(answer => answer.items, () => []);
    const ids = items.flatMap(({ deviceId }) => (deviceId.slice(10, 13) === '132' ? [deviceId] : []));
    if (ids.length >= count) return ids;
    if (tries === 60) throw new Error(`the platform sees ${ids.length} of ${count} cameras`);
    await pause(clock, 1000);
  }
}

/** The picture of a camera at the platform, decoded, is that of the source. */
export async function comparePicture({ work, check, say }: CaseContext, platform: Platform, channelId: string, name: string): Promise<void> {
  const directory = join(work, name);
  mkdirSync(directory, { recursive: true });
  const footage = (await prepareFootage()).find(each => each.name === 'h264-g711a')!;
  const { hashes } = await decodePictures(footage.videoPath);
  const row = await playOnce({ platform, upstream: 'city', channelId, cameraLeg: 'udp', upstreamLeg: 'udp', footage, frames: PICTURES, directory }, hashes);
  const faults = row.faults.filter(text => !text.startsWith('first picture'));
  if (faults.length > 0) say(faults.join('; '));
  check(faults.length === 0 && row.pictures > 0, `${row.same} of ${row.pictures} pictures at the platform are those of the source, ${row.lost} packets lost, the first after ${row.firstFrameMs?.toFixed(0) ?? '?'} ms`);
}
