import fc from 'fast-check';
import t from 'tap';
import { fromByteString, toByteString } from '#core/bytes.ts';
import { MAX_KEPT_BYTES, MessageRing, MIN_RING_BYTES } from '#core/diagnose/message-ring.ts';
import { type ReadFilter, SipRecorder } from '#core/diagnose/recorder.ts';
import { maskSecrets } from '#core/diagnose/secrets.ts';
import type { Flow } from '#core/sip/flow.ts';

const flowTo = (remoteAddress: string, remotePort = 5060): Flow => ({ transport: 'UDP', localAddress: '192.0.2.1', localPort: 5060, remoteAddress, remotePort });
const filled = (length: number, octet: number): Uint8Array => new Uint8Array(length).fill(octet);

t.test('a ring keeps the youngest, whole and in order, whatever their lengths', async () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 200 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: MIN_RING_BYTES, max: 20_000 }), (all, size) => {
      const ring = new MessageRing<number>(size);
      for (const [i, length] of all.entries()) {
        ring.push(i, 1000 + i, i % 2 === 0, filled(length, i & 0xff), i);
        for (let age = 0; age < ring.count; age++) {
          const entry = ring.at(age)!;
          const expected = i - ring.count + 1 + age;
          if (entry.sequence !== expected || entry.tag !== expected || entry.atWallMs !== 1000 + expected || entry.isOut !== (expected % 2 === 0)) return false;
          if (entry.bytes.length !== all[expected] || !entry.bytes.every(octet => octet === (expected & 0xff))) return false;
        }
      }
      // Half of the memory is used at least, unless the entries are used up.
      const kept = all.slice(all.length - ring.count).reduce((sum, length) => sum + length, 0);
      return ring.count === all.length || kept >= size - 2 * 3000 || ring.count >= Math.ceil(size / 256);
    }),
    { numRuns: 200 },
  );
});

t.test('what is longer than the ring or the limit is cut, and a ring of nothing keeps nothing', async t => {
  const small = new MessageRing<null>(MIN_RING_BYTES);
  small.push(1, 0, false, filled(5000, 7), null);
  t.match(small.at(0), { cut: true, sequence: 1 });
  t.equal(small.at(0)?.bytes.length, MIN_RING_BYTES);
  const large = new MessageRing<null>(1 << 20);
  large.push(1, 0, false, filled(MAX_KEPT_BYTES + 1, 7), null);
  t.equal(large.at(0)?.bytes.length, MAX_KEPT_BYTES);
  const none = new MessageRing<null>(0);
  none.push(1, 0, false, filled(10, 7), null);
  t.equal(none.count, 0);
});

const ALL: ReadFilter = { after: -1, sinceWallMs: 0, needles: [], peers: [] };

t.test('readings: pages in order, filters, and what strangers cannot push out', async t => {
  const recorder = new SipRecorder(256 * 1024);
  recorder.record(false, fromByteString('REGISTER first'), flowTo('192.0.2.7'), true, 1000);
  for (let i = 0; i < 5000; i++) recorder.record(false, fromByteString(`OPTIONS ${i}`.padEnd(400, '.')), flowTo('198.51.100.9', 4000 + (i % 3)), false, 2000 + i);
  recorder.record(true, fromByteString('200 last'), flowTo('192.0.2.7', 5070), true, 9000);
  t.match(recorder.read({ ...ALL, peers: ['192.0.2.7'] }).entries.map(({ bytes }) => toByteString(bytes)), ['REGISTER first', '200 last']);
  t.match(recorder.read({ ...ALL, peers: ['192.0.2.7:5070'] }).entries.map(({ isOut }) => isOut), [true]);
  t.match(recorder.read({ ...ALL, needles: ['REGISTER f', 'nobody'] }).entries.map(({ sequence }) => sequence), [1]);
  t.equal(recorder.read({ ...ALL, sinceWallMs: 8000 }).entries.length, 1);
  const sequences: number[] = [];
  for (let page = recorder.read(ALL); ; page = recorder.read({ ...ALL, after: page.next })) {
    sequences.push(...page.entries.map(({ sequence }) => sequence));
    if (!page.more) break;
  }
  t.equal(sequences.length, recorder.count);
  t.ok(sequences.every((sequence, i) => i === 0 || sequence > sequences[i - 1]!));
  t.equal(recorder.read(ALL).lost, true, 'strangers were overwritten');
  t.equal(recorder.read({ ...ALL, after: 5000 }).lost, false);
  recorder.resize(0);
  recorder.record(true, fromByteString('x'), flowTo('192.0.2.7'), true, 1);
  t.equal(recorder.count, 0, 'off');
});

t.test('secrets are masked, and nothing but them', async t => {
  const masked = (text: string): string => {
    const bytes = fromByteString(text);
    maskSecrets(bytes);
    return toByteString(bytes);
  };
  t.equal(
    masked('Authorization: Digest username="34020000001320000001", nonce="abc", uri="sip:x", response="0123456789abcdef0123456789abcdef", algorithm=MD5\r\n'),
    `Authorization: Digest username="34020000001320000001", nonce="abc", uri="sip:x", response="${'*'.repeat(32)}", algorithm=MD5\r\n`,
  );
  t.equal(masked('Proxy-Authorization: Basic dXNlcjpwYXNz\r\n'), `Proxy-Authorization: Basic ${'*'.repeat(12)}\r\n`);
  t.equal(masked('<Password>secret</Password><DeviceID>1</DeviceID>'), '<Password>******</Password><DeviceID>1</DeviceID>');
  t.equal(masked('<FileURL>ftp://user:pass@192.0.2.1/x</FileURL>'), '<FileURL>ftp://user:****@192.0.2.1/x</FileURL>');
  const plain = '<Response>\r\n<CmdType>Catalog</CmdType><Name>response=short</Name></Response>';
  t.equal(masked(plain), plain);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), bytes => { const copy = bytes.slice(); maskSecrets(copy); return copy.length === bytes.length; }));
});
