/** A pair of nodes with one camera below and one platform above: for the tests and the bench. */
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import { Platform } from '../simulators/platform/platform.ts';
import type { Play } from '../simulators/platform/play.ts';
import { LAB_ID, LAB_PASSWORD } from './gateway.ts';
import { PairLab, SIP_ADDRESS, WORLD } from './pair.ts';

const CITY_ID = '33010000002000000001';
const CITY_LOCAL_ID = '33010000002000000099';
const PASSWORD = 'city-secret';
const CATALOGUE_MS = 30_000;
const LOOK_MS = 20;

export interface PairScene extends AsyncDisposable {
  readonly lab: PairLab;
  readonly platform: Platform;
  readonly camera: CameraSimulator;
  readonly ids: readonly string[];
}

/** Everybody is registered, and every channel known. */
export async function openPairScene(channels: number): Promise<PairScene> {
  await using opening = new Closer();
  const platform = opening.use(await Platform.open({ id: CITY_ID, password: PASSWORD, address: WORLD }));
  const lab = opening.use(await PairLab.open({ config: { upstreams: [{ name: 'city', id: CITY_ID, address: WORLD, port: platform.port, localId: CITY_LOCAL_ID, password: PASSWORD, retryS: 1 }] } }));
  const first = await lab.active(60_000);
  const camera = opening.use(await CameraSimulator.open({ id: '34020000001180000001', localAddress: WORLD, platform: { id: LAB_ID, address: SIP_ADDRESS, port: 5060 }, password: LAB_PASSWORD, channels }));
  await camera.registered();
  await platform.waitRegistered(CITY_LOCAL_ID, 30_000);
  await using rpc = await first.sipd();
  let ids: string[] | undefined;
  for (const limit = clock.now() + CATALOGUE_MS; ids === undefined; await pause(clock, LOOK_MS)) {
    if (clock.now() > limit) throw new Error(`not every channel within ${CATALOGUE_MS} ms`);
    const { rows } = await rpc.call('listChannels', { limit: channels });
    if (rows.length === channels && rows.every(({ mapped }) => mapped.length === 1)) ids = rows.map(({ mapped }) => mapped[0]!.id);
  }
  const closer = opening.release();
  return { lab, platform, camera, ids, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

/** Longest time between two pictures since then. */
export function gapSince({ markers }: Play, sinceMs: number): number {
  const times = markers.map(({ atMs }) => atMs).filter(atMs => atMs >= sinceMs);
  return Math.max(...times.map((atMs, i) => (i === 0 ? 0 : atMs - times[i - 1]!)));
}
