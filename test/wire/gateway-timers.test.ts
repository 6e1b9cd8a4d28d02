/** What takes as long as a timer of RFC 3261 or of the standard: all of it told at the same time (faults 10, 27, 43; quirk 6). */
import t from 'tap';
import { LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPeer, GbPlatform, cameraAnswer, item, offer } from '../rig/gb-peer.ts';
import { MediaSocket } from '../rig/media-socket.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { type SipText, requestBytes, token } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

t.setTimeout(150_000);
const TIMER_H_MS = 32_000;
const LOCAL_ID = '34020000002000000002';
const DEAF_ID = '34020000002000000003';
const sipPort = await freePort('127.0.0.1');
const gateway = { address: '127.0.0.1', port: sipPort };
await using platform = await GbPlatform.open({ id: '34020000002000000099', address: '127.0.0.10' }, gateway);
await using deaf = await GbPlatform.open({ id: '34020000002000000098', address: '127.0.0.11' }, gateway, { onKeepalive: () => 'drop' });
await using lab = await LabGateway.open({
  sipPort,
  config: {
    devices: { media: { lingerS: 0, inviteTimeoutS: 2, firstPacketS: 3, silenceS: 60 } },
    upstreams: [
      { name: 'up', id: platform.id, localId: LOCAL_ID, address: '127.0.0.10', port: platform.raw.port, keepaliveS: 3600 },
      { name: 'deaf', id: deaf.id, localId: DEAF_ID, address: '127.0.0.11', port: deaf.raw.port, retryS: 1, keepaliveS: 5, keepaliveMisses: 1 },
    ],
  },
});
await using rpc = await lab.rpc();
await using media = await lab.mediadRpc();
const portsAtFirst = (await media.call('load', {})).portsFree;
const catalogOf = async (id: string) => (await rpc.call('listDevices', {})).find(row => row.id === id)!.catalog;

await using closing = new AsyncDisposableStack();

/** A camera of its own for each story, so that none disturbs another. */
async function openCamera(serial: number): Promise<{ camera: GbDevice; channel: string; lens: MediaSocket; invited: () => SipText[] }> {
  const camera = closing.use(await GbDevice.open(lab, { id: `340200000011800${String(serial).padStart(5, '0')}`, address: `127.0.1.${serial}` }));
  const channel = `340200000013200${String(serial).padStart(5, '0')}`;
  camera.items = [item(channel)];
  await camera.register();
  await until('its channel', async () => (await rpc.call('listChannels', { deviceId: camera.id })).total === 1);
  const lens = closing.use(await MediaSocket.open(camera.raw.address));
  return { camera, channel, lens, invited: () => camera.raw.heard.filter(message => message.method === 'INVITE') };
}
const accept = (camera: GbDevice, lens: MediaSocket) => (invite: SipText): void => camera.raw.answer(invite, 200, { contact: camera.raw.contact(invite.uriUser), contentType: 'APPLICATION/SDP', body: cameraAnswer(invite, lens.place, invite.uriUser) });
/** Media for as long as the story lasts. */
function film(lens: MediaSocket, invite: SipText): NodeJS.Timeout {
  const to = { address: '127.0.0.1', port: Number(/^m=video (\d+)/m.exec(invite.body.toString())![1]) };
  const ssrc = Number(/^y=(\d+)/m.exec(invite.body.toString())![1]);
  return setInterval(() => lens.rtp(ssrc, to), 200);
}
let serial = 0;
const invite = (channel: string, from: GbPeer = platform): Call => new Call(from, channel, offer({ address: '127.0.0.10', y: `01${String((serial += 1)).padStart(8, '0')}` }));
const elapsed = (began: number): number => performance.now() - began;

/** Each runs from the start; the tests below only look at how it ended. */
const stories = {
  async noAck() {
    const { camera, channel, lens, invited } = await openCamera(10);
    camera.onInvite = accept(camera, lens);
    const call = invite(channel);
    await call.final();
    const began = performance.now();
    const filming = film(lens, invited()[0]!);
    const bye = await platform.raw.wait(message => message.method === 'BYE' && message.callId === call.parts.callId, 'BYE of the gateway', TIMER_H_MS + 8000);
    platform.raw.answer(bye, 200);
    const after = elapsed(began);
    const below = await camera.raw.wait(message => message.method === 'BYE', 'BYE to the camera');
    camera.raw.answer(below, 200);
    clearInterval(filming);
    const repeated = platform.raw.answersTo(call.parts.callId!).filter(answer => answer.status === 200).length;
    return { after, repeated, stillAlive: await camera.keepalive() };
  },

  async tornConnection() {
    const { camera, channel, lens, invited } = await openCamera(27);
    camera.onInvite = request => camera.raw.answer(request, 100);
    const connection = await RawPeer.tcp(gateway, '127.0.0.10');
    const call = invite(channel, new GbPeer(connection, platform.id, gateway));
    await until('the camera was asked', () => invited().length === 1);
    await connection[Symbol.asyncDispose]();
    accept(camera, lens)(invited()[0]!);
    const began = performance.now();
    const filming = film(lens, invited()[0]!);
    camera.raw.answer(await camera.raw.wait(message => message.method === 'BYE', 'BYE to the camera', TIMER_H_MS + 8000), 200);
    clearInterval(filming);
    return { after: elapsed(began), left: (await rpc.call('listSessions', {})).some(row => row.upstreamCallId === call.parts.callId) };
  },

  async cameraThinksForever() {
    const { camera, channel } = await openCamera(11);
    camera.onInvite = request => camera.raw.answer(request, 180);
    const began = performance.now();
    const call = invite(channel);
    const { status } = await call.final(8000);
    call.ack({ branch: call.parts.branch! });
    const cancelled = await camera.raw.wait(message => message.method === 'CANCEL', 'CANCEL to the camera');
    camera.raw.answer(cancelled, 200);
    return { status, after: elapsed(began) };
  },

  async cameraSendsNothing() {
    const { camera, channel, lens } = await openCamera(12);
    camera.onInvite = accept(camera, lens);
    const call = invite(channel);
    const { status } = await call.final();
    call.ack();
    const began = performance.now();
    const bye = await platform.raw.wait(message => message.method === 'BYE' && message.callId === call.parts.callId, 'BYE to the platform', 10_000);
    platform.raw.answer(bye, 200);
    // It never answers the BYE: everything is released all the same.
    await camera.raw.wait(message => message.method === 'BYE', 'BYE to the camera');
    return { status, after: elapsed(began) };
  },

  async sevenOfTen() {
    const device = closing.use(await GbDevice.open(lab, { id: '34020000001180000043', address: '127.0.1.43' }));
    const channel = (index: number): string => `3402000000132${String(43_000 + index).padStart(7, '0')}`;
    const all = Array.from({ length: 10 }, (_, index) => item(channel(index), `first ${index}`));
    device.items = all;
    await device.register();
    await until('ten channels', async () => (await catalogOf(device.id)).state === 'complete');
    device.items = undefined;
    const refreshed = device.raw.wait(message => message.xml('CmdType') === 'Catalog', 'another query');
    await rpc.call('refreshCatalog', { deviceId: device.id });
    const sn = (await refreshed).xml('SN');
    const began = performance.now();
    for (let index = 0; index < 7; index += 1) await device.message(device.page(sn, 10, [item(channel(index), `second ${index}`)]));
    await until('the end of waiting', async () => (await catalogOf(device.id)).state === 'partial', 40_000);
    const names = (await rpc.call('listChannels', { deviceId: device.id })).rows.map(row => row.name).sort();
    return { after: elapsed(began), names, catalog: await catalogOf(device.id) };
  },

  async deafPlatform() {
    await until('registered anew', () => deaf.registers.length >= 2, 60_000);
    return { keepalives: deaf.keepalives.length, registers: deaf.registers.length };
  },

  async halfBody() {
    const connection = await RawPeer.tcp(gateway, '127.0.0.10');
    const whole = requestBytes({ method: 'MESSAGE', uri: `sip:${LOCAL_ID}@x`, from: `<sip:${platform.id}@x>;tag=h`, to: `<sip:${LOCAL_ID}@x>`, callId: token(), body: 'x'.repeat(500) }, { ...connection.place, transport: 'TCP' });
    connection.send(whole.subarray(0, whole.length - 100));
    const began = performance.now();
    await connection.closed;
    return { after: elapsed(began), heard: connection.heard.length };
  },
};
type Told = { [Name in keyof typeof stories]: Promise<Awaited<ReturnType<(typeof stories)[Name]>>> };
const told = Object.fromEntries(Object.entries(stories).map(([name, story]) => [name, story()])) as Told;
for (const story of Object.values(told)) story.catch(() => undefined);
const limit = { timeout: 60_000 };

await t.test('a camera that thinks for ever is cancelled, and the platform hears 408', limit, async t => {
  const { status, after } = await told.cameraThinksForever;
  t.equal(status, 408);
  t.ok(after > 1900 && after < 4500, `${Math.round(after)} ms after the INVITE`);
});

await t.test('a camera that accepts and sends nothing: BYE on both sides, whether it answers that or not', limit, async t => {
  const { status, after } = await told.cameraSendsNothing;
  t.equal(status, 200);
  t.ok(after > 2500 && after < 6000, `${Math.round(after)} ms after the ACK`);
});

await t.test('half a message on a connection: closed after ten seconds', limit, async t => {
  const { after, heard } = await told.halfBody;
  t.ok(after > 9000 && after < 14_000, `${Math.round(after)} ms`);
  t.equal(heard, 0);
});

await t.test('fault 43: seven of ten items: kept as partial, and the missing three are not deleted', limit, async t => {
  const { after, names, catalog } = await told.sevenOfTen;
  t.ok(after > 29_000 && after < 34_000, `${Math.round(after)} ms after the first`);
  t.match(catalog, { state: 'partial', expected: 10, received: 7 });
  t.same(names, [7, 8, 9].map(index => `first ${index}`).concat([0, 1, 2, 3, 4, 5, 6].map(index => `second ${index}`)));
});

await t.test('fault 10: the ACK never comes: the 200 is repeated, then BYE on both sides', limit, async t => {
  const { after, repeated, stillAlive } = await told.noAck;
  t.ok(after > TIMER_H_MS - 1500 && after < TIMER_H_MS + 2000, `${Math.round(after)} ms after the 200`);
  t.ok(repeated >= 8, `the 200 came ${repeated} times`);
  t.equal(stillAlive, 200);
});

await t.test('fault 27: the connection breaks behind an INVITE: nothing of it stays', limit, async t => {
  const { after, left } = await told.tornConnection;
  t.ok(after < TIMER_H_MS + 2000, `${Math.round(after)} ms after the camera accepted`);
  t.notOk(left);
});

await t.test('a platform that answers no keepalive is registered with anew', limit, async t => {
  const { keepalives, registers } = await told.deafPlatform;
  t.ok(keepalives >= 1);
  t.equal(registers, 2);
});

await t.test('no session, no bridge, every port free', limit, async t => {
  t.same(await rpc.call('listSessions', {}), []);
  await until('every port free', async () => (await media.call('load', {})).portsFree === portsAtFirst);
  t.same((await media.call('listBridges', {})).bridges, []);
  t.equal(lab.sipd.restarts, 0);
});
