/** SDP that lies, of platforms and of cameras (faults 28-37): refused with the right status, and no octet of media leaves for it. */
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPlatform, type OfferParts, cameraAnswer, item, offer, sdpLine } from '../rig/gb-peer.ts';
import { MediaSocket } from '../rig/media-socket.ts';
import type { Place, SipText } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const LOCAL_ID = '34020000002000000002';
const UDP_DEVICE = '34020000001180000001';
const ACTIVE_DEVICE = '34020000001180000002';
const PASSIVE_DEVICE = '34020000001180000003';
const channelOf = (device: string): string => `3402000000132${device.slice(13)}`;
const CHANNEL = channelOf(UDP_DEVICE);
const SECOND_CHANNEL = '34020000001320000009';
const US = '127.0.0.10';
const VICTIM = '127.0.0.66';

const sipPort = await freePort('127.0.0.1');
await using platform = await GbPlatform.open({ id: '34020000002000000099', address: US }, { address: '127.0.0.1', port: sipPort });
await using lab = await LabGateway.open({
  sipPort,
  config: {
    devices: {
      known: [
        { id: ACTIVE_DEVICE, password: LAB_PASSWORD, transport: 'tcp-active' },
        { id: PASSIVE_DEVICE, password: LAB_PASSWORD, transport: 'tcp-passive' },
      ],
      media: { lingerS: 0 },
    },
    upstreams: [{ name: 'up', id: platform.id, localId: LOCAL_ID, address: US, port: platform.raw.port, pictures: 'as-received' }],
    media: { connectTimeoutS: 1 },
  },
});
await using rpc = await lab.rpc();
await using media = await lab.mediadRpc();
await using victim = await MediaSocket.open(VICTIM);
await using own = await MediaSocket.open('127.0.0.1');
let dials = 0;
const trap = createServer(socket => {
  dials += 1;
  socket.destroy();
});
const trapPort = await new Promise<number>(resolve => trap.listen(0, VICTIM, () => resolve((trap.address() as Place).port)));

async function openDevice(id: string, address: string, channels: readonly string[]): Promise<GbDevice> {
  const device = await GbDevice.open(lab, { id, address });
  device.items = channels.map(channel => item(channel));
  await device.register();
  await until(`channels of ${id}`, async () => (await rpc.call('listChannels', { deviceId: id })).total === channels.length);
  return device;
}
await using camera = await openDevice(UDP_DEVICE, '127.0.0.20', [CHANNEL, SECOND_CHANNEL]);
await using active = await openDevice(ACTIVE_DEVICE, '127.0.0.21', [channelOf(ACTIVE_DEVICE)]);
await using passive = await openDevice(PASSIVE_DEVICE, '127.0.0.22', [channelOf(PASSIVE_DEVICE)]);
await using lens = await MediaSocket.open('127.0.0.20');

const invitesOf = (device: GbDevice): SipText[] => device.raw.heard.filter(message => message.method === 'INVITE');
const answerWith = (device: GbDevice, body: string, over = {}) => (invite: SipText): void => device.raw.answer(invite, 200, { contact: device.raw.contact(invite.uriUser), contentType: 'APPLICATION/SDP', body, ...over });
const accept = (invite: SipText): void => answerWith(camera, cameraAnswer(invite, lens.place, invite.uriUser))(invite);

let serial = 0;
const nextY = (): string => `01${String((serial += 1)).padStart(8, '0')}`;

/** Final answer to an INVITE with this body; acknowledged. */
async function invited(body: string | Buffer, over = {}, channel = CHANNEL): Promise<Call> {
  const call = new Call(platform, channel, body, over);
  const { status } = await call.final();
  call.ack(status === 200 ? {} : { branch: call.parts.branch! });
  return call;
}

async function noTrace(t: Pick<Test, 'same' | 'equal'>): Promise<void> {
  await until('no bridge', async () => (await media.call('listBridges', {})).bridges.length === 0);
  t.same(await rpc.call('listSessions', {}), []);
  t.equal(victim.heard.length, 0, 'nothing went to a third party');
  t.equal(own.heard.length, 0);
  t.equal(dials, 0, 'nobody was dialled');
}

const good = (over: OfferParts = {}): OfferParts => ({ address: US, y: nextY(), ...over });
const tcp = (setup: string, over: OfferParts = {}): OfferParts => good({ protocol: 'TCP/RTP/AVP', attributes: ['rtpmap:96 PS/90000', `setup:${setup}`, 'connection:new'], ...over });

await t.test('offers that are refused before the camera hears of them', async t => {
  const third = { address: VICTIM, port: victim.place.port };
  const refused: [what: string, status: number, parts: OfferParts | string][] = [
    ['28: media to a third party', 488, good(third)],
    ['28: over TCP', 488, tcp('passive', { address: VICTIM, port: trapPort })],
    ...['0.0.0.0', '224.1.2.3', '239.255.0.1', '255.255.255.255', '169.254.7.7', '::', 'ff02::1', 'camera.example', '', '10.0.0.1', '127.0.0.1'].map((address): [string, number, OfferParts] => [`29: media to ${address || 'nowhere'}`, 488, good({ address, port: own.place.port })]),
    ...[0, 65_536, -1, 40_001, 80, 1023, 'x', '40000/2x', 4_294_967_296].map((port): [string, number, OfferParts] => [`30: port ${port}`, 488, good({ port })]),
    ['30: port 0 over TCP, to be dialled', 488, tcp('passive', { port: 0 })],
    ['32: payload type 4294967296', 488, good({ payload: '4294967296', attributes: [] })],
    ['32: payload type 128', 488, good({ payload: '128', attributes: [] })],
    ['33: y= with eleven digits', 488, good({ y: '01000000011' })],
    ['34: a payload type of no meaning', 415, good({ payload: '110', attributes: [] })],
    ['34: none that we can send', 415, good({ payload: '97', attributes: ['rtpmap:97 MPEG4/90000'] })],
    ['36: playback with reversed times', 400, good({ session: 'Playback', time: '1773102600 1773100800' })],
    ['36: of 1969', 400, good({ session: 'Playback', time: '-1 1773100800' })],
    ['36: of 2106', 400, good({ session: 'Playback', time: '1773100800 4294967295' })],
    ['36: without times', 400, good({ session: 'Playback', time: 'now then' })],
    ['36: a playback without a time', 400, good({ session: 'Playback', time: '0 0' })],
    ['talk, which begins with a broadcast here', 488, good({ session: 'Talk' })],
    ['no session name that we know', 488, good({ session: 'Dance' })],
    ['a protocol that we do not speak', 488, good({ protocol: 'RTP/SAVP' })],
    ['no body', 400, ''],
    ['no SDP', 400, 'hello\r\nworld\r\n'],
  ];
  const before = invitesOf(camera).length;
  for (const [what, status, parts] of refused) {
    const call = await invited(typeof parts === 'string' ? parts : offer(parts));
    t.equal(call.answer!.status, status, `${what}: ${call.answer!.header('Warning')}`);
  }
  t.equal((await invited('text', { contentType: 'text/plain' })).answer!.status, 415);
  t.equal(invitesOf(camera).length, before);
  t.equal((await rpc.call('counters', {}))['relay.refused.488']! >= 20, true, 'counted');
  await noTrace(t);
});

await t.test('fault 31: SDP without measure is refused quickly', async t => {
  const lines = (count: number, line: string): string => `${offer(good())}${`${line}\r\n`.repeat(count)}`;
  for (const [what, body] of [
    ['1,000 m-lines', lines(1000, 'm=video 40000 RTP/AVP 96')],
    ['10,000 attributes', lines(10_000, 'a=x')],
    ['30,000 empty lines', lines(30_000, '')],
    ['one line of 60,000 octets', `${offer(good())}a=${'x'.repeat(60_000)}\r\n`],
  ] as const) {
    const began = performance.now();
    const { answer } = await invited(body);
    t.ok([400, 413, 488].includes(answer!.status!), `${what}: ${answer!.status}`);
    t.ok(performance.now() - began < 250, 'within 250 ms, the way there and back included');
  }
  await noTrace(t);
});

await t.test('offers that are odd and all the same served', async t => {
  camera.onInvite = accept;
  const served: [what: string, parts: OfferParts, y?: string][] = [
    ['37: lone LF at line ends', good({ end: '\n' })],
    ['33: no y=: one of ours is answered', good({ y: null })],
    ['33: y= that lost its leading zero', good({ y: '100000777' }), '0100000777'],
    ['33: y= of letters', good({ y: 'null' })],
    ['34: f= that says nothing', good({ tail: ['f=garbage/////v/v/v'] })],
    ['34: payload type 96 without rtpmap is PS', good({ attributes: [] })],
    ['lines of letters that nobody knows', good({ tail: ['z=?', 'Q=1'] })],
    ['37: a name in GB2312', good({ tail: ['i=\xb1\xb1\xc3\xc5'] })],
  ];
  for (const [what, parts, y] of served) {
    const call = await invited(Buffer.from(offer(parts), 'latin1'));
    t.equal(call.answer!.status, 200, what);
    const answered = sdpLine(call.answer!, 'y');
    t.match(answered, /^\d{10}$/);
    if (y !== undefined || /^\d{10}$/.test(parts.y ?? '')) t.equal(answered, y ?? parts.y, 'the SSRC that it asked for');
    t.match(call.answer!.body.toString(), 'a=sendonly');
    t.equal((await call.bye()).status, 200);
    camera.raw.answer(await camera.raw.waitFor('BYE'), 200);
  }
  for (const [setup, ours] of [['active', 'passive'], ['passive', 'active'], ['actpass', 'active']] as const) {
    const call = await invited(offer(tcp(setup)));
    t.equal(call.answer!.status, 200, `35: a=setup:${setup}`);
    t.match(call.answer!.body.toString(), `a=setup:${ours}`);
    await call.bye();
    camera.raw.answer(await camera.raw.waitFor('BYE'), 200);
  }
  await noTrace(t);
});

await t.test('fault 33: one SSRC asked for twice: never two pictures under one number', async t => {
  camera.onInvite = accept;
  await using one = await MediaSocket.open(US);
  await using two = await MediaSocket.open(US);
  const y = nextY();
  const first = await invited(offer({ address: US, port: one.place.port, y }), {}, CHANNEL);
  const second = await invited(offer({ address: US, port: two.place.port, y }), {}, SECOND_CHANNEL);
  const [a, b] = [sdpLine(first.answer!, 'y'), sdpLine(second.answer!, 'y')];
  t.equal(a, y);
  t.not(b, y);
  const [toFirst, toSecond] = invitesOf(camera).slice(-2) as [SipText, SipText];
  const send = (invite: SipText): void => lens.rtp(Number(sdpLine(invite, 'y')), { address: sdpLine(invite, 'c').split(' ')[2]!, port: Number(sdpLine(invite, 'm').split(' ')[1]) });
  await until('media at both', () => {
    send(toFirst);
    send(toSecond);
    return one.heard.length >= 5 && two.heard.length >= 5;
  });
  t.same(one.ssrcs, [Number(a)]);
  t.same(two.ssrcs, [Number(b)], 'each under the number of its own answer');
  t.ok([...one.heard, ...two.heard].every(({ from }) => from.address === '127.0.0.1'));
  for (const call of [first, second]) {
    await call.bye();
    camera.raw.answer(await camera.raw.waitFor('BYE'), 200);
  }
  await noTrace(t);
});

await t.test('answers of a camera that cannot be served: the platform hears so at once, the camera gets ACK and BYE', async t => {
  const goodAnswer = (invite: SipText): string => cameraAnswer(invite, lens.place, CHANNEL);
  const tcpAnswer = (setup: string, place: Place) => (invite: SipText): string => cameraAnswer(invite, place, invite.uriUser).replace('RTP/AVP', 'TCP/RTP/AVP').replace('a=sendonly', `a=sendonly\r\na=setup:${setup}\r\na=connection:new`);
  const ownPlace = { address: '127.0.0.21', port: 42_000 };
  const answers: [what: string, device: GbDevice, write: (invite: SipText) => string][] = [
    ['28: its media come from a third party', camera, invite => cameraAnswer(invite, victim.place, CHANNEL)],
    ['29: from nowhere', camera, invite => cameraAnswer(invite, { address: '0.0.0.0', port: 40_000 }, CHANNEL)],
    ['29: from a group', camera, invite => cameraAnswer(invite, { address: '224.1.2.3', port: 40_000 }, CHANNEL)],
    ['30: port 0', camera, invite => cameraAnswer(invite, { ...lens.place, port: 0 }, CHANNEL)],
    ['TCP to an offer over UDP', camera, tcpAnswer('active', lens.place)],
    ['32: payload type 300', camera, invite => goodAnswer(invite).replace('RTP/AVP 96', 'RTP/AVP 300')],
    ['34: payload type 111 without rtpmap', camera, invite => goodAnswer(invite).replace('RTP/AVP 96', 'RTP/AVP 111')],
    ['no SDP', camera, () => ''],
    ['31: 1,000 m-lines', camera, invite => goodAnswer(invite) + 'm=video 40000 RTP/AVP 96\r\n'.repeat(1000)],
    ['28: we are to dial a third party', active, tcpAnswer('passive', { address: VICTIM, port: trapPort })],
    ['29: we are to dial ourselves', active, tcpAnswer('passive', { address: '127.0.0.1', port: sipPort })],
    ['30: we are to dial port 80', active, tcpAnswer('passive', { address: '127.0.0.21', port: 80 })],
    ['35: both active', active, tcpAnswer('active', ownPlace)],
    ['35: both passive', passive, tcpAnswer('passive', { address: '127.0.0.22', port: 42_000 })],
    ['UDP to an offer over TCP', passive, invite => cameraAnswer(invite, { address: '127.0.0.22', port: 42_000 }, invite.uriUser)],
  ];
  for (const [what, device, write] of answers) {
    device.onInvite = invite => answerWith(device, write(invite))(invite);
    const began = performance.now();
    const { answer } = await invited(offer(good()), {}, channelOf(device.id));
    t.ok([480, 486, 488].includes(answer!.status!), `${what}: ${answer!.status} ${answer!.header('Warning')}`);
    t.ok(performance.now() - began < 1000, 'within a second');
    t.notMatch(answer!.bytes.toString(), /127\.0\.0\.(2\d|66)/, 'and learns no address of the other side');
    const { callId } = invitesOf(device).at(-1)!;
    await device.raw.wait(message => message.method === 'ACK' && message.callId === callId, 'its ACK');
    device.raw.answer(await device.raw.wait(message => message.method === 'BYE' && message.callId === callId, 'its BYE'), 200);
  }
  await noTrace(t);
});

await t.test('the same process, everybody served', async t => {
  t.equal(lab.sipd.restarts, 0);
  t.equal(lab.mediads[0]!.restarts, 0);
  for (const device of [camera, active, passive]) t.equal(await device.keepalive(), 200);
  await new Promise<void>(resolve => trap.close(() => resolve()));
});
