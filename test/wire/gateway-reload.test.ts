/** What outlives a restart of sipd, and what a reload of the configuration changes and what it leaves alone. */
import t from 'tap';
import { LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPlatform, cameraAnswer, item, offer, xml } from '../rig/gb-peer.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const sipPort = await freePort('127.0.0.1');
const place = { address: '127.0.0.1', port: sipPort };
const platformOf = (serial: number): Promise<GbPlatform> => GbPlatform.open({ id: `340200000020000${serial}`, address: `127.0.0.${serial - 10_000}` }, place);
await using a = await platformOf(10_010);
await using b = await platformOf(10_011);
const localOf = (serial: number): string => `340200000020000${serial}`;
const upstreamOf = (name: string, platform: GbPlatform, local: number, over = {}) => ({ name, id: platform.id, localId: localOf(local), address: platform.raw.address, port: platform.raw.port, retryS: 1, ...over });

const DEVICE = '34020000001180000001';
const TWIN = '34020000001180000002';
const CHANNEL = '34020000001320000001';
const ALSO = '34020000001320000002';
const configuration = (upstreams: object[], known: object[] = []) => ({ devices: { known, media: { lingerS: 0 } }, upstreams }) as Parameters<LabGateway['rewrite']>[0];

await using lab = await LabGateway.open({ sipPort, config: configuration([upstreamOf('a', a, 10_100)]) });
const ask = async <T>(use: (rpc: Awaited<ReturnType<LabGateway['rpc']>>) => Promise<T>): Promise<T> => {
  await using rpc = await lab.rpc();
  return await use(rpc);
};
const reload = (): Promise<string | null> => ask(async rpc => (await rpc.call('reload', { sections: [] })).refused);
const upstreams = (): Promise<string[]> => ask(async rpc => (await rpc.call('listUpstreams', {})).map(row => row.name));
const channels = () => ask(async rpc => (await rpc.call('listChannels', {})).rows);
const devices = () => ask(rpc => rpc.call('listDevices', {}));

await using device = await GbDevice.open(lab, { id: DEVICE, address: '127.0.0.31' });
await using twin = await GbDevice.open(lab, { id: TWIN, address: '127.0.0.32' });
device.items = [item(CHANNEL, 'one'), item(ALSO, 'two')];
twin.items = [item(CHANNEL, 'the other one')];
for (const each of [device, twin]) {
  await each.register();
  await until('its catalogue', async () => (await devices()).find(row => row.id === each.id)?.catalog.state === 'complete');
  each.onInvite = invite => each.raw.answer(invite, 200, { contact: each.raw.contact(invite.uriUser), contentType: 'APPLICATION/SDP', body: cameraAnswer(invite, { address: each.raw.address, port: 41_000 }, invite.uriUser) });
}
const play = async (platform: GbPlatform, channelId: string, y: string): Promise<Call> => {
  const call = new Call(platform, channelId, offer({ address: platform.raw.address, y }));
  await call.final();
  call.ack();
  return call;
};

await t.test('restart: devices, channels and the IDs that platforms know stay', async t => {
  const before = await channels();
  t.equal(before.length, 3);
  t.equal(new Set(before.map(row => row.mapped[0]?.id)).size, 3, 'three channels under three IDs, although two have the same of their own');
  const known = a.registers.length;
  const ready = lab.sipd.next(line => line.msg === 'sipd.ready');
  lab.sipd.signal('SIGTERM');
  await ready;
  t.same(await channels(), before);
  t.match((await devices()).map(({ id, state, channels: count, name }) => ({ id, state, count, name })), [{ id: DEVICE, state: 'online', count: 2, name: 'raw' }, { id: TWIN, state: 'online', count: 1, name: 'raw' }]);
  t.equal(await device.keepalive(), 200, 'devices need not register anew');
  await until('registered above', () => a.registers.length > known);
  t.notOk(device.raw.heard.slice(-3).some(message => message.method === 'BYE'));
  const mapped = before.find(row => row.deviceId === TWIN)!.mapped[0]!.id;
  const call = await play(a, mapped, '0100000021');
  t.equal(call.answer!.status, 200);
  t.equal(twin.raw.heard.findLast(message => message.method === 'INVITE')!.uriUser, CHANNEL, 'the ID still means the same camera');
  t.equal((await call.bye()).status, 200);
});

await t.test('reload: a platform more and a platform less, and running sessions do not notice', async t => {
  const running = await play(a, ALSO, '0100000022');
  t.equal(running.answer!.status, 200);
  const registered = a.registers.length;

  await lab.rewrite(configuration([upstreamOf('a', a, 10_100), upstreamOf('b', b, 10_101)]));
  t.equal(await reload(), null);
  t.same(await upstreams(), ['a', 'b']);
  await until('b hears of us', () => b.registers.length === 1);
  const beside = await play(b, ALSO, '0100000023');
  t.equal(beside.answer!.status, 200);

  await lab.rewrite(configuration([upstreamOf('a', a, 10_100, { share: [ALSO], maxSessions: 7 }), upstreamOf('b', b, 10_101, { keepaliveS: 30 })]));
  t.equal(await reload(), null);
  await until('b hears of the new interval', () => b.registers.length === 2);
  t.equal(b.registers.at(-1)!.header('Expires'), '86400', 'it is never told that we are gone');
  t.not(b.registers[1]!.callId, b.registers[0]!.callId);
  const hidden = new Call(a, CHANNEL, offer({ address: a.raw.address, y: '0100000024' }));
  t.equal((await hidden.final()).status, 403, 'a channel that is no longer shared');
  hidden.ack({ branch: hidden.parts.branch! });

  const ended = b.raw.wait(message => message.method === 'BYE', 'BYE for b');
  await lab.rewrite(configuration([upstreamOf('a', a, 10_100)]));
  t.equal(await reload(), null);
  t.same(await upstreams(), ['a']);
  b.raw.answer(await ended, 200);
  await until('b hears that we are gone', () => b.registers.at(-1)!.header('Expires') === '0');
  t.equal(await b.message(xml('Query', 'Catalog', 8, localOf(10_101)), {}, localOf(10_101)), 403, 'b is a stranger now');
  t.equal(a.registers.length, registered, 'a heard nothing of all that');
  t.notOk(a.raw.heard.some(message => message.method === 'BYE'));
  t.equal((await ask(rpc => rpc.call('listSessions', {}))).length, 1);
  t.equal((await running.bye()).status, 200, 'its session ran through');
});

await t.test('reload: devices that may no longer register are put off; what cannot change alive is refused as a whole', async t => {
  await lab.rewrite(configuration([upstreamOf('a', a, 10_100)], [{ id: TWIN, password: LAB_PASSWORD, networks: ['10.0.0.0/8'] }]));
  t.equal(await reload(), null);
  t.match((await devices()).find(row => row.id === TWIN), { state: 'offline' });
  t.equal(await twin.keepalive(), 404, 'forgotten: it may register where it is admitted');
  t.equal((await twin.register()).status, 403);
  t.equal(await device.keepalive(), 200);

  await lab.rewrite({ ...configuration([upstreamOf('a', a, 10_100), upstreamOf('c', b, 10_102)]), sip: { unknownRequestsPerS: 5 } });
  t.match(await reload(), /^sip: /);
  t.same(await upstreams(), ['a'], 'nothing of it was taken');
  await lab.rewrite({ upstreams: [{ name: 'broken' }] });
  t.match(await reload(), /upstreams/);
  t.same(await upstreams(), ['a']);

  await lab.rewrite(configuration([upstreamOf('a', a, 10_100), upstreamOf('d', b, 10_103, { id: '34020000001180000001' })]));
  t.equal(await reload(), null);
  await using copycat = await GbDevice.open(lab, { id: localOf(10_103), address: '127.0.0.40' });
  t.equal((await copycat.register()).status, 403, 'the IDs of a new platform are nobody else\'s at once');
  t.equal(await a.message(xml('Query', 'DeviceStatus', 9, localOf(10_100)), {}, localOf(10_100)), 200);
});

await t.test('what the configuration takes away is gone at once: a channel from a platform, a device from everybody', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }, { channels: 1, channelList: [{ id: '34020000001320000888', name: 'kept', online: true }] }] });
  const plays = [await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' }), await rig.platforms[0]!.play(rig.idOf(1, 0), { transport: 'udp' })];
  await Promise.all(plays.map(play => play.waitFrames(3)));
  await rig.rewrite({ upstream: { share: ['34020000001320000888'] } });
  t.match(await plays[0]!.waitEnded(), /BYE/, 'its session is ended');
  await plays[1]!.waitPackets(plays[1]!.report.packets + 50);
  t.equal(plays[1]!.report.lost, 0, 'the other goes on without a gap');
  await rig.rewrite({ devices: { admit: [{ prefix: '34020000001180000002', networks: ['127.0.0.0/8'], password: LAB_PASSWORD }] } });
  t.same((await rig.rpc.call('listChannels', {})).rows.map(row => row.channelId), ['34020000001320000888'], 'the channels of a device that is not admitted are nobody\'s');
  await plays[1]!.stop();
  const mediad = await rig.gateway.mediadRpc();
  await rig.gateway.rewrite(rig.configOf({ media: { connectTimeoutS: 3, instances: 4 } }));
  t.type((await rig.rpc.call('reload', { sections: [], checkOnly: true })).refused, 'string', 'asked first, sipd would refuse');
  t.type((await mediad.call('reload', { sections: [], checkOnly: true })).refused, 'string');
  await mediad[Symbol.asyncDispose]();
});
