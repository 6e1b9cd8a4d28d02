/**
 * Every message of RFC 4475 and RFC 5118 to the gateway's own sockets, from a stranger, a registered device and a platform above
 * (faults 1, 2): the right class of answer, nobody else disturbed, nothing begun.
 */
import t, { type Test } from 'tap';
import { LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { GbDevice } from '../rig/gb-peer.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { requestBytes, token } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';
import { RFC4475, type TortureAnswer, streamVerdict, tortureBytes } from '../vectors/rfc4475/index.ts';
import { RFC5118 } from '../vectors/rfc5118/index.ts';

type Role = 'stranger' | 'device' | 'platform';

const PLATFORM_PORT = 5061;
const sipPort = await freePort('127.0.0.1');
await using lab = await LabGateway.open({
  sipPort,
  config: {
    sip: { unknownRequestsPerS: 5000, listen: ['127.0.0.1', '::1'].flatMap(address => ['udp', 'tcp'].map(transport => ({ transport, address, port: sipPort }))) },
    devices: { admit: [{ networks: ['127.0.0.0/8', '::1/128'], password: LAB_PASSWORD }] },
    upstreams: [{ name: 'up', id: '34020000002000000099', localId: '34020000002000000002', address: '127.0.9.1', port: PLATFORM_PORT, retryS: 3600 }],
  },
});
await using rpc = await lab.rpc();
await using bystander = await GbDevice.open(lab, { id: '34020000001180000001' });
await bystander.register();
await using device = await GbDevice.open(lab, { id: '34020000001180000002', address: '127.0.8.1' });
await device.register();

const gatewayAt = (family: 4 | 6) => ({ address: family === 4 ? '127.0.0.1' : '::1', port: sipPort });

/**
 * What the product says when the message itself is fine. A stranger may register (none of these has an ID of ours: 403) and hears
 * 403 else; a device or platform is served, but invites nothing that there is.
 */
function product(bytes: Uint8Array, answer: TortureAnswer, role: Role): number | 'none' {
  if (answer !== 'up') return answer;
  const head = Buffer.from(bytes).toString('latin1').split(/\r\n\r\n/)[0]!.replaceAll(/\r\n[ \t]+/g, ' ');
  const method = head.split(' ')[0]!;
  const hasTag = /^(to|t)[ \t]*:.*;[ \t]*tag[ \t]*=/im.test(head);
  if (method === 'SIP/2.0' || method === 'ACK') return 'none';
  if (['BYE', 'INFO', 'NOTIFY', 'CANCEL'].includes(method) || (hasTag && ['INVITE', 'SUBSCRIBE'].includes(method))) return 481;
  if (method === 'REGISTER') return 403;
  if (method === 'OPTIONS') return role === 'stranger' ? 'none' : 200;
  if (method === 'MESSAGE') return role === 'stranger' ? 403 : 415;
  if (method === 'INVITE' && role === 'platform') return REFUSED_OFFER;
  return 403;
}

/** An INVITE of a platform that is read to its end: whichever of its faults is seen first. */
const REFUSED_OFFER = 488;
const OFFER_STATUS = new Set([400, 403, 404, 415, 488]);

const fits = (expected: number | 'none', heard: readonly number[]): boolean => {
  const final = heard.filter(status => status >= 200);
  if (expected === 'none') return final.length === 0;
  return final.length === 1 && (final[0] === expected || (expected === REFUSED_OFFER && OFFER_STATUS.has(final[0]!)));
};

/** Some of them share a branch. From one address the second would be a repetition of the first: each gets an end of its own, of the same length. */
function ownBranch(bytes: Uint8Array, index: number): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1').replace(/(branch=z9hG4bK\S*?)\S{3}(?=[\r\n;])/, `$1${String(index).padStart(3, '0')}`);
  return Buffer.from(text, 'latin1');
}

/** What came before the answer to a good REGISTER that follows: all there is. */
async function heardBefore(peer: RawPeer, proof: RawPeer): Promise<number[]> {
  const from = '<sip:34020000001180000999@3402000000>';
  const answer = await proof.ask({ method: 'REGISTER', uri: 'sip:34020000002000000001@3402000000', from: `${from};tag=${token()}`, to: from, contact: proof.contact('x') });
  if (answer.status !== 401) throw new Error(`a good REGISTER was answered ${answer.status}`);
  return peer.heard.flatMap(message => (message.status === undefined || message.callId === answer.callId ? [] : [message.status]));
}

async function served(t: Pick<Test, 'equal' | 'same'>): Promise<void> {
  t.equal(await bystander.keepalive(), 200, 'keepalive beside it');
  t.equal((await bystander.ask('OPTIONS', '34020000002000000001')).status, 200, 'OPTIONS beside it');
  t.equal((await bystander.register()).status, 200, 'REGISTER beside it');
  t.same(await rpc.call('listSessions', {}), [], 'nothing was begun');
  t.equal((await rpc.call('listDevices', {})).length, 2, 'nobody was added');
  t.equal(lab.sipd.restarts, 0, 'it is the same process');
}

const openFrom = async (role: Role, index: number): Promise<RawPeer> =>
  role === 'stranger' ? RawPeer.udp(gatewayAt(4), `127.0.${4 + (index >> 7)}.${(index & 127) + 1}`) : role === 'device' ? RawPeer.udp(gatewayAt(4), '127.0.8.1') : RawPeer.udp(gatewayAt(4), '127.0.9.1', PLATFORM_PORT);

for (const role of ['stranger', 'device', 'platform'] as const) {
  await t.test(`RFC 4475 in datagrams of a ${role}`, async t => {
    for (const [index, { file, datagram, why }] of RFC4475.entries()) {
      await using peer = await openFrom(role, index);
      const bytes = role === 'stranger' ? tortureBytes(file) : ownBranch(tortureBytes(file), index);
      peer.send(bytes);
      const heard = await heardBefore(peer, peer);
      const expected = product(bytes, datagram, role);
      t.ok(fits(expected, heard), `${file}: ${expected}, came ${heard.join(' ') || 'nothing'} (${why})`);
    }
    await served(t);
  });
}

await t.test('RFC 4475 on connections of strangers', async t => {
  for (const [index, torture] of RFC4475.entries()) {
    const verdict = streamVerdict(torture);
    const bytes = tortureBytes(torture.file);
    const address = `127.0.6.${index + 1}`;
    await using peer = await RawPeer.tcp(gatewayAt(4), address);
    await using other = await RawPeer.tcp(gatewayAt(4), address);
    peer.send(bytes);
    const expected = product(bytes, verdict.answer, 'stranger');
    if (expected !== 'none') await until(`an answer to ${torture.file}`, () => peer.heard.some(message => (message.status ?? 0) >= 200));
    const heard = await heardBefore(peer, verdict.closes ? other : peer);
    const own = torture.file === 'dblreq' ? heard.slice(0, 1) : heard;
    t.ok(fits(expected, own), `${torture.file}: ${expected}, came ${heard.join(' ') || 'nothing'} (${torture.why})`);
  }
  await served(t);
});

await t.test('RFC 5118 over IPv6, in datagrams and on connections', async t => {
  for (const [index, { name, bytes, answer, why }] of RFC5118.entries()) {
    const expected = product(bytes, answer, 'stranger');
    await using udp = await RawPeer.udp(gatewayAt(6), '::1');
    udp.send(ownBranch(bytes, 2 * index));
    const byUdp = await heardBefore(udp, udp);
    t.ok(fits(expected, byUdp), `${name} over UDP: ${expected}, came ${byUdp.join(' ') || 'nothing'} (${why})`);
    await using tcp = await RawPeer.tcp(gatewayAt(6), '::1');
    tcp.send(ownBranch(bytes, 2 * index + 1));
    const byTcp = await heardBefore(tcp, tcp);
    t.ok(fits(expected, byTcp), `${name} over TCP: ${expected}, came ${byTcp.join(' ') || 'nothing'} (${why})`);
  }
  await served(t);
});

await t.test('fault 5, 6, 8: octets that are no message, too long, or without a way back', async t => {
  await using peer = await RawPeer.udp(gatewayAt(4), '127.0.7.1');
  const place = { ...peer.place, transport: 'UDP' as const };
  for (const bytes of [Buffer.alloc(0), Buffer.from('\0'), Buffer.from('\r\n\r\n'), Buffer.from('0000'), Buffer.from('\r\n'), Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), Buffer.alloc(1500, 0xff)]) peer.send(bytes);
  const parts = { method: 'OPTIONS', uri: 'sip:x@127.0.0.1', from: '<sip:a@b>;tag=1', to: '<sip:x@b>' };
  peer.send(requestBytes({ ...parts, via: [] }, place));
  const long = requestBytes({ ...parts, method: 'MESSAGE', body: 'x'.repeat(64_000) }, place);
  peer.send(long.subarray(0, 65_507));
  const heard = await heardBefore(peer, peer);
  t.ok(heard.every(status => status === 400 || status === 403 || status === 513), `only refusals: ${heard.join(' ')}`);
  await using relayed = await RawPeer.udp(gatewayAt(4), '127.0.7.2');
  const via = [`SIP/2.0/UDP 127.0.7.2:${relayed.port};branch=z9hG4bK${token()}`, `SIP/2.0/UDP 127.0.0.1:${sipPort};branch=z9hG4bKours`];
  const { status } = await relayed.ask({ ...parts, method: 'MESSAGE', via });
  t.equal(status, 403, 'a second Via that names us makes nothing of it: we relay no requests');
  await using tcp = await RawPeer.tcp(gatewayAt(4), '127.0.7.3');
  const answer = tcp.ask({ ...parts, method: 'MESSAGE' });
  tcp.send('\r\n\r\n');
  t.equal((await answer).status, 403, 'CRLF between messages of a stream is nothing');
  await served(t);
});
