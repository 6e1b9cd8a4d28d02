/** Two nodes pair over real TLS on loopback; their configurations are of the test. What goes wrong, and who comes in between. */
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { type Server, type TLSSocket, connect as connectTls, createServer } from 'node:tls';
import t, { type Test } from 'tap';
import type { PairTermsAsked } from '#contracts/clusterd.ts';
import { fingerprintDigits, formatPairingCode, parsePairingCode } from '#core/cluster/pairing-code.ts';
import { formatLine, proofText } from '#core/cluster/pairing-lines.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import type { Ms, WallMs } from '#core/units.ts';
import { type Clock, systemClock } from '#kit/clock.ts';
import { readText } from '#kit/config-edit.ts';
import { Counters } from '#kit/counters.ts';
import { createLog } from '#kit/log.ts';
import { type PairTrust, fingerprintOf, newKeys, newOneself } from '#kit/pair-trust.ts';
import { systemRandom as random } from '#kit/random.ts';
import { joinPair } from '../../daemons/clusterd/pairing-guest.ts';
import { exporterOf } from '../../daemons/clusterd/pairing-door.ts';
import { PairingHost, proofOf } from '../../daemons/clusterd/pairing-host.ts';
import type { Place } from '../../daemons/clusterd/pairing-place.ts';
import { until } from '../rig/until.ts';

const A = '127.0.2.1';
const PORT = 17_702;
const YEAR_MS = 365 * 86_400_000;
const AUTHOR = { user: 'chen', via: 'system', address: null } as const;
const NO_TERMS: PairTermsAsked = { name: null, link: null, lan: null, address: null, media: null };
const PAIR = { node: { name: 'a' }, cluster: { gatePort: PORT, key: 'k'.repeat(43), sipAddress: '10.97.0.100/24', nodes: [{ name: 'a', link: A, lan: '10.97.0.1' }, { name: 'b', link: '127.0.2.2', lan: '10.97.0.2' }] } };
const log = createLog('test', 'silent');

interface Skewed extends Clock {
  aheadMs: number;
}
function skewed(): Skewed {
  const clock: Skewed = { aheadMs: 0, now: () => (systemClock.now() + clock.aheadMs) as Ms, wall: () => (systemClock.wall() + clock.aheadMs) as WallMs, schedule: (at, task) => systemClock.schedule((at - clock.aheadMs) as Ms, task) };
  return clock;
}

/** `says`: what configd has against it. */
function placeOf(config: object, says: () => string | null = () => null): Place & { readonly audited: string[]; readonly loaded: string[] } {
  const [audited, loaded] = [[] as string[], [] as string[]];
  return {
    audited, loaded,
    config: gatewaySchema.parse(config),
    document: () => {
      const read = readText('node: {name: fresh}\n');
      if (!read.ok) throw new Error(read.why);
      return read.read;
    },
    opened: () => Promise.resolve('node: {name: a}\n'),
    tried: (_author, steps, text) => (loaded.push(`${text ?? ''}${steps.map(step => `${step.path}=${JSON.stringify('value' in step ? step.value : null)}`).join(' ')}`), Promise.resolve(says())),
    commit: () => Promise.resolve(null),
    audit: (_author, action, target) => Promise.resolve(void audited.push(`${action} ${target}`)),
  };
}

interface Rig {
  readonly host: PairingHost;
  readonly counters: Counters;
  readonly place: ReturnType<typeof placeOf>;
  readonly trusts: PairTrust[];
  readonly clock: Skewed;
  code(): Promise<string>;
  join(code: string, options?: { place?: Place; clock?: Clock; name?: string }): Promise<PairTrust>;
}

function rigOf(test: Test): Rig {
  const [counters, place, clock, trusts] = [new Counters(), placeOf(PAIR), skewed(), [] as PairTrust[]];
  const host = new PairingHost({ place, release: '0.1.0', counters, clock, random, log, keep: trust => void trusts.push(trust), onTrust: () => Promise.resolve() });
  test.teardown(() => host[Symbol.asyncDispose]());
  return {
    host, counters, place, trusts, clock,
    code: async () => (await host.open(10, NO_TERMS, AUTHOR)).code,
    join: (code, { place: own = placeOf({}), clock: theirs = systemClock, name } = {}) => joinPair({ address: A, port: PORT, code, name: name ?? null, link: null, lan: null, media: null }, AUTHOR, { place: own, release: '0.1.0', clock: theirs }).then(({ trust }) => trust),
  };
}

t.test('both have their half, made for each other; the code is used up', async t => {
  const { host, code, join, trusts, place } = rigOf(t);
  const good = await code();
  const own = placeOf({});
  const trust = await join(good.toLowerCase(), { place: own });
  await until('the other one has it too', () => trusts.length === 1 && place.audited.length === 1);
  t.match(trust, { own: 'b', peer: 'a', authority: trusts[0]!.authority });
  t.match(trusts[0], { own: 'a', peer: 'b' });
  t.not(trust.key, trusts[0]!.key);
  t.match(own.loaded, ['node: {name: a}\nnode={"name":"fresh"} node.name="b"']);
  t.same(place.audited, ['cluster.pair b']);
  t.equal(host.report, null);
  await t.rejects(join(good), { code: 'DAEMON_UNREACHABLE', detail: { why: /no window is open there/ } });
});

t.test('a clock that is wrong by years is told of, and the code is good for the next try', async t => {
  const { code, join, trusts } = rigOf(t);
  const good = await code();
  const wrong = skewed();
  wrong.aheadMs = -26 * YEAR_MS;
  // Only the wall: how long things take is measured by another clock.
  const theirs = { ...systemClock, wall: () => wrong.wall() };
  await t.rejects(join(good, { clock: theirs }), { code: 'NOT_PERMITTED', detail: { why: /the clocks differ by 26 years: it is 20\d\d-.* on the new node and 20\d\d-.*join again with the same code/ } });
  t.equal(trusts.length, 0);
  await join(good);
});

t.test('what the configuration of either side has against it is told on both', async t => {
  const { host, code, join, trusts } = rigOf(t);
  const good = await code();
  await t.rejects(join(good, { place: placeOf({}, () => 'sipd: no such address here') }), { code: 'CONFIG_INVALID', detail: { why: 'the configuration on the new node: sipd: no such address here' } });
  await until('the other one knows why', () => /no such address here/.test(host.last ?? ''));
  t.match(host.report, { state: 'open', wrong: 0 });
  await t.rejects(join(good, { name: 'c' }), { code: 'NOT_PERMITTED', detail: { why: /cluster\.nodes says b where the new node says c/ } });
  t.equal(trusts.length, 0);
  await join(good);
});

t.test('one that the pair knows, and that has the key of before: the new one comes with the code, and nothing else', async t => {
  const ours = { ...placeOf(PAIR), opened: () => Promise.resolve(`cluster: {key: ${'n'.repeat(43)}}\n`) };
  const host = new PairingHost({ place: ours, release: '0.1.0', counters: new Counters(), clock: systemClock, random, log, keep: () => undefined, onTrust: () => Promise.resolve() });
  t.teardown(() => host[Symbol.asyncDispose]());
  const joined = async (key: string) => {
    const { code } = await host.open(10, NO_TERMS, AUTHOR);
    const place = placeOf({ ...PAIR, node: { name: 'b' }, cluster: { ...PAIR.cluster, key } });
    const { tried } = await joinPair({ address: A, port: PORT, code, name: null, link: null, lan: null, media: null }, AUTHOR, { place, release: '0.1.0', clock: systemClock });
    return { tried, loaded: place.loaded };
  };
  t.same(await joined('k'.repeat(43)), { tried: 'key', loaded: [`cluster.key="${'n'.repeat(43)}"`] });
  t.same(await joined('n'.repeat(43)), { tried: 'nothing', loaded: [] });
});

t.test('an expired code says so to who knows it, and to nobody else', async t => {
  const { code, join, clock } = rigOf(t);
  const good = await code();
  const parsed = parsePairingCode(good);
  if (!parsed.ok) throw new Error('unreadable');
  clock.aheadMs = 11 * 60_000;
  await t.rejects(join(good), { code: 'NOT_PERMITTED', detail: { why: /this code has expired/ } });
  await t.rejects(join(formatPairingCode({ ...parsed.value, secret: '7'.repeat(20) })), { code: 'NOT_PERMITTED', detail: { why: 'wrong code' } });
});

/** Speaks TLS with the window, whoever answers there. */
async function knock(): Promise<TLSSocket> {
  const socket = connectTls({ host: A, port: PORT, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}
const hello = (proof: string): string => formatLine({ format: 1, proof, publicKey: newKeys().publicKey.export({ type: 'spki', format: 'der' }).toString('base64'), wallMs: Math.round(systemClock.wall()), release: '0.1.0', schemaVersion: 99, localAddress: '127.0.2.2', wishes: { name: null, link: null, lan: null, media: null } });
async function answer(socket: TLSSocket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

t.test('a proof is good in its own TLS session only', async t => {
  const { code, counters } = rigOf(t);
  const parsed = parsePairingCode(await code());
  if (!parsed.ok) throw new Error('unreadable');
  const secret = Buffer.from(parsed.value.secret, 'latin1');
  const [one, other] = [await knock(), await knock()];
  other.end(hello(proofOf(secret, proofText('new node', exporterOf(one)))));
  t.match(await answer(other), /wrong code/);
  one.write(hello(proofOf(secret, proofText('node with the code', exporterOf(one)))));
  t.match(await answer(one), /wrong code/, 'nor can what the other side says be thrown back at it');
  t.equal(counters.get('pairing.wrong'), 2);
});

t.test('who stands in between has no certificate that the code knows: nothing is told to him', async t => {
  const { code, join, host } = rigOf(t);
  const good = await code();
  await host.close();
  let heard = '';
  const between: Server = createServer({ ...newOneself('viewlink-pairing', random) }, socket => void socket.on('error', () => undefined).on('data', chunk => (heard += String(chunk))));
  await new Promise<void>(resolve => between.listen(PORT, A, resolve));
  t.teardown(() => between.close());
  await t.rejects(join(good), { code: 'NOT_PERMITTED', detail: { why: /another node answers there/ } });
  t.equal(heard, '');
});

t.test('who knows the certificate and not the code gives himself away', async t => {
  const keys = newOneself('viewlink-pairing', random);
  const between: Server = createServer(keys, socket => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(formatLine({ proof: '00'.repeat(32), own: 'b', peer: 'a', authority: keys.cert, certificate: keys.cert, text: 'node: {name: a}\n' })));
  });
  await new Promise<void>(resolve => between.listen(PORT, A, resolve));
  t.teardown(() => between.close());
  const { join } = rigOf(t);
  const own = placeOf({});
  await t.rejects(join(formatPairingCode({ secret: '3'.repeat(20), fingerprint: fingerprintDigits(fingerprintOf(keys.cert)) }), { place: own }), { code: 'NOT_PERMITTED', detail: { why: 'who answers there does not know the code' } });
  t.same(own.loaded, []);
});

t.test('garbage, too much of it, and silence cost nothing but a connection', async t => {
  const { code, join, counters, host } = rigOf(t);
  const good = await code();
  for (const said of ['{}\n', 'x'.repeat(10_000), `${'['.repeat(4000)}\n`, 'null\n', `${hello('ab'.repeat(32)).replace('"format":1', '"format":2')}`]) {
    const socket = await knock();
    socket.write(said);
    t.equal(await answer(socket), '', said.slice(0, 20));
  }
  const old = connectTls({ host: A, port: PORT, rejectUnauthorized: false, maxVersion: 'TLSv1.2' }).on('error', () => undefined);
  await new Promise(resolve => old.once('close', resolve));
  const raw: Socket = connect({ host: A, port: PORT }).on('error', () => undefined);
  raw.write(random.bytes(500));
  await once(raw.resume(), 'close');
  const silent = await knock();
  t.equal(await answer(silent), '', 'within some seconds');
  t.match(host.report, { state: 'open', wrong: 0 });
  t.equal(counters.get('pairing.wrong'), 0);
  await join(good);
});

t.test('a window is opened by who knows how this node stands in the pair', async t => {
  const { host } = rigOf(t);
  await t.rejects(host.open(10, { ...NO_TERMS, link: A }, AUTHOR), { code: 'BAD_REQUEST', detail: { why: /cluster\.nodes says already/ } });
  const alone = new PairingHost({ place: placeOf({ cluster: { gatePort: PORT } }), release: '0.1.0', counters: new Counters(), clock: systemClock, random, log, keep: () => undefined, onTrust: () => Promise.resolve() });
  t.teardown(() => alone[Symbol.asyncDispose]());
  await t.rejects(alone.open(10, { ...NO_TERMS, lan: '127.0.0.1' }, AUTHOR), { code: 'BAD_REQUEST', detail: { why: 'this gateway stands alone: say --link (the address of this node on the link), --address (the SIP address of the pair with its prefix)' } });
  const walled = new PairingHost({ place: placeOf({ cluster: { gatePort: PORT, pairFrom: ['10.98.0.0/24'] }, host: { firewall: true, management: ['10.0.0.0/8'] } }), release: '0.1.0', counters: new Counters(), clock: systemClock, random, log, keep: () => undefined, onTrust: () => Promise.resolve() });
  t.teardown(() => walled[Symbol.asyncDispose]());
  await t.rejects(walled.open(10, { ...NO_TERMS, link: '127.0.0.1', lan: '127.0.0.1', address: '10.97.0.100/24' }, AUTHOR), { code: 'BAD_REQUEST', detail: { why: /host\.firewall lets nobody in to port 17702: set cluster\.pairFrom/ } });
  await t.rejects(alone.open(10, { ...NO_TERMS, link: '192.0.2.1', lan: '127.0.0.1', address: '10.97.0.100/24' }, AUTHOR), { code: 'BAD_REQUEST', detail: { why: '192.0.2.1 is no address of this machine' } });
});
