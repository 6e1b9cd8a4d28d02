/** A pair of nodes with one camera below and one platform above: for the tests and the bench. */
import type { ChannelRow } from '#contracts/sipd.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import type { LoadedFootage } from '../media/footage.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import { Platform, type PlatformOptions } from '../simulators/platform/platform.ts';
import type { Play } from '../simulators/platform/play.ts';
import { LAB_ID, LAB_PASSWORD } from './gateway.ts';
import { PairLab, type PairOptions, SIP_ADDRESS, WORLD } from './pair.ts';

const CITY_ID = '33010000002000000001';
export const CITY_LOCAL_ID = '33010000002000000099';
const PASSWORD = 'city-secret';
const cameraId = (index: number): string => `3402000000118000000${index + 1}`;
const CATALOGUE_MS = 30_000;
const LOOK_MS = 20;

export interface PairScene extends AsyncDisposable {
  readonly lab: PairLab;
  readonly platform: Platform;
  /** The first of them. */
  readonly camera: CameraSimulator;
  readonly cameras: readonly CameraSimulator[];
  /** Of the channels at the platform, in the order of cameras. */
  readonly ids: readonly string[];
}

export interface PairSceneOptions extends PairOptions {
  /** One camera each: how it sends to us, in our role. */
  readonly transports?: readonly ('udp' | 'tcp-active' | 'tcp-passive')[];
  /** Of all cameras, in place of the footage. */
  readonly pictures?: LoadedFootage;
  /** Beside the platform of the scene. */
  readonly upstreams?: readonly Readonly<Record<string, unknown>>[];
  /** Of the platform's end. */
  readonly onTrace?: PlatformOptions['onTrace'];
}

/** `channels` of each camera. Everybody is registered, and every channel known. */
export async function openPairScene(channels: number, { transports = ['udp'], pictures, config = {}, cluster = {}, stock, upstreams: others = [], onTrace }: PairSceneOptions = {}): Promise<PairScene> {
  await using opening = new Closer();
  const platform = opening.use(await Platform.open({ id: CITY_ID, password: PASSWORD, address: WORLD, ...(onTrace !== undefined && { onTrace }) }));
  const upstreams = [{ name: 'city', id: CITY_ID, address: WORLD, port: platform.port, localId: CITY_LOCAL_ID, password: PASSWORD, retryS: 1, keepaliveS: 5 }, ...others];
  const devices = { known: transports.map((transport, i) => ({ id: cameraId(i), password: LAB_PASSWORD, transport })), admit: [{ networks: ['10.97.0.0/24'], password: LAB_PASSWORD }], media: { lingerS: 0 } };
  const lab = opening.use(await PairLab.open({ cluster, stock, config: { upstreams, devices, ...config } }));
  await lab.active(60_000);
  const cameras: CameraSimulator[] = [];
  for (const i of transports.keys()) cameras.push(opening.use(await CameraSimulator.open({ id: cameraId(i), localAddress: WORLD, platform: { id: LAB_ID, address: SIP_ADDRESS, port: 5060 }, password: LAB_PASSWORD, channels, ...(pictures === undefined ? {} : { pictures }) })));
  await Promise.all(cameras.map(camera => camera.registered()));
  await platform.waitRegistered(CITY_LOCAL_ID, 30_000);
  const ids = await publishedIds(lab, cameras, channels);
  const closer = opening.release();
  return { lab, platform, camera: cameras[0]!, cameras, ids, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

const cityIdOf = ({ mapped }: Pick<ChannelRow, 'mapped'>): string | undefined => mapped.find(({ upstream }) => upstream === 'city')?.id;

/** Asked of whoever is active: on a busy machine that may be the other one by now. */
async function publishedIds(lab: PairLab, cameras: readonly CameraSimulator[], channels: number): Promise<readonly string[]> {
  const wanted = cameras.length * channels;
  for (const limit = clock.now() + CATALOGUE_MS; clock.now() < limit; await pause(clock, LOOK_MS)) {
    await using rpc = await (await lab.active()).sipd();
    const { rows } = await rpc.call('listChannels', { limit: wanted, within: cameras.map(({ device }) => device.id) }).catch(() => ({ rows: [] }));
    if (rows.length === wanted && rows.every(row => cityIdOf(row) !== undefined)) return cameras.flatMap(({ device }) => rows.filter(({ deviceId }) => deviceId === device.id).map(row => cityIdOf(row)!));
  }
  throw new Error(`not every channel within ${CATALOGUE_MS} ms`);
}

/** Longest time between two pictures since then. */
export function gapSince({ markers }: Play, sinceMs: number): number {
  const times = markers.map(({ atMs }) => atMs).filter(atMs => atMs >= sinceMs);
  return Math.max(...times.map((atMs, i) => (i === 0 ? 0 : atMs - times[i - 1]!)));
}
