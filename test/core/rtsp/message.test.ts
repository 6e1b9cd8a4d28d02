import fc from 'fast-check';
import t from 'tap';
import { fromBase64, toBase64 } from '#core/base64.ts';
import { concatBytes, fromByteString, toByteString } from '#core/bytes.ts';
import { type RtspMessage, MAX_BODY_BYTES, MAX_HEAD_BYTES, NO_BODY, cseqOf, headerOf, serialize, sessionOf } from '#core/rtsp/message.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import { formatTransport, parseTransports } from '#core/rtsp/transport.ts';
import { formatAuthority, parseRtspUrl, resolveControl, splitTrack } from '#core/rtsp/url.ts';

const lines = (...parts: readonly string[]): string => parts.map(part => `${part}\r\n`).join('');
const bytes = (text: string): Uint8Array => fromByteString(text);

interface Vector {
  readonly name: string;
  readonly text: string;
  readonly message: RtspMessage;
}

const VECTORS: readonly Vector[] = [
  { name: 'options of everything', text: lines('OPTIONS * RTSP/1.0', 'CSeq: 1', ''), message: { kind: 'request', method: 'OPTIONS', uri: '*', headers: [{ name: 'CSeq', value: '1' }], body: NO_BODY } },
  {
    name: 'setup of a track',
    text: lines('SETUP rtsp://[::1]:8554/live/34020000001320000001/trackID=1 RTSP/1.0', 'CSeq: 312', 'Transport: RTP/AVP;unicast;client_port=4588-4589', ''),
    message: { kind: 'request', method: 'SETUP', uri: 'rtsp://[::1]:8554/live/34020000001320000001/trackID=1', headers: [{ name: 'CSeq', value: '312' }, { name: 'Transport', value: 'RTP/AVP;unicast;client_port=4588-4589' }], body: NO_BODY },
  },
  {
    name: 'an answer with a body',
    text: `${lines('RTSP/1.0 200 OK', 'CSeq: 2', 'Content-Type: application/sdp', 'Content-Length: 5', '')}v=0\r\n`,
    message: { kind: 'response', status: 200, reason: 'OK', headers: [{ name: 'CSeq', value: '2' }, { name: 'Content-Type', value: 'application/sdp' }], body: bytes('v=0\r\n') },
  },
  { name: 'an answer without a reason', text: lines('RTSP/1.0 454 ', 'CSeq: 9', ''), message: { kind: 'response', status: 454, reason: '', headers: [{ name: 'CSeq', value: '9' }], body: NO_BODY } },
];

const plain = (message: RtspMessage): unknown => ({ ...message, headers: message.headers.filter(({ name }) => name !== 'Content-Length'), body: toByteString(message.body) });

t.test('vectors in both directions', async t => {
  for (const { name, text, message } of VECTORS) {
    t.equal(toByteString(serialize(message)), text, name);
    t.same(new RtspReader().push(bytes(text)).map(item => plain(item as RtspMessage)), [plain(message)], name);
  }
});

t.test('messages and frames of one stream, cut anywhere', async t => {
  const frame = (channel: number, payload: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(0x24, channel, payload.length >> 8, payload.length), payload);
  const stream = concatBytes(bytes(VECTORS[0]!.text), frame(0, Uint8Array.of(0x80, 96, 1)), frame(1, new Uint8Array(0)), bytes('\r\n'), bytes(VECTORS[2]!.text), frame(255, new Uint8Array(0xffff)), bytes(VECTORS[1]!.text));
  const read = (cuts: readonly number[]): string[] => {
    const reader = new RtspReader();
    const items: string[] = [];
    let at = 0;
    for (const cut of [...cuts, stream.length]) {
      for (const item of reader.push(stream.slice(at, at + cut))) items.push(item.kind === 'frame' ? `$${item.channel}:${item.payload.length}` : `${item.kind} ${toByteString(item.body).length}`);
      at += cut;
    }
    t.equal(reader.error, undefined);
    t.equal(reader.isMidway, false);
    return items;
  };
  const whole = read([]);
  t.same(whole, ['request 0', '$0:3', '$1:0', 'response 5', '$255:65535', 'request 0']);
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 60 }), cuts => JSON.stringify(read(cuts)) === JSON.stringify(whole)), { numRuns: 60 });
});

t.test('real players: bare LF, folded fields, blanks, a reason with words', async t => {
  const [message] = new RtspReader().push(bytes('\r\n\r\nDESCRIBE rtsp://h/live/x RTSP/1.0\nCSeq:7\nAuthorization: Digest realm="a",\n  nonce="b"\nSession:  12345678;timeout=60 \n\n')) as RtspMessage[];
  t.equal(cseqOf(message!), 7);
  t.equal(headerOf(message!, 'authorization'), 'Digest realm="a", nonce="b"');
  t.equal(sessionOf(message!), '12345678');
});

t.test('what is refused, and how (fault 78)', async t => {
  const cases: readonly (readonly [name: string, input: string, status: number])[] = [
    ['HTTP', lines('GET / HTTP/1.1', 'Host: x', ''), 400],
    ['RTSP/2.0', lines('OPTIONS * RTSP/2.0', 'CSeq: 1', ''), 505],
    ['a URI with a space', lines('DESCRIBE rtsp://h/a b RTSP/1.0', 'CSeq: 1', ''), 400],
    ['a URI without end', lines(`DESCRIBE rtsp://h/${'a'.repeat(3000)} RTSP/1.0`, 'CSeq: 1', ''), 400],
    ['no colon', lines('OPTIONS * RTSP/1.0', 'CSeq 1', ''), 400],
    ['too many fields', lines('OPTIONS * RTSP/1.0', ...Array.from({ length: 65 }, (_, i) => `X${i}: 1`), ''), 400],
    ['a body that does not fit', lines('DESCRIBE * RTSP/1.0', `Content-Length: ${MAX_BODY_BYTES + 1}`, ''), 413],
    ['a length that is no number', lines('DESCRIBE * RTSP/1.0', 'Content-Length: -1', ''), 400],
    ['two lengths', lines('DESCRIBE * RTSP/1.0', 'Content-Length: 1', 'Content-Length: 2', ''), 400],
    ['a method of a thousand letters', lines(`${'A'.repeat(1000)} * RTSP/1.0`, ''), 400],
    ['garbage', lines('\u0000\u0001\u0002', ''), 400],
  ];
  for (const [name, input, status] of cases) {
    const reader = new RtspReader();
    t.same(reader.push(bytes(input)), [], name);
    t.equal(reader.error?.status, status, name);
    t.same(reader.push(bytes(VECTORS[0]!.text)), [], `${name}: nothing after it`);
  }
});

t.test('a header of a megabyte is given up at its limit', async t => {
  const reader = new RtspReader();
  const chunk = bytes(`X: ${'a'.repeat(1021)}`);
  let pushed = 0;
  for (reader.push(bytes('OPTIONS * RTSP/1.0\r\n')); reader.error === undefined && pushed < 2 ** 20; pushed += chunk.length) reader.push(chunk.slice());
  t.equal(reader.error?.status, 413);
  t.ok(pushed <= MAX_HEAD_BYTES + chunk.length);
});

t.test('transports', async t => {
  const value = 'RTP/AVP/TCP;unicast;interleaved=2-3,RTP/AVP;unicast;client_port=5000-5001;mode="PLAY",RTP/SAVP;multicast;destination=224.0.0.1';
  const specs = parseTransports(value);
  t.ok(specs.ok);
  if (!specs.ok) return;
  t.match(specs.value, [{ lower: 'tcp', interleaved: [2, 3], multicast: false }, { lower: 'udp', clientPort: [5000, 5001], mode: 'play' }, { lower: 'other', multicast: true, destination: '224.0.0.1' }]);
  t.equal(formatTransport({ ...specs.value[1]!, serverPort: [30000, 30001], ssrc: 0xabc, mode: undefined }), 'RTP/AVP;unicast;client_port=5000-5001;server_port=30000-30001;ssrc=00000ABC');
  t.match(parseTransports('RTP/AVP;client_port=6000'), { ok: true, value: [{ clientPort: [6000, 6001] }] });
  for (const bad of ['RTP/AVP;client_port=99999-100000', 'RTP/AVP/TCP;interleaved=a-b', 'RTP/AVP;client_port=65535', Array.from({ length: 9 }, () => 'RTP/AVP').join(','), 'x'.repeat(2000)]) t.notOk(parseTransports(bad).ok, bad.slice(0, 60));
});

t.test('addresses', async t => {
  t.match(parseRtspUrl('rtsp://127.0.0.1/live/1?token=a'), { ok: true, value: { host: '127.0.0.1', port: 554, path: '/live/1?token=a', hasUserInfo: false } });
  t.match(parseRtspUrl('rtsp://[::1]:8554'), { ok: true, value: { host: '::1', port: 8554, path: '/' } });
  t.match(parseRtspUrl('rtsp://admin:secret@h/x'), { ok: true, value: { host: 'h', hasUserInfo: true } });
  for (const bad of ['http://h/', 'rtsp://', 'rtsp://h:0/', 'rtsp://h:99999/', 'rtsp://a:b:c/', '/live/1', `rtsp://h/${'a'.repeat(3000)}`]) t.notOk(parseRtspUrl(bad).ok, bad.slice(0, 40));
  t.same(splitTrack('/live/1/trackID=1'), { path: '/live/1', track: 1 });
  t.same(splitTrack('/live/1/trackID=0?token=a'), { path: '/live/1?token=a', track: 0 });
  t.same(splitTrack('/live/1?token=a/trackID=1'), { path: '/live/1?token=a', track: 1 });
  t.same(splitTrack('/live/1/'), { path: '/live/1', track: null });
  t.equal(resolveControl('rtsp://h/a/', 'trackID=0'), 'rtsp://h/a/trackID=0');
  t.equal(resolveControl('rtsp://h/a', 'trackID=0'), 'rtsp://h/a/trackID=0');
  t.equal(resolveControl('rtsp://h/a', 'rtsp://h/b'), 'rtsp://h/b');
  t.equal(resolveControl('rtsp://h/a', '*'), 'rtsp://h/a');
  t.equal(formatAuthority('::1', 8554), '[::1]:8554');
});

t.test('base64', async t => {
  const table = [['', ''], ['f', 'Zg=='], ['fo', 'Zm8='], ['foo', 'Zm9v'], ['foob', 'Zm9vYg=='], ['fooba', 'Zm9vYmE='], ['foobar', 'Zm9vYmFy']] as const;
  for (const [text, base64] of table) {
    t.equal(toBase64(bytes(text)), base64);
    t.same(fromBase64(base64), bytes(text));
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), input => toBase64(input) === Buffer.from(input).toString('base64')));
  for (const bad of ['a', '*', 'Zm9v!']) t.equal(fromBase64(bad), undefined);
});
