import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromByteString, toByteString } from '#core/bytes.ts';
import { type FramerOutput, MAX_BODY_OCTETS, StreamFramer } from '#core/sip/framer.ts';
import { MAX_HEAD_OCTETS, parseMessage } from '#core/sip/parse.ts';
import { SOUND } from '../../../scripts/fuzz/sip-anomalies.ts';
import { tortureSeeds } from '../../../scripts/fuzz/sip-message.ts';
import { checkStream } from '../../../scripts/fuzz/sip-stream.ts';

const wire = (text: string): Uint8Array => fromByteString(text.replaceAll('\n', '\r\n'));
const message = (extra: string, body = ''): Uint8Array => wire(`MESSAGE sip:a@b SIP/2.0\nVia: SIP/2.0/TCP h\n${extra}\n${body}`);
const brief = (outputs: readonly FramerOutput[]): string[] => outputs.map(output => (output.type === 'message' ? `message ${output.bytes.length}` : output.type === 'error' ? output.why : 'ping'));

t.test('glued, split and kept alive (faults.md 27)', async t => {
  const one = message('Content-Length: 5\n', 'hello');
  const two = message('l: 0\n');
  const framer = new StreamFramer();
  t.same(brief(framer.push(concatBytes(one, two, one))), [`message ${one.length}`, `message ${two.length}`, `message ${one.length}`], 'three in a segment');
  t.same([framer.state, framer.pendingBytes, framer.begun], ['idle', 0, 3]);

  t.same(brief(framer.push(fromByteString('\r\n'))), [], 'a single CRLF is nothing');
  t.same(brief(framer.push(fromByteString('\r\n'))), ['ping'], 'the second makes it a ping');
  t.same(brief(framer.push(fromByteString('\r\n\r\n\r\n\r\n'))), ['ping'], 'glued pings are answered once');
  t.same(brief(framer.push(fromByteString('\r\n\n\r\r\n'))), [], 'neither is any other mixture');
  t.same(brief(framer.push(concatBytes(fromByteString('\r\n\r\n'), two, fromByteString('\r\n\r\n')))), [`message ${two.length}`, 'ping']);

  t.same(brief(framer.push(one.subarray(0, 10))), []);
  t.same([framer.state, framer.pendingBytes, framer.begun], ['header', 10, 6 - 1]);
  t.same(brief(framer.push(one.subarray(10, one.length - 2))), []);
  t.same([framer.state, framer.pendingBytes], ['body', one.length - 2]);
  const rest = framer.push(concatBytes(one.subarray(one.length - 2), two.subarray(0, 1)));
  t.same(brief(rest), [`message ${one.length}`]);
  t.same([framer.state, framer.begun], ['header', 6], 'the next one has begun');
  t.equal(rest[0]?.type === 'message' ? toByteString(rest[0].bytes) : '', toByteString(one));
  t.equal(parseMessage(two, 'stream-frame').ok, false, 'a frame is not yet a message');
});

t.test('a head whose end is not looked for twice', async t => {
  const framer = new StreamFramer();
  const body = new Uint8Array(1024 * 1024);
  const bytes = concatBytes(message(`X: ${'a'.repeat(12_000)}\nContent-Length: ${body.length}\n`), body);
  const started = performance.now();
  let outputs: FramerOutput[] = [];
  for (let at = 0; at < bytes.length; at++) outputs = outputs.concat(framer.push(bytes.subarray(at, at + 1)));
  t.same(brief(outputs), [`message ${bytes.length}`], 'one message in a million segments');
  t.ok(performance.now() - started < 5000, 'linear');
});

t.test('what ends a stream', async t => {
  const errors: readonly (readonly [title: string, bytes: Uint8Array, why: string, head: boolean])[] = [
    ['no Content-Length', message(''), 'no Content-Length on a stream', true],
    ['two', message('Content-Length: 1\nl: 1\n', 'x'), 'Content-Length came twice', true],
    ['negative', message('Content-Length: -1\n'), 'not a Content-Length', true],
    ['a number and more', message('Content-Length: 1 1\n', 'x'), 'not a Content-Length', true],
    ['over the limit', message(`Content-Length: ${MAX_BODY_OCTETS + 1}\n`), 'the body is too long', true],
    ['absurd', message('Content-Length: 36893488147419103232\n'), 'not a Content-Length', true],
    ['HTTP', wire('GET / HTTP/1.1\n'), 'not SIP', false],
    ['a first line without end', fromByteString('a'.repeat(MAX_HEAD_OCTETS + 1)), 'the header fields are too long', false],
    ['fields without end', message(`X: ${'a'.repeat(MAX_HEAD_OCTETS)}\n`), 'the header fields are too long', false],
    ['many fields without end', wire(`MESSAGE sip:a@b SIP/2.0\n${'a: b\n'.repeat(4000)}`), 'the header fields are too long', false],
  ];
  for (const [title, bytes, why, head] of errors) {
    const framer = new StreamFramer();
    const outputs = framer.push(concatBytes(message('l: 0\n'), bytes));
    t.same(brief(outputs), [`message ${message('l: 0\n').length}`, why], title);
    const error = outputs[1];
    t.equal(error?.type === 'error' && error.head !== undefined, head, `${title}: with a head to answer`);
    if (error?.type === 'error' && error.head !== undefined) t.equal(parseMessage(error.head, 'stream-frame').ok, false, `${title}: refused by the parser too`);
    t.same([framer.state, framer.push(message('l: 0\n')), framer.pendingBytes], ['failed', [], 0], `${title}: nothing comes after it`);
  }
  const folded = new StreamFramer();
  t.same(brief(folded.push(message('content-length \t:\n  5\n', 'hello'))), [`message ${message('content-length \t:\n  5\n', 'hello').length}`], 'a folded Content-Length counts');
  const hidden = new StreamFramer();
  t.match(brief(hidden.push(message('Subject: x\n Content-Length: 9\nContent-Length: 0\n'))), [/^message/], 'one in a fold does not');
  t.equal(new StreamFramer().push(new Uint8Array(0)).length, 0);
});

t.test('a large body is not allocated before it comes', async t => {
  const framer = new StreamFramer();
  framer.push(message(`Content-Length: ${MAX_BODY_OCTETS}\n`));
  t.ok(framer.pendingBytes < 200);
  const segment = new Uint8Array(64 * 1024);
  const outputs: FramerOutput[] = [];
  for (let sent = 0; sent < MAX_BODY_OCTETS; sent += segment.length) outputs.push(...framer.push(segment));
  t.equal(outputs.length, 1, 'the largest that is taken');
  t.equal(framer.state, 'idle');
});

t.test('cut anywhere, the same messages', async t => {
  const part = fc.constantFrom(...tortureSeeds, ...SOUND, fromByteString('\r\n'), fromByteString('\r\n\r\n'), message('l: 0\n'), message('l: 5\n', 'hello'));
  const stream = fc.tuple(fc.nat(255), fc.array(part, { maxLength: 5 })).map(([cut, parts]) => concatBytes(Uint8Array.of(cut), ...parts));
  t.doesNotThrow(() => fc.assert(fc.property(stream, checkStream), { numRuns: 1000 }));
  t.doesNotThrow(() => fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), checkStream), { numRuns: 500 }));
});
