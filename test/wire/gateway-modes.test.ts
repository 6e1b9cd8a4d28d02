import t from 'tap';
import { LAB_ID, LAB_PASSWORD, LabGateway } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';
import { CITY_ID, CITY_LOCAL_ID, assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);

await t.test('one fixed port per transport: streams are told apart by SSRC', async t => {
  const id = (index: number): string => `3402000000118000040${index}`;
  const transports = ['udp', 'udp', 'tcp-passive', 'tcp-passive'] as const;
  await using rig = await openRelayRig({
    cameras: transports.map((_, index) => ({ id: id(index), channelList: [{ id: `3402000000132000040${index}`, name: `c${index}`, online: true }], footage: index % 2 === 0 ? ('h264-g711a' as const) : ('h265-aac' as const) })),
    devices: { media: { lingerS: 0 }, known: transports.map((transport, index) => ({ id: id(index), password: LAB_PASSWORD, transport })) },
    media: { ports: { mode: 'fixed', fixedUdp: 18_800, fixedTcp: 18_800 } },
  });
  const plays = await Promise.all(transports.map((_, index) => rig.platforms[0]!.play(rig.idOf(index, 0), { transport: (['udp', 'tcp-active', 'tcp-passive', 'udp'] as const)[index]! })));
  await Promise.all(plays.map(play => play.waitFrames(40)));
  const sessions = await rig.rpc.call('listSessions', {});
  t.same([...new Set(sessions.map(session => session.bridge?.source.local.port))], [18_800], 'every camera sends to the one port');
  const reports = await Promise.all(plays.map(play => play.stop()));
  t.same(reports.map(({ damaged, lost }) => [damaged, lost]), Array.from(transports, () => [0, 0]));
  t.same(reports.map(report => report.codec), ['h264', 'h265', 'h264', 'h265'], 'nobody gets the picture of another');
  await assertReleased(rig);
});

await t.test('IPv6 from end to end', async t => {
  await using platform = await Platform.open({ id: CITY_ID, password: 'six', address: '::1' });
  const upstream = { name: 'six', id: CITY_ID, address: '::1', port: platform.port, localId: CITY_LOCAL_ID, password: 'six', retryS: 1 };
  await using gateway = await LabGateway.open({ address: '::1', config: { upstreams: [upstream] } });
  await using camera = await CameraSimulator.open({ platform: { id: LAB_ID, address: '::1', port: gateway.sipPort }, password: LAB_PASSWORD, localAddress: '::1', channels: 1 });
  await platform.waitRegistered(CITY_LOCAL_ID);
  await using rpc = await gateway.rpc();
  await until('the catalogue', async () => (await rpc.call('listChannels', {})).total === 1);
  for (const transport of ['udp', 'tcp-passive', 'tcp-active'] as const) {
    const play = await platform.play(camera.device.channels[0]!.id, { transport });
    await play.waitFrames(10);
    const { damaged, lost, frames } = await play.stop();
    t.same({ damaged, lost }, { damaged: 0, lost: 0 }, `${transport}: ${frames} frames`);
  }
});

await t.test('10,000 channels, up and down, and still there after a restart', async t => {
  await using platform = await Platform.open({ id: CITY_ID, password: 'many' });
  const upstream = { name: 'many', id: CITY_ID, address: '127.0.0.1', port: platform.port, transport: 'tcp', localId: CITY_LOCAL_ID, password: 'many', retryS: 1 };
  await using gateway = await LabGateway.open({ config: { upstreams: [upstream] } });
  await using _camera = await CameraSimulator.open({ platform: { id: LAB_ID, address: gateway.address, port: gateway.sipPort }, password: LAB_PASSWORD, channels: 10_000, transport: 'tcp', itemsPerMessage: 100 });
  let rpc = await gateway.rpc();
  await until('the whole catalogue', async () => (await rpc.call('listChannels', { limit: 1 })).total === 10_000, 30_000);
  await platform.waitRegistered(CITY_LOCAL_ID);
  const before = await platform.catalog({ timeoutMs: 30_000 });
  const cameras = before.items.filter(item => item.deviceId.slice(10, 13) === '132');
  t.equal(cameras.length, 10_000, `in ${before.messages} messages`);
  t.ok(before.complete);
  t.ok(cameras.every(item => item.status === 'ON' && item.parentId === CITY_LOCAL_ID));
  await rpc[Symbol.asyncDispose]();
  await gateway.sipd.crash();
  rpc = await gateway.rpc();
  t.equal((await rpc.call('listChannels', { limit: 1 })).total, 10_000, 'channels are there at once');
  await platform.waitRegistered(CITY_LOCAL_ID);
  const after = await platform.catalog({ timeoutMs: 30_000 });
  t.same(after.items.map(item => item.deviceId), before.items.map(item => item.deviceId), 'under the same IDs');
  await rpc[Symbol.asyncDispose]();
});
