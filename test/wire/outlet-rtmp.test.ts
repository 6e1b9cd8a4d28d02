import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { InletConfig, OutletPushConfig } from '#core/config/schema.ts';
import { concatBytes } from '#core/bytes.ts';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import type { RawUnit } from '#core/media/unit-intake.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { RtmpClientSession } from '#core/rtmp/client-session.ts';
import type { RtmpMessage } from '#core/rtmp/messages.ts';
import { parseRtmpUrl } from '#core/rtmp/url.ts';
import { Closer } from '#kit/closer.ts';
import { createLog } from '#kit/log.ts';
import { systemClock } from '#kit/clock.ts';
import { systemRandom } from '#kit/random.ts';
import { RtmpOutlet } from '../../daemons/mediad/outlet-rtmp.ts';
import { RtmpInlets } from '../../daemons/mediad/rtmp-inlets.ts';
import { RtmpPushes } from '../../daemons/mediad/rtmp-push.ts';
import type { UnitSource, UnitSourceOptions } from '../../daemons/mediad/unit-source.ts';
import type { FootageName } from '../../scripts/media/footage.ts';
import { decodePictures, matchLoop } from '../../scripts/media/pictures.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { footageUnits } from '../rig/media-units.ts';
import { OTHER_CHANNEL, OUTLET_CHANNEL, outletRig, tokenFor } from '../rig/outlet-rig.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(120_000);

const INLET = '34020000001320000099';
const KEY = 'key-of-the-publisher';

/** A bridge that keeps what it is fed. */
class KeptSource implements Pick<UnitSource, 'feed' | 'learn' | 'promise' | 'ended'> {
  readonly units: RawUnit[] = [];
  endedWhy: string | undefined;
  readonly options: UnitSourceOptions;
  constructor(options: UnitSourceOptions) {
    this.options = options;
  }
  feed(unit: RawUnit): void {
    this.units.push(unit);
  }
  learn(): void {}
  promise(): void {}
  ended(why: string): void {
    this.endedWhy = why;
  }
}

async function open(name: FootageName = 'h264-aac', port = 0) {
  const closer = new Closer();
  const rig = outletRig();
  const footage = closer.use(await LiveFootage.start(name));
  rig.door.streams.set(OUTLET_CHANNEL, footage.stream);
  const told: string[] = [];
  const bridges: KeptSource[] = [];
  const inlets = new RtmpInlets({
    clock: systemClock,
    openUnitBridge: options => {
      const source = new KeptSource(options);
      bridges.push(source);
      return source as unknown as UnitSource;
    },
    onOnline: inletId => told.push(`online ${inletId}`),
    onOffline: (inletId, why) => told.push(`offline ${inletId} ${why}`),
  });
  const inlet = { id: INLET, kind: 'rtmp', key: KEY } as InletConfig;
  const outlet = closer.use(await RtmpOutlet.open({ ...rig.deps, port, inlets, inletOf: id => (id === INLET ? inlet : undefined) }));
  const base = `rtmp://127.0.0.1:${outlet.port}`;
  const take = (): KeptSource => {
    inlets.open({ bridgeId: `b${bridges.length}`, inletId: INLET, streamNumber: 0, silenceMs: 10_000, label: 'test' });
    return bridges.at(-1)!;
  };
  return { ...rig, footage, outlet, inlets, told, take, base, url: `${base}/live/${OUTLET_CHANNEL}?token=${tokenFor(OUTLET_CHANNEL)}`, inletUrl: `${base}/inlet/${INLET}?key=${KEY}`, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

const ffmpeg = (...args: readonly string[]) => runTool('ffmpeg', ['-nostdin', '-v', 'error', ...args]);
const hashesOf = (framemd5: string): string[] => framemd5.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => line.split(',').at(-1)!.trim());

/** A player or publisher by hand. */
class Client implements Disposable {
  readonly session: RtmpClientSession;
  readonly socket: Socket;
  readonly media: RtmpMessage[] = [];
  readonly states: string[] = [];
  closed = false;

  constructor(wants: 'play' | 'publish', url: string) {
    const parsed = parseRtmpUrl(url);
    if (!parsed.ok) throw new Error(parsed.error.why);
    this.session = new RtmpClientSession(wants, parsed.value.target, systemRandom.bytes(HANDSHAKE_RANDOM_BYTES), systemClock.now());
    this.socket = connect(parsed.value.port, parsed.value.address);
    this.socket.once('connect', () => this.flush());
    this.socket.on('data', bytes => {
      for (const event of this.session.push(bytes, systemClock.now())) {
        if (event.type === 'media') this.media.push(event.message);
        else this.states.push(event.type === 'closed' ? event.why : event.type);
      }
      this.flush();
    });
    this.socket.on('error', () => undefined);
    this.socket.once('close', () => (this.closed = true));
  }

  flush(): void {
    for (const part of this.session.drain()) this.socket.write(part);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

t.test('play: ffprobe and ffmpeg have nothing to complain about, and every picture is that of the camera', async t => {
  for (const [name, codecs] of [['h264-aac', ['aac', 'h264']], ['h264-g711a', ['h264', 'pcm_alaw']]] as const) {
    await using rig = await open(name);
    const source = await decodePictures((await footageUnits(name)).videoPath);
    const [probe, whole, pictures] = await Promise.all([
      runTool('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_name', '-of', 'csv=p=0', rig.url]),
      ffmpeg('-t', '2', '-i', rig.url, '-map', '0', '-f', 'null', '-'),
      ffmpeg('-t', '2', '-i', rig.url, '-map', '0:v', '-fps_mode', 'passthrough', '-f', 'framemd5', '-'),
    ]);
    t.same(probe.stdout.trim().split('\n').sort(), codecs);
    t.equal(probe.stderr + whole.stderr + pictures.stderr, '', `${name}: no complaint`);
    const hashes = hashesOf(pictures.stdout);
    t.ok(hashes.length >= 45, `${hashes.length} pictures`);
    t.equal(matchLoop(source.hashes, hashes).same, hashes.length, `${name}: the pictures of the source`);
    await until('all have left', () => rig.door.leases.size === 0);
  }
});

t.test('play of H.265: both forms, as the player says what it knows; first picture within 300 ms', async t => {
  await using rig = await open('h265-aac');
  await until('a key frame', () => rig.footage.stream.tracks);
  const took: number[] = [];
  for (const [query, first] of [['', 0x93], ['&hevc=legacy', 0x1c]] as const) {
    const since = performance.now();
    using client = new Client('play', `${rig.url}${query}`);
    await until('a picture', () => client.media.some(({ type, body }) => type === 9 && (body[0]! & 0x8f) !== 0x80 && body[1] !== 0));
    took.push(performance.now() - since);
    await until('two seconds', () => client.media.filter(({ type }) => type === 9).length > 50, 10_000);
    const demuxer = new FlvTagDemuxer();
    const units = client.media.flatMap(({ type, timestampMs, body }) => demuxer.push(type, timestampMs, body).units);
    t.equal(client.media.filter(({ type }) => type === 9)[1]!.body[0], first);
    t.equal(demuxer.leftOut, 0);
    t.ok(units.filter(({ kind, codec }) => kind === 'video' && codec === 'h265').length >= 49);
    t.ok(units[0]!.keyFrame);
  }
  t.ok(Math.min(...took) <= 300, `first picture after ${took.map(Math.round).join(', ')} ms`);
});

t.test('play: tokens and paths', async t => {
  await using rig = await open();
  const denied: readonly (readonly [string, string])[] = [
    ['no token', `${rig.base}/live/${OUTLET_CHANNEL}`],
    ['wrong', `${rig.base}/live/${OUTLET_CHANNEL}?token=1.2`],
    ['expired', `${rig.base}/live/${OUTLET_CHANNEL}?token=${tokenFor(OUTLET_CHANNEL, -1)}`],
    ['of another channel', `${rig.base}/live/${OUTLET_CHANNEL}?token=${tokenFor(OTHER_CHANNEL)}`],
    ['an app that is not there', `${rig.base}/vod/${OUTLET_CHANNEL}?token=${tokenFor(OUTLET_CHANNEL)}`],
    ['traversal', `${rig.base}/live/..%2f${OUTLET_CHANNEL}?token=${tokenFor(OUTLET_CHANNEL)}`],
    ['a channel that is not there', `${rig.base}/live/${OTHER_CHANNEL}?token=${tokenFor(OTHER_CHANNEL)}`],
  ];
  for (const [what, url] of denied) {
    using client = new Client('play', url);
    await until(what, () => client.closed);
    t.same(client.states, ['status: NetStream.Play.StreamNotFound'], what);
  }
  t.equal(rig.door.opened.length, 0);
});

t.test('publish: ffmpeg as camera, its pictures arrive as they were; who joins later begins with a key frame', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'inlet-rtmp-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await using rig = await open();
  const { videoPath } = await footageUnits('h264-aac');
  t.throws(() => rig.take(), { code: 'PEER_OFFLINE' });
  const audio = videoPath.replace('video.h264', 'audio.aac');
  const publishing = ffmpeg('-re', '-r', '25', '-i', videoPath, '-i', audio, '-t', '5', '-c', 'copy', '-bsf:a', 'aac_adtstoasc', '-f', 'flv', rig.inletUrl);
  await until('online', () => rig.told.length > 0, 10_000);
  const early = rig.take();
  await until('some pictures', () => early.units.filter(({ kind }) => kind === 'video').length > 35, 10_000);
  t.match(rig.inlets.rows(), [{ inletId: INLET, codecs: ['h264', 'aac'], bridges: 1, remote: { address: '127.0.0.1' } }]);
  const late = rig.take();
  t.ok(late.units.length > 0 && late.units[0]!.keyFrame, 'at once');
  const run = await publishing;
  t.equal(run.stderr, '', 'ffmpeg is content');
  await until('offline', () => rig.told.length > 1);
  t.same(rig.told, [`online ${INLET}`, `offline ${INLET} FCUnpublish`]);
  t.same([early.endedWhy, late.endedWhy], ['peer-closed', 'peer-closed']);
  const path = join(directory, 'received.h264');
  await writeFile(path, concatBytes(...early.units.filter(({ kind }) => kind === 'video').map(({ bytes }) => bytes)));
  const [source, received] = [await decodePictures(videoPath), await decodePictures(path)];
  t.same(received.complaints, []);
  t.ok(received.hashes.length >= 100);
  t.equal(matchLoop(source.hashes, received.hashes).same, received.hashes.length);
  const times = early.units.filter(({ kind }) => kind === 'video').map(({ dts90k }) => dts90k);
  t.ok(times.slice(1).every((time, i) => time - times[i]! === 3600), '40 ms from picture to picture');
});

t.test('GStreamer plays and publishes without a word', async t => {
  await using rig = await open();
  const { videoPath } = await footageUnits('h264');
  const gst = (...pipeline: readonly string[]) => runTool('gst-launch-1.0', ['-q', ...pipeline], 20_000);
  const publishing = gst('filesrc', `location=${videoPath}`, '!', 'h264parse', '!', 'video/x-h264,stream-format=avc,framerate=25/1', '!', 'identity', 'eos-after=75', '!', 'flvmux', 'streamable=true', '!', 'rtmp2sink', `location=${rig.inletUrl}`);
  await until('online', () => rig.told.length > 0, 10_000);
  const source = rig.take();
  const played = await gst('rtmp2src', `location=${rig.url}`, 'num-buffers=150', '!', 'flvdemux', 'name=d', 'd.video', '!', 'queue', '!', 'h264parse', '!', 'avdec_h264', '!', 'fakesink', 'd.audio', '!', 'queue', '!', 'aacparse', '!', 'avdec_aac', '!', 'fakesink');
  t.same([played.code, played.stdout + played.stderr], [0, '']);
  const published = await publishing;
  t.same([published.code, published.stdout + published.stderr], [0, '']);
  await until('offline', () => rig.told.length > 1);
  t.ok(source.units.filter(({ kind }) => kind === 'video').length >= 60);
});

t.test('publish: keys, a newer publisher, lock-out', async t => {
  await using rig = await open();
  using first = new Client('publish', rig.inletUrl);
  await until('first', () => first.states.includes('running'));
  const source = rig.take();
  using second = new Client('publish', rig.inletUrl);
  await until('second', () => second.states.includes('running') && first.closed);
  t.equal(source.endedWhy, 'peer-closed');
  t.same(rig.told, [`online ${INLET}`, `offline ${INLET} published anew`, `online ${INLET}`]);
  for (const [what, url] of [['no key', `${rig.base}/inlet/${INLET}`], ['an inlet that is not there', `${rig.base}/inlet/34020000001320000098?key=${KEY}`], ['to an outlet', `${rig.url}&key=${KEY}`], ['wrong', `${rig.inletUrl}x`]] as const) {
    using client = new Client('publish', url);
    await until(what, () => client.closed);
    t.same(client.states, ['status: NetStream.Publish.BadName'], what);
  }
  t.notOk(second.closed, 'who has the key is not disturbed');
  for (let i = 0; i < 6; i++) {
    using client = new Client('publish', `${rig.inletUrl}x`);
    await until('refused', () => client.closed);
  }
  using locked = new Client('publish', rig.inletUrl);
  await until('locked out', () => locked.closed);
  t.equal(rig.counts.get('outlet.rtmp.refused.locked'), 1);
  t.same(locked.states, []);
});

t.test('fault 80: stalls and nonsense are closed within 5 s, and nobody else notices', async t => {
  await using rig = await open();
  using viewer = new Client('play', rig.url);
  await until('running', () => viewer.media.length > 10);
  const hostile = (bytes: Uint8Array): Promise<number> =>
    new Promise(resolve => {
      const since = performance.now();
      const socket = connect(rig.outlet.port, '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => undefined).resume().once('close', () => resolve(performance.now() - since));
    });
  const handshake = concatBytes(Uint8Array.of(3), new Uint8Array(2 * 1536));
  const chunk = (type: number, body: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(3, 0, 0, 0, body.length >> 16, body.length >> 8, body.length, type, 0, 0, 0, 0), ...Array.from({ length: Math.ceil(body.length / 128) }, (_, i) => concatBytes(i === 0 ? new Uint8Array(0) : Uint8Array.of(0xc3), body.subarray(i * 128, i * 128 + 128))));
  const took = await Promise.all([
    hostile(new Uint8Array(0)),
    hostile(Uint8Array.of(3, 0, 0)),
    hostile(handshake.subarray(0, 2000)),
    hostile(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    hostile(concatBytes(handshake, chunk(1, Uint8Array.of(0x80, 0, 0, 0)))),
    hostile(concatBytes(handshake, chunk(20, concatBytes(...Array.from({ length: 10_000 }, () => Uint8Array.of(3, 0, 1, 0x61)))))),
  ]);
  t.ok(took.every(each => each < 5000), took.map(Math.round).join(', '));
  const before = viewer.media.length;
  await until('pictures go on', () => viewer.media.length > before + 5);
});

const pushOf = (url: string, channel = OUTLET_CHANNEL): OutletPushConfig => ({ channel, streamNumber: 0, url, hevc: 'enhanced', retryS: 1 });

t.test('push: to ffmpeg as server, which has nothing to complain about', async t => {
  await using rig = await open();
  const port = await freePort();
  const lines: string[] = [];
  const log = createLog('mediad', 'info', 1);
  log.info = ((...args: unknown[]) => void lines.push(JSON.stringify(args)));
  log.warn = log.info;
  await using pushes = new RtmpPushes({ ...rig.deps, log });
  pushes.configure([pushOf(`rtmp://127.0.0.1:${port}/app/stream?secret=canary`)]);
  await until('a failure', () => lines.some(line => line.includes('push.failed')));
  const server = spawn('ffmpeg', ['-nostdin', '-v', 'error', '-listen', '1', '-i', `rtmp://127.0.0.1:${port}/app/stream`, '-t', '2', '-map', '0', '-f', 'null', '-'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  server.stderr.on('data', (piece: Buffer) => (complaints += piece.toString()));
  const code = await new Promise(resolve => server.once('close', resolve));
  t.equal(complaints, '');
  t.equal(code, 0);
  await until('it notices that the server went', () => lines.filter(line => line.includes('push.failed')).length > 1, 10_000);
  t.match(rig.door.opened[0], { viewer: { protocol: 'push', remote: `127.0.0.1:${port}` } });
  t.notOk(lines.join('').includes('canary'), 'the name of the stream is in no log');
  t.ok(lines.some(line => line.includes('push.running')));
});

t.test('push: H.265 into an inlet of another gateway; away and back; a changed configuration', async t => {
  await using rig = await open('h265-aac');
  const far = await open('h264');
  const url = far.inletUrl;
  await using pushes = new RtmpPushes({ ...rig.deps });
  pushes.configure([pushOf(url)]);
  await until('online', () => far.told.length === 1);
  const source = far.take();
  await until('pictures and sounds', () => source.units.length > 100, 10_000);
  t.match(far.inlets.rows()[0]?.codecs, ['h265', 'aac']);
  const sent = new Set((await footageUnits('h265-aac')).units.filter(({ kind }) => kind === 'video').map(({ bytes }) => Buffer.from(withoutDelimiters(bytes)).toString('hex')));
  const arrived = source.units.filter((unit): unit is MediaUnit => unit.kind === 'video').map(({ bytes }) => Buffer.from(withoutDelimiters(bytes)).toString('hex'));
  t.ok(arrived.every(picture => sent.has(picture)), 'byte for byte');
  t.same(pushes.counters(), { 'outlet.pushes': 1, 'outlet.pushes.running': 1 });
  t.match(pushes.rows(), [{ channel: OUTLET_CHANNEL, server: `${far.base}/inlet`, state: 'pushing', failures: 0, why: null }]);
  t.ok(pushes.rows()[0]!.sentBytes > 0);
  await far[Symbol.asyncDispose]();
  await until('given up', () => rig.door.leases.size === 0);
  await until('it says why', () => pushes.rows()[0]?.why === 'ECONNREFUSED', 10_000);
  await using again = await open('h264', Number(new URL(url.replace('rtmp:', 'http:')).port));
  await until('and back', () => again.told.length === 1, 15_000);
  pushes.configure([pushOf(`${url}x`)]);
  await until('the old one ends', () => again.told.length === 2, 10_000);
  pushes.configure([]);
  t.same(pushes.counters(), {});
  await until('nobody watches', () => rig.door.leases.size === 0);
});

/** Parameter sets stand in the header of FLV; they come back before each key frame, with start codes of four octets. */
function withoutDelimiters(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(Buffer.from(Buffer.from(bytes).toString('latin1').replaceAll('\0\0\0\x01', '\0\0\x01'), 'latin1'));
}
