import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { InletConfig } from '#core/config/schema.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { systemHashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { RangePorts } from '../../daemons/mediad/media-ports.ts';
import { RtspWatch } from '../../daemons/mediad/rtsp-watch.ts';
import { type PullWorld, RtspPull } from '../../daemons/mediad/source-rtsp.ts';
import { Strays } from '../../daemons/mediad/strays.ts';
import type { UnitSink } from '../../daemons/mediad/unit-stream.ts';
import { type FootageName, type LoadedFootage, loadFootage } from '../../scripts/media/footage.ts';
import { decodePictures, matchLoop } from '../../scripts/media/pictures.ts';
import { FootageUnits } from '../rig/footage-units.ts';
import { PASSWORD, USER, openRtspRig } from '../rig/rtsp-outlet.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';
import { openRig, type Rig } from './mediad-peers.ts';

t.setTimeout(180_000);
const ID = '34020000001310000077';
const directory = await mkdtemp(join(tmpdir(), 'viewlink-inlet-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));

const inletOf = (url: string, more: Partial<InletConfig> = {}): InletConfig => ({ id: ID, name: '门口', kind: 'rtsp', url, username: USER, password: PASSWORD, transport: 'tcp', civilCode: '', ...more });

/** A mediad without its daemon, and the world that a pull needs. */
function openPuller(): { readonly rig: Rig; readonly world: PullWorld; readonly counters: Map<string, number> } & AsyncDisposable {
  const rig = openRig({ range: { first: 9_000, last: 9_199 } });
  const counters = new Map<string, number>();
  const world: PullWorld = {
    ports: new RangePorts({ first: 9_200, last: 9_399 }, { strays: new Strays(), receiveBufferBytes: 1 << 20, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    hashes: systemHashes,
    log: createLog('mediad', 'silent'),
    localAddress: undefined,
    openUnitBridge: options => rig.bridges.openUnitBridge(options),
    closeBridge: bridgeId => rig.bridges.closeBridge({ bridgeId }),
    count: name => counters.set(name, (counters.get(name) ?? 0) + 1),
  };
  return { rig, world, counters, [Symbol.asyncDispose]: () => rig.bridges[Symbol.asyncDispose]() };
}

const open = (inlet: InletConfig, world: PullWorld, bridgeId = 'b1', streamNumber = 0): Promise<null> => RtspPull.open(inlet, { bridgeId, inletId: inlet.id, streamNumber, silenceMs: 20_000, label: 'inlet' }, world);

class Taker implements UnitSink {
  readonly units: MediaUnit[] = [];
  tracks: MediaTracks | undefined;
  onTracks(tracks: MediaTracks): void {
    this.tracks = tracks;
  }
  onUnit(unit: MediaUnit): void {
    this.units.push(unit);
  }
  onEnd(): void {}
  of(kind: 'video' | 'audio'): MediaUnit[] {
    return this.units.filter(unit => unit.kind === kind);
  }
}

const failureOf = (opening: Promise<null>): Promise<string> => opening.then(() => 'opened', (error: unknown) => (error instanceof GatewayError ? error.code : String(error)));

await t.test('pictures and sound come as they are at the source: TCP and UDP, both codecs, by digest', async t => {
  for (const [name, transport] of [['h264-g711a', 'tcp'], ['h264-aac', 'udp'], ['h265-aac', 'tcp'], ['h265-g711a', 'udp']] as readonly [FootageName, 'tcp' | 'udp'][]) {
    const footage = await loadFootage(name);
    using units = new FootageUnits(footage);
    await using server = await openRtspRig({ stream: () => units });
    await using puller = openPuller();
    const { rig, world } = puller;
    await open(inletOf(server.bareUrl, { transport }), world);
    const taker = new Taker();
    using _seat = rig.bridges.units('b1').join(taker);
    await until('pictures and sound', () => taker.of('video').length >= 60 && taker.of('audio').length >= 20, 15_000);
    const file = join(directory, `${name}.${footage.videoCodec}`);
    await writeFile(file, Buffer.concat(taker.of('video').map(({ bytes }) => bytes)));
    const got = await decodePictures(file);
    const { same } = matchLoop((await decodePictures(footage.videoPath)).hashes, got.hashes);
    t.same([same, got.complaints], [got.hashes.length, []], `${name} ${transport}`);
    t.match(taker.tracks, { video: { codec: footage.videoCodec, width: 768 }, audio: { codec: footage.audioCodec } });
    // Sound and picture of one moment were made for one moment.
    const [picture, sound] = [taker.of('video').at(-1)!, taker.of('audio').at(-1)!];
    t.ok(Math.abs(picture.pts90k - sound.pts90k) < 20_000, `${name} ${transport}: ${Math.round((picture.pts90k - sound.pts90k) / 90)} ms apart`);
    const steps = taker.of('video').slice(1).map(({ pts90k }, i) => pts90k - taker.of('video')[i]!.pts90k);
    t.ok(steps.every(step => step === 3600), 'the clock of the source is kept');
    const [bridge] = rig.bridges.listBridges().bridges;
    t.match(bridge, { source: { state: 'flowing', transport: transport === 'udp' ? 'udp' : 'tcp-active', codecs: [footage.videoCodec, footage.audioCodec] } });
    await rig.bridges.closeBridge({ bridgeId: 'b1' });
    await until('the server is left', () => server.leases.size === 0 && server.outlet.connections === 0);
    t.ok((server.counters.get('rtsp.teardown') ?? 0) >= 1, 'with a word');
  }
});

/** gst-rtsp-server in a process of its own; its standard input is its life. */
async function openForeignServer(footage: LoadedFootage, scheme: 'basic' | 'digest'): Promise<{ readonly url: string } & Disposable> {
  const [parse, pay] = footage.videoCodec === 'h264' ? ['h264parse', 'rtph264pay'] : ['h265parse', 'rtph265pay'];
  const audio = footage.audioCodec === 'aac' ? 'aacparse ! rtpmp4gpay name=pay1 pt=97' : 'rawaudioparse use-sink-caps=false format=alaw sample-rate=8000 num-channels=1 ! audio/x-alaw,rate=8000,channels=1 ! rtppcmapay name=pay1 pt=8';
  const launch = `( filesrc location=${footage.videoPath} ! ${parse} ! ${pay} name=pay0 pt=96 config-interval=-1 filesrc location=${footage.audioPath} ! ${audio} )`;
  // Debian's own: its bindings belong to it.
  const child = spawn('/usr/bin/python3', [join(import.meta.dirname, '../rig/gst-rtsp-server.py'), launch, scheme, USER, PASSWORD], { stdio: ['pipe', 'pipe', 'inherit'] });
  const port = await new Promise<string>(resolve => child.stdout.once('data', (text: Buffer) => resolve(text.toString().trim())));
  return { url: `rtsp://127.0.0.1:${port}/cam`, [Symbol.dispose]: () => void child.stdin.end() };
}

await t.test('a server that is not ours: GStreamer, by basic and by digest', async t => {
  for (const [name, transport, scheme] of [['h264-g711a', 'tcp', 'digest'], ['h265-aac', 'tcp', 'basic'], ['h264-aac', 'udp', 'basic']] as const) {
    const footage = await loadFootage(name);
    using server = await openForeignServer(footage, scheme);
    await using puller = openPuller();
    const { rig, world } = puller;
    t.equal(await failureOf(open(inletOf(server.url, { password: 'wrong' }), world)), 'SIP_REJECTED');
    await open(inletOf(server.url, { transport }), world);
    const taker = new Taker();
    using _seat = rig.bridges.units('b1').join(taker);
    await until('pictures and sound', () => taker.of('video').length >= 60 && taker.of('audio').length >= 20, 20_000);
    const file = join(directory, `foreign-${name}.${footage.videoCodec}`);
    await writeFile(file, Buffer.concat(taker.of('video').map(({ bytes }) => bytes)));
    const got = await decodePictures(file);
    const { same } = matchLoop((await decodePictures(footage.videoPath)).hashes, got.hashes);
    t.same([same, got.complaints], [got.hashes.length, []], `${name} ${transport} ${scheme}`);
    await rig.bridges.closeBridge({ bridgeId: 'b1' });
  }
});

await t.test('why it cannot be opened: nobody there, wrong password, no such stream, nothing to take', async t => {
  using units = new FootageUnits(await loadFootage('h264'));
  await using server = await openRtspRig({ stream: () => units });
  await using puller = openPuller();
  const { rig, world, counters } = puller;
  t.equal(await failureOf(open(inletOf(`rtsp://127.0.0.1:${await freePort()}/live/x`), world)), 'PEER_OFFLINE');
  t.equal(await failureOf(open(inletOf(server.bareUrl, { password: 'wrong' }), world)), 'SIP_REJECTED');
  t.equal(await failureOf(open(inletOf(`rtsp://127.0.0.1:${server.port}/other`), world)), 'SIP_REJECTED');
  t.equal(await failureOf(open(inletOf('rtsp://camera.example/live'), world)), 'CONFIG_INVALID', 'no name is looked up');
  t.equal(await failureOf(open(inletOf(server.bareUrl), world, 'b1', 1)), 'CHANNEL_UNKNOWN', 'no sub-stream');
  t.same(rig.bridges.listBridges().bridges, [], 'no bridge is left');
  t.match(Object.fromEntries(counters), { 'inlet.rtsp.failed.unreachable': 1, 'inlet.rtsp.failed.unauthorized': 1, 'inlet.rtsp.failed.not-found': 1 });
});

await t.test('a lost connection is made anew, and pictures go on with a key frame', async t => {
  using units = new FootageUnits(await loadFootage('h264'));
  const server = await openRtspRig({ stream: () => units });
  await using puller = openPuller();
  const { rig, world, counters } = puller;
  // In between, so that the connection can be cut and nobody be there for a while.
  const port = await freePort();
  const sockets = new Set<Socket>();
  const listen = async (): Promise<Server> => {
    const { connect } = await import('node:net');
    const relay = createServer(client => {
      const far = connect(server.port, '127.0.0.1');
      for (const socket of [client, far]) sockets.add(socket.on('error', () => undefined));
      client.pipe(far).pipe(client);
    });
    await new Promise<void>(resolve => relay.listen(port, '127.0.0.1', () => resolve()));
    return relay;
  };
  const cut = async (relay: Server): Promise<void> => {
    const closed = new Promise(resolve => relay.close(resolve));
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await closed;
  };
  let relay = await listen();
  await open(inletOf(server.bareUrl.replace(String(server.port), String(port))), world);
  const taker = new Taker();
  using _seat = rig.bridges.units('b1').join(taker);
  await until('pictures', () => taker.units.length > 20);
  await cut(relay);
  await until('it tries again', () => (counters.get('inlet.rtsp.connects') ?? 0) >= 3, 10_000);
  const before = taker.units.length;
  relay = await listen();
  await until('pictures again', () => taker.units.length > before + 20, 15_000);
  t.equal(taker.units[before]!.keyFrame, true);
  const times = taker.units.map(({ dts90k }) => dts90k);
  t.ok(times.every((time, i) => i === 0 || time > times[i - 1]!), 'time goes on');
  await rig.bridges.closeBridge({ bridgeId: 'b1' });
  await cut(relay);
  await server[Symbol.asyncDispose]();
});

await t.test('who can be reached is known without a viewer', async t => {
  using units = new FootageUnits(await loadFootage('h264'));
  const server = await openRtspRig({ stream: () => units });
  const told: string[] = [];
  using watch = new RtspWatch({ clock: systemClock, random: systemRandom, log: createLog('mediad', 'silent'), localAddress: undefined, everyMs: 100, onOnline: id => told.push(`${id} on`), onOffline: id => told.push(`${id} off`) });
  const away = '34020000001310000078';
  watch.configure([inletOf(server.bareUrl), inletOf(`rtsp://127.0.0.1:${await freePort()}/x`, { id: away }), inletOf('', { id: '34020000001310000079', kind: 'rtmp' })]);
  await until('both are known', () => told.length === 2);
  t.same([...told].sort(), [`${ID} on`, `${away} off`]);
  t.same(watch.rows().map(({ inletId, remote }) => [inletId, remote.port]), [[ID, server.port]]);
  t.equal(server.counters.get('rtsp.describe'), undefined, 'it is asked for nothing but its options');
  await server[Symbol.asyncDispose]();
  await until('it is away', () => told.includes(`${ID} off`));
  t.same(watch.rows(), []);
});
