import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromHex, sameBytes, toHex } from '#core/bytes.ts';
import { type AmfValue, EcmaArray, parseAmf0, writeAmf0 } from '#core/rtmp/amf0.ts';
import { ChunkReader } from '#core/rtmp/chunk-reader.ts';
import { ChunkWriter } from '#core/rtmp/chunk-writer.ts';
import { type ClientEvent, RtmpClientSession } from '#core/rtmp/client-session.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { type RtmpMessage, command, setChunkSize, userControl } from '#core/rtmp/messages.ts';
import { PushCourse } from '#core/rtmp/push-course.ts';
import { type ServerEvent, RtmpServerSession } from '#core/rtmp/server-session.ts';
import { parseRtmpUrl } from '#core/rtmp/url.ts';
import { ms, seconds } from '#core/units.ts';

const hex = (text: string): Uint8Array => fromHex(text.replaceAll(' ', ''))!;
const zeros = (count: number): Uint8Array => new Uint8Array(count);

t.test('AMF0, both ways', async t => {
  const vectors: readonly [string, AmfValue, string][] = [
    ['number', 1.5, '00 3ff8000000000000'],
    ['true', true, '01 01'],
    ['string of UTF-8', 'aé', '02 0003 61c3a9'],
    ['null', null, '05'],
    ['object', new Map<string, AmfValue>([['app', 'live'], ['n', 0]]), '03 0003617070 0200046c697665 00016e 000000000000000000 000009'],
    ['ECMA array', new EcmaArray([['a', false]]), '08 00000001 000161 0100 000009'],
    ['strict array', ['x', null], '0a 00000002 02000178 05'],
  ];
  for (const [name, value, bytes] of vectors) {
    t.equal(toHex(writeAmf0(value)), bytes.replaceAll(' ', ''), name);
    t.same(parseAmf0(hex(bytes)), { ok: true, value: [value instanceof EcmaArray ? new Map(value) : value] }, name);
  }
  t.same(parseAmf0(hex('06 0d 0b 4059000000000000 0000 0c 00000002 6869 10 0001 54 000161 05 000009')), { ok: true, value: [null, null, 100, 'hi', new Map([['a', null]])] }, 'undefined, unsupported, date, long string, typed object');
  t.same(parseAmf0(hex('08 00000000 000161 05 000009')), { ok: true, value: [new Map([['a', null]])] }, 'the count of an ECMA array is a hint');
  for (const [name, bytes, why] of [
    ['cut number', '00 3ff8', 'cut'],
    ['cut object', '03 000161 05', 'cut'],
    ['a string longer than what is there', '02 ffff 61', 'cut'],
    ['an array of 4 thousand million', '0a ffffffff', 'too many values'],
    ['a string of 2 GB', '0c 7fffffff 00', 'string too long'],
    ['reference', '07 0001', 'unknown marker'],
    ['AMF3', '11 0a', 'unknown marker'],
  ] as const) t.match(parseAmf0(hex(bytes)), { ok: false, error: { why } }, name);
  t.match(parseAmf0(hex('03000161'.repeat(10_000))), { ok: false, error: { why: 'nested too deep' } }, '10,000 objects in each other (fault 80)');
  t.match(parseAmf0(hex('05'.repeat(2000))), { ok: false });
  t.same(({} as Record<string, unknown>)['polluted'], undefined);
});

const amf = fc.letrec<{ value: AmfValue }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.double({ noNaN: true }),
    fc.boolean(),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(fc.string({ minLength: 1, maxLength: 8 }), tie('value')), { maxLength: 4 }).map(entries => new Map(entries)),
  ),
})).value;

const sameValue = (a: AmfValue, b: AmfValue): boolean => {
  if (a instanceof Map && b instanceof Map) return a.size === b.size && [...a].every(([key, value]) => b.has(key) && sameValue(value as AmfValue, b.get(key) as AmfValue));
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => sameValue(value as AmfValue, b[i] as AmfValue));
  return Object.is(a, b);
};

t.test('AMF0: any value survives, any bytes are borne', async t => {
  fc.assert(fc.property(fc.array(amf, { maxLength: 5 }), values => {
    const parsed = parseAmf0(writeAmf0(...values));
    return parsed.ok && parsed.value.length === values.length && parsed.value.every((value, i) => sameValue(value, values[i]!));
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => typeof parseAmf0(bytes).ok === 'boolean'));
  t.pass();
});

function readAll(reader: ChunkReader, bytes: Uint8Array, cut = bytes.length): RtmpMessage[] {
  const found: RtmpMessage[] = [];
  for (let at = 0; at < bytes.length; at += Math.max(1, cut)) {
    reader.push(bytes.subarray(at, at + Math.max(1, cut)));
    for (let message = reader.next(); message !== undefined; message = reader.next()) found.push(message);
  }
  return found;
}
const briefly = ({ type, streamId, timestampMs, body }: RtmpMessage): string => `${type}/${streamId}@${timestampMs} ${toHex(body)}`;

t.test('chunks: headers of every format', async t => {
  const vectors: readonly [string, string, readonly string[]][] = [
    ['whole header', '06 0003e8 000002 09 01000000 aabb', ['9/1@1000 aabb']],
    ['steps', '06 0003e8 000001 09 01000000 aa 46 000028 000001 08 bb 86 000014 cc c6 dd', ['9/1@1000 aa', '8/1@1040 bb', '8/1@1060 cc', '8/1@1080 dd']],
    ['format 3 behind a whole header takes its time as step', '06 000028 000001 09 01000000 aa c6 bb', ['9/1@40 aa', '9/1@80 bb']],
    ['two octets of chunk stream', '00 0a 000000 000001 09 01000000 aa', ['9/1@0 aa']],
    ['three', '01 0a01 000000 000001 09 01000000 aa', ['9/1@0 aa']],
    ['a time of 32 bits', '06 ffffff 000001 09 01000000 01000000 aa', ['9/1@16777216 aa']],
    ['two messages in each other', `06 000000 000082 09 01000000 ${'11'.repeat(128)} 04 000000 000001 08 01000000 bb c6 2222`, ['8/1@0 bb', `9/1@0 ${'11'.repeat(128)}2222`]],
    ['the time of 32 bits repeated', `06 ffffff 000081 09 01000000 01000000 ${'11'.repeat(128)} c6 01000000 22`, [`9/1@16777216 ${'11'.repeat(128)}22`]],
    ['and not repeated, as some senders have it', `06 ffffff 000081 09 01000000 01000000 ${'11'.repeat(128)} c6 22 04 000000 000001 08 01000000 bb`, [`9/1@16777216 ${'11'.repeat(128)}22`, '8/1@0 bb']],
    ['smaller chunks from here', '02 000000 000004 01 00000000 00000002 06 000000 000003 09 01000000 aabb c6 cc', ['9/1@0 aabbcc']],
    ['given up in the middle', `06 000000 000082 09 01000000 ${'11'.repeat(128)} 02 000000 000004 02 00000000 00000006 06 000000 000001 09 01000000 aa`, ['9/1@0 aa']],
    ['librtmp: format 1 first', '42 000000 000002 04 0006', ['4/0@0 0006']],
    ['an empty message', '06 000000 000000 09 01000000', ['9/1@0 ']],
  ];
  for (const [name, bytes, messages] of vectors) for (const cut of [10_000, 1, 7]) t.same(readAll(new ChunkReader(), hex(bytes), cut).map(briefly), messages, `${name}, in pieces of ${cut}`);
});

t.test('chunks: what cannot be is the end', async t => {
  const bad: readonly [string, string, string][] = [
    ['chunk size 2^31 (fault 80)', '02 000000 000004 01 00000000 80000000', 'a chunk size that cannot be'],
    ['chunk size 0', '02 000000 000004 01 00000000 00000000', 'a chunk size that cannot be'],
    ['a message of 16 MiB', '06 000000 ffffff 09 01000000 aa', 'a message is too long'],
    ['format 3 first', 'c6 aa', 'a chunk stream begins without a whole header'],
    ['a header inside of a message', `06 000000 000082 09 01000000 ${'11'.repeat(128)} 06 000000 000001 09 01000000 aa`, 'a message begins inside of another'],
    ['a chunk stream for each octet', Array.from({ length: 40 }, (_, i) => `${(i + 3).toString(16).padStart(2, '0')} 000000 000001 09 01000000 aa`).join(''), 'too many chunk streams'],
  ];
  for (const [name, bytes, why] of bad) {
    const reader = new ChunkReader();
    readAll(reader, hex(bytes));
    t.equal(reader.broken, why, name);
    t.same(readAll(reader, hex('06 000000 000001 09 01000000 aa')), [], 'and nothing is read behind it');
  }
  // Three messages of 4 MiB that begin and do not end: memory ends before they do.
  const reader = new ChunkReader();
  readAll(reader, hex('02 000000 000004 01 00000000 00ffffff'.replace('00ffffff', '00100000')));
  for (let i = 0; i < 12 && reader.broken === undefined; i++) {
    const id = (3 + (i % 3)).toString(16).padStart(2, '0');
    const head = i < 3 ? hex(`${id} 000000 400000 09 01000000`) : hex((0xc0 + 3 + (i % 3)).toString(16));
    readAll(reader, concatBytes(head, zeros(0x100000)));
  }
  t.equal(reader.broken, 'too much is begun and not ended');
});

t.test('chunks: any messages, cut anywhere', async t => {
  const message = fc.record({ type: fc.constantFrom(8, 9, 18, 20), streamId: fc.integer({ min: 0, max: 5 }), timestampMs: fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0xfffff0, max: 0xffffffff })), body: fc.uint8Array({ maxLength: 400 }) });
  fc.assert(fc.property(fc.array(message, { maxLength: 12 }), fc.integer({ min: 1, max: 600 }), fc.boolean(), (messages, cut, large) => {
    const writer = new ChunkWriter();
    const parts = [...(large ? writer.enlarge() : []), ...messages.flatMap(each => writer.write(each))];
    return JSON.stringify(readAll(new ChunkReader(), concatBytes(...parts), cut).map(briefly)) === JSON.stringify(messages.map(briefly));
  }));
  const body = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7);
  const writer = new ChunkWriter();
  const bytes = concatBytes(...writer.enlarge(), ...writer.write({ type: 9, streamId: 1, timestampMs: 0x1234567, body }));
  const [large] = readAll(new ChunkReader(), bytes, 5000);
  t.ok(sameBytes(large!.body, body), 'a key frame of several chunks');
});

const RANDOM = zeros(HANDSHAKE_RANDOM_BYTES).fill(7);
const TARGET = { app: 'live', stream: '34020000001320000001?token=t', tcUrl: 'rtmp://127.0.0.1:1935/live' };

class Pair {
  now = ms(0);
  readonly server = new RtmpServerSession(RANDOM, ms(0));
  readonly client: RtmpClientSession;
  readonly told: (ServerEvent | ClientEvent)[] = [];
  grants = true;

  constructor(wants: 'play' | 'publish', target = TARGET) {
    this.client = new RtmpClientSession(wants, target, RANDOM, ms(0));
  }

  /** Until nobody has anything to say. Bytes come in pieces of `cut`. */
  run(cut = 1000): void {
    for (let quiet = false, steps = 0; !quiet; steps++) {
      if (steps > 100) throw new Error('they never stop');
      const up = concatBytes(...this.client.drain());
      for (let at = 0; at < up.length; at += cut) this.#onServer(this.server.push(up.subarray(at, at + cut), this.now));
      const down = concatBytes(...this.server.drain());
      for (let at = 0; at < down.length; at += cut) this.told.push(...this.client.push(down.subarray(at, at + cut), this.now));
      quiet = up.length === 0 && down.length === 0;
    }
  }

  #onServer(events: readonly ServerEvent[]): void {
    this.told.push(...events);
    for (const event of events) {
      if (event.type !== 'play' && event.type !== 'publish') continue;
      if (this.grants) this.server.grant(this.now);
      else this.server.refuse('no such channel');
    }
  }
}

t.test('a player: from the handshake to the last tag', async t => {
  for (const cut of [1, 100, 100_000]) {
    const pair = new Pair('play');
    pair.run(cut);
    t.match(pair.told, [{ type: 'play', path: '/live/34020000001320000001?token=t', hevc: 'enhanced' }, { type: 'running' }], `in pieces of ${cut}`);
    pair.server.media({ type: 9, timestampMs: 40, body: hex('17000000') });
    pair.run(cut);
    t.match(pair.told.at(-1), { type: 'media', message: { type: 9, timestampMs: 40 } });
    pair.server.end();
    pair.run(cut);
    t.same(pair.told.at(-1), { type: 'closed', why: 'status: NetStream.Play.Stop' });
    t.equal(pair.server.state, 'closed');
  }
});

t.test('a publisher: granted, refused, silent, gone', async t => {
  const pair = new Pair('publish', { app: 'inlet', stream: '34020000001320000009?key=k', tcUrl: 'rtmp://127.0.0.1/inlet' });
  pair.run();
  t.match(pair.told, [{ type: 'publish', path: '/inlet/34020000001320000009?key=k' }, { type: 'running' }]);
  pair.client.media({ type: 8, timestampMs: 3, body: hex('af00') });
  pair.run();
  t.match(pair.told.at(-1), { type: 'media', message: { type: 8, timestampMs: 3 } });
  t.equal(pair.server.deadline, 15_000);
  t.same(pair.server.tick(seconds(14)), []);
  t.same(pair.server.tick(seconds(15)), [{ type: 'closed', why: 'silence timeout' }]);

  const leaving = new Pair('publish');
  leaving.run();
  leaving.client.end();
  leaving.run();
  t.same(leaving.told.at(-1), { type: 'ended', why: 'FCUnpublish' });
  t.equal(leaving.server.state, 'connected');
  t.same(leaving.server.tick(leaving.server.deadline), [{ type: 'closed', why: 'command timeout' }], 'who stays and asks for nothing is closed');

  const refused = new Pair('publish');
  refused.grants = false;
  refused.run();
  t.same(refused.told.at(-1), { type: 'closed', why: 'status: NetStream.Publish.BadName' }, 'and our words are not repeated');
});

t.test('names as players write them', async t => {
  for (const [app, stream, path] of [
    ['live?token=a', 'C', '/live/C?token=a'],
    ['live/', '/C?stream=1&token=a', '/live/C?stream=1&token=a'],
    ['live/C', '?token=a', '/live/C?token=a'],
    ['', 'live/C', '/live/C'],
  ] as const) {
    const pair = new Pair('play', { app, stream, tcUrl: '' });
    pair.run();
    t.match(pair.told[0], { type: 'play', path }, `${app} and ${stream}`);
  }
});

const wholeHandshake = concatBytes(Uint8Array.of(3), zeros(1536), zeros(1536));
function serve(...messages: readonly RtmpMessage[]): { readonly session: RtmpServerSession; readonly events: ServerEvent[]; readonly sent: string } {
  const session = new RtmpServerSession(RANDOM, ms(0));
  const writer = new ChunkWriter();
  const events = [...session.push(wholeHandshake, ms(10)), ...messages.flatMap(message => session.push(concatBytes(...writer.write(message)), ms(20)))];
  return { session, events, sent: concatBytes(...session.drain()).reduce((text, octet) => text + String.fromCharCode(octet), '') };
}
const connect = (fields: [string, AmfValue][]): RtmpMessage => command(0, 'connect', 1, new Map(fields));

t.test('the server: what it must not do', async t => {
  const stalled = new RtmpServerSession(RANDOM, ms(0));
  stalled.push(wholeHandshake.subarray(0, 1000), ms(100));
  t.equal(stalled.deadline, 4000);
  t.same(stalled.tick(ms(4000)), [{ type: 'closed', why: 'handshake timeout' }], 'a handshake that stalls is closed within 5 s (fault 80)');
  t.match(new RtmpServerSession(RANDOM, ms(0)).push(hex('474554202f20'), ms(0)), [{ type: 'closed', why: 'version 71' }], 'HTTP');
  t.equal(serve().session.deadline, 8010, 'and who says nothing then');
  t.match(serve(command(0, 'play', 0, null, 'x')).events, [{ type: 'closed', why: 'play before connect, or twice' }]);
  t.match(serve(connect([['app', 'live']]), connect([['app', 'live']])).events, [{ type: 'closed', why: 'connect twice' }]);
  t.match(serve(connect([['app', 7]])).events, [{ type: 'closed', why: 'no app' }]);
  t.match(serve(connect([['app', 'x'.repeat(600)]])).sent, /NetConnection\.Connect\.Rejected/);
  t.match(serve(connect([['app', 'live']]), command(1, 'play', 0, null, 5)).events, [{ type: 'closed', why: 'no stream name' }]);
  t.match(serve({ type: 20, streamId: 0, timestampMs: 0, body: hex('03000161'.repeat(1000)) }).events, [{ type: 'closed', why: 'message 20: nested too deep' }]);
  t.match(serve(setChunkSize(2 ** 31)).events, [{ type: 'closed', why: 'a chunk size that cannot be' }]);
  const asked = serve(connect([['app', 'live']]), command(1, 'play', 0, null, 'a'), { type: 9, streamId: 1, timestampMs: 0, body: hex('17') });
  t.match(asked.events, [{ type: 'play', path: '/live/a', hevc: 'legacy' }], 'without fourCcList: a player of before; and a player sends no media');
  t.match(serve(connect([['app', 'live'], ['videoFourCcInfoMap', new Map([['*', 7]])]]), command(1, 'play', 0, null, 'a')).events, [{ hevc: 'enhanced' }]);
  t.ok(serve(userControl(6, 0x01020304)).sent.endsWith('\0\x07\x01\x02\x03\x04'), 'a ping is answered');
  const old = serve({ type: 17, streamId: 0, timestampMs: 0, body: concatBytes(Uint8Array.of(0), connect([['app', 'live']]).body) });
  t.match(old.sent, /NetConnection\.Connect\.Success/, 'AMF3 commands of old Flash');
});

t.test('the server acknowledges what it was given', async t => {
  const { session } = serve(connect([['app', 'inlet']]), command(1, 'publish', 0, null, 'a', 'live'));
  session.grant(ms(30));
  session.drain();
  const writer = new ChunkWriter();
  session.push(concatBytes(...writer.enlarge()), ms(40));
  let acknowledged = '';
  for (let i = 0; i < 60; i++) {
    session.push(concatBytes(...writer.write({ type: 9, streamId: 1, timestampMs: i, body: zeros(50_000) })), ms(50));
    acknowledged += toHex(concatBytes(...session.drain()));
  }
  t.match(acknowledged, /^02000000000004 ?0300000000[0-9a-f]{8}$/, 'once in 2.5 MB');
});

t.test('the client: answers that do not come, or are no', async t => {
  const client = new RtmpClientSession('publish', TARGET, RANDOM, ms(0));
  t.same(client.tick(ms(7999)), []);
  t.same(client.tick(ms(8000)), [{ type: 'closed', why: 'no answer while handshake' }]);
  const answered = (message: RtmpMessage): ClientEvent[] => {
    const each = new RtmpClientSession('publish', TARGET, RANDOM, ms(0));
    each.push(wholeHandshake, ms(0));
    return each.push(concatBytes(...new ChunkWriter().write(message)), ms(0));
  };
  t.same(answered(command(0, '_error', 1, null, new Map([['code', 'NetConnection.Connect.Rejected'], ['description', 'secret']]))), [{ type: 'closed', why: 'refused: NetConnection.Connect.Rejected' }]);
  t.same(answered(command(0, '_error', 1, null, new Map([['code', 'key=secret']]))), [{ type: 'closed', why: 'refused: no code' }]);
  t.same(answered(command(0, 'onStatus', 0, null, new Map([['level', 'error'], ['code', 'NetStream.Publish.BadName']]))), [{ type: 'closed', why: 'status: NetStream.Publish.BadName' }]);
  t.same(answered(command(0, 'onStatus', 0, null, new Map([['level', 'status'], ['code', 'NetStream.Publish.Start']]))), [], 'nothing was asked yet');
});

t.test('addresses of servers', async t => {
  t.same(parseRtmpUrl('rtmp://10.0.0.1/live/cam1?key=s/e?c'), { ok: true, value: { address: '10.0.0.1', port: 1935, target: { app: 'live', stream: 'cam1?key=s/e?c', tcUrl: 'rtmp://10.0.0.1:1935/live' }, shown: 'rtmp://10.0.0.1:1935/live' } });
  t.match(parseRtmpUrl('rtmp://[2001:db8::1]:1936/a/b/c'), { ok: true, value: { address: '2001:db8::1', port: 1936, target: { app: 'a/b', stream: 'c' }, shown: 'rtmp://[2001:db8::1]:1936/a/b' } });
  for (const text of ['', 'http://10.0.0.1/a/b', 'rtmp://host/a/b', 'rtmp://10.0.0.1/a', 'rtmp://10.0.0.1:0/a/b', 'rtmp://10.0.0.1:70000/a/b', 'rtmp://u:p@10.0.0.1/a/b', 'rtmp://10.0.0.300/a/b', `rtmp://10.0.0.1/a/${'b'.repeat(1100)}`]) t.notOk(parseRtmpUrl(text).ok, text.slice(0, 40));
});

t.test('the course of a push', async t => {
  const course = new PushCourse(1000);
  course.start();
  t.equal(course.state, 'connecting');
  t.equal(course.opened(ms(0)), false, 'not before the server');
  const waits: (number | undefined)[] = [];
  let now = 0;
  for (let i = 0; i < 6; i++) {
    waits.push(course.failed(ms(now)));
    t.equal(course.tick(ms(course.deadline - 1)), false);
    now = course.deadline;
    t.ok(course.tick(ms(now)));
  }
  t.same(waits, [1000, 2000, 4000, 8000, 12_000, 12_000]);
  t.ok(course.taken() && course.opened(ms(now)));
  t.equal(course.failed(ms(now + 1000)), 12_000, 'short success is none');
  course.tick(course.deadline);
  t.ok(course.taken() && course.opened(ms(now)));
  t.equal(course.failed(ms(now + 60_000)), 1000);
  t.equal(course.failed(ms(now + 60_001)), undefined, 'once');
  course.stop();
  t.equal(course.tick(ms(now + 1e6)), false);
  t.equal(course.failed(ms(now + 1e6)), undefined);
});
