/** The bad network lies between two gateways of ours: a camera below the one, a viewer above the other. */
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { SipPath } from '../../impairment/sip-path.ts';
import { catalogued, channelsFor } from '../../lab/catalogued.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, type LabOptions } from '../../lab/gateway.ts';
import { CameraSimulator } from '../../simulators/camera/simulator.ts';
import { pause } from '../../simulators/common/names.ts';
import { Platform } from '../../simulators/platform/platform.ts';
import type { LossOptions } from './camera-leg.ts';
import { type Outcome, watchAll } from './outcome.ts';
import { HALF_ROUND_TRIP_MS, ROWS, type Row, WAIT_MS, waitOf } from './rows.ts';

const PASSWORD = 'bench-secret';
const CITY_ID = '33010000002000000001';
const LOCAL_ID = '33010000002000000099';
const CATALOGUE_LIMIT_MS = 30_000;
const REFRESH_EVERY_MS = 500;
const CAMERA_ID = '34020000001180000001';
/** Where both gateways see each other: through us. */
const PATH_ADDRESS = '127.0.0.3';
const UPPER = { short: { id: '35010000002000000001', localId: '35010000002000000011' }, long: { id: '35010000002000000002', localId: '35010000002000000012' } } as const;
type Wait = keyof typeof UPPER;

type Config = NonNullable<LabOptions['config']>;

/** The upper gateway, and who views what it has. */
interface Upper {
  readonly wait: Wait;
  readonly gateway: LabGateway;
  readonly city: Platform;
}

async function openUpper(wait: Wait, directory: string, closer: Closer): Promise<Upper> {
  const city = closer.use(await Platform.open({ id: CITY_ID, password: PASSWORD }));
  const config = {
    sip: { id: UPPER[wait].id },
    devices: { media: { lingerS: 0, tcpForS: 0 }, admit: [{ networks: ['127.0.0.0/8'], password: LAB_PASSWORD, contactElsewhere: true }] },
    media: { loss: { maxWaitMs: WAIT_MS[wait] } },
    upstreams: [{ name: 'city', id: CITY_ID, address: city.address, port: city.port, localId: LOCAL_ID, password: PASSWORD, retryS: 1 }],
  } as Config;
  return { wait, city, gateway: closer.use(await LabGateway.open({ config, directory: join(directory, `upper-${wait}`) })) };
}

/** ID toward the upper gateway, of every channel by its name; known as soon as the lower gateway has its catalogue. */
type Names = Map<string, Row>;

function pathTo({ gateway }: Upper, names: Names): Promise<SipPath> {
  return SipPath.open({
    clock, address: PATH_ADDRESS, platform: { address: gateway.address, port: gateway.sipPort },
    rules: channelId => {
      const { rules } = names.get(channelId)!;
      return { toPlatform: { ...rules, delayMs: HALF_ROUND_TRIP_MS }, toParty: { ...rules, delayMs: HALF_ROUND_TRIP_MS, seed: rules.seed + 1000 } };
    },
  });
}

export async function gatewayLeg({ rows, pictures, directory, clean }: Omit<LossOptions, 'mode'>): Promise<Outcome[]> {
  await using closer = new Closer();
  const waits = [...new Set(rows.map(waitOf))];
  const uppers: Upper[] = [];
  for (const wait of waits) uppers.push(await openUpper(wait, directory, closer));
  const names: Names = new Map();
  const paths = await Promise.all(uppers.map(upper => pathTo(upper, names)));
  for (const path of paths) closer.use(path);
  const lower = closer.use(await LabGateway.open({ directory: join(directory, 'lower'), config: lowerConfig(uppers, paths) }));
  const channels = channelsFor(rows.map(({ name }) => name));
  const camera = closer.use(await CameraSimulator.open({ id: CAMERA_ID, platform: { id: LAB_ID, address: lower.address, port: lower.sipPort }, password: LAB_PASSWORD, channelList: channels, footage: 'h264' }));
  for (const { name, mapped } of await catalogued(lower, rows.length)) for (const { id } of mapped) names.set(id, ROWS.find(row => row.name === name)!);
  await Promise.all(uppers.map(({ city }) => city.waitRegistered(LOCAL_ID)));
  for (const upper of uppers) await refreshed(upper, rows.length);
  const viewings = rows.map(async (row, index) => {
    const { gateway, city } = uppers.find(({ wait }) => wait === waitOf(row))!;
    const { channelId, mapped } = (await catalogued(gateway, rows.length)).find(({ name }) => name === row.name)!;
    return { row: row.name, gateway, gatewayChannelId: channelId, platform: city, channelId: mapped[0]!.id, camera, cameraChannelId: channels[index]!.id, pictures, recordTo: join(directory, `gateways-${index}`) };
  });
  return await watchAll(await Promise.all(viewings), clean);
}

/** `upper`'s names are what the paths stand for. */
function lowerConfig(uppers: readonly Upper[], paths: readonly SipPath[]): Config {
  const upstreams = uppers.map(({ wait }, index) => ({ name: wait, ...UPPER[wait], ...paths[index]!.place, password: LAB_PASSWORD, retryS: 1 }));
  return { devices: { media: { lingerS: 0 } }, upstreams };
}

/** The lower gateway may have registered before its camera did, and a catalogue may be on its way: it is asked for until all is there. */
async function refreshed({ gateway, wait }: Upper, count: number): Promise<void> {
  await using rpc = await gateway.rpc();
  for (const limit = clock.now() + CATALOGUE_LIMIT_MS; ; await pause(clock, REFRESH_EVERY_MS)) {
    const device = (await rpc.call('listDevices', {})).find(({ id }) => id === UPPER[wait].localId);
    const { rows } = await rpc.call('listChannels', {});
    if (rows.filter(({ mapped }) => mapped.length > 0).length >= count) return;
    if (clock.now() > limit) throw new Error(`${rows.length} of ${count} channels came from ${device?.state ?? 'no'} gateway below`);
    if (device?.state === 'online' && device.catalog.state !== 'running') await rpc.call('refreshCatalog', { deviceId: device.id });
  }
}
