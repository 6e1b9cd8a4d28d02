/** Bad input and floods through real sockets: faults 1, 2, 9, 23, 24 and 25. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { tagOf } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import { UserAgent } from '#core/sip/user-agent.ts';
import { type Ms, ms } from '#core/units.ts';
import type { SipEndpoint, SipEndpointOptions } from '#kit/sip-endpoint.ts';
import { SipDoor } from '#kit/sip-door.ts';
import { systemHashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { anomalies } from '../../scripts/fuzz/sip-anomalies.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { RFC4475, type TortureAnswer, streamVerdict, tortureBytes } from '../vectors/rfc4475/index.ts';
import { RFC5118 } from '../vectors/rfc5118/index.ts';
import { TcpPeer, UdpPeer, openEndpoint, portOf, until, write } from './sip-rig.ts';

const IS_BUSY = 480;

/** Answers everything; strangers' INVITEs are not repeated, so that each case stands alone. */
async function victim(options: Partial<SipEndpointOptions> = {}, address = '127.0.0.1'): Promise<SipEndpoint> {
  const endpoint = await openEndpoint({ isTrusted: () => false, ...options }, address);
  endpoint.onRequest = incoming => incoming.respond(incoming.request.method === 'OPTIONS' ? 200 : IS_BUSY);
  endpoint.onInvite = incoming => incoming.respond(IS_BUSY);
  return endpoint;
}

/** What the endpoint answers when the message itself is fine: the application's word, or 481 to a tag that nobody gave. */
function expected(bytes: Uint8Array, answer: TortureAnswer): number | 'none' {
  if (answer !== 'up') return answer;
  const parsed = parseMessage(bytes, 'datagram');
  if (!parsed.ok || parsed.value.type === 'response') return 'none';
  const { method, to } = parsed.value;
  if (method === 'ACK') return 'none';
  const needsDialog = method === 'BYE' || method === 'INFO' || method === 'NOTIFY' || method === 'CANCEL';
  const hasStrayTag = tagOf(to) !== undefined && !['MESSAGE', 'REGISTER', 'OPTIONS'].includes(method);
  return needsDialog || hasStrayTag ? 481 : method === 'OPTIONS' ? 200 : IS_BUSY;
}

async function byDatagram(endpoint: SipEndpoint, bytes: Uint8Array, address: string, from: string): Promise<(number | string)[]> {
  await using peer = await UdpPeer.open(portOf(endpoint, 'UDP'), address, from);
  peer.send(bytes);
  peer.send(write({ callId: 'proof' }));
  const heard: (number | string)[] = [];
  for (;;) {
    const message = await peer.next();
    if (message.type !== 'response') throw new Error(`the endpoint asks ${message.method}`);
    if (message.callId === 'proof') return [...heard, `proof ${message.status}`];
    heard.push(message.status);
  }
}

t.test('RFC 4475 and RFC 5118 in datagrams, and a good OPTIONS behind each (faults 1, 2)', async t => {
  await using endpoint = await victim();
  // Several cases share branch and Via: each comes from an address of its own, as from different peers.
  for (const [i, { file, datagram, why }] of RFC4475.entries()) {
    const bytes = tortureBytes(file);
    const answer = expected(bytes, datagram);
    t.same(await byDatagram(endpoint, bytes, '127.0.0.1', `127.0.4.${i + 1}`), [...(answer === 'none' ? [] : [answer]), 'proof 200'], `${file}: ${why}`);
  }
  for (const { name, bytes, answer, why } of RFC5118) {
    await using v6 = await victim({}, '::1');
    const status = expected(bytes, answer);
    t.same(await byDatagram(v6, bytes, '::1', '::1'), [...(status === 'none' ? [] : [status]), 'proof 200'], `${name}: ${why}`);
  }
});

t.test('the same in streams', async t => {
  const cases = [
    ...RFC4475.map(torture => ({ name: torture.file, bytes: tortureBytes(torture.file), verdict: streamVerdict(torture), address: '127.0.0.1' })),
    ...RFC5118.map(({ name, bytes, answer }) => ({ name, bytes, verdict: { answer, messages: 1, closes: false }, address: '::1' })),
  ];
  for (const { name, bytes, verdict, address } of cases) {
    const clock = new ManualClock();
    await using endpoint = await victim({ clock }, address);
    await using peer = await TcpPeer.open(portOf(endpoint, 'TCP'), address);
    peer.send(bytes);
    const first = expected(bytes, verdict.answer);
    if (first !== 'none') t.equal(((await peer.next()) as { status?: number }).status, first, name);
    // The proof comes on the same connection if it lives, else on another one.
    await using other = await TcpPeer.open(portOf(endpoint, 'TCP'), address);
    const proven = verdict.closes ? other : peer;
    proven.send(write({ transport: 'TCP', callId: 'proof' }));
    await until(`the proof after ${name}`, () => proven.received.some(message => message.callId === 'proof' && message.type === 'response' && message.status === 200));
    if (verdict.closes) clock.advance(11_000);
    if (verdict.closes) await until(`the end of ${name}`, () => peer.closed);
    t.equal(peer.closed, verdict.closes, `${name}: ${verdict.closes ? 'closed' : 'open'}`);
    t.ok(first !== 'none' || peer.received.every(message => message.callId === 'proof'), `${name}: no other word`);
  }
});

t.test('a branch used again with another body: same answer, no second action (fault 9)', async t => {
  await using endpoint = await victim();
  let asked = 0;
  endpoint.onRequest = incoming => {
    asked++;
    incoming.respond(200, { body: Buffer.from(`answer ${asked}`) });
  };
  await using peer = await UdpPeer.open(portOf(endpoint, 'UDP'));
  for (const body of ['one', 'two', 'one']) peer.send(write({ method: 'MESSAGE', branch: 'z9hG4bKforged', callId: 'c', body }));
  for (let i = 0; i < 3; i++) t.equal(Buffer.from((await peer.response(200)).body).toString(), 'answer 1');
  t.equal(asked, 1);
});

t.test('4,527 messages with one thing wrong each: never more than one answer, and always a good OPTIONS (fault 3)', async t => {
  await using endpoint = await victim({ unknownTotalPerS: 1_000_000 });
  const port = portOf(endpoint, 'UDP');
  const batch = 100;
  const all = [...anomalies()];
  for (let at = 0; at < all.length; at += batch) {
    // Another source for each batch: they share their branches.
    await using peer = await UdpPeer.open(port, '127.0.0.1', `127.0.5.${at / batch + 1}`);
    for (const { bytes } of all.slice(at, at + batch)) peer.send(bytes);
    peer.send(write({ callId: 'proof' }));
    await until(`the proof after ${all[at]!.name}`, () => peer.received.some(message => message.callId === 'proof'));
    const finals = peer.received.filter(message => message.callId !== 'proof' && message.type === 'response' && message.status >= 200).length;
    if (finals > batch) t.fail(`${finals} answers from ${all[at]!.name} on`);
  }
  t.ok(endpoint.counters['sip.malformed']! > 1000, `${endpoint.counters['sip.malformed']} of ${all.length} were no messages at all`);
});

t.test('a peer whose lengths are wrong is believed when he is known for it', async t => {
  await using endpoint = await victim({ hasWrongLengths: address => address === '127.0.0.8' });
  const bodies: string[] = [];
  endpoint.onRequest = incoming => {
    bodies.push(Buffer.from(incoming.request.body).toString());
    incoming.respond(200);
  };
  for (const from of ['127.0.0.7', '127.0.0.8']) {
    await using peer = await UdpPeer.open(portOf(endpoint, 'UDP'), '127.0.0.1', from);
    peer.send(write({ method: 'MESSAGE', body: '<Notify/>' }).replace('Content-Length: 9', 'Content-Length: 99'));
    await peer.response(from === '127.0.0.8' ? 200 : 400);
  }
  t.same(bodies, ['<Notify/>']);
});

t.test('strangers are weighed before they are parsed; scanners hear nothing (faults 23, 25)', async t => {
  const clock = new ManualClock();
  const trusted = new Set(['127.0.0.1']);
  await using endpoint = await victim({ clock, unknownRequestsPerS: 10, unknownTotalPerS: 50, isTrusted: address => trusted.has(address) });
  const port = portOf(endpoint, 'UDP');
  const proof = async (peer: UdpPeer): Promise<number> => {
    await using known = await UdpPeer.open(port);
    known.send(write());
    await known.response(200);
    return peer.received.length;
  };
  await using noisy = await UdpPeer.open(port, '127.0.0.1', '127.0.0.2');
  for (let i = 0; i < 100; i++) noisy.send(write());
  t.equal(await proof(noisy), 20, 'twice the rate at once');
  t.equal(endpoint.counters['sip.dropped.rate'], 80);
  clock.advance(1000);
  for (let i = 0; i < 100; i++) noisy.send('garbage');
  await proof(noisy);
  t.equal(endpoint.counters['sip.malformed'], 10, 'then the rate; the rest is not even parsed');
  await using quiet = await UdpPeer.open(port, '127.0.0.1', '127.0.0.3');
  quiet.send(write());
  t.equal(await proof(quiet), 1, 'others are not concerned');

  clock.advance(100_000);
  const crowd = await Promise.all(Array.from({ length: 30 }, (_, i) => UdpPeer.open(port, '127.0.0.1', `127.0.2.${i + 1}`)));
  for (const one of crowd) for (let i = 0; i < 10; i++) one.send(write());
  await proof(noisy);
  t.equal(crowd.reduce((sum, one) => sum + one.received.length, 0), 100, 'all strangers together have a rate, too');
  t.equal(endpoint.counters['sip.dropped.rate-total'], 200);
  for (const one of crowd) await one[Symbol.asyncDispose]();

  clock.advance(100_000);
  await using scanner = await UdpPeer.open(port, '127.0.0.1', '127.0.0.4');
  for (const agent of ['friendly-scanner', 'sipcli/v1.8', 'VaxSIPUserAgent/3.1', 'pplsip']) scanner.send(write({ headers: `User-Agent: ${agent}\n` }));
  t.equal(await proof(scanner), 0);
  t.equal(endpoint.counters['sip.dropped.scanner'], 4);
  scanner.send(write({ headers: 'User-Agent: IP Camera\n' }));
  t.equal(await proof(scanner), 1);
});

t.test('an INVITE flood of one source does not delay the others (fault 23)', async t => {
  await using endpoint = await victim({ unknownRequestsPerS: 20, isTrusted: address => address === '127.0.0.1' });
  endpoint.onInvite = incoming => incoming.respond(486);
  const port = portOf(endpoint, 'UDP');
  await using flood = await UdpPeer.open(port, '127.0.0.1', '127.0.0.66');
  await using peer = await UdpPeer.open(port);
  const waits: number[] = [];
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 200; i++) flood.send(write({ method: 'INVITE' }));
    const begin = performance.now();
    const text = write({ method: 'INVITE', branch: `z9hG4bKreal${round}`, callId: `real${round}` });
    peer.send(text);
    while ((await peer.next() as { status?: number }).status !== 486);
    waits.push(performance.now() - begin);
    peer.send(text.replaceAll('INVITE', 'ACK'));
  }
  t.ok(Math.max(...waits) < 500, `${Math.max(...waits).toFixed(0)} ms at worst`);
  t.ok(endpoint.counters['sip.dropped.rate']! > 3000);
});

/** One second of the flood is 5,000 REGISTERs from sources that are all different; the clock is ours, the memory is real. */
t.test('a REGISTER flood of 65,536 spoofed sources costs less than 64 MiB (fault 24)', async t => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const clock = new ManualClock();
  const counters: Record<string, number> = {};
  const count = (name: string): void => void (counters[name] = (counters[name] ?? 0) + 1);
  const isTrusted = (address: string): boolean => address === '192.0.2.1';
  const options = { listen: [], userAgent: '', clock, random: systemRandom, hashes: systemHashes, log: createLog('test', 'silent'), isTrusted, unknownRequestsPerS: 20 };
  const door = new SipDoor(options, count);
  const agent = new UserAgent({ timing: RFC_TIMING, userAgent: '', dice: systemRandom, route: () => undefined, count, limits: { maxServer: 200_000, maxUntrusted: 16_384 } });
  const answers = new Map<number, number>();
  const receive = (address: string, i: number, method: string): void => {
    const now: Ms = ms(i / 5);
    clock.advance(now - clock.now());
    const admission = door.admit(Buffer.from(write({ method, host: `${address}:5060`, branch: `z9hG4bK${i}` }), 'latin1'), address, 'datagram');
    if (admission?.type === 'message') agent.receive(admission.message, { transport: 'UDP', localAddress: '192.0.2.9', localPort: 5060, remoteAddress: address, remotePort: 5060 }, admission.trusted, now);
    if (agent.deadline <= now) agent.tick(now);
    for (const output of agent.drain()) {
      if (output.type === 'transmit' && output.message?.type === 'response') answers.set(output.message.status, (answers.get(output.message.status) ?? 0) + 1);
      if (output.type === 'request') agent.respond(output.transaction, output.request.method === 'MESSAGE' ? 200 : 401, {}, now);
    }
  };
  collect();
  const before = process.memoryUsage();
  for (let i = 0; i < 131_072; i++) {
    receive(`10.${(i * 7) & 0xff}.${(i >> 8) & 0xff}.${i & 0xff}`, i, 'REGISTER');
    if (i % 100 === 0) receive('192.0.2.1', i, 'MESSAGE');
  }
  collect();
  const after = process.memoryUsage();
  const grownMiB = (after.heapUsed + after.external - before.heapUsed - before.external) / 2 ** 20;
  t.ok(grownMiB < 64, `${grownMiB.toFixed(1)} MiB live after 26 s of it`);
  t.equal(answers.get(200), Math.ceil(131_072 / 100), 'every keepalive of a registered device was answered');
  t.ok(answers.get(401)! > 50_000 && counters['sip.dropped.rate-total']! > 10_000, `${answers.get(401)} challenged, ${counters['sip.dropped.rate-total']} dropped unread`);
  t.ok(agent.sizes.serverTransactions <= 16_384 + 1400);
  agent.tick(ms(1e9));
  t.same([agent.sizes.serverTransactions, agent.sizes.timers], [0, 0]);
});
