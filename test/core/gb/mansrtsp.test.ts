/** MANSRTSP of Annex B and as it is found in the field, in both directions. */
import fc from 'fast-check';
import t from 'tap';
import { type Mansrtsp, type MansrtspRequest, MAX_BODY_CHARS, formatMansrtspRequest, formatMansrtspResponse, parseMansrtsp } from '#core/gb/mansrtsp.ts';

const read = (body: string): Mansrtsp => {
  const parsed = parseMansrtsp(body);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};
const request = (parts: Partial<MansrtspRequest>): MansrtspRequest => ({ kind: 'request', method: 'PLAY', cseq: 2, range: undefined, scale: undefined, ...parts });

const VECTORS: readonly [string, string, MansrtspRequest][] = [
  ['pause', 'PAUSE RTSP/1.0\r\nCSeq: 1\r\nPauseTime: now\r\n\r\n', request({ method: 'PAUSE', cseq: 1 })],
  ['resume', 'PLAY RTSP/1.0\r\nCSeq: 2\r\nRange: npt=now-\r\n\r\n', request({ range: { from: 'now', to: undefined } })],
  ['seek', 'PLAY RTSP/1.0\r\nCSeq: 2\r\nRange: npt=100-\r\n\r\n', request({ range: { from: 100, to: undefined } })],
  ['speed', 'PLAY RTSP/1.0\r\nCSeq: 2\r\nScale: 2.0\r\n\r\n', request({ scale: 2 })],
  ['slow', 'PLAY RTSP/1.0\r\nCSeq: 2\r\nScale: 0.25\r\n\r\n', request({ scale: 0.25 })],
  ['backwards', 'PLAY RTSP/1.0\r\nCSeq: 2\r\nRange: npt=600-120\r\nScale: -1.0\r\n\r\n', request({ range: { from: 600, to: 120 }, scale: -1 })],
  ['stop', 'TEARDOWN RTSP/1.0\r\nCSeq: 9\r\n\r\n', request({ method: 'TEARDOWN', cseq: 9 })],
];

t.test('the table of Annex B, both ways', async t => {
  for (const [name, body, value] of VECTORS) {
    t.same(read(body), value, name);
    t.equal(formatMansrtspRequest(value), body, name);
  }
  t.match(formatMansrtspRequest(request({}), 'MANSRTSP/1.0'), /^PLAY MANSRTSP\/1\.0\r\n/);
});

t.test('as peers write it', async t => {
  const fields: readonly [string, string, Partial<Mansrtsp>][] = [
    ['samples of 2016', 'PLAY MANSRTSP/1.0\nCSeq:2\nScale:2\n', { method: 'PLAY', cseq: 2, scale: 2 }],
    ['six digits', 'PLAY RTSP/1.0\r\nCSeq: 3\r\nScale: 0.500000\r\n', { scale: 0.5 }],
    ['empty lines first, no CSeq', '\r\n\r\npause RTSP/1.0\r\n', { method: 'PAUSE', cseq: 0 }],
    ['a URL', 'PLAY rtsp://192.0.2.1/record RTSP/1.0\r\nCSeq: 1\r\nrange: NPT=0:01:40.5-\r\n', { range: { from: 100.5, to: undefined } }],
    ['headers nobody knows', 'PLAY RTSP/1.0\r\nCSeq: 1\r\nX: y\r\nno colon\r\nScale: 4\r\nScale: 8\r\n', { scale: 4 }],
  ];
  for (const [name, body, value] of fields) t.match(read(body), value, name);
});

t.test('answers', async t => {
  t.same(read('RTSP/1.0 200 OK\r\nCSeq: 2\r\nRTP-Info: seq=18139;rtptime=3119600838\r\nRange: npt=100-\r\n\r\n'), {
    kind: 'response', status: 200, reason: 'OK', cseq: 2, range: { from: 100, to: undefined }, scale: undefined, rtpInfo: 'seq=18139;rtptime=3119600838',
  });
  t.match(read('MANSRTSP/1.0 456\r\nCSeq: 7\r\nScale: much\r\n'), { status: 456, reason: '', cseq: 7, scale: undefined }, 'what is wrong in an answer is left out');
  t.equal(formatMansrtspResponse({ status: 200, reason: 'OK', cseq: 2, range: undefined, scale: 2 }), 'RTSP/1.0 200 OK\r\nCSeq: 2\r\nScale: 2.0\r\n\r\n');
});

t.test('what is refused', async t => {
  for (const body of ['', 'DESCRIBE RTSP/1.0\r\n', 'PLAY HTTP/1.1\r\n', 'PLAY RTSP/1.0\r\nCSeq: x\r\n', 'PLAY RTSP/1.0\r\nCSeq: 99999999999\r\n', 'PLAY RTSP/1.0\r\nScale: 0\r\n', 'PLAY RTSP/1.0\r\nScale: 1e9\r\n', 'PLAY RTSP/1.0\r\nScale: 999\r\n', 'PLAY RTSP/1.0\r\nRange: npt=-5\r\n', 'PLAY RTSP/1.0\r\nRange: npt=99999999-\r\n', `PLAY RTSP/1.0\r\nX: ${'y'.repeat(MAX_BODY_CHARS)}`])
    t.equal(parseMansrtsp(body).ok, false, JSON.stringify(body.slice(0, 60)));
});

t.test('whatever is written is read again', async t => {
  const npt = fc.integer({ min: 0, max: 86_400_000 }).map(value => value / 1000);
  const range = fc.option(fc.record({ from: fc.oneof(npt, fc.constant('now' as const)), to: fc.option(npt, { nil: undefined }) }), { nil: undefined });
  const scale = fc.option(fc.integer({ min: -64, max: 64 }).filter(value => value !== 0).map(value => value / 4), { nil: undefined });
  fc.assert(fc.property(fc.constantFrom('PLAY', 'PAUSE', 'TEARDOWN'), fc.nat(), range, scale, (method, cseq, range, scale) => {
    const value = request({ method: method, cseq, range, scale });
    t.same(read(formatMansrtspRequest(value)), value);
  }), { numRuns: 200 });
  fc.assert(fc.property(fc.string({ maxLength: 200 }), body => void parseMansrtsp(body)));
});
