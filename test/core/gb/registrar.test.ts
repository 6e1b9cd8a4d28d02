import fc from 'fast-check';
import t from 'tap';
import { gatewaySchema } from '#core/config/schema.ts';
import { Deadlines } from '#core/deadlines.ts';
import { type Admission, Admissions } from '#core/gb/admission.ts';
import { type Source, bindingRow, rowOfStored, storedBinding, targetOf } from '#core/gb/binding.ts';
import { grantedContact, registerFieldsOf } from '#core/gb/register-request.ts';
import { type RegisterFacts, type Registered, type RegistrarEvent, type RegistrarOptions, Registrar } from '#core/gb/registrar.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { formatUri } from '#core/sip/uri.ts';
import { type Ms, ms, wallMs } from '#core/units.ts';

const OWN = '33010000002000000001';
const NVR = '33010000001180000007';
const OPTIONS: RegistrarOptions = { ownId: OWN, minExpiresS: 60, maxExpiresS: 86_400, keepaliveS: 60, keepaliveMisses: 3, keepaliveRevives: true, redirects: [] };
const SOURCE: Source = { transport: 'UDP', address: '192.0.2.71', port: 5060 };
const OPEN: Admission = { how: 'open', known: true, policy: { contactElsewhere: false, nat: false, mediaNetworks: [] } };
const DIGEST: Admission = { ...OPEN, how: 'digest', credentials: { password: 'x', ha1: undefined } };
const CHALLENGE = [{ name: 'WWW-Authenticate', value: 'Digest realm="3301000000", nonce="n"' }];
const S = 1000;

const facts = (more: Partial<RegisterFacts> = {}): RegisterFacts => ({
  deviceId: NVR,
  toUser: NVR,
  source: SOURCE,
  contact: { address: '192.0.2.71', port: 5060 },
  callId: 'c1',
  cseq: 2,
  expiresS: 3600,
  admission: DIGEST,
  verdict: { type: 'accepted', username: NVR },
  ...more,
});

const types = (events: readonly RegistrarEvent[]): string[] => events.map(event => (event.type === 'offline' ? event.reason : event.type));
const statusOf = ({ answer }: Registered): number | null => answer.status;

function online(more: Partial<RegisterFacts> = {}, options: Partial<RegistrarOptions> = {}): Registrar {
  const registrar = new Registrar({ ...OPTIONS, ...options });
  registrar.register(facts(more), ms(0));
  return registrar;
}

/** Jumps from deadline to deadline up to `until`. */
function run(registrar: Registrar, until: number): [Ms, string][] {
  const seen: [Ms, string][] = [];
  for (let steps = 0; registrar.deadline <= until; steps++) {
    if (steps > 10_000) throw new Error('a deadline that does not move');
    const at = registrar.deadline;
    for (const type of types(registrar.tick(at))) seen.push([at, type]);
  }
  return seen;
}

await t.test('deadlines: the earliest first, wherever it was moved', async t => {
  const deadlines = new Deadlines<string>();
  t.equal(deadlines.next, Infinity);
  for (const [key, at] of [['a', 5], ['b', 3], ['c', 9], ['d', 1]] as const) deadlines.set(key, ms(at));
  deadlines.set('d', ms(7));
  deadlines.set('c', ms(Infinity));
  deadlines.delete('nobody');
  t.equal(deadlines.takeDue(ms(2)), undefined);
  t.same([deadlines.takeDue(ms(100)), deadlines.takeDue(ms(100)), deadlines.takeDue(ms(100)), deadlines.takeDue(ms(100))], ['b', 'a', 'd', undefined]);
  const step = fc.record({ key: fc.integer({ min: 0, max: 20 }), at: fc.integer({ min: 0, max: 50 }), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const heap = new Deadlines<number>();
      const model = new Map<number, number>();
      for (const { key, at, remove } of steps) {
        if (remove) heap.delete(key);
        else heap.set(key, ms(at));
        if (remove) model.delete(key);
        else model.set(key, at);
        if (heap.next !== Math.min(Infinity, ...model.values()) || heap.size !== model.size) return false;
      }
      for (let last = -1; model.size > 0; ) {
        const key = heap.takeDue(ms(1000))!;
        if (model.get(key)! < last) return false;
        last = model.get(key)!;
        model.delete(key);
      }
      return heap.size === 0;
    }),
  );
});

await t.test('registration: challenge, online, refresh, unregister (12.2)', async t => {
  const registrar = new Registrar(OPTIONS);
  const first = registrar.register(facts({ verdict: { type: 'challenge', headers: CHALLENGE }, gbVersion: '3.0' }), ms(0));
  t.same(first, { answer: { status: 401, why: 'challenged', headers: [...CHALLENGE, { name: 'X-GB-Ver', value: '3.0' }] }, events: [] });
  t.equal(registrar.binding(NVR), undefined, 'a challenge leaves nothing behind');
  const second = registrar.register(facts(), ms(10));
  t.match(second, { answer: { status: 200, expiresS: 3600, headers: [] }, events: [{ type: 'online', deviceId: NVR, how: 'registered' }] });
  t.match(registrar.binding(NVR), { online: true, target: SOURCE, grantedS: 3600, expiresAt: 3_600_010 });
  t.same(types(registrar.register(facts({ cseq: 4 }), ms(100 * S)).events), ['refreshed']);
  t.match(registrar.register(facts({ cseq: 6, expiresS: 0, contact: '*' }), ms(200 * S)), { answer: { status: 200, expiresS: 0 }, events: [{ type: 'offline', reason: 'unregistered' }] });
  t.match(registrar.binding(NVR), { online: false, reason: 'unregistered' });
  t.equal(registrar.deadline, Infinity);
  t.same(types(registrar.register(facts({ cseq: 8, expiresS: 0 }), ms(201 * S)).events), [], 'twice is once');
  t.same(types(registrar.register(facts({ callId: 'c2', cseq: 2 }), ms(300 * S)).events), ['online']);
});

await t.test('Expires: 0, 1, huge, missing, negative (fault 13)', async t => {
  const granted = (expiresS: number | undefined): unknown => {
    const { answer } = new Registrar(OPTIONS).register(facts({ expiresS }), ms(0));
    return answer.status === 200 ? answer.expiresS : [answer.status, ...answer.headers.map(({ name, value }) => `${name}: ${value}`)];
  };
  t.equal(granted(0), 0);
  t.same(granted(1), [423, 'Min-Expires: 60']);
  t.equal(granted(60), 60);
  t.equal(granted(4_294_967_296), 86_400);
  t.equal(granted(undefined), 86_400);
  t.same(granted(-1), [400]);
  t.same(granted(NaN), [400]);
});

await t.test('refused, each for its reason (faults 14, 15, 17)', async t => {
  const cases: readonly (readonly [string, Partial<RegisterFacts>, number | null])[] = [
    ['denied', { admission: { how: 'denied', why: 'no rule admits it' }, verdict: undefined }, 403],
    ['digest not even checked', { verdict: undefined }, 403],
    ['wrong password', { verdict: { type: 'refused' } }, 403],
    ['unreadable credentials', { verdict: { type: 'malformed' } }, 400],
    ['locked out', { verdict: { type: 'locked' } }, null],
    ['To is somebody else', { toUser: '33010000001180000008' }, 403],
    ['digest user is somebody else', { usernameIsOther: true }, 403],
    ['Contact elsewhere', { contact: { address: '10.0.0.7', port: 5060 } }, 403],
    ['Contact * without Expires 0', { contact: '*' }, 400],
  ];
  for (const [name, more, status] of cases) {
    const registrar = new Registrar(OPTIONS);
    t.equal(statusOf(registrar.register(facts(more), ms(0))), status, name);
    t.equal(registrar.size, 0, `${name}: no row`);
  }
  const fine: readonly (readonly [string, Partial<RegisterFacts>])[] = [
    ['To is our platform', { toUser: OWN }],
    ['open admission', { admission: OPEN, verdict: undefined }],
    ['Contact is a name', { contact: { address: '3301000000', port: 5060 } }],
    ['no Contact', { contact: undefined }],
    ['Contact written as a mapped IPv6 address', { contact: { address: '::ffff:192.0.2.71', port: 5060 } }],
  ];
  for (const [name, more] of fine) t.equal(statusOf(new Registrar(OPTIONS).register(facts(more), ms(0))), 200, name);
  const elsewhere: Admission = { ...OPEN, policy: { ...OPEN.policy, contactElsewhere: true } };
  t.match(online({ admission: elsewhere, contact: { address: '10.0.0.7', port: 5062 } }).binding(NVR), { target: SOURCE, contact: { address: '10.0.0.7' } }, 'allowed: kept, and requests go where it sends from');
});

await t.test('target of requests', async t => {
  const from = { ...SOURCE, port: 40_123 };
  t.match(targetOf(from, { address: '192.0.2.71', port: 5060 }), { address: '192.0.2.71', port: 5060 }, 'its Contact, when it is there itself');
  t.match(targetOf(from, { address: '10.0.0.7', port: 5060 }), from, 'behind NAT');
  t.match(targetOf({ ...from, transport: 'TCP', connectionId: 3 }, undefined), { connectionId: 3, port: 40_123 });
});

await t.test('keepalives and silence', async t => {
  const registrar = online();
  t.same(registrar.keepalive('33010000001180000008', SOURCE, ms(1)), { status: 404, events: [] }, 'unknown');
  t.same(registrar.keepalive(NVR, { ...SOURCE, address: '198.51.100.1' }, ms(1)), { status: 403, events: [] }, 'from another address');
  t.same(registrar.keepalive(NVR, SOURCE, ms(60 * S)), { status: 200, events: [] });
  t.match(registrar.binding(NVR), { keepaliveAt: 60_000, lastSeenAt: 60_000 });
  t.equal(registrar.deadline, 240_000);
  registrar.seen(NVR, ms(100 * S));
  t.same(run(registrar, 3_600_000), [[280_000, 'keepalive-lost']], 'any message is a sign of life');
  t.same(registrar.keepalive(NVR, SOURCE, ms(300 * S)), { status: 200, events: [{ type: 'online', deviceId: NVR, how: 'revived' }] });
  for (let at = 300; at < 3600; at += 60) registrar.keepalive(NVR, SOURCE, ms(at * S));
  t.same(run(registrar, 1e9), [[3_602_000, 'expired']], 'keepalives do not prolong the registration');
  t.equal(registrar.keepalive(NVR, SOURCE, ms(3_700 * S)).status, 403, 'it must register anew');
  const strict = online({}, { keepaliveRevives: false });
  run(strict, 200_000);
  t.equal(strict.keepalive(NVR, SOURCE, ms(201 * S)).status, 403);
  const gone = online({}, {});
  gone.register(facts({ expiresS: 0 }), ms(1));
  t.equal(gone.keepalive(NVR, SOURCE, ms(2)).status, 403, 'who said goodbye is not revived');
});

await t.test('address changes: port follows, new source port, new connection (quirk 11, field 6)', async t => {
  const registrar = online({ contact: undefined });
  t.match(registrar.keepalive(NVR, { ...SOURCE, port: 40_000 }, ms(S)), { status: 200, events: [{ type: 'moved', from: SOURCE, to: { port: 40_000 } }] });
  t.equal(registrar.binding(NVR)?.target.port, 40_000);
  t.same(online().keepalive(NVR, { ...SOURCE, port: 40_000 }, ms(S)).events, [], 'requests go to the Contact anyway');
  const tcp = online({ source: { transport: 'TCP', address: '192.0.2.71', port: 41_000, connectionId: 5 } });
  t.match(tcp.flowClosed(5), [{ type: 'offline', reason: 'connection-lost' }]);
  t.same(tcp.flowClosed(5), []);
  t.same(tcp.flowClosed(99), []);
  const back = tcp.keepalive(NVR, { transport: 'TCP', address: '192.0.2.71', port: 41_001, connectionId: 6 }, ms(5 * S));
  t.same(types(back.events), ['online', 'moved']);
  t.equal(tcp.flowClosed(5).length, 0, 'the old connection is nobody any more');
  t.equal(tcp.flowClosed(6).length, 1);
});

await t.test('reboot: a new Call-ID (2.3)', async t => {
  t.match(online().register(facts({ callId: 'c2', cseq: 1 }), ms(60 * S)).events, [{ type: 'rebooted', refreshWasDue: false }]);
  const silent = online();
  run(silent, 200 * S);
  t.match(silent.register(facts({ callId: 'c2', cseq: 1 }), ms(200 * S)).events, [{ type: 'online', how: 'registered' }], 'it was offline by then');
  const chatty = online();
  for (let at = 60; at <= 2880; at += 60) chatty.keepalive(NVR, SOURCE, ms(at * S));
  t.match(chatty.register(facts({ callId: 'c2' }), ms(2890 * S)).events, [{ type: 'rebooted', refreshWasDue: true }], 'a device that takes a new Call-ID for each refresh');
  t.match(chatty.register(facts({ callId: 'c2', cseq: 1 }), ms(2950 * S)).events, [{ type: 'rebooted', refreshWasDue: false }], 'CSeq began anew');
});

await t.test('one ID from two addresses: newest wins, alarm, limit (fault 16)', async t => {
  const registrar = online();
  const from = (host: number, at: number): Registered => registrar.register(facts({ source: { ...SOURCE, address: `192.0.2.${host}` }, contact: undefined, callId: `c${host}` }), ms(at));
  const first = from(72, 10 * S);
  t.same(types(first.events), ['rebooted', 'duplicate-id', 'moved']);
  t.match(first.events[1], { from: '192.0.2.71', to: '192.0.2.72', refused: false });
  t.equal(registrar.keepalive(NVR, SOURCE, ms(11 * S)).status, 403, 'the old one is a stranger now');
  from(71, 12 * S);
  from(72, 13 * S);
  const fourth = from(71, 14 * S);
  t.match(fourth.answer, { status: 503, headers: [{ name: 'Retry-After', value: '60' }] });
  t.match(fourth.events, [{ type: 'duplicate-id', refused: true }]);
  t.same(from(71, 15 * S).events, [], 'said once');
  t.equal(registrar.binding(NVR)?.source.address, '192.0.2.72');
  t.equal(statusOf(from(72, 20 * S)), 200, 'the one that stands may refresh');
  t.equal(statusOf(from(71, 73 * S)), 200, 'a minute later it may move again');
  const calm = online();
  t.same(types(calm.register(facts({ source: { ...SOURCE, address: '192.0.2.99' }, contact: undefined }), ms(100 * S)).events), ['refreshed', 'moved'], 'a device that moved house is no duplicate');
});

await t.test('who is who', async t => {
  const registrar = online();
  t.ok(registrar.isRegisteredAt('::ffff:192.0.2.71'));
  t.notOk(registrar.isRegisteredAt('192.0.2.72'));
  t.same(registrar.devicesAt('192.0.2.71'), [NVR]);
  t.equal(registrar.recognize(NVR, { ...SOURCE, port: 1 })?.deviceId, NVR);
  t.equal(registrar.recognize(NVR, { ...SOURCE, address: '192.0.2.72' }), undefined);
  t.equal(registrar.recognize('nobody', SOURCE), undefined);
  t.same(types(registrar.remove(NVR)), ['unregistered']);
  t.equal(registrar.size, 0);
  t.notOk(registrar.isRegisteredAt('192.0.2.71'));
  t.equal(registrar.deadline, Infinity);
});

await t.test('a restart, and a clock that jumps meanwhile (fault 110)', async t => {
  const before = online({ contact: { address: '192.0.2.71', port: 5062 } });
  const row = bindingRow(before.binding(NVR)!, ms(600 * S), wallMs(1_000_000 * S));
  t.match(row, { deviceId: NVR, address: '192.0.2.71', contactPort: 5062, grantedS: 3600, savedAtWallMs: 1_000_000 * S, expiresAtWallMs: 1_003_000 * S });
  const restored = (wallS: number): Registrar => {
    const registrar = new Registrar(OPTIONS);
    registrar.restore([row], ms(0), wallMs(wallS * S));
    return registrar;
  };
  const left = (wallS: number): number => restored(wallS).binding(NVR)!.expiresAt / S;
  t.equal(left(1_000_100), 2900, 'the usual case');
  t.equal(left(990_000), 3600, 'clock stepped back: as granted, not more');
  t.equal(left(2_000_000), 180, 'clock far ahead: time for three keepalives');
  t.equal(left(1_002_990), 180);
  const registrar = restored(2_000_000);
  t.match(registrar.binding(NVR), { online: true, target: { address: '192.0.2.71', port: 5062 } });
  t.same(types(registrar.register(facts({ cseq: 3 }), ms(S)).events), ['refreshed', 'moved'], 'the Call-ID of before is no reboot');
  t.same(run(restored(1_000_100), 1e9), [[180_000, 'keepalive-lost']], 'who is really gone goes');
});

await t.test('10,000 devices: no scan, nobody lost', async t => {
  const registrar = new Registrar(OPTIONS);
  const ids = Array.from({ length: 10_000 }, (_, i) => `33010000001180${String(i).padStart(6, '0')}`);
  for (const [i, deviceId] of ids.entries()) registrar.register(facts({ deviceId, toUser: deviceId, source: { ...SOURCE, address: `10.1.${i >> 8}.${i & 255}` }, contact: undefined }), ms(i));
  for (let round = 1; round <= 3; round++) for (const [i, deviceId] of ids.entries()) registrar.keepalive(deviceId, { ...SOURCE, address: `10.1.${i >> 8}.${i & 255}` }, ms(round * 60_000 + i));
  t.same(run(registrar, 359_999), []);
  t.equal(run(registrar, 369_999).length, 10_000);
});

await t.test('random life: online exactly while registered and heard', async () => {
  const step = fc.record({ kind: fc.constantFrom('register', 'unregister', 'keepalive', 'wait', 'close'), host: fc.integer({ min: 1, max: 2 }), waitS: fc.integer({ min: 0, max: 400 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const registrar = new Registrar({ ...OPTIONS, maxExpiresS: 600 });
      let now = 0;
      let isOnline = false;
      const apply = (events: readonly RegistrarEvent[]): void => {
        for (const event of events) {
          if (event.type === 'online' && isOnline) throw new Error('online twice');
          if (event.type === 'offline' && !isOnline) throw new Error('offline twice');
          if (event.type === 'online') isOnline = true;
          if (event.type === 'offline') isOnline = false;
        }
      };
      for (const [i, { kind, host, waitS }] of steps.entries()) {
        const source: Source = { transport: 'TCP', address: `192.0.2.${host}`, port: 5060, connectionId: i };
        if (kind === 'register' || kind === 'unregister') apply(registrar.register(facts({ source, contact: undefined, cseq: i, expiresS: kind === 'register' ? 600 : 0 }), ms(now)).events);
        else if (kind === 'keepalive') apply(registrar.keepalive(NVR, source, ms(now)).events);
        else if (kind === 'close') apply(registrar.flowClosed(i - 1));
        now += waitS * S;
        while (registrar.deadline <= now) apply(registrar.tick(ms(now)));
        if ((registrar.binding(NVR)?.online ?? false) !== isOnline) return false;
        if (isOnline !== registrar.deadline < Infinity) return false;
        if (isOnline !== (registrar.isRegisteredAt('192.0.2.1') || registrar.isRegisteredAt('192.0.2.2'))) return false;
      }
      return true;
    }),
  );
});

await t.test('admission: denied unless somebody said so (faults 14, 23)', async t => {
  const known = { id: NVR, password: 'a', networks: ['192.0.2.0/24'] };
  const config = gatewaySchema.parse({
    sip: { id: OWN },
    devices: {
      known: [known, { id: 'OLD1', digest: false, contactElsewhere: true }, { id: '33000000002000000001', password: 'p' }],
      admit: [
        { prefix: '3301', networks: ['10.0.0.0/8'], ha1: 'a'.repeat(32) },
        { prefix: '3302', networks: ['10.0.0.0/8', '2001:db8::/32'], digest: false },
      ],
    },
    upstreams: ['33000000002000000001', '33000000002000000002'].map((id, i) => ({ name: `u${i}`, id, address: '198.51.100.5', localId: `3301000000200000000${i + 2}`, password: 'x' })),
  });
  const admissions = new Admissions(config);
  const how = (id: string, address: string): string => admissions.admit(id, address).how;
  t.match(admissions.admit(NVR, '192.0.2.71'), { how: 'digest', known: true, credentials: { password: 'a' } });
  t.equal(how(NVR, '::ffff:192.0.2.71'), 'digest');
  t.equal(how(NVR, '10.1.1.1'), 'denied', 'its own networks only, whatever the rules say');
  t.match(admissions.admit('OLD1', '198.51.100.99'), { how: 'open', policy: { contactElsewhere: true } });
  t.match(admissions.admit('33010000001320000001', '10.1.1.1'), { how: 'digest', known: false, credentials: { ha1: 'a'.repeat(32) }, policy: { contactElsewhere: false } });
  t.equal(how('33020000001320000001', '2001:db8::1'), 'open');
  for (const [id, address] of [['33010000001320000001', '11.1.1.1'], ['33030000001320000001', '10.1.1.1'], ['330100000013200001', '10.1.1.1'], [OWN, '10.1.1.1'], ['33010000002000000002', '10.1.1.1'], ['33010000001320000001', 'nowhere'], ['', '10.1.1.1']] as const) t.equal(how(id, address), 'denied', `${id} ${address}`);
  t.equal(how('33000000002000000001', '198.51.100.5'), 'digest', 'a platform above that is also listed below: peers');
  t.ok(admissions.isKnown(NVR));
  const none = new Admissions(gatewaySchema.parse({ devices: { known: [{ id: NVR, digest: false }] } }));
  t.equal(none.admit('33010000001320000001', '10.1.1.1').how, 'denied', 'without rules nobody unknown comes in');
});

await t.test('a device of 2022 is redirected, one of 2016 is not; what it had here ends', async t => {
  const redirect = { prefix: NVR.slice(0, 8), id: OWN, address: '192.0.2.11', port: 5060, expiresS: 3600 };
  const registrar = new Registrar({ ...OPTIONS, redirects: [{ ...redirect, prefix: '9999' }, redirect] });
  t.equal(statusOf(registrar.register(facts(), ms(0))), 200, 'without X-GB-Ver');
  t.equal(statusOf(registrar.register(facts({ gbVersion: '2.0', cseq: 3 }), ms(1))), 200);
  t.equal(statusOf(registrar.register(facts({ gbVersion: '3.0', verdict: { type: 'challenge', headers: CHALLENGE } }), ms(2))), 401, 'not before it said who it is');
  const moved = registrar.register(facts({ gbVersion: '3.0', cseq: 4 }), ms(3));
  t.match(moved, {
    answer: { status: 302, headers: [{ name: 'Contact', value: `<sip:${OWN}@192.0.2.11:5060>` }, { name: 'Expires', value: '3600' }, { name: 'X-GB-Ver', value: '3.0' }] },
    events: [{ type: 'offline', reason: 'unregistered' }],
  });
  t.equal(registrar.binding(NVR)?.online ?? false, false);
  t.equal(statusOf(registrar.register(facts({ gbVersion: '3.0', cseq: 5, expiresS: 0 }), ms(4))), 200, 'who leaves is let go');
});

function registerWith(...fields: readonly string[]): SipRequest {
  const head = [`REGISTER sip:${OWN}@3301000000 SIP/2.0`, 'Via: SIP/2.0/UDP 192.0.2.71:5060;branch=z9hG4bK1', 'Max-Forwards: 70', `From: <sip:${NVR}@3301000000>;tag=1`, `To: <sip:${NVR}@3301000000>`, 'Call-ID: c1', 'CSeq: 2 REGISTER', ...fields, 'Content-Length: 0', '', ''];
  const parsed = parseMessage(new Uint8Array(Buffer.from(head.join('\r\n'), 'latin1')), 'datagram');
  if (!parsed.ok || parsed.value.type !== 'request') throw new Error('not a request');
  return parsed.value;
}

await t.test('what stands in a REGISTER: the first Contact, and its time before that of the message (RFC 3261 10.2)', async t => {
  const CONTACT = `Contact: <sip:${NVR}@192.0.2.71:5080>`;
  const address = { address: '192.0.2.71', port: 5080 };
  for (const [what, fields, wanted] of [
    ['both', [`${CONTACT};expires=600`, 'Expires: 3600'], { contact: address, expiresS: 600 }],
    ['a time that is none', [`${CONTACT};expires=soon`, 'Expires: 3600'], { contact: address, expiresS: 3600 }],
    ['a flag', [`${CONTACT};expires`, 'Expires: 3600'], { contact: address, expiresS: 3600 }],
    ['of several the first', [`${CONTACT};expires=0, <sip:${NVR}@192.0.2.72>`], { contact: address, expiresS: 0 }],
    ['without a port', [`Contact: <sip:${NVR}@192.0.2.71>`], { contact: { ...address, port: 5060 }, expiresS: undefined }],
    ['of another scheme', ['Contact: <tel:110>', 'Expires: 60'], { contact: undefined, expiresS: 60 }],
    ['all', ['Contact: *', 'Expires: 0'], { contact: '*', expiresS: 0 }],
    ['none', ['X-GB-Ver: 3.0'], { contact: undefined, expiresS: undefined, gbVersion: '3.0' }],
  ] as const) t.same(registerFieldsOf(registerWith(...fields)), { deviceId: NVR, toUser: NVR, callId: 'c1', cseq: 2, gbVersion: undefined, ...wanted }, what);
  const granted = grantedContact(registerWith(`${CONTACT};q=0.5;expires=60`), 3600)!;
  t.same([formatUri(granted.uri), ...granted.params], [`sip:${NVR}@192.0.2.71:5080`, ['q', '0.5'], ['expires', '3600']], 'as it was written, with what it gets');
  t.equal(grantedContact(registerWith(CONTACT), 0), undefined, 'who leaves has none');
  t.equal(grantedContact(registerWith('Contact: *', 'Expires: 0'), 3600), undefined);
  t.equal(grantedContact(registerWith(), 3600), undefined);
});

await t.test('a binding as the store has it is the same one', async t => {
  const registrar = online();
  const row = bindingRow(registrar.binding(NVR)!, ms(0), wallMs(1_000_000));
  for (const each of [row, { ...row, contactAddress: null, contactPort: null }, { ...row, contactAddress: '2001:db8::7', address: '2001:db8::7' }]) t.same(rowOfStored(storedBinding(each)), each);
  t.equal(rowOfStored({ ...storedBinding(row), expiresAtWallMs: wallMs(0) }).grantedS, 0, 'never less than nothing');
  t.equal(rowOfStored({ ...storedBinding(row), contactUri: 'no address' }).contactAddress, null);
});
