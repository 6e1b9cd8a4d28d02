import fc from 'fast-check';
import t from 'tap';
import { fitnessOf } from '#core/cluster/fitness.ts';
import { BeatFramer, frameBeat } from '#core/cluster/beat-stream.ts';
import { type Heartbeat, MAX_HEARTBEAT_BYTES, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';
import { PeerWatch } from '#core/cluster/peer-watch.ts';
import { toHex } from '#core/bytes.ts';
import { ms } from '#core/units.ts';
import { systemHashes } from '#kit/hashes.ts';

const key = new TextEncoder().encode('a key of the pair, of enough length');
const mac = (text: string): string => systemHashes.hmacSha256(key, text);
const BEAT: Heartbeat = {
  role: 'active', fitness: 97, load: 12, candidate: false, witness: true, leaving: false, media: { fit: true, own: true, other: false }, stateVersion: 3, path: 1, boot: '00112233445566ff', counter: 0x01020304, term: 7,
  heard: { boot: 'ffeeddccbbaa9988', counter: 5, ageMs: 300 }, name: 'gw-a', version: '0.1.0',
};
const VECTOR = '564c4842010161' + '0c0203010300112233445566ff0102030400000007ffeeddccbbaa998800000005012c0467772d6105302e312e30';

t.test('as it stands on the wire, both ways', async t => {
  const bytes = encodeHeartbeat(BEAT, mac);
  t.equal(toHex(bytes.subarray(0, bytes.length - 32)), VECTOR);
  t.same(parseHeartbeat(bytes, mac), { ok: true, value: BEAT });
  t.match(parseHeartbeat(bytes, text => systemHashes.hmacSha256(new TextEncoder().encode('another key'), text)), { ok: false, error: { why: 'not signed with our key' } });
});

const hex = (octets: number): fc.Arbitrary<string> => fc.uint8Array({ minLength: octets, maxLength: octets }).map(toHex);
const uint32 = fc.nat({ max: 0xffffffff });
const percent = fc.nat({ max: 100 });
const word = fc.stringMatching(/^[\x21-\x7e]{0,32}$/);
const beats: fc.Arbitrary<Heartbeat> = fc.record({
  role: fc.constantFrom('standby', 'active', 'isolated', 'maintenance'), fitness: percent, load: percent, candidate: fc.boolean(), witness: fc.boolean(), leaving: fc.boolean(), media: fc.record({ fit: fc.boolean(), own: fc.boolean(), other: fc.boolean() }), stateVersion: fc.nat({ max: 255 }), path: fc.nat({ max: 255 }),
  boot: hex(8), counter: uint32, term: uint32, heard: fc.option(fc.record({ boot: hex(8).filter(boot => !/^0+$/.test(boot)), counter: uint32, ageMs: fc.nat({ max: 0xffff }) })), name: word, version: word,
});

t.test('every heartbeat is read as it was written; one bit of difference and it is none', async t => {
  fc.assert(
    fc.property(beats, fc.nat(), (beat, at) => {
      const bytes = encodeHeartbeat(beat, mac);
      t.ok(bytes.length <= MAX_HEARTBEAT_BYTES);
      t.same(parseHeartbeat(bytes, mac), { ok: true, value: beat });
      bytes[at % bytes.length]! ^= 1 << (at % 8);
      t.equal(parseHeartbeat(bytes, mac).ok, false);
    }),
    { numRuns: 200, seed: 28181 },
  );
});

t.test('signed, but not sense', async t => {
  const broken = (at: number, value: number): unknown => {
    const bytes = encodeHeartbeat(BEAT, mac);
    bytes[at] = value;
    const end = bytes.length - 32;
    bytes.set(Uint8Array.from(Buffer.from(mac(Buffer.from(bytes.subarray(0, end)).toString('latin1')), 'hex')), end);
    const parsed = parseHeartbeat(bytes, mac);
    return parsed.ok ? 'taken' : parsed.error;
  };
  t.match(broken(4, 2), { at: 4, why: 'heartbeat of format 2' });
  t.match(broken(5, 9), { at: 5 });
  t.match(broken(6, 101), { at: 6 });
  t.match(broken(8, 0x80), { at: 8 });
  t.match(broken(11, 8), { at: 11 });
  t.match(broken(42, 40), { at: 42 });
  t.match(broken(42, 3), { why: 'unreadable version' });
  for (const length of [0, 4, 75, MAX_HEARTBEAT_BYTES + 1]) t.equal(parseHeartbeat(new Uint8Array(length), mac).ok, false);
});

t.test('in a stream: cut anywhere they come out as they went in; nonsense ends it', async t => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: MAX_HEARTBEAT_BYTES }), { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), (sent, cuts) => {
      const stream = sent.flatMap(bytes => [...frameBeat(bytes)]);
      const framer = new BeatFramer();
      const got: Uint8Array[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const next = at + cuts[i % cuts.length]!;
        got.push(...framer.push(Uint8Array.from(stream.slice(at, next)))!);
        at = next;
      }
      t.same(got.map(toHex), sent.map(toHex));
      t.equal(framer.waitingBytes, 0);
    }),
    { numRuns: 100, seed: 28181 },
  );
  for (const nonsense of [0, MAX_HEARTBEAT_BYTES + 1, 255]) t.equal(new BeatFramer().push(Uint8Array.of(1, 7, nonsense, 1)), undefined);
  const framer = new BeatFramer();
  t.same(framer.push(Uint8Array.of(3, 1, 2)), []);
  t.same([framer.waitingBytes, toHex(framer.push(Uint8Array.of(3))![0]!)], [3, '010203']);
});

const watchOf = (boot: string): PeerWatch => new PeerWatch({ newBoot: () => boot, peerName: 'b', paths: 2, deadMs: 300 });
const A = 'a'.repeat(16);
const B = 'b'.repeat(16);
const beatOf = (parts: Partial<Heartbeat>): Heartbeat => ({ ...BEAT, role: 'standby', name: 'b', boot: B, path: 0, counter: 1, heard: { boot: A, counter: 1, ageMs: 0 }, ...parts });

t.test('a peer is believed once it repeats what we sent a moment ago', async t => {
  const watch = watchOf(A);
  t.equal(watch.receive(beatOf({ role: 'active', heard: null }), ms(0)), 'unproven');
  t.match(watch.view(ms(10)), { alive: false, claimsActive: true });
  t.same(watch.heard(ms(10)), { boot: B, counter: 1, ageMs: 0 }, 'which tells it what to repeat');
  watch.next();
  t.equal(watch.receive(beatOf({ counter: 2, heard: { boot: A, counter: 2, ageMs: 0 } }), ms(20)), 'unproven', 'not what we have yet to send');
  t.equal(watch.receive(beatOf({ counter: 3 }), ms(30)), 'taken');
  t.match(watch.view(ms(40)), { alive: true, hearsUs: true, silentMs: 10 });
  t.equal(watch.receive(beatOf({ counter: 3 }), ms(50)), 'replayed');
  t.equal(watch.receive(beatOf({ counter: 2 }), ms(50)), 'replayed');
  t.equal(watch.receive(beatOf({ counter: 2, path: 1 }), ms(60)), 'taken', 'the slower path has its own order');
  t.equal(watch.view(ms(60)).beat?.counter, 3, 'and does not bring back what is outdated');
  t.equal(watch.receive(beatOf({ counter: 4, path: 7 }), ms(60)), 'stranger');
  t.equal(watch.receive(beatOf({ counter: 4, name: 'c' }), ms(60)), 'stranger');
  t.equal(watch.receive(beatOf({ counter: 4, boot: A }), ms(60)), 'ours');
  t.match(watch.view(ms(330)), { alive: true, paths: [{ alive: false }, { alive: true }] });
  t.match(watch.view(ms(400)), { alive: false, claimsActive: false });
});

t.test('what was recorded is not believed after a restart of the peer, nor after one of ours', async t => {
  const watch = watchOf(A);
  watch.next();
  t.equal(watch.receive(beatOf({ counter: 5 }), ms(0)), 'taken');
  t.equal(watch.receive(beatOf({ boot: 'c'.repeat(16), counter: 1 }), ms(100)), 'taken');
  t.equal(watch.receive(beatOf({ counter: 6 }), ms(120)), 'replayed', 'its old boot is over');
  const later = watchOf('d'.repeat(16));
  later.next();
  t.equal(later.receive(beatOf({ counter: 7, role: 'active' }), ms(0)), 'unproven');
  t.match(later.view(ms(0)), { alive: false, claimsActive: true }, 'but nobody takes the role from who may be it');
  t.equal(later.receive(beatOf({ counter: 7, role: 'active' }), ms(200)), 'replayed');
  t.match(later.view(ms(400)), { claimsActive: false });
});

t.test('after two years the numbers of a boot are used up: it begins another one, and nobody misses it', async t => {
  let boots = 0;
  const newBoot = (): string => String(++boots).padStart(16, '0');
  const watches = ['a', 'b'].map((name, i) => ({ name, watch: new PeerWatch({ newBoot, lastCounter: 1000 + 333 * i, peerName: name === 'a' ? 'b' : 'a', paths: 2, streamPath: 1, deadMs: 300 }) }));
  let unheard = 0;
  for (let now = 0; now < 120_000; now += 50) {
    for (const { name, watch } of watches) {
      const { watch: other } = watches.find(each => each.watch !== watch)!;
      for (const path of [0, 1]) other.receive({ ...BEAT, name, path, ...watch.next(), heard: watch.heard(ms(now)) }, ms(now));
    }
    for (const { watch } of watches) {
      const { alive, hearsUs, silentMs } = watch.view(ms(now));
      if (now > 500 && (!alive || silentMs > 50)) t.fail(`silent at ${now}`);
      unheard = hearsUs || now <= 500 ? 0 : unheard + 1;
      if (unheard > 2) t.fail(`not heard at ${now}`);
    }
  }
  t.ok(boots > 6, `${boots} boots`);
});

t.test('what waited in a stream while the way was closed says nothing of now', async t => {
  const watch = new PeerWatch({ newBoot: () => A, peerName: 'b', paths: 3, streamPath: 2, deadMs: 300 });
  watch.next();
  t.equal(watch.receive(beatOf({ path: 2, role: 'active' }), ms(0)), 'taken');
  for (let sent = 0; sent < 40; sent++) watch.next();
  t.equal(watch.receive(beatOf({ path: 2, counter: 2, role: 'active' }), ms(2000)), 'late');
  t.match(watch.view(ms(2000)), { alive: false, claimsActive: false });
  t.equal(watch.receive(beatOf({ path: 1, counter: 2 }), ms(2000)), 'taken', 'a datagram is as old as its way is long');
  t.equal(watch.receive(beatOf({ path: 2, counter: 3, heard: { boot: A, counter: 41, ageMs: 0 } }), ms(2010)), 'taken');
});

t.test('fitness', async t => {
  const well = { sipd: true, mediad: { up: 2, configured: 2 }, links: { up: 3, known: 3 }, diskFreePercent: 50, inSync: true, configurationHeld: null };
  t.same(fitnessOf(well), { value: 100, lacks: [] });
  t.equal(fitnessOf({ ...well, sipd: false }).value, 0);
  t.equal(fitnessOf({ ...well, mediad: { up: 0, configured: 2 } }).value, 0);
  t.same(fitnessOf({ ...well, mediad: { up: 1, configured: 2 }, diskFreePercent: 5 }), { value: 70, lacks: ['1 of 2 mediad do not answer', '5 % of the disk is free'] });
  t.equal(fitnessOf({ ...well, mediad: { up: 1, configured: 32 }, links: { up: 0, known: 3 }, diskFreePercent: 0, inSync: false }).value, 1, 'who answers is never nothing');
  t.equal(fitnessOf({ ...well, inSync: null }).value, 100);
  t.match(fitnessOf({ ...well, configurationHeld: 'revision 8: it is of a newer release' }), { value: 0, lacks: [/configuration of the other node.*newer release/] }, 'fault 107');
});
