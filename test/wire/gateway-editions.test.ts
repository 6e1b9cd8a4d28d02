/** What the 2022 edition adds around the usual: notices of long work, redirection, what a device said of itself over a restart. */
import t from 'tap';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { buildKeepAlive } from '#core/db33/ddcp.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { GbDevice } from '../rig/gb-peer.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const SESSION = '0d9c1e64cc9741c29a39c7b0a3f26b18';
const OF_ZHEJIANG = '330106000201000001';
const REDIRECTED = '34020000001180000077';

await using rig = await openRelayRig({
  cameras: [{ channels: 2 }],
  platforms: 2,
  devices: {
    known: [{ id: REDIRECTED, password: LAB_PASSWORD }, { id: OF_ZHEJIANG, password: LAB_PASSWORD, dialect: 'db33-629' }],
    redirects: [{ prefix: REDIRECTED, id: '34020000002000000009', address: '127.0.0.9', port: 5061, expiresS: 600 }],
  },
});
const [city, other] = rig.platforms;
const { device } = rig.cameras[0]!;
const channelId = device.channels[0]!.id;
const finished = (sessionId: string): string =>
  buildManscdp('Notify', 'UploadSnapShotFinished', { sn: 98, deviceId: channelId }, `<SessionID>${sessionId}</SessionID><SnapShotList><SnapShotFileID>${channelId}022026031008000112301</SnapShotFileID><SnapShotFileID>340200000013200009990220260310080001123</SnapShotFileID></SnapShotList>`);

await t.test('a snapshot that is done is told to the platform that asked for it, under its own IDs', async t => {
  const id = rig.idOf(0, 0);
  await city!.ask('Control', 'DeviceConfig', id, `<SnapShotConfig><SnapNum>1</SnapNum><Interval>1</Interval><UploadURL>http://192.0.2.20/snap</UploadURL><SessionID>${SESSION}</SessionID></SnapShotConfig>`);
  // Another one cannot make it its own.
  await other!.ask('Control', 'DeviceConfig', rig.idOf(0, 0, 1), `<SnapShotConfig><SnapNum>1</SnapNum><Interval>1</Interval><UploadURL>http://192.0.2.21/snap</UploadURL><SessionID>${SESSION}</SessionID></SnapShotConfig>`);
  t.equal(await device.send(finished(SESSION)), 200);
  await until('told', () => city!.notices.length === 1);
  const [notice] = city!.notices;
  t.match(notice, { root: 'Notify', cmdType: 'UploadSnapShotFinished', deviceId: id });
  const files = notice!.element.children.find(({ key }) => key === 'snapshotlist')!.children.map(({ text }) => text);
  t.same(files, [`${id}022026031008000112301`], 'nothing of the network below goes up');
  t.equal(await device.send(finished('somebody-else')), 200);
  await until('counted', async () => (await rig.rpc.call('counters', {}))['session-notice.nobody-asked'] === 1);
  t.equal(other!.notices.length, 0);
});

await t.test('one SessionID for two cameras: each is told as what it is', async t => {
  const session = SESSION.replace('0d9c', 'beef');
  for (const channel of [0, 1]) await city!.ask('Control', 'DeviceConfig', rig.idOf(0, channel), `<SnapShotConfig><SnapNum>1</SnapNum><Interval>1</Interval><UploadURL>http://192.0.2.20/snap</UploadURL><SessionID>${session}</SessionID></SnapShotConfig>`);
  const before = city!.notices.length;
  t.equal(await device.send(finished(session)), 200);
  t.equal(await device.send(finished(session).replaceAll(channelId, device.channels[1]!.id)), 200);
  await until('told', () => city!.notices.length === before + 2);
  t.same(city!.notices.slice(before).map(({ deviceId }) => deviceId), [rig.idOf(0, 0), rig.idOf(0, 1)]);
});

await t.test('a device of 2022 is sent elsewhere, one of 2016 is not', async t => {
  await using old = await GbDevice.open(rig.gateway, { id: REDIRECTED });
  t.equal((await old.register()).status, 200);
  const moved = await old.register({ headers: ['X-GB-Ver: 3.0'] });
  t.equal(moved.status, 302);
  t.equal(moved.header('Contact'), '<sip:34020000002000000009@127.0.0.9:5061>');
  t.equal(moved.header('Expires'), '600');
  t.equal((await rig.rpc.call('listDevices', {})).find(row => row.id === REDIRECTED)?.state, 'offline');
});

await t.test('the edition of a device outlives a restart: it is asked in its own words', async t => {
  const text = parseManscdp(finished(SESSION));
  t.ok(text.ok);
  await using modern = await GbDevice.open(rig.gateway, { id: '34020000001180000088' });
  t.equal((await modern.register({ headers: ['X-GB-Ver: 3.0', 'User-Agent: Dahua 2.0'] })).status, 200);
  const row = async () => (await rig.rpc.call('listDevices', {})).find(each => each.id === modern.id);
  t.match(await row(), { edition: '2022', dialect: 'dahua' });
  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGTERM');
  await ready;
  await rig.reconnect();
  t.match(await row(), { edition: '2022', dialect: 'dahua' });
});

await t.test('DB33/T 629, as far as it is known: registration and keepalive by DO', async t => {
  await using device = await GbDevice.open(rig.gateway, { id: OF_ZHEJIANG });
  t.equal((await device.register()).status, 200);
  const contentType = 'Application/DDCP';
  const say = async (body: string): Promise<number | undefined> => (await device.ask('DO', LAB_ID, { body, contentType })).status;
  t.equal(await say(buildKeepAlive()), 200);
  t.equal(await say('<Action><Variable>Weather</Variable></Action>'), 501);
  t.equal(await say('<Notify/>'), 400);
  t.match(await rig.rpc.call('counters', {}), { 'ddcp.keepalive': 1, 'ddcp.unknown': 1, 'ddcp.malformed': 1, 'keepalive.200': /\d/ });
  t.equal((await rig.rpc.call('listDevices', {})).find(row => row.id === OF_ZHEJIANG)?.dialect, 'db33-629');
  await using other = await GbDevice.open(rig.gateway, { id: '34020000001180000088' });
  t.equal((await other.register()).status, 200);
  t.equal((await other.ask('DO', LAB_ID, { body: buildKeepAlive(), contentType })).status, 405, 'nobody else');
});
