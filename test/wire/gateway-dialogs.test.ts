/** Dialogs through the whole gateway when requests come twice, too late, in the wrong order or cut in pieces (faults 9-12, 27, 50). */
import t, { type Test } from 'tap';
import { LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPeer, GbPlatform, cameraAnswer, item, offer, xml } from '../rig/gb-peer.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { type SipText, requestBytes, token } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const LOCAL_ID = '34020000002000000002';
const CHANNEL = '34020000001320000001';
const sipPort = await freePort('127.0.0.1');
await using platform = await GbPlatform.open({ id: '34020000002000000099', address: '127.0.0.10' }, { address: '127.0.0.1', port: sipPort });
await using lab = await LabGateway.open({
  sipPort,
  config: {
    devices: { media: { lingerS: 0 } },
    upstreams: [{ name: 'up', id: platform.id, localId: LOCAL_ID, address: '127.0.0.10', port: platform.raw.port, networks: ['127.0.0.11/32'] }],
  },
});
await using rpc = await lab.rpc();
await using media = await lab.mediadRpc();
const free = async (): Promise<number> => (await media.call('load', {})).portsFree;
const portsAtFirst = await free();

await using camera = await GbDevice.open(lab, { id: '34020000001180000001', address: '127.0.0.20' });
camera.items = [item(CHANNEL)];
await camera.register();
await until('its channel', async () => (await rpc.call('listChannels', {})).total === 1);
const accept = (invite: SipText): void => camera.raw.answer(invite, 200, { contact: camera.raw.contact(CHANNEL), contentType: 'APPLICATION/SDP', body: cameraAnswer(invite, { address: camera.raw.address, port: 41_000 }, CHANNEL) });

let ssrc = 100_000;
const invite = (over = {}): Call => new Call(platform, CHANNEL, offer({ address: platform.raw.address, y: `0${String(100_000_000 + (ssrc += 1))}` }), over);
const invitesAtCamera = (): SipText[] => camera.raw.heard.filter(message => message.method === 'INVITE');
/** Of its latest call. */
const atCamera = (method: string): Promise<SipText> => camera.raw.wait(message => message.method === method && message.callId === invitesAtCamera().at(-1)!.callId, method);

/** Nothing of a session is left. Its ports rest for some seconds: they are counted at the end. */
async function released(t: Pick<Test, 'same' | 'equal'>): Promise<void> {
  await until('no bridge', async () => (await media.call('listBridges', {})).bridges.length === 0);
  t.same(await rpc.call('listSessions', {}), []);
}

async function playing(): Promise<Call> {
  camera.onInvite = accept;
  const call = invite();
  const { status } = await call.final();
  if (status !== 200) throw new Error(`INVITE was answered ${status}`);
  call.ack();
  await atCamera('ACK');
  return call;
}

async function hangUp(call: Call, seq: number, t: Pick<Test, 'same' | 'equal'>): Promise<void> {
  t.equal((await call.bye({ seq })).status, 200);
  camera.raw.answer(await atCamera('BYE'), 200);
  await released(t);
}

await t.test('fault 9: a branch that comes again with another body gets the old answer and starts nothing', async t => {
  camera.onInvite = request => camera.raw.answer(request, 486);
  const before = invitesAtCamera().length;
  const call = invite();
  t.equal((await call.final()).status, 486);
  for (const body of [offer({ address: '127.0.0.66' }), offer({ address: platform.raw.address, port: 50_000 })]) platform.raw.request({ ...call.parts, body });
  await until('the answer to each repetition', () => platform.raw.answersTo(call.parts.callId!).filter(answer => answer.status === 486).length >= 3);
  call.ack({ branch: call.parts.branch! });
  t.equal(invitesAtCamera().length, before + 1);
  const query = platform.parts('MESSAGE', LOCAL_ID, { branch: `z9hG4bK${token()}`, callId: token(), body: xml('Query', 'DeviceStatus', 31, LOCAL_ID) });
  t.equal((await platform.raw.ask(query)).status, 200);
  platform.raw.request({ ...query, body: xml('Query', 'DeviceStatus', 32, LOCAL_ID) });
  await until('the repeated 200', () => platform.raw.answersTo(query.callId!).length === 2);
  t.equal((await platform.raw.wait(message => message.xml('CmdType') === 'DeviceStatus', 'the Response')).xml('SN'), '31');
  const last = platform.parts('MESSAGE', LOCAL_ID, { body: xml('Query', 'DeviceStatus', 33, LOCAL_ID) });
  await platform.raw.ask(last);
  t.equal((await platform.raw.wait(message => message.xml('CmdType') === 'DeviceStatus', 'the next Response')).xml('SN'), '33', 'none for the forged one');
  await released(t);
});

await t.test('a platform that refreshes its session gets the same answer, one that changes it 488', async t => {
  const call = await playing();
  const first = call.parts.seq!;
  const reinvite = async (seq: number, body: string): Promise<SipText> => {
    const request = call.inside('INVITE', { seq, body, contentType: 'APPLICATION/SDP', contact: call.parts.contact! });
    platform.raw.request(request);
    const answer = await platform.raw.final(request.callId!, seq, 'INVITE');
    platform.raw.request(call.inside('ACK', { seq }));
    return answer;
  };
  const offered = call.parts.body!.toString();
  const same = await reinvite(first + 1, offered);
  t.equal(same.status, 200);
  t.equal(same.body.toString(), call.answer!.body.toString(), 'the same SDP');
  t.equal((await reinvite(first + 2, offered.replace(/m=video \d+/, 'm=video 45678'))).status, 488);
  t.equal((await rpc.call('listSessions', {})).length, 1, 'the session goes on');
  await hangUp(call, first + 3, t);
});

await t.test('fault 12: a wrong To tag is no dialog', async t => {
  const call = await playing();
  const to = call.answer!.header('To').replace(/tag=[^;]+/, 'tag=somebodyelse');
  t.equal((await call.bye({ seq: call.parts.seq! + 1, to })).status, 481);
  t.equal((await rpc.call('listSessions', {})).length, 1);
  await hangUp(call, call.parts.seq! + 2, t);
});

await t.test('fault 10: CANCEL while the camera thinks', async t => {
  camera.onInvite = request => camera.raw.answer(request, 180);
  const call = invite();
  await until('the camera was asked', () => invitesAtCamera().at(-1)!.header('Subject') !== '' && camera.raw.heard.at(-1)!.method === 'INVITE');
  t.equal((await call.cancel({ branch: `z9hG4bK${token()}` })).status, 481, 'a CANCEL of nothing');
  t.equal((await call.cancel()).status, 200);
  t.equal((await call.final()).status, 487);
  call.ack({ branch: call.parts.branch! });
  const cancel = await atCamera('CANCEL');
  camera.raw.answer(cancel, 200);
  camera.raw.answer(invitesAtCamera().at(-1)!, 487);
  t.equal((await atCamera('ACK')).callId, cancel.callId);
  await released(t);
});

await t.test('fault 10: the camera\'s 200 crosses the CANCEL', async t => {
  camera.onInvite = request => camera.raw.answer(request, 180);
  const call = invite();
  await until('the camera was asked', () => camera.raw.heard.at(-1)!.method === 'INVITE');
  t.equal((await call.cancel()).status, 200);
  t.equal((await call.final()).status, 487);
  call.ack({ branch: call.parts.branch! });
  camera.raw.answer(await atCamera('CANCEL'), 200);
  accept(invitesAtCamera().at(-1)!);
  await atCamera('ACK');
  camera.raw.answer(await atCamera('BYE'), 200);
  await released(t);
});

await t.test('fault 10: CANCEL after the 200 changes nothing; BYE before the ACK ends it', async t => {
  camera.onInvite = accept;
  const call = invite();
  t.equal((await call.final()).status, 200);
  t.ok([200, 481].includes((await call.cancel()).status!));
  t.equal((await rpc.call('listSessions', {})).length, 1, 'the session stands');
  await atCamera('ACK');
  t.equal((await call.bye()).status, 200);
  camera.raw.answer(await atCamera('BYE'), 200);
  await released(t);
  call.ack();
  t.equal((await platform.ask('OPTIONS', LOCAL_ID)).status, 200, 'the ACK that comes too late disturbs nobody');
});

await t.test('fault 10: both ends hang up at once; the camera hangs up; the camera goes away', async t => {
  const glare = await playing();
  const [own] = await Promise.all([glare.bye(), camera.raw.ask(fromCamera('BYE'))]);
  t.equal(own.status, 200);
  await released(t);

  const call = await playing();
  t.equal((await camera.raw.ask(fromCamera('BYE'))).status, 200);
  const bye = await platform.raw.waitFor('BYE');
  t.equal(bye.callId, call.parts.callId);
  platform.raw.answer(bye, 200);
  await released(t);

  await playing();
  await camera.register({ expires: '0' });
  platform.raw.answer(await platform.raw.waitFor('BYE'), 200);
  await released(t);
  const refused = invite();
  t.equal((await refused.final()).status, 480, 'a camera that is offline');
  refused.ack({ branch: refused.parts.branch! });
  await camera.register();
});

/** A request of the camera in the dialog of its last INVITE. */
function fromCamera(method: string, over = {}) {
  const last = invitesAtCamera().at(-1)!;
  return { method, uri: /<([^>]*)>/.exec(last.header('Contact'))![1]!, from: `${last.header('To')};tag=stranger`, to: last.header('From'), callId: last.callId, seq: 500, ...over };
}

await t.test('faults 11, 12: requests in a dialog: order, tags, another INVITE', async t => {
  const call = await playing();
  const ask = async (method: string, seq: number, over = {}): Promise<number> => (await platform.raw.ask(call.inside(method, { seq, ...over }))).status!;
  const first = call.parts.seq!;
  t.equal(await ask('INFO', first + 10, { contentType: 'Application/MANSRTSP', body: 'PAUSE RTSP/1.0\r\n' }), 200);
  t.equal(await ask('INFO', first + 5), 500, 'a number that was passed already');
  t.equal(await ask('BYE', first + 6), 500, 'BYE too');
  const again = { contentType: 'APPLICATION/SDP', body: offer({ address: platform.raw.address, port: 50_000 }), contact: platform.raw.contact(platform.id) };
  t.equal(await ask('INVITE', first + 11, again), 488, 'another INVITE is refused, the session goes on');
  platform.raw.request(call.inside('ACK', { seq: first + 11 }));
  const [one, two] = [call.inside('INVITE', { seq: first + 12, ...again }), call.inside('INVITE', { seq: first + 13, ...again })];
  platform.raw.request(one);
  platform.raw.request(two);
  const statuses = await Promise.all([one, two].map(async each => (await platform.raw.final(each.callId!, each.seq!, 'INVITE')).status!));
  t.ok(statuses.every(status => [488, 491, 500].includes(status)), `two at once: ${statuses.join(' ')}`);
  await using elsewhere = await RawPeer.udp(platform.gateway, '127.0.0.11');
  const strange = async (method: string, to: string): Promise<number> => (await elsewhere.ask(call.inside(method, { seq: first + 50, to }))).status!;
  for (const method of ['BYE', 'INFO']) t.equal(await strange(method, `<sip:${CHANNEL}@x>;tag=guessed`), 481, `${method} with a tag that nobody gave`);
  t.equal((await rpc.call('listSessions', {})).length, 1);
  t.equal((await platform.ask('BYE', CHANNEL)).status, 481, 'BYE of no dialog');
  await hangUp(call, first + 20, t);
  t.equal(await ask('INFO', first + 60), 481, 'the dialog is over');
});

await t.test('quirk: BYE with the right Call-ID and a lost tag, from the address of the dialog', async t => {
  const call = await playing();
  t.equal((await platform.raw.ask(call.inside('BYE', { to: `<sip:${CHANNEL}@x>` }))).status, 200);
  camera.raw.answer(await atCamera('BYE'), 200);
  await released(t);
});

await t.test('fault 50: NOTIFY for a subscription that we do not have', async t => {
  const headers = ['Event: Catalog', 'Subscription-State: active'];
  for (const peer of [camera, platform]) t.equal((await peer.ask('NOTIFY', LOCAL_ID, { headers, body: xml('Notify', 'Catalog', 1, CHANNEL) })).status, 481);
  t.equal((await camera.ask('SUBSCRIBE', LOCAL_ID, { headers: ['Event: Catalog'], contact: camera.raw.contact('x') })).status, 489);
});

await t.test('fault 27: on a connection messages come glued, in single octets, or break off', async t => {
  const open = async (): Promise<GbPeer> => new GbPeer(await RawPeer.tcp(platform.gateway, '127.0.0.10'), platform.id, platform.gateway);
  await using glued = await open();
  const place = { ...glued.raw.place, transport: 'TCP' as const };
  const three = [1, 2, 3].map(() => glued.parts('OPTIONS', LOCAL_ID, { callId: token() }));
  glued.raw.send(Buffer.concat(three.map(parts => requestBytes(parts, place))));
  for (const parts of three) t.equal((await glued.raw.final(parts.callId!, parts.seq!, 'OPTIONS')).status, 200);
  const slow = glued.parts('MESSAGE', LOCAL_ID, { callId: token(), body: xml('Query', 'DeviceStatus', 71, LOCAL_ID) });
  for (const octet of requestBytes(slow, place)) glued.raw.send(Buffer.of(octet));
  t.equal((await glued.raw.final(slow.callId!, slow.seq!, 'MESSAGE')).status, 200, 'octet by octet');
  t.equal((await platform.raw.wait(message => message.xml('SN') === '71', 'the Response')).xml('CmdType'), 'DeviceStatus');

  camera.onInvite = request => camera.raw.answer(request, 180);
  const cut = await open();
  const torn = new Call(cut, CHANNEL, offer({ address: '127.0.0.10', y: '0100000777' }));
  await until('the camera was asked', () => camera.raw.heard.at(-1)!.method === 'INVITE');
  await cut[Symbol.asyncDispose]();
  await using next = await open();
  t.equal((await next.ask('OPTIONS', LOCAL_ID)).status, 200, 'others are served');
  t.equal((await next.raw.ask({ ...torn.parts, method: 'OPTIONS', callId: token() })).status, 200);
  camera.raw.answer(invitesAtCamera().at(-1)!, 486);
  await released(t);
});

await t.test('the same process, everybody served', async t => {
  t.equal(lab.sipd.restarts, 0);
  t.equal(await camera.keepalive(), 200);
  await until('every port free again', async () => (await free()) === portsAtFirst);
});
