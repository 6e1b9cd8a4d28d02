import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { headerOf, type RtspResponse } from '#core/rtsp/message.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import { rtspTracks } from '#core/rtsp/sdp-write.ts';
import { systemClock } from '#kit/clock.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { systemRandom } from '#kit/random.ts';
import type { RtspLeg } from '../../daemons/mediad/rtsp-legs.ts';
import { RtspViewer } from '../../daemons/mediad/rtsp-viewer.ts';
import { type FootageName, loadFootage } from '../../scripts/media/footage.ts';
import { decodePictures, matchLoop } from '../../scripts/media/pictures.ts';
import { FootageUnits } from '../rig/footage-units.ts';
import { CHANNEL, PASSWORD, TOKEN, USER, openRtspRig, type RtspRig } from '../rig/rtsp-outlet.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';

t.setTimeout(240_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-rtsp-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));

async function openRig(name: FootageName, options: Partial<Parameters<typeof openRtspRig>[0]> = {}): Promise<RtspRig & { readonly units: FootageUnits }> {
  const units = new FootageUnits(await loadFootage(name));
  const rig = await openRtspRig({ stream: () => units, ...options });
  return {
    ...rig,
    units,
    async [Symbol.asyncDispose]() {
      units[Symbol.dispose]();
      await rig[Symbol.asyncDispose]();
    },
  };
}

/** A client by hand: one request, one answer; what comes between them is counted. */
class HandClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly #reader = new RtspReader();
  readonly #answers: RtspResponse[] = [];
  #cseq = 0;
  frames = 0;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', chunk => {
      for (const item of this.#reader.push(chunk)) {
        if (item.kind === 'response') this.#answers.push(item);
        else this.frames += 1;
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  static async open(port: number, from = '127.0.0.1'): Promise<HandClient> {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    await once(socket, 'connect');
    return new HandClient(socket);
  }

  async ask(method: string, uri: string, headers: Readonly<Record<string, string>> = {}): Promise<RtspResponse> {
    this.#cseq += 1;
    this.socket.write(`${method} ${uri} RTSP/1.0\r\nCSeq: ${this.#cseq}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    return this.answer();
  }

  async answer(): Promise<RtspResponse> {
    await until('an answer', () => this.#answers.length > 0 || this.closed);
    const answer = this.#answers.shift();
    if (answer === undefined) throw new Error('closed without an answer');
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }
}

const NAMES: readonly FootageName[] = ['h264-g711a', 'h264-aac', 'h265-g711a', 'h265-aac'];

await t.test('ffprobe and ffmpeg, TCP and UDP, both codecs, both sounds: no word of complaint', async t => {
  await Promise.all(
    NAMES.map(async name => {
      await using rig = await openRig(name);
      const [video, audio] = name.split('-') as [string, string];
      const probe = await runTool('ffprobe', ['-v', 'warning', '-rtsp_transport', 'tcp', '-show_entries', 'stream=codec_name,width,sample_rate', '-of', 'compact=p=0:nk=1', rig.url]);
      t.same(probe.stdout.trim().split('\n'), [`${video === 'h264' ? 'h264' : 'hevc'}|768`, audio === 'aac' ? 'aac|16000' : 'pcm_alaw|8000'], `${name}: ${probe.stderr}`);
      for (const transport of ['tcp', 'udp']) {
        const run = await runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', transport, '-i', rig.url, '-t', '3', '-f', 'null', '-']);
        t.same([run.code, run.stderr], [0, ''], `${name} ${transport}`);
      }
      await until('every lease is given back', () => rig.leases.size === 0);
      t.equal(rig.units.joined, 0);
    }),
  );
});

await t.test('pictures equal to the source, by digest of a user', async t => {
  for (const name of ['h264-g711a', 'h265-aac'] as const) {
    await using rig = await openRig(name);
    const footage = await loadFootage(name);
    const source = await decodePictures(footage.videoPath);
    const file = join(directory, `${name}.ts`);
    const url = rig.bareUrl.replace('rtsp://', `rtsp://${USER}:${PASSWORD}@`);
    const run = await runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', url, '-t', '4', '-map', '0:v', '-c', 'copy', '-f', name.startsWith('h264') ? 'h264' : 'hevc', file]);
    t.equal(run.code, 0, run.stderr);
    const got = await decodePictures(file);
    const { same } = matchLoop(source.hashes, got.hashes);
    t.ok(got.hashes.length >= 75, `${name}: ${got.hashes.length} pictures`);
    t.same([same, got.complaints], [got.hashes.length, []], name);
    t.ok((rig.counters.get('rtsp.status.401') ?? 0) >= 1, 'it was asked who it is');
  }
});

await t.test('GStreamer decodes what it gets, TCP and UDP', async t => {
  for (const [name, depay, parse] of [['h264-g711a', 'rtph264depay', 'h264parse'], ['h265-aac', 'rtph265depay', 'h265parse']] as const) {
    await using rig = await openRig(name);
    for (const protocol of ['tcp', 'udp']) {
      const run = await runTool('gst-launch-1.0', ['-v', 'rtspsrc', `location=${rig.url}`, `protocols=${protocol}`, 'latency=200', 'name=s', 's.', '!', 'application/x-rtp,media=video', '!', depay, '!', parse, '!', 'identity', 'silent=false', 'eos-after=60', '!', 'fakesink', 'sync=false']);
      t.ok((run.stdout.match(/last-message = chain/g) ?? []).length >= 59, `${name} ${protocol}: 59 pictures and the end`);
      // Stopped by its own end of stream, rtspsrc at times says goodbye on a connection that it closed before, or calls the sound, which nobody takes, an error.
      const complaints = run.stderr.split('\n').filter(line => /ERROR|WARN/.test(line) && !/Could not write to resource|Internal data stream error/.test(line));
      t.same(complaints, [], `${name} ${protocol}: ${run.stderr.slice(0, 400)}`);
    }
    t.equal(rig.counters.get('rtsp.closed'), undefined, 'we closed none of them');
    await until('every lease is given back', () => rig.leases.size === 0);
  }
});

await t.test('nothing without leave: no token, a wrong one, another channel, a wrong password', async t => {
  await using rig = await openRig('h264');
  const statusOf = async (url: string): Promise<string> => (await runTool('ffprobe', ['-v', 'error', '-rtsp_transport', 'tcp', url])).stderr;
  t.match(await statusOf(rig.bareUrl), /401/);
  t.match(await statusOf(`${rig.bareUrl}?token=1.other`), /401/);
  t.match(await statusOf(rig.url.replace(CHANNEL, '34020000001320000002')), /401/);
  t.match(await statusOf(rig.bareUrl.replace('rtsp://', `rtsp://${USER}:wrong@`)), /401/);
  t.match(await statusOf(rig.bareUrl.replace('rtsp://', `rtsp://nobody:${PASSWORD}@`)), /401/);
  t.equal(rig.counters.get('rtsp.auth-failed'), 2, 'wrong passwords are counted, wrong tokens are only refused');
  await using client = await HandClient.open(rig.port);
  t.equal((await client.ask('DESCRIBE', `rtsp://${USER}:${PASSWORD}@127.0.0.1/live/${CHANNEL}`)).status, 400, 'a password in the URL is not taken (fault 90)');
  const again = await HandClient.open(rig.port);
  let last: RtspResponse | undefined;
  for (let i = 0; i < 8; i += 1) {
    const nonce = /nonce="([^"]+)"/.exec(headerOf((last = await again.ask('DESCRIBE', rig.bareUrl)), 'www-authenticate')!)![1]!;
    const response = hashes.md5(`${hashes.md5('wall:viewlink:guess')}:${nonce}:${hashes.md5(`DESCRIBE:${rig.bareUrl}`)}`);
    last = await again.ask('DESCRIBE', rig.bareUrl, { Authorization: `Digest username="${USER}", realm="viewlink", nonce="${nonce}", uri="${rig.bareUrl}", response="${response}"` });
    t.equal(last.status, 401);
  }
  await again[Symbol.asyncDispose]();
  const locked = await HandClient.open(rig.port);
  await until('ten wrong passwords lock the address out', () => locked.closed);
  t.equal(rig.counters.get('rtsp.refused.locked'), 1);
});

await t.test('a session by hand, and what is refused in it (faults 78, 79)', async t => {
  await using rig = await openRig('h264-g711a');
  await using client = await HandClient.open(rig.port);
  const options = await client.ask('OPTIONS', '*');
  t.match(headerOf(options, 'public'), /DESCRIBE, SETUP, PLAY/);
  const described = await client.ask('DESCRIBE', rig.url);
  t.equal(headerOf(described, 'content-base'), `${rig.bareUrl}/`);
  const sdp = Buffer.from(described.body).toString();
  t.match(sdp, /m=video 0 RTP\/AVP 96\r\na=rtpmap:96 H264\/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42[0-9A-F]{4};sprop-parameter-sets=[A-Za-z0-9+/=]+,[A-Za-z0-9+/=]+\r\na=control:trackID=0\r\n/);
  t.match(sdp, /m=audio 0 RTP\/AVP 8\r\na=rtpmap:8 PCMA\/8000\r\na=control:trackID=1\r\n/);
  const track = (n: number): string => `${rig.bareUrl}/trackID=${n}`;
  const tcp = { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' };
  t.equal((await client.ask('SETUP', track(0), { Transport: 'RTP/AVP;unicast;client_port=5000-5001;destination=192.0.2.66' })).status, 403, 'media to somebody else');
  t.equal((await client.ask('SETUP', track(0), { Transport: 'RTP/AVP;multicast;client_port=5000-5001' })).status, 461);
  t.equal((await client.ask('SETUP', track(0), { Transport: 'RTP/AVP;unicast;client_port=22-23' })).status, 461, 'no port of a service');
  t.equal((await client.ask('SETUP', track(0), { Transport: 'RTP/AVP;unicast;client_port=x' })).status, 400);
  t.equal((await client.ask('SETUP', rig.bareUrl, tcp)).status, 459, 'two tracks at once');
  t.equal((await client.ask('SETUP', track(7), tcp)).status, 404);
  t.equal((await client.ask('PLAY', rig.bareUrl)).status, 454, 'no session yet');
  const setup = await client.ask('SETUP', track(0), tcp);
  t.equal(setup.status, 200);
  const session = headerOf(setup, 'session')!.split(';')[0]!;
  t.match(headerOf(setup, 'session'), /;timeout=60$/);
  t.match(headerOf(setup, 'transport'), /interleaved=0-1.*ssrc=[0-9A-F]{8}/);
  t.equal((await client.ask('SETUP', track(1), { ...tcp, Session: session })).status, 461, 'the same channels again');
  t.equal((await client.ask('SETUP', track(1), { Transport: 'RTP/AVP/TCP;unicast;interleaved=2-3', Session: session })).status, 200);
  t.equal((await client.ask('PLAY', track(0), { Session: session })).status, 460);
  t.equal((await client.ask('PLAY', rig.bareUrl, { Session: 'another' })).status, 454);
  t.equal((await client.ask('PLAY', rig.bareUrl, { Session: session, Range: 'clock=20260101T000000Z-' })).status, 457);
  t.equal((await client.ask('PAUSE', rig.bareUrl, { Session: session })).status, 455);
  const played = await client.ask('PLAY', `${rig.bareUrl}/`, { Session: session, Range: 'npt=0.000-' });
  t.equal(headerOf(played, 'range'), 'npt=now-');
  t.match(headerOf(played, 'rtp-info'), new RegExp(`url=${track(0)};seq=\\d+;rtptime=\\d+,url=${track(1)};seq=\\d+;rtptime=\\d+`));
  await until('media', () => client.frames > 50);
  await using stranger = await HandClient.open(rig.port);
  t.equal((await stranger.ask('TEARDOWN', rig.bareUrl, { Session: session })).status, 454, 'a session of another connection');
  t.equal((await stranger.ask('PAUSE', rig.bareUrl, { Session: session })).status, 454);
  t.equal((await client.ask('GET_PARAMETER', rig.bareUrl, { Session: session })).status, 200, 'a sign of life');
  t.equal((await client.ask('PAUSE', rig.bareUrl, { Session: session })).status, 200);
  const paused = client.frames;
  t.equal((await client.ask('GET_PARAMETER', rig.bareUrl, { Session: session })).status, 200);
  t.ok(client.frames <= paused + 1, 'nothing more while it pauses');
  t.equal((await client.ask('PLAY', rig.bareUrl, { Session: session })).status, 200);
  await until('media again', () => client.frames > paused + 50);
  t.equal((await client.ask('ANNOUNCE', rig.bareUrl)).status, 405);
  t.equal((await client.ask('FLY', rig.bareUrl)).status, 501);
  t.equal((await client.ask('SETUP', rig.bareUrl, { Require: 'www.onvif.org/ver20/backchannel' })).status, 551);
  t.equal((await client.ask('TEARDOWN', rig.bareUrl, { Session: session })).status, 200);
  await until('the channel is given back', () => rig.leases.size === 0);
  t.equal((await client.ask('TEARDOWN', rig.bareUrl, { Session: session })).status, 454);
  t.equal((await client.ask('DESCRIBE', `${rig.bareUrl}?token=${TOKEN}&stream=2`)).status, 453, 'no capacity');
  client.socket.write('DESCRIBE rtsp://127.0.0.1/live/x RTSP/1.0\r\n\r\n');
  t.equal((await client.answer()).status, 400, 'no CSeq');
  t.equal((await client.ask('DESCRIBE', 'rtsp://127.0.0.1/../etc/passwd')).status, 404);
});

await t.test('floods: ten thousand requests, a header of a megabyte, words of no protocol; others see on', async t => {
  const open = Promise.withResolvers<void>();
  let slow = false;
  await using rig = await openRig('h264', { opening: async () => (slow ? open.promise : undefined), maxPerAddress: 6 });
  const watching = runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', rig.url, '-t', '3', '-f', 'null', '-']);
  await until('somebody watches', () => rig.leases.size === 1);
  slow = true;
  await using flood = await HandClient.open(rig.port);
  flood.socket.write(Array.from({ length: 10_000 }, (_, i) => `DESCRIBE ${rig.url} RTSP/1.0\r\nCSeq: ${i}\r\n\r\n`).join(''));
  await until('it is closed', () => flood.closed);
  await using long = await HandClient.open(rig.port);
  long.socket.write(`OPTIONS * RTSP/1.0\r\nX: ${'a'.repeat(2 ** 20)}`);
  t.equal((await long.answer()).status, 413);
  await until('it is closed', () => long.closed);
  await using inventor = await HandClient.open(rig.port);
  const before = rig.counters.size;
  for (let i = 0; i < 50; i += 1) t.equal((await inventor.ask(`INVENTED${i}`, '*')).status, 501);
  t.equal(rig.counters.get('rtsp.unknown'), 50);
  t.ok(rig.counters.size <= before + 3, 'who may not even watch makes no counters of its own');
  await using web = await HandClient.open(rig.port);
  web.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  t.equal((await web.answer()).status, 400);
  const crowd = await Promise.all(Array.from({ length: 8 }, () => HandClient.open(rig.port)));
  await until('more than six connections of one address are refused', () => (rig.counters.get('rtsp.refused.full') ?? 0) >= 3);
  for (const one of crowd) one.socket.destroy();
  open.resolve();
  const { code, stderr } = await watching;
  t.same([code, stderr], [0, '']);
});

await t.test('a viewer that stops reading slows nobody (fault 64)', async t => {
  await using rig = await openRig('h264');
  await using slow = await HandClient.open(rig.port);
  await slow.ask('DESCRIBE', rig.url);
  const setup = await slow.ask('SETUP', `${rig.bareUrl}/trackID=0`, { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' });
  await slow.ask('PLAY', rig.bareUrl, { Session: headerOf(setup, 'session')!.split(';')[0]! });
  slow.socket.pause();
  const run = await runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', rig.url, '-t', '6', '-f', 'null', '-']);
  t.same([run.code, run.stderr], [0, '']);
  t.ok(run.tookMs < 9000, `${run.tookMs} ms for six seconds`);
});

await t.test('what a slow viewer misses is whole pictures, and it goes on with a key frame', async t => {
  using units = new FootageUnits(await loadFootage('h264-g711a'));
  const sent: Uint8Array[] = [];
  let waitingBytes = 0;
  const leg: RtspLeg = { channel: null, serverPort: undefined, get waitingBytes() { return waitingBytes; }, send: ({ memory }) => void sent.push(memory), sendRtcp: () => undefined, clear: () => undefined, close: async () => undefined };
  const viewer = new RtspViewer({ clock: systemClock, random: systemRandom, stream: units, onLost: why => t.fail(why) });
  const [media] = rtspTracks(units.tracks!);
  await viewer.add(0, media!, leg);
  t.match(viewer.start(), [{ track: 0 }], 'it is known where it begins');
  t.equal(sent.length, 0, 'nothing leaves before the answer to PLAY');
  viewer.flow();
  await until('pictures', () => sent.length > 5);
  waitingBytes = 9 * 1024 * 1024;
  await until('it is dropped', () => viewer.droppedUnits > 10);
  const before = sent.length;
  t.equal(units.keyFramesWanted, 1, 'a key frame is asked for, once');
  waitingBytes = 0;
  await until('it goes on', () => sent.length > before);
  // The parameter sets of a key frame come first: NAL unit type 7 behind the RTP header.
  t.equal(sent[before]![12]! & 0x1f, 7);
  await viewer.close();
});

await t.test('the source ends: every viewer is told; the first picture comes at once', async t => {
  await using rig = await openRig('h264');
  const client = await HandClient.open(rig.port);
  const since = performance.now();
  await client.ask('DESCRIBE', rig.url);
  const setup = await client.ask('SETUP', `${rig.bareUrl}/trackID=0`, { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' });
  await client.ask('PLAY', rig.bareUrl, { Session: headerOf(setup, 'session')!.split(';')[0]! });
  await until('a picture', () => client.frames > 10);
  t.ok(performance.now() - since < 300, `${Math.round(performance.now() - since)} ms to the first picture`);
  rig.units.end('the camera went');
  await until('it is closed', () => client.closed);
  await until('nothing is left', () => rig.leases.size === 0 && rig.outlet.connections === 0);
});
