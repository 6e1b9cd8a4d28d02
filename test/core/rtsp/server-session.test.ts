import t from 'tap';
import { toByteString } from '#core/bytes.ts';
import type { MediaTracks } from '#core/media/unit.ts';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import { LockOut } from '#core/access/lock-out.ts';
import { type HeaderField, NO_BODY, type RtspRequest, type RtspResponse, headerOf } from '#core/rtsp/message.ts';
import { ConnectionAccess } from '#core/rtsp/server-access.ts';
import { IDLE_MS, MIDWAY_MS, SESSION_TIMEOUT_S, ServerSession } from '#core/rtsp/server-session.ts';
import type { ServerInput, ServerOutput } from '#core/rtsp/server-steps.ts';
import { NEVER, ms } from '#core/units.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';

const CHANNEL = '34020000001320000001';
const URL = `rtsp://127.0.0.1:8554/live/${CHANNEL}`;
const TOKEN = `${URL}?token=fits`;
const SESSION = 'abcdef0123456789';
const TRACKS: MediaTracks = {
  video: { codec: 'h264', parameterSets: [Uint8Array.of(0x67, 0x42, 0xc0, 0x1f, 1), Uint8Array.of(0x68, 2)], width: 768, height: 576 },
  audio: { codec: 'aac', sampleRateHz: 16000, channels: 1, config: Uint8Array.of(0x14, 0x08) },
};

class Viewer {
  readonly session: ServerSession;
  readonly others: ServerOutput[] = [];
  now = 0;
  #cseq = 0;

  constructor() {
    const rules = { tokenFits: (path: OutletPath) => path.token === 'fits' && path.channel === CHANNEL, ha1: (name: string) => (name === 'wall' ? hashes.md5('wall:viewlink:secret') : undefined) };
    const access = new ConnectionAccess({ realm: 'viewlink', nonce: 'n0', hashes, rules });
    this.session = new ServerSession({ access, sessionId: SESSION, localAddress: '127.0.0.1', remoteAddress: '127.0.0.9' }, ms(0));
  }

  /** Answers what the session asks of the gateway, as a gateway would. `stall`: it waits. */
  feed(input: ServerInput, stall = false): RtspResponse[] {
    const responses: RtspResponse[] = [];
    for (const output of this.session.handle(input, ms(this.now))) {
      if (output.type === 'respond') responses.push(output.response);
      else this.others.push(output);
      if (stall) continue;
      if (output.type === 'open') responses.push(...this.feed({ type: 'opened', tracks: TRACKS }));
      if (output.type === 'bind') responses.push(...this.feed({ type: 'bound', transport: { ...output.transport, serverPort: output.transport.lower === 'udp' ? [30000, 30001] : undefined, ssrc: 0xabc } }));
      if (output.type === 'start') responses.push(...this.feed({ type: 'started', starts: [{ track: 0, sequence: 7, rtpTime: 9000 }] }));
    }
    return responses;
  }

  request(method: string, uri: string, headers: readonly HeaderField[] = []): RtspRequest {
    this.#cseq += 1;
    return { kind: 'request', method, uri, headers: [{ name: 'CSeq', value: String(this.#cseq) }, ...headers], body: NO_BODY };
  }

  ask(method: string, uri: string, headers: Readonly<Record<string, string>> = {}): RtspResponse {
    const responses = this.feed({ type: 'request', request: this.request(method, uri, Object.entries(headers).map(([name, value]) => ({ name, value }))) });
    if (responses.length !== 1) throw new Error(`${responses.length} answers to ${method}`);
    return responses[0]!;
  }

  play(transport: string): void {
    this.ask('DESCRIBE', TOKEN);
    this.ask('SETUP', `${URL}/trackID=0`, { Transport: transport });
    this.ask('PLAY', URL, { Session: SESSION });
  }

  /** Moves to the session's next deadline. */
  tick(): RtspResponse[] {
    this.now = this.session.deadline;
    return this.feed({ type: 'tick' });
  }

  closed(): string | undefined {
    return this.others.flatMap(output => (output.type === 'close' ? [output.why] : []))[0];
  }
}

t.test('describe, set up, play, pause, tear down', async t => {
  const viewer = new Viewer();
  const described = viewer.ask('DESCRIBE', TOKEN);
  const sdp = toByteString(described.body);
  t.equal(described.status, 200);
  t.match(sdp, 'a=fmtp:96 packetization-mode=1;profile-level-id=42C01F;sprop-parameter-sets=Z0LAHwE=,aAI=\r\n');
  t.match(sdp, 'a=rtpmap:97 mpeg4-generic/16000/1\r\na=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408\r\n');
  const setup = viewer.ask('SETUP', `${URL}/trackID=0`, { Transport: 'RTP/AVP;unicast;client_port=5000-5001' });
  t.equal(headerOf(setup, 'transport'), 'RTP/AVP;unicast;client_port=5000-5001;server_port=30000-30001;ssrc=00000ABC');
  t.equal(headerOf(setup, 'session'), `${SESSION};timeout=60`);
  const played = viewer.ask('PLAY', URL, { Session: SESSION, Range: 'npt=0.000-' });
  t.equal(headerOf(played, 'rtp-info'), `url=${URL}/trackID=0;seq=7;rtptime=9000`);
  t.equal(viewer.others.at(-1)?.type, 'flow', 'media only behind the answer');
  t.equal(viewer.ask('PLAY', URL, { Session: SESSION }).status, 200, 'twice is once');
  t.equal(viewer.ask('PAUSE', URL, { Session: SESSION }).status, 200);
  t.equal(viewer.session.phase, 'ready');
  t.equal(viewer.ask('TEARDOWN', URL, { Session: SESSION }).status, 200);
  t.same(viewer.others.map(({ type }) => type), ['open', 'bind', 'start', 'flow', 'pause', 'release']);
});

t.test('by digest; with a wrong password; of another nonce', async t => {
  const viewer = new Viewer();
  const answer = (password: string, nonce = 'n0', uri = URL): string =>
    `Digest username="wall", realm="viewlink", nonce="${nonce}", uri="${uri}", response="${hashes.md5(`${hashes.md5(`wall:viewlink:${password}`)}:${nonce}:${hashes.md5(`DESCRIBE:${uri}`)}`)}"`;
  const challenge = viewer.ask('DESCRIBE', URL);
  t.equal(challenge.status, 401);
  t.match(headerOf(challenge, 'www-authenticate'), /^Digest realm="viewlink",nonce="n0"$/);
  t.equal(viewer.ask('DESCRIBE', URL, { Authorization: answer('guess') }).status, 401);
  t.equal(viewer.ask('DESCRIBE', URL, { Authorization: answer('secret', 'n1') }).status, 401);
  t.equal(viewer.ask('DESCRIBE', URL, { Authorization: answer('secret', 'n0', 'rtsp://127.0.0.1:8554/live/34020000001320000002') }).status, 401, 'credentials for another channel');
  t.equal(viewer.ask('DESCRIBE', URL, { Authorization: 'Basic d2FsbDpzZWNyZXQ=' }).status, 401);
  t.equal(viewer.others.filter(({ type }) => type === 'auth-failed').length, 2, 'a stale nonce is no wrong password');
  t.equal(viewer.ask('DESCRIBE', URL, { Authorization: answer('secret') }).status, 200);
  t.equal(viewer.ask('SETUP', `${URL}/trackID=0`, { Transport: 'RTP/AVP/TCP;interleaved=0-1' }).status, 200, 'not asked again on this connection');
});

t.test('times: a slow request, nothing asked, a viewer over UDP that gives no sign', async t => {
  const idle = new Viewer();
  t.equal(idle.session.deadline, IDLE_MS);
  idle.tick();
  t.equal(idle.closed(), 'nothing was asked');
  const slow = new Viewer();
  slow.feed({ type: 'midway', isMidway: true });
  slow.now = 5000;
  slow.feed({ type: 'midway', isMidway: true });
  t.equal(slow.session.deadline, MIDWAY_MS, 'more of it does not give it more time');
  t.equal(slow.tick()[0]?.status, 400);
  t.equal(slow.closed(), 'a request was not finished');
  const udp = new Viewer();
  udp.play('RTP/AVP;unicast;client_port=5000-5001');
  t.equal(udp.session.deadline, SESSION_TIMEOUT_S * 1000 + 10_000);
  udp.now = 50_000;
  udp.feed({ type: 'alive' });
  t.equal(udp.session.deadline, 50_000 + SESSION_TIMEOUT_S * 1000 + 10_000, 'RTCP is a sign');
  udp.tick();
  t.equal(udp.closed(), 'the viewer gave no sign');
  const tcp = new Viewer();
  tcp.play('RTP/AVP/TCP;unicast;interleaved=0-1');
  t.equal(tcp.session.deadline, NEVER, 'over TCP the connection is the sign');
  tcp.ask('PAUSE', URL, { Session: SESSION });
  t.equal(tcp.session.deadline, SESSION_TIMEOUT_S * 1000, 'but not while it pauses');
});

t.test('requests wait behind one that the gateway works on, not without end', async t => {
  const viewer = new Viewer();
  t.same(viewer.feed({ type: 'request', request: viewer.request('DESCRIBE', TOKEN) }, true), []);
  for (let i = 0; i < 16; i += 1) t.same(viewer.feed({ type: 'request', request: viewer.request('OPTIONS', '*') }, true), []);
  const answers = viewer.feed({ type: 'opened', tracks: TRACKS });
  t.equal(answers.length, 17);
  t.same(answers.map(answer => headerOf(answer, 'cseq')), Array.from({ length: 17 }, (_, i) => String(i + 1)), 'in order');
  const flood = new Viewer();
  for (let i = 0; i < 18; i += 1) flood.feed({ type: 'request', request: flood.request('DESCRIBE', TOKEN) }, true);
  t.equal(flood.closed(), 'too many requests at once');
  t.same(flood.others.map(({ type }) => type), ['open', 'release', 'close']);
});

t.test('a channel that cannot be opened, one without anything for RTSP, one that ends', async t => {
  const viewer = new Viewer();
  viewer.feed({ type: 'request', request: viewer.request('DESCRIBE', TOKEN) }, true);
  t.equal(viewer.feed({ type: 'refused', status: 503 })[0]?.status, 503);
  viewer.feed({ type: 'request', request: viewer.request('DESCRIBE', TOKEN) }, true);
  t.equal(viewer.feed({ type: 'refused', status: 299 })[0]?.status, 500, 'a status that RTSP has not');
  viewer.feed({ type: 'request', request: viewer.request('DESCRIBE', TOKEN) }, true);
  t.equal(viewer.feed({ type: 'opened', tracks: { video: { codec: 'svac', parameterSets: [], width: 0, height: 0 }, audio: null } })[0]?.status, 404);
  t.equal(viewer.others.at(-1)?.type, 'release');
  viewer.play('RTP/AVP/TCP;unicast;interleaved=0-1');
  viewer.feed({ type: 'ended' });
  t.equal(viewer.closed(), 'the stream ended');
  t.same(viewer.feed({ type: 'request', request: viewer.request('OPTIONS', '*') }), [], 'nothing after the end');
});

t.test('wrong passwords lock an address out, and only it', async t => {
  const lock = new LockOut();
  const locks = Array.from({ length: 10 }, (_, i) => lock.fail('192.0.2.1', ms(i * 1000)));
  t.same(locks, [...Array.from({ length: 9 }, () => false), true]);
  t.ok(lock.isLocked('192.0.2.1', ms(60_000)));
  t.notOk(lock.isLocked('192.0.2.2', ms(60_000)));
  t.notOk(lock.isLocked('192.0.2.1', ms(9000 + 600_000)), 'for ten minutes');
  for (let i = 0; i < 20; i += 1) t.notOk(lock.fail('192.0.2.3', ms(i * 10_000)), 'slowly is not an attack');
  for (let i = 0; i < 10_000; i += 1) lock.fail(`10.0.${i >> 8}.${i & 255}`, ms(0));
  t.notOk(lock.isLocked('10.0.0.0', ms(1)));
});
