/** Platforms above: registration with each of its troubles, several at once, what each may see and play (faults.md 20; gb28181.md 8). */
import t from 'tap';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPlatform, cameraAnswer, item, offer, xml } from '../rig/gb-peer.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { type SipText, answerBytes } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);
const sipPort = await freePort('127.0.0.1');
const gateway = { address: '127.0.0.1', port: sipPort };
const idOf = (serial: number): string => `340200000020000${String(serial).padStart(5, '0')}`;
const PASSWORD = 'what the platform knows';

const open = (serial: number, address: string, policy = {}, transport: 'UDP' | 'TCP' = 'UDP', port = 0): Promise<GbPlatform> => GbPlatform.open({ id: idOf(serial), address, port, transport }, gateway, policy);
const configOf = (name: string, platform: GbPlatform, local: number, over = {}) => ({
  name, id: platform.id, localId: idOf(local), address: platform.raw.address, port: platform.raw.port, transport: platform.raw.transport === 'TCP' ? 'tcp' : 'udp', password: PASSWORD, retryS: 1, keepaliveS: 5, keepaliveMisses: 1, ...over,
});

const old = await open(10, '127.0.0.10', { password: PASSWORD });
const modern = await open(11, '127.0.0.11', { password: PASSWORD }, 'TCP');
const foreign = await open(12, '127.0.0.12', { password: PASSWORD, realm: 'evil.example' });
const spoofed = await open(13, '127.0.0.13', { onRegister: () => 'drop' });
const wrong = await open(14, '127.0.0.14', { password: 'another one' });
const brief = await open(15, '127.0.0.15', { onRegister: (request: SipText) => (Number(request.header('Expires')) < 7200 ? { status: 423, parts: { headers: ['Min-Expires: 7200'] } } : undefined) });
const busyAsked: number[] = [];
const busy = await open(16, '127.0.0.16', { onRegister: () => (busyAsked.push(performance.now()), { status: 503 }) });
const second = await open(17, '127.0.0.17', { password: PASSWORD });
const redirector = await open(17, '127.0.0.18', { onRegister: () => ({ status: 302, parts: { contact: second.raw.contact(second.id) } }) });
const abductor = await open(19, '127.0.0.19', { onRegister: () => ({ status: 302, parts: { contact: '<sip:x@127.0.0.99:5060>' } }) });
const nowhere = await open(20, '127.0.0.20', { onRegister: () => ({ status: 302, parts: { contact: '<sip:x@elsewhere.example>' } }) });
const forgetful = await open(22, '127.0.0.22', { onKeepalive: () => 404 });
const gone = await open(23, '127.0.0.23', {}, 'TCP');
const mutual = await open(24, '127.0.0.24', { password: PASSWORD });
const platforms = [mutual, old, modern, foreign, spoofed, wrong, brief, busy, second, redirector, abductor, nowhere, forgetful, gone];

await using closing = new AsyncDisposableStack();
for (const platform of platforms) closing.use(platform);

const FIRST = '34020000001180000001';
const SECOND = '34020000001180000002';
const SAME = '34020000001320000005';
const ONLY_TOO = '34020000001320000060';
await using lab = await LabGateway.open({
  sipPort,
  config: {
    node: { name: 'gw' },
    sip: { listen: ['127.0.0.1', '127.0.0.3'].flatMap(address => ['udp', 'tcp'].map(transport => ({ transport, address, port: sipPort }))) },
    devices: { keepaliveS: 5, keepaliveMisses: 1, known: [{ id: idOf(24), password: LAB_PASSWORD }] },
    upstreams: [
      configOf('old', old, 100, { share: [FIRST, SECOND] }),
      configOf('modern', modern, 101, { version: '2022', charset: 'utf-8', share: [SAME, '34020000001320000006'], maxSessions: 1 }),
      configOf('modern-too', modern, 102, { version: '2022', charset: 'gb18030', share: [ONLY_TOO], localAddress: '127.0.0.3' }),
      configOf('foreign', foreign, 103),
      configOf('spoofed', spoofed, 104),
      configOf('wrong', wrong, 105),
      configOf('brief', brief, 106, { expiresS: 3600 }),
      configOf('busy', busy, 107),
      configOf('redirected', redirector, 108, { version: '2022', networks: ['127.0.0.17/32'] }),
      configOf('abducted', abductor, 109, { version: '2022' }),
      configOf('nowhere', nowhere, 110, { version: '2022' }),
      configOf('forgetful', forgetful, 112),
      configOf('gone', gone, 113),
      configOf('mutual', mutual, 114, { keepaliveS: 3600 }),
    ],
  },
});
await using rpc = await lab.rpc();
const upstream = async (name: string) => (await rpc.call('listUpstreams', {})).find(row => row.name === name)!;
const becomes = (name: string, state: string, limitMs?: number) => until(`${name} ${state}`, async () => ((await upstream(name)).state === state ? upstream(name) : undefined), limitMs);

await using mute = await GbDevice.open(lab, { id: '34020000001180000099', address: '127.0.0.98' });
await mute.register();
const muteOffline = lab.sipd.next(line => line.msg === 'device.offline' && line['deviceId'] === mute.id, 20_000);
await using parrot = await GbDevice.open(lab, { id: mute.id, address: '127.0.0.97' });

await using first = await GbDevice.open(lab, { id: FIRST, address: '127.0.0.31' });
await using other = await GbDevice.open(lab, { id: SECOND, address: '127.0.0.32' });
const keeper = setInterval(() => {
  for (const device of [first, other]) device.raw.request(device.parts('MESSAGE', '34020000002000000001', { body: xml('Notify', 'Keepalive', 1, device.id, '<Status>OK</Status>') }));
  parrot.raw.request(parrot.parts('OPTIONS', '34020000002000000001'));
}, 1000);
// Before the sockets that it writes to.
using _keeper = { [Symbol.dispose]: () => clearInterval(keeper) };

await t.test('several platforms at once, each under its own ID, edition and transport', async t => {
  const [a, b] = [await becomes('old', 'online'), await becomes('modern', 'online')];
  t.match(a, { localId: idOf(100), transport: 'UDP', reason: null });
  t.match(b, { localId: idOf(101), transport: 'TCP', reason: null });
  t.equal(old.registers.length, 2, 'one without and one with credentials');
  const [bare, authorized] = old.registers as [SipText, SipText];
  t.equal(bare.header('Authorization'), '');
  t.equal(authorized.callId, bare.callId);
  t.equal(authorized.cseq.seq, bare.cseq.seq + 1);
  t.equal(authorized.user('From'), idOf(100));
  t.match(authorized.header('Contact'), `sip:${idOf(100)}@127.0.0.1:${sipPort}`);
  t.equal(authorized.header('X-GB-Ver'), '', '2016 knows no version header');
  await becomes('modern-too', 'online');
  const both = modern.registers.map(request => request.user('From'));
  t.ok(both.includes(idOf(101)) && both.includes(idOf(102)), 'two links to one platform');
  t.ok(modern.registers.every(request => request.header('X-GB-Ver') === '3.0'));
  const mine = modern.registers.find(request => request.user('From') === idOf(102))!;
  t.match(mine.header('Contact'), `@127.0.0.3:${sipPort}`, 'localAddress is the one it uses');
  t.match(mine.header('Via'), '127.0.0.3');
});

await t.test('fault 20: credentials go to the configured realm and the configured address only', async t => {
  const refused = await becomes('foreign', 'waiting');
  t.equal(refused.reason, 'challenged by a realm that is not its own');
  t.ok(foreign.registers.every(request => request.header('Authorization') === ''), 'not to another realm');
  const asked = await until('a REGISTER', () => spoofed.registers.at(-1));
  await using liar = await RawPeer.udp(gateway, '127.0.0.66');
  liar.send(answerBytes(asked, 401, { headers: [`WWW-Authenticate: Digest realm="${spoofed.id.slice(0, 10)}",nonce="n",algorithm=MD5`] }));
  await becomes('spoofed', 'waiting');
  const again = await until('the next attempt', () => spoofed.registers.find(request => request.cseq.seq > asked.cseq.seq));
  t.equal(again.header('Authorization'), '', 'not because somebody else asked for them');
  t.equal(liar.heard.length, 0);
});

await t.test('a refused password is said once an attempt, and attempts back off', async t => {
  const row = await becomes('wrong', 'waiting');
  t.equal(row.reason, 'credentials refused');
  const attempt = wrong.registers.filter(request => request.callId === wrong.registers[0]!.callId);
  t.ok(attempt.filter(request => request.header('Authorization') !== '').length <= attempt.filter(request => request.header('Authorization') === '').length);
  t.match((await becomes('busy', 'waiting')).reason, '503');
  await until('three attempts', () => busyAsked.length >= 3, 8000);
  const gap = busyAsked[2]! - busyAsked[1]!;
  // Seen from outside; the exact times are told in virtual time. One second would mean that it did not double.
  t.ok(gap > 1500 && gap < 3500, `the wait doubles: ${Math.round(gap)} ms after 1 s`);
});

await t.test('423 is answered with the time that it asks for', async t => {
  await becomes('brief', 'online');
  t.same(brief.registers.map(request => request.header('Expires')), ['3600', '7200']);
  const left = (await upstream('brief')).expiresInMs ?? 0;
  t.ok(left > 7_100_000 && left <= 7_200_000);
});

await t.test('302 (2022) is followed to an address of that platform, and to no other', async t => {
  const row = await becomes('redirected', 'online');
  t.equal(row.address, `127.0.0.17:${second.raw.port}`);
  t.ok(second.registers.some(request => request.header('Authorization') !== ''), 'where it sends us may ask for credentials');
  t.ok(redirector.registers.every(request => request.header('Authorization') === ''));
  await second.message(xml('Query', 'DeviceStatus', 77, idOf(108)), {}, idOf(108));
  const answer = await second.raw.wait(message => message.xml('CmdType') === 'DeviceStatus', 'the answer to its query');
  t.equal(answer.xml('SN'), '77', 'and is served from there');
  t.match((await becomes('abducted', 'waiting')).reason, '127.0.0.99');
  t.match((await becomes('nowhere', 'waiting')).reason, '302');
});

await t.test('a catalogue in the charset and edition of each, with what is shared to it', async t => {
  first.items = [item(SAME, 'dup \xb1\xb1'), item('34020000001320000006', 'second'), item(ONLY_TOO, 'third')];
  other.items = [item(SAME, 'same ID, other camera')];
  await first.register();
  await until('its channels', async () => (await rpc.call('listChannels', { deviceId: FIRST })).total === 3);
  await other.register();
  await until('the other\'s', async () => (await rpc.call('listChannels', { deviceId: SECOND })).total === 1);
  const catalogue = async (platform: GbPlatform, localId: string, sn: number): Promise<SipText[]> => {
    t.equal(await platform.message(xml('Query', 'Catalog', sn, localId), {}, localId), 200);
    const pages: SipText[] = [];
    for (let items = 0, sum = 1; items < sum; items += itemsOf(pages.at(-1)!).length) {
      pages.push(await platform.raw.wait(message => message.xml('CmdType') === 'Catalog' && message.xml('SN') === String(sn), 'a page'));
      sum = Number(pages.at(-1)!.xml('SumNum'));
    }
    return pages;
  };
  const cameras = (pages: SipText[]): string[] => pages.flatMap(itemsOf).filter(id => id.slice(10, 13) === '132');
  const forOld = await catalogue(old, idOf(100), 500);
  const forModern = await catalogue(modern, idOf(101), 501);
  const forToo = await catalogue(modern, idOf(102), 502);
  t.equal(cameras(forOld).length, 4);
  t.equal(cameras(forModern).length, 3);
  t.same(cameras(forToo), [ONLY_TOO], 'only what is shared to it');
  for (const pages of [forOld, forModern, forToo]) {
    t.equal(new Set(cameras(pages)).size, cameras(pages).length, 'no ID twice');
    t.ok(pages.every(page => page.user('From') === page.xml('DeviceID')), 'in the name under which that platform knows us');
  }
  t.ok(forOld.every(page => page.bytes.length <= 1300), 'over UDP no message is longer than 1300 octets');
  t.match(forOld[0]!.body.toString('latin1'), 'encoding="GB2312"');
  t.match(forModern[0]!.body.toString('latin1'), 'encoding="UTF-8"');
  t.match(forToo[0]!.body.toString('latin1'), 'encoding="GB18030"');
  t.ok(forModern.some(page => page.body.toString('utf8').includes('dup 北')));
  t.ok(forOld.some(page => page.body.includes(Buffer.from([0x64, 0x75, 0x70, 0x20, 0xb1, 0xb1]))));
});

await t.test('two cameras of one ID have two IDs above, and each is the one that is played', async t => {
  const rows = (await rpc.call('listChannels', {})).rows.filter(row => row.channelId === SAME);
  const mappedAt = (deviceId: string): string => rows.find(row => row.deviceId === deviceId)!.mapped.find(entry => entry.upstream === 'old')!.id;
  t.equal(rows.length, 2);
  t.not(mappedAt(FIRST), mappedAt(SECOND));
  const invited: string[] = [];
  for (const device of [first, other]) {
    device.onInvite = invite => {
      invited.push(`${device.id} ${invite.uriUser}`);
      device.raw.answer(invite, 486);
    };
  }
  const statusOf = async (platform: GbPlatform, channelId: string, over = {}): Promise<number> => {
    const call = new Call(platform, channelId, offer({ address: platform.raw.address }), over);
    const { status } = await call.final();
    call.ack({ branch: call.parts.branch! });
    return status!;
  };
  for (const deviceId of [FIRST, SECOND]) t.equal(await statusOf(old, mappedAt(deviceId)), 486, 'the camera\'s own refusal comes through');
  t.same(invited, [`${FIRST} ${SAME}`, `${SECOND} ${SAME}`], 'each camera was asked by the ID that it knows');
  t.equal(await statusOf(old, '34020000001320009999'), 404, 'nobody has it');
  const kept = rows.find(row => row.deviceId === FIRST)!.mapped.find(entry => entry.upstream === 'modern')!.id;
  t.equal(await statusOf(modern, kept, { to: `<sip:${kept}@x>`, from: `<sip:${modern.id}@x>;tag=1` }), 486);
  t.equal(await statusOf(modern, ONLY_TOO), 486, 'of two links to one platform the one that shows the channel is meant');
  t.equal(await statusOf(modern, idOf(102), { headers: [`Subject: ${ONLY_TOO}:0,${modern.id}:0`] }), 486, 'or the one whose ID is named; the channel then stands in the Subject (quirk 16)');
  t.equal(await statusOf(modern, idOf(101), { headers: [`Subject: ${ONLY_TOO}:0,${modern.id}:0`] }), 403, 'the other one does not show it');
});

await t.test('a peer platform is above and below at once, and each thing that it says is taken in the right role', async t => {
  await becomes('mutual', 'online');
  await using lower = await GbDevice.open(lab, { id: mutual.id, address: '127.0.0.24' });
  t.equal(await lower.keepalive(), 404, 'a keepalive before it has registered: it shall register, although we know it as a platform');
  const own = '34020000001320000240';
  lower.items = [item(own, 'of the peer')];
  t.equal((await lower.register()).status, 200);
  t.equal(await lower.keepalive(), 200);
  await until('its channel', async () => (await rpc.call('listChannels', { deviceId: mutual.id })).total === 1);
  t.equal(await mutual.message(xml('Query', 'DeviceStatus', 240, idOf(114)), {}, idOf(114)), 200);
  t.equal((await mutual.raw.wait(message => message.xml('SN') === '240', 'the Response')).xml('CmdType'), 'DeviceStatus', 'its query is served as that of a platform');
  const row = (await rpc.call('listChannels', { deviceId: mutual.id })).rows[0]!;
  t.notOk(row.mapped.some(entry => entry.upstream === 'mutual'), 'what came from it is not offered back to it');
  const back = new Call(mutual, own, offer({ address: mutual.raw.address }));
  t.equal((await back.final()).status, 403);
  back.ack({ branch: back.parts.branch! });
  const there = new Call(mutual, ONLY_TOO, offer({ address: mutual.raw.address }));
  t.equal((await there.final()).status, 486, 'and the others are: this camera refuses, but it was asked');
  there.ack({ branch: there.parts.branch! });
  t.equal((await lower.ask('INVITE', LAB_ID, { contact: lower.raw.contact('x'), contentType: 'APPLICATION/SDP', body: offer({ address: '127.0.0.24' }) })).status === 403, false, 'an INVITE of it is one of the upper role');
  t.equal((await lower.register({ expires: '0' })).status, 200);
  t.equal((await upstream('mutual')).state, 'online', 'below it is gone, above it stays');
});

await t.test('maxSessions: one more is 486, and the place is free again after BYE', async t => {
  first.onInvite = invite => first.raw.answer(invite, 200, { contact: first.raw.contact(SAME), contentType: 'APPLICATION/SDP', body: cameraAnswer(invite, { address: first.raw.address, port: 41_000 }, SAME) });
  const play = (channelId: string, y: string): Call => new Call(modern, channelId, offer({ address: modern.raw.address, y }));
  const running = play(SAME, '0100000011');
  t.equal((await running.final()).status, 200);
  running.ack();
  const refused = play('34020000001320000006', '0100000012');
  const answer = await refused.final();
  refused.ack({ branch: refused.parts.branch! });
  t.equal(answer.status, 486);
  t.match(answer.header('Warning'), '1 sessions already');
  t.equal((await upstream('modern')).sessions, 1);
  t.equal((await running.bye()).status, 200);
  const next = play('34020000001320000006', '0100000013');
  t.equal((await next.final()).status, 200);
  next.ack();
  t.equal((await next.bye()).status, 200);
  t.equal((await upstream('modern')).sessions, 0);
});

await t.test('a keepalive that is answered 404 makes us register anew', async t => {
  await until('registered again', () => forgetful.registers.length >= 2, 12_000);
  t.ok(forgetful.keepalives.length >= 1);
  t.match(forgetful.keepalives[0]!.body.toString(), `<DeviceID>${idOf(112)}</DeviceID>`);
});

await t.test('a platform whose connection ends is registered with again as soon as it is back', async t => {
  await becomes('gone', 'online');
  const { port } = gone.raw;
  await gone[Symbol.asyncDispose]();
  t.match((await becomes('gone', 'waiting')).reason, 'connection');
  await using back = await open(23, '127.0.0.23', {}, 'TCP', port);
  await becomes('gone', 'online', 10_000);
  t.ok(back.registers.length >= 1);
});

await t.test('who says nothing goes offline, whatever a stranger says in his name', async t => {
  t.equal((await muteOffline)['reason'], 'keepalive-lost');
});

function itemsOf(page: SipText): string[] {
  return [...page.body.toString('latin1').matchAll(/<Item>\s*<DeviceID>(\d+)<\/DeviceID>/g)].map(match => match[1]!);
}
