/** The gateway between two SIPps: one is its camera, the other the platform above it. Each judges by its own exit code. */
import t from 'tap';
import type { DeviceRow, SessionRow } from '#contracts/sipd.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import type { Transport } from '../rig/raw-peer.ts';
import { type SippVerdict, sipp } from '../rig/sipp.ts';
import { until } from '../rig/until.ts';

t.setTimeout(90_000);
const DEVICE = '34020000001180000001';
const PLATFORM = '34020000002000000099';
const LOCAL_ID = '34020000002000000002';
const PASSWORD = 'upper-secret';

interface Outcome {
  readonly camera: SippVerdict;
  readonly platform: SippVerdict;
  readonly devices: readonly DeviceRow[];
  readonly sessions: readonly SessionRow[];
  readonly counters: Readonly<Record<string, number>>;
  readonly restarts: number;
}

async function between(below: Transport, above: Transport): Promise<Outcome> {
  const [sipPort, cameraPort, platformPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.3'), await freePort('127.0.0.2')];
  await using lab = await LabGateway.open({
    sipPort,
    config: {
      devices: { media: { lingerS: 0 } },
      upstreams: [{ name: 'up', id: PLATFORM, localId: LOCAL_ID, address: '127.0.0.2', port: platformPort, transport: above === 'TCP' ? 'tcp' : 'udp', password: PASSWORD, retryS: 1, keepaliveS: 5, keepaliveMisses: 1 }],
    },
  });
  const common = { remote: { address: '127.0.0.1', port: sipPort }, directory: lab.directory };
  const [platform, camera] = await Promise.all([
    sipp({ ...common, scenario: 'gateway-platform', asked: 'gateway-platform-asked', transport: above, local: { address: '127.0.0.2', port: platformPort }, keys: { gateway: LOCAL_ID, platform: PLATFORM, password: PASSWORD } }),
    sipp({ ...common, scenario: 'gateway-camera', asked: 'gateway-camera-asked', transport: below, local: { address: '127.0.0.3', port: cameraPort }, keys: { device: DEVICE }, credentials: { username: DEVICE, password: LAB_PASSWORD } }),
  ]);
  await using rpc = await lab.rpc();
  return { platform, camera, devices: await rpc.call('listDevices', {}), sessions: await rpc.call('listSessions', {}), counters: await rpc.call('counters', {}), restarts: lab.sipd.restarts };
}

const combinations = (['UDP', 'TCP'] as const).map(below => ({ below, above: below === 'UDP' ? 'TCP' : 'UDP', outcome: between(below, below === 'UDP' ? 'TCP' : 'UDP') }));

for (const { below, above, outcome } of combinations) {
  await t.test(`camera over ${below}, platform over ${above}: digest both ways, keepalives, catalogue, a call`, { timeout: 60_000 }, async t => {
    const { camera, platform, devices, sessions, counters, restarts } = await outcome;
    t.equal(camera.code, 0, `SIPp as camera: ${camera.said}`);
    t.equal(platform.code, 0, `SIPp as platform: ${platform.said}`);
    t.match(devices, [{ id: DEVICE, name: 'SIPp', channels: 1, state: 'offline', reason: 'unregistered' }]);
    t.same(sessions, []);
    t.equal(counters['sip.malformed'] ?? 0, 0, 'and it sent nothing that we could not read');
    t.equal(restarts, 0);
  });
}

for (const transport of ['UDP', 'TCP'] as const) {
  await t.test(`a platform that subscribes over ${transport}: the full push, then changes in order`, { timeout: 60_000 }, async t => {
    const [sipPort, platformPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.2')];
    const upstream = { name: 'up', id: PLATFORM, localId: LOCAL_ID, address: '127.0.0.2', port: platformPort, transport: transport.toLowerCase(), password: PASSWORD, retryS: 1, catalog: { notifyAfterMs: 150, itemsPerMessage: 1 } };
    const config = { devices: { catalogEveryS: 0 }, upstreams: [upstream] };
    await using lab = await LabGateway.open({ sipPort, config });
    await using rpc = await lab.rpc();
    const channel = (serial: number, online = true, name = `camera ${serial}`): { id: string; name: string; online: boolean } => ({ id: `3402000000132000000${serial}`, name, online });
    await using camera = await CameraSimulator.open({ id: DEVICE, platform: { id: LAB_ID, address: lab.address, port: lab.sipPort }, password: LAB_PASSWORD, channelList: [channel(1), channel(2), channel(3, false)] });
    const isKnown = async (): Promise<boolean> => (await rpc.call('listDevices', {})).some(({ catalog }) => catalog.state === 'complete');
    await until('the catalogue', isKnown);
    const verdict = sipp({ remote: { address: '127.0.0.1', port: sipPort }, directory: lab.directory, scenario: 'gateway-subscriber', asked: 'gateway-platform-asked', transport, local: { address: '127.0.0.2', port: platformPort }, keys: { gateway: LOCAL_ID, platform: PLATFORM, password: PASSWORD } });
    const answered = (count: number): Promise<unknown> => until(`${count} NOTIFYs`, async () => ((await rpc.call('counters', {}))['subscription.notify-accepted'] ?? 0) >= count, 10_000);
    try {
      await answered(1);
      await camera.device.registration.stop(true);
      await answered(3);
      camera.device.registration.start();
      await answered(5);
      await until('no question under way', isKnown);
      camera.device.setChannels([channel(1, true, 'another name'), channel(3, false), channel(4)]);
      await rpc.call('refreshCatalog', { deviceId: DEVICE });
      await answered(8);
      await lab.rewrite({ ...config, upstreams: [{ ...upstream, view: { rules: [{ show: false, names: ['camera 4'] }, {}] } }] });
      t.equal((await rpc.call('reload', { sections: [] })).refused, null);
    } finally {
      const { code, said } = await verdict;
      t.equal(code, 0, `SIPp as subscriber: ${said}`);
    }
    t.equal((await rpc.call('counters', {}))['sip.malformed'] ?? 0, 0);
  });
}
