/** Who may register, for how long and from where, and who is believed (faults.md 13-19, 21): the whole gateway, asked over its sockets. */
import t from 'tap';
import { LAB_ID, LAB_PASSWORD, LabGateway } from '../../scripts/lab/gateway.ts';
import { GbDevice, GbPeer, REALM, item, xml } from '../rig/gb-peer.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { authorization, param } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const UPSTREAM_ID = '34020000002000000099';
const LOCAL_ID = '34020000002000000002';
const ROAMER = '34020000001180000050';
const OWN_SECRET = '34020000001180000051';
const idOf = (serial: number): string => `340200000011800${String(serial).padStart(5, '0')}`;

await using lab = await LabGateway.open({
  config: {
    devices: {
      known: [
        { id: ROAMER, password: LAB_PASSWORD, contactElsewhere: true },
        { id: OWN_SECRET, password: 'its-own-secret' },
      ],
    },
    upstreams: [{ name: 'up', id: UPSTREAM_ID, localId: LOCAL_ID, address: '127.0.0.77', enabled: true, retryS: 3600 }],
  },
});
await using rpc = await lab.rpc();
const counter = async (name: string): Promise<number> => (await rpc.call('counters', {}))[name] ?? 0;
const row = async (id: string) => (await rpc.call('listDevices', {})).find(device => device.id === id);
const openDevice = (id: string, address = '127.0.0.1', transport: 'UDP' | 'TCP' = 'UDP'): Promise<GbDevice> => GbDevice.open(lab, { id, address, transport });

/** Registered before everything else; must not notice any of it. */
await using bystander = await openDevice(idOf(1));
await bystander.register();
const undisturbed = async (): Promise<void> => void t.equal(await bystander.keepalive(), 200, 'a device beside it is served as before');

await t.test('fault 13: Expires is clamped, refused when too brief, and never wraps', async t => {
  await using device = await openDevice(idOf(13));
  const asked: [expires: string | null, status: number, granted: string][] = [
    ['60', 200, '60'],
    ['3600', 200, '3600'],
    ['4294967295', 200, '86400'],
    ['4294967296', 200, '86400'],
    ['99999999999999999999', 200, '86400'],
    [null, 200, '86400'],
    ['1', 423, ''],
    ['59', 423, ''],
    ['-1', 200, '86400'],
    ['soon', 200, '86400'],
  ];
  for (const [expires, status, granted] of asked) {
    const answer = await device.register({ expires });
    t.equal(answer.status, status, `Expires: ${expires ?? '(none)'} is answered ${status}`);
    t.equal(answer.header('Expires'), granted);
    if (status === 423) t.equal(answer.header('Min-Expires'), '60');
  }
  const left = (await row(device.id))?.expiresInMs ?? 0;
  t.ok(left > 86_000_000 && left <= 86_400_000, 'the refused ones changed nothing');
  t.equal((await device.register({ expires: '0' })).status, 200);
  t.match(await row(device.id), { state: 'offline', reason: 'unregistered' });
  t.equal((await device.register({ expires: '3600', contact: null })).status, 200, 'without Contact the observed source counts');
  t.equal((await device.register({ expires: '0', contact: '*' })).status, 200, 'Contact: * with Expires: 0');
  t.equal((await device.register({ expires: '3600', contact: '*' })).status, 400, 'Contact: * without');
  await undisturbed();
});

await t.test('fault 14: an ID that is none, or somebody else\'s, gets 403 and no row', async t => {
  await using device = await openDevice(idOf(14));
  for (const id of ['1', '3402000000118000005', '340200000011800000511', 'admin', 'x'.repeat(2000), LAB_ID, UPSTREAM_ID, LOCAL_ID]) {
    const answer = await device.register({ id });
    t.equal(answer.status, 403, id.length > 40 ? `an ID of ${id.length} characters` : id);
    t.equal(await row(id), undefined);
  }
  t.equal((await device.register({ to: idOf(1) })).status, 403, 'From and To are different devices');
  t.equal((await device.register({ username: OWN_SECRET, password: 'its-own-secret' })).status, 403, 'credentials of another device');
  t.equal((await device.register({ username: OWN_SECRET, password: LAB_PASSWORD })).status, 403, 'the right password under the name of another device');
  t.equal((await device.register({ username: 'admin' })).status, 200, 'a user name that is nobody else\'s is accepted (quirk 9)');
  const tel = await device.raw.ask({ ...device.registerParts(), from: '<tel:+8612345>;tag=1', to: '<tel:+8612345>' });
  t.equal(tel.status, 403, 'a From without an ID');
  t.notOk((await rpc.call('listDevices', {})).some(device => device.id.length > 64), 'no overlong name is kept anywhere');
  await undisturbed();
});

await t.test('fault 15: a Contact at another address is taken only from whom the configuration lets', async t => {
  await using device = await openDevice(idOf(15));
  t.equal((await device.register({ contact: `<sip:${device.id}@127.0.0.9:5060>` })).status, 403);
  t.equal(await row(device.id), undefined);
  t.equal((await device.register({ contact: `<sip:${device.id}@camera.example:5060>` })).status, 200, 'a name is never resolved: the source counts');
  await using roamer = await openDevice(ROAMER);
  const answer = await roamer.register({ contact: `<sip:${ROAMER}@127.0.0.9:5060>` });
  t.equal(answer.status, 200);
  t.match(answer.header('Contact'), '@127.0.0.9:5060>;expires=3600');
  const query = await until('the catalogue is asked for', () => roamer.raw.heard.find(message => message.xml('CmdType') === 'Catalog'));
  t.equal(query.uriUser, ROAMER, 'requests go where it sent from, not where its Contact points');
  await undisturbed();
});

await t.test('fault 16: one ID from two addresses: the newest wins, an alarm is raised, flapping is stopped', async t => {
  await using first = await openDevice(idOf(16), '127.0.0.1');
  await using second = await openDevice(idOf(16), '127.0.0.2');
  await first.register();
  const alarm = lab.sipd.next(line => line.msg === 'device.duplicate-id');
  t.equal((await second.register({ callId: 'second' })).status, 200);
  t.match(await alarm, { deviceId: first.id, from: '127.0.0.1', to: '127.0.0.2', refused: false });
  t.match((await row(first.id))?.address, '127.0.0.2:');
  t.equal(await first.keepalive(), 403, 'the older one learns that it is not registered any more');
  t.equal((await first.register()).status, 200);
  t.equal((await second.register({ callId: 'second' })).status, 200);
  const refused = await first.register();
  t.equal(refused.status, 503, 'more than three moves a minute');
  t.equal(refused.header('Retry-After'), '60');
  t.match((await row(first.id))?.address, '127.0.0.2:', 'the binding that stands is kept');
  t.equal(await second.keepalive(), 200);
  t.ok((await counter('device.duplicate-id')) >= 3);
  await using thief = await openDevice(idOf(1), '127.0.0.3');
  t.equal((await thief.register({ password: 'guessed' })).status, 403, 'without the password nobody moves a device');
  await undisturbed();
});

await t.test('fault 17: five wrong passwords lock this source and ID out, and nobody else', async t => {
  await using device = await openDevice(idOf(17), '127.0.0.17');
  for (let attempt = 1; attempt <= 5; attempt += 1) t.equal((await device.register({ password: `guess-${attempt}` })).status, 403, `guess ${attempt}`);
  const silenced = device.raw.request(device.registerParts({ callId: 'locked' }));
  await using neighbour = await openDevice(idOf(170), '127.0.0.17');
  t.equal((await neighbour.register()).status, 200, 'another ID at the same address registers');
  const sentinel = await device.registerOnce({ id: idOf(171), callId: 'sentinel' });
  t.equal(sentinel.status, 401);
  t.same(device.raw.answersTo(silenced), [], 'locked: not a word, not even 401');
  await using elsewhere = await openDevice(idOf(17), '127.0.0.18');
  t.equal((await elsewhere.register()).status, 200, 'the device itself, at its own address, registers');
  t.ok((await counter('register.silent')) >= 1);
  await undisturbed();
});

await t.test('fault 18: credentials that were seen on the wire serve nobody a second time', async t => {
  await using device = await openDevice(idOf(18));
  const challenge = await device.registerOnce();
  const captured = device.credentials(challenge);
  t.equal((await device.registerOnce({}, captured)).status, 200);
  const replay = await device.registerOnce({ expires: '86400' }, captured);
  t.equal(replay.status, 401);
  t.ok(replay.headers('WWW-Authenticate').every(value => param(value, 'stale') === 'true'), 'stale=true: the device tries again at once');
  t.equal((await device.registerOnce({ expires: '0' }, captured)).status, 401, 'not even to unregister it');
  await using attacker = await openDevice(idOf(18), '127.0.0.19');
  t.equal((await attacker.registerOnce({ callId: device.callId }, captured)).status, 401, 'from another address the nonce is nothing');
  const bare = await device.registerOnce();
  const plain = device.credentials(bare, { plain: true });
  t.equal((await device.registerOnce({}, plain)).status, 200, 'without qop as well');
  t.equal((await device.registerOnce({}, plain)).status, 401, 'once');
  const left = (await row(device.id))?.expiresInMs ?? 0;
  t.ok(left > 3_500_000 && left <= 3_600_000, 'no state was changed by a replay');
  await undisturbed();
});

await t.test('fault 19: a wrong answer with an nc far ahead does not spoil the real client', async t => {
  await using device = await openDevice(idOf(19));
  const challenge = (await device.registerOnce()).headers('WWW-Authenticate')[0]!;
  const credentials = (nc: number, response?: string): string =>
    authorization(challenge, { username: device.id, password: LAB_PASSWORD, method: 'REGISTER', uri: `sip:${LAB_ID}@${REALM}`, nc, ...(response === undefined ? {} : { response }) });
  t.equal((await device.registerOnce({}, credentials(1))).status, 200);
  t.equal((await device.registerOnce({}, credentials(0xfffffff0, '0'.repeat(32)))).status, 403);
  t.equal((await device.registerOnce({}, credentials(2))).status, 200, 'the next nc of the real client is still good');
  t.equal((await device.registerOnce({}, credentials(2))).status, 401, 'and only once');
  await undisturbed();
});

await t.test('fault 21: what a stranger says is not believed', async t => {
  await using stranger = await GbDevice.open(lab, { id: idOf(210), address: '127.0.0.21' });
  const before = await counter('request.stranger');
  t.equal(await stranger.message(stranger.page(1, 1, [item('34020000001320000666')])), 403, 'a catalogue');
  t.equal(await stranger.keepalive(), 404, 'a keepalive of somebody unknown: it shall register');
  t.equal((await stranger.ask('SUBSCRIBE', LAB_ID, { headers: ['Event: Catalog', 'Expires: 60'], contact: stranger.raw.contact('x') })).status, 403);
  for (const method of ['NOTIFY', 'INFO', 'BYE']) t.equal((await stranger.ask(method, LAB_ID, { headers: ['Event: Catalog', 'Subscription-State: active'] })).status, 481, `${method} outside of every dialog`);
  t.equal((await stranger.ask('INVITE', '34020000001320000001', { contact: stranger.raw.contact('x') })).status, 403);
  t.equal((await counter('request.stranger')) - before, 3);
  const probed = stranger.raw.request(stranger.parts('OPTIONS', '34020000002000000777'));
  t.equal(await stranger.keepalive(), 404);
  t.same(stranger.raw.answersTo(probed), [], 'OPTIONS of a stranger to anybody: silence');
  t.equal((await stranger.ask('OPTIONS', LAB_ID)).status, 200, 'to us, from where devices may come from: a ping');
  t.equal((await bystander.ask('OPTIONS', LAB_ID)).status, 200, 'of a registered device: 200');
  t.equal((await bystander.ask('INVITE', '34020000001320000001', { contact: bystander.raw.contact('x') })).status, 403, 'a device does not invite');
  t.equal((await bystander.ask('SUBSCRIBE', LAB_ID, { headers: ['Event: presence'], contact: bystander.raw.contact('x') })).status, 489);
  t.equal((await rpc.call('listChannels', {})).rows.find(channel => channel.channelId === '34020000001320000666'), undefined);
});

await t.test('fault 21: nor what he says in the name of a registered device or of a platform', async t => {
  await using device = await openDevice(idOf(22));
  device.items = undefined;
  await device.register();
  const query = await device.raw.wait(message => message.xml('CmdType') === 'Catalog', 'the catalogue query');
  await using impostor = await GbDevice.open(lab, { id: device.id, address: '127.0.0.22' });
  const poison = device.page(query.xml('SN'), 1, [item('34020000001320000667', 'poisoned')]);
  t.equal(await impostor.message(poison), 403, 'the answer to a query that we did send');
  t.equal(await impostor.message(xml('Response', 'DeviceInfo', 1, device.id, '<Result>OK</Result><DeviceName>poisoned</DeviceName>')), 403);
  t.equal(await impostor.keepalive(), 403);
  t.equal((await row(device.id))?.lastKeepaliveAgeMs, null, 'no keepalive was noted');
  const probed = impostor.raw.request(impostor.parts('OPTIONS', '34020000002000000777'));
  t.equal(await impostor.keepalive(), 403);
  t.same(impostor.raw.answersTo(probed), []);
  await using platform = await GbPeer.rawFor(lab, { id: UPSTREAM_ID, address: '127.0.0.23' });
  const claim = new GbPeer(platform, UPSTREAM_ID, { address: lab.address, port: lab.sipPort });
  t.equal(await claim.message(xml('Query', 'Catalog', 5, LOCAL_ID), {}, LOCAL_ID), 403, 'a platform asks from an address that is not its own');
  t.equal((await claim.ask('INVITE', '34020000001320000001', { contact: platform.contact('x') })).status, 403);
  t.equal(await device.message(device.page(query.xml('SN'), 1, [item('34020000001320000022')])), 200, 'the device itself is believed');
  await until('its catalogue is complete', async () => (await row(device.id))?.catalog.state === 'complete');
  t.same((await rpc.call('listChannels', { deviceId: device.id })).rows.map(channel => channel.channelId), ['34020000001320000022']);
  t.equal((await row(device.id))?.name, null);
  await undisturbed();
});

await t.test('quirk 63: another From at the only device\'s address is that device; at an address of several it is nobody', async t => {
  await using device = await openDevice(idOf(63), '127.0.0.63');
  await device.register();
  await using alias = new GbDevice(device.raw, '34020000001320006301', { address: lab.address, port: lab.sipPort });
  t.equal((await alias.ask('OPTIONS', LAB_ID)).status, 200);
  t.equal(await alias.keepalive(), 404, 'but a keepalive under a name that never registered makes it register');
  await using second = await openDevice(idOf(64), '127.0.0.63');
  await second.register();
  t.equal(await alias.message(xml('Response', 'DeviceInfo', 1, alias.id, '<Result>OK</Result>')), 403);
});

await t.test('TCP: a device on a connection is online as long as the connection', async t => {
  const device = await openDevice(idOf(70), '127.0.0.70', 'TCP');
  t.equal((await device.register()).status, 200);
  t.equal(await device.keepalive(), 200);
  t.match(await row(device.id), { state: 'online', transport: 'TCP' });
  const offline = lab.sipd.next(line => line.msg === 'device.offline' && line['deviceId'] === device.id);
  await device[Symbol.asyncDispose]();
  t.equal((await offline)['reason'], 'connection-lost');
  await using again = await openDevice(idOf(70), '127.0.0.70', 'TCP');
  t.equal(await again.keepalive(), 200, 'a keepalive within the binding brings it back');
  t.match(await row(device.id), { state: 'online' });
  await using other = await RawPeer.tcp({ address: lab.address, port: lab.sipPort }, '127.0.0.71');
  const claim = new GbPeer(other, device.id, { address: lab.address, port: lab.sipPort });
  t.equal(await claim.keepalive(), 403, 'not from another address');
});
