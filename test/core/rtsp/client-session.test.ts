import fc from 'fast-check';
import t from 'tap';
import { fromByteString } from '#core/bytes.ts';
import { readSenderReport, writeGoodbye, writeReceiverReport, writeSenderReport } from '#core/rtp/sender-report.ts';
import { TrackSync } from '#core/rtp/track-sync.ts';
import { type ClientInput, type ClientOptions, type ClientOutput, ClientSession } from '#core/rtsp/client-session.ts';
import { NO_BODY, type RtspRequest, headerOf } from '#core/rtsp/message.ts';
import { readOffer } from '#core/rtsp/sdp-read.ts';
import { describeTracks, rtspTracks } from '#core/rtsp/sdp-write.ts';
import { parametersOf } from '#core/rtp/format-parameters.ts';
import { ms, wallMs } from '#core/units.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';

const URL = 'rtsp://192.0.2.1/Streaming/Channels/101';
const sdp = (...lines: readonly string[]): Uint8Array => fromByteString(['v=0', 'o=- 1 1 IN IP4 0.0.0.0', 's=x', 'c=IN IP4 0.0.0.0', 't=0 0', ...lines, ''].join('\r\n'));
const CAMERA = sdp('a=control:rtsp://192.0.2.1/Streaming/Channels/101/', 'm=video 0 RTP/AVP 96', 'a=rtpmap:96 H264/90000', 'a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z0LAHwE=,aAI=', 'a=control:trackID=1', 'm=audio 0 RTP/AVP 8', 'a=control:trackID=2', 'm=application 0 RTP/AVP 107', 'a=rtpmap:107 vnd.onvif.metadata/90000', 'a=control:trackID=3');

/** The server's part: each request gets the answer of its method, by turns where there are several. */
class Talk {
  readonly session: ClientSession;
  readonly asked: RtspRequest[] = [];
  readonly outputs: ClientOutput[] = [];
  now = 0;

  constructor(options: Partial<ClientOptions> = {}) {
    const { session, outputs } = ClientSession.start({ url: URL, credentials: undefined, transport: 'tcp', userAgent: 'x', ...options }, ms(0));
    this.session = session;
    this.#note(outputs);
  }

  get last(): RtspRequest {
    return this.asked.at(-1)!;
  }

  feed(input: ClientInput): void {
    this.#note(this.session.handle(input, ms(this.now)));
  }

  answer(status: number, headers: Readonly<Record<string, string>> = {}, body: Uint8Array = NO_BODY): void {
    const all = Object.entries({ CSeq: headerOf(this.last, 'cseq')!, ...headers }).map(([name, value]) => ({ name, value }));
    this.feed({ type: 'response', response: { kind: 'response', status, reason: '', headers: all, body } });
  }

  /** Up to PLAY. */
  setUp(transport: (index: number) => string = i => `RTP/AVP/TCP;unicast;interleaved=${2 * i}-${2 * i + 1}`): void {
    this.answer(200, { Public: 'OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER' });
    this.answer(200, { 'Content-Base': `${URL}/` }, CAMERA);
    this.answer(200, { Session: 's1;timeout=30', Transport: transport(0) });
    this.answer(200, { Session: 's1;timeout=30', Transport: transport(1) });
  }

  closed(): Extract<ClientOutput, { type: 'closed' }> | undefined {
    return this.outputs.find(output => output.type === 'closed');
  }

  #note(outputs: readonly ClientOutput[]): void {
    for (const output of outputs) {
      this.outputs.push(output);
      if (output.type === 'send' && output.message.kind === 'request') this.asked.push(output.message);
      if (output.type === 'bind') this.feed({ type: 'bound', clientPort: [40000 + 2 * output.index, 40001 + 2 * output.index] });
    }
  }
}

t.test('over TCP: what is asked, where, and what comes of it', async t => {
  const talk = new Talk();
  talk.setUp();
  talk.answer(200, { 'RTP-Info': `url=${URL}/trackID=1;seq=1;rtptime=1000,url=trackID=2;seq=9;rtptime=77` });
  t.same(talk.asked.map(({ method, uri }) => `${method} ${uri}`), [`OPTIONS ${URL}`, `DESCRIBE ${URL}`, `SETUP ${URL}/trackID=1`, `SETUP ${URL}/trackID=2`, `PLAY ${URL}/`]);
  t.match(talk.asked[2]!.headers, [{}, {}, { name: 'Transport', value: 'RTP/AVP/TCP;unicast;interleaved=0-1' }]);
  t.match(talk.asked[4]!.headers, [{}, {}, { name: 'Session', value: 's1' }, { name: 'Range', value: 'npt=0.000-' }]);
  const playing = talk.outputs.find(output => output.type === 'playing')!;
  t.match(playing, { tracks: [{ kind: 'video', format: 'h264', payloadType: 96, interleaved: [0, 1], rtpTime: 1000 }, { kind: 'audio', format: 'g711a', payloadType: 8, clockHz: 8000, interleaved: [2, 3], rtpTime: 77 }] });
  t.equal(talk.session.deadline, 15_000, 'half of the session time that the server named');
  talk.now = 15_000;
  talk.feed({ type: 'tick' });
  t.equal(talk.last.method, 'GET_PARAMETER');
  t.equal(talk.outputs.at(-2)?.type, 'keepalive');
  talk.answer(454);
  t.match(talk.closed(), { failure: 'ended' });
});

t.test('over UDP: ports of ours, ports of the server', async t => {
  const talk = new Talk({ transport: 'udp' });
  talk.setUp(i => `RTP/AVP;unicast;client_port=${40000 + 2 * i}-${40001 + 2 * i};server_port=${6000 + 2 * i}-${6001 + 2 * i};ssrc=0000002A`);
  t.match(talk.asked[3]!.headers.at(-1), { name: 'Transport', value: 'RTP/AVP;unicast;client_port=40002-40003' });
  t.match(talk.outputs.find(output => output.type === 'expect'), { tracks: [{ serverPort: [6000, 6001], ssrc: 42, interleaved: undefined }, { serverPort: [6002, 6003] }] });
  const other = new Talk({ transport: 'udp' });
  other.answer(200);
  other.answer(200, {}, CAMERA);
  other.answer(200, { Session: 's1', Transport: 'RTP/AVP;multicast;destination=224.1.1.1;port=5000-5001' });
  t.match(other.closed(), { failure: 'unusable' }, 'multicast was not asked for');
});

t.test('digest where it is offered, basic where not, once', async t => {
  const credentials = { username: 'admin', password: 'secret', hashes, cnonce: () => 'c0' };
  const digest = new Talk({ credentials });
  digest.answer(200);
  digest.answer(401, { 'WWW-Authenticate': 'Digest realm="cam", nonce="n1", qop="auth"' });
  const ha = hashes.md5(`${hashes.md5('admin:cam:secret')}:n1:00000001:c0:auth:${hashes.md5(`DESCRIBE:${URL}`)}`);
  t.match(headerOf(digest.last, 'authorization'), `response="${ha}"`);
  digest.answer(200, { 'Content-Base': `${URL}/` }, CAMERA);
  t.match(headerOf(digest.last, 'authorization'), 'nc=00000002', 'and on every later one');
  digest.answer(401, { 'WWW-Authenticate': 'Digest realm="cam", nonce="n2", stale=true' });
  t.match(headerOf(digest.last, 'authorization'), 'nonce="n2"', 'a nonce that was too old');
  digest.answer(401, { 'WWW-Authenticate': 'Digest realm="cam", nonce="n3"' });
  t.match(digest.closed(), { failure: 'unauthorized' }, 'a wrong password is not tried again');
  const basic = new Talk({ credentials });
  basic.answer(401, { 'WWW-Authenticate': 'Basic realm="cam"' });
  t.equal(headerOf(basic.last, 'authorization'), 'Basic YWRtaW46c2VjcmV0');
  basic.answer(401, { 'WWW-Authenticate': 'Basic realm="cam"' });
  t.match(basic.closed(), { failure: 'unauthorized' });
  const none = new Talk();
  none.answer(401, { 'WWW-Authenticate': 'Basic realm="cam"' });
  t.match(none.closed(), { failure: 'unauthorized', why: 'the server wants a user and password' });
});

t.test('ways in which it ends', async t => {
  const silent = new Talk();
  silent.now = silent.session.deadline;
  silent.feed({ type: 'tick' });
  t.match(silent.closed(), { failure: 'no-answer', why: 'no answer to OPTIONS in 8000 ms' });
  const odd = new Talk();
  odd.answer(501);
  t.equal(odd.last.method, 'DESCRIBE', 'OPTIONS may fail');
  odd.answer(404);
  t.match(odd.closed(), { failure: 'not-found' });
  const moved = new Talk();
  moved.answer(200);
  moved.answer(302, { Location: 'rtsp://198.51.100.1/x' });
  t.match(moved.closed(), { failure: 'refused' }, 'nobody is followed elsewhere');
  const jpeg = new Talk();
  jpeg.answer(200);
  jpeg.answer(200, {}, sdp('m=video 0 RTP/AVP 26', 'a=control:1'));
  t.match(jpeg.closed(), { failure: 'unusable', why: /payload type 26/ });
  const stopped = new Talk();
  stopped.setUp();
  stopped.answer(200);
  stopped.feed({ type: 'request', request: { kind: 'request', method: 'OPTIONS', uri: '*', headers: [{ name: 'CSeq', value: '5' }], body: NO_BODY } });
  t.match(stopped.outputs.at(-1), { type: 'send', message: { kind: 'response', status: 200 } }, 'the server may ask, too');
  stopped.feed({ type: 'stop' });
  t.equal(stopped.last.method, 'TEARDOWN');
  t.match(stopped.closed(), { failure: null });
});

t.test('descriptions: ours are read as they were meant, others as cameras write them', async t => {
  const tracks = { video: { codec: 'h265' as const, parameterSets: [Uint8Array.of(0x40, 1, 1), Uint8Array.of(0x42, 1, 2), Uint8Array.of(0x44, 1, 3)], width: 1, height: 1 }, audio: { codec: 'aac' as const, sampleRateHz: 16000, channels: 1, config: Uint8Array.of(0x14, 0x08) } };
  const offer = readOffer(fromByteString(describeTracks(rtspTracks(tracks), { address: '::1', sessionId: '1', title: 'x' })));
  t.ok(offer.ok);
  if (!offer.ok) return;
  t.match(offer.value, { tracks: [{ kind: 'video', format: 'h265', clockHz: 90000, control: 'trackID=0' }, { kind: 'audio', format: 'aac', clockHz: 16000, control: 'trackID=1' }], base: undefined });
  t.same(parametersOf(offer.value.tracks[0]!.fmtp).parameterSets, tracks.video.parameterSets);
  t.same(parametersOf(offer.value.tracks[1]!.fmtp).config, tracks.audio.config);
  const odd = readOffer(sdp('m=video 0 RTP/AVP 26 97', 'a=rtpmap:97 h264/90000', 'm=video 0 RTP/AVP 98', 'a=rtpmap:98 H265/90000', 'm=audio 0 RTP/AVP 0', 'a=sendonly', 'm=audio 0 RTP/AVP 99', 'a=rtpmap:99 G726-32/8000', 'm=audio 0 RTP/AVP 0'));
  t.match(odd, { ok: true, value: { tracks: [{ format: 'h264', payloadType: 97, control: '' }, { format: 'g711u' }], passedOver: ['backchannel', 'G726-32'] } });
  t.notOk(readOffer(sdp()).ok);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), noise => typeof readOffer(noise).ok === 'boolean'));
});

t.test('pictures and sound on one timeline', async t => {
  const named = new TrackSync(2, 0);
  named.begin(0, 900_000);
  named.begin(1, 50_000);
  t.equal(named.map(0, 903_600, ms(100)), 3600, 'RTP-Info names both begins');
  t.equal(named.map(1, 53_600, ms(400)), 3600, 'whenever it came');
  const arrived = new TrackSync(2, 0);
  t.equal(arrived.map(0, 900_000, ms(0)), 0);
  t.equal(arrived.map(1, 50_000, ms(200)), 18_000, 'without a word: as they came');
  arrived.report(0, 1000, 900_000);
  arrived.report(1, 1000, 50_000);
  t.equal(arrived.map(1, 50_000, ms(300)), 0, 'sender reports say that both were at once');
  t.equal(arrived.corrections, 1);
  arrived.report(1, 1020, 50_000);
  t.equal(arrived.corrections, 1, 'nobody notices 20 ms');
  arrived.report(1, 99_000_000, 50_000);
  t.equal(arrived.corrections, 1, 'a clock of another day is not believed');
  t.equal(arrived.map(0, 903_600, ms(300)), 3600, 'pictures never moved');
});

t.test('sender reports, both ways, and whatever else comes there (fault 62)', async t => {
  const report = writeSenderReport({ ssrc: 0xdeadbeef, wall: wallMs(1_700_000_000_250), rtpTime: 4_000_000_000, packets: 5, octets: 999, cname: 'viewlink' });
  t.equal(report.length % 4, 0);
  t.match(readSenderReport(report, 0, report.length), { ssrc: 0xdeadbeef, rtpTime: 4_000_000_000 });
  t.ok(Math.abs(readSenderReport(report, 0, report.length)!.ntpMs - (1_700_000_000_250 + 2_208_988_800_000)) < 1);
  for (const other of [writeReceiverReport(1), writeGoodbye(1), report.subarray(0, 20)]) t.equal(readSenderReport(other, 0, other.length), undefined);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), noise => { const read = readSenderReport(noise, 0, noise.length); return read === undefined || Number.isFinite(read.ntpMs); }));
});
