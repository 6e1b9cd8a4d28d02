/** Pictures and sounds through mediad in every form: program stream, units, elementary streams; judged by ffmpeg and GStreamer. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { BridgeStats } from '#contracts/mediad.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { PsDemuxer } from '#core/ps/demux.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';
import { openDepacketizer, openPacketizer } from '#core/rtp/elementary.ts';
import { FOOTAGE_NAMES, type LoadedFootage, loadFootage, prepareFootage } from '../../scripts/media/footage.ts';
import type { UnitSink } from '../../daemons/mediad/unit-stream.ts';
import { LOCAL, openRig, type Rig, sinkParams, sourceParams, TcpHost, TcpPeer, UdpPeer, until } from './mediad-peers.ts';

t.setTimeout(120_000);
const run = promisify(execFile);
const SSRC = 0x05f5e101;
const SINK_SSRC = 0x11e1a307;
const PICTURES = 100;

const directory = await mkdtemp(join(tmpdir(), 'viewlink-units-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
t.before(() => prepareFootage());

/** Takes what comes and keeps it. */
class Taker implements UnitSink {
  readonly units: MediaUnit[] = [];
  readonly tracks: MediaTracks[] = [];
  ended: string | undefined;
  readonly #also: ((unit: MediaUnit) => void) | undefined;

  constructor(also?: (unit: MediaUnit) => void) {
    this.#also = also;
  }

  onTracks(tracks: MediaTracks): void {
    this.tracks.push(tracks);
  }

  onUnit(unit: MediaUnit): void {
    this.units.push(unit);
    this.#also?.(unit);
  }

  onEnd(why: string): void {
    this.ended = why;
  }

  of(kind: 'video' | 'audio'): MediaUnit[] {
    return this.units.filter(unit => unit.kind === kind);
  }

  bytesOf(kind: 'video' | 'audio'): Buffer {
    return Buffer.concat(this.of(kind).map(unit => unit.bytes));
  }
}

/** The footage as RTP packets of a camera, one list a picture with the sound that belongs to it. */
function packetsOf(footage: LoadedFootage, pictures: number): Uint8Array[][] {
  const muxer = new PsMuxer({ video: footage.videoCodec, ...(footage.audioCodec !== undefined && { audio: footage.audioCodec }) });
  const slicer = new RtpSlicer({ ssrc: SSRC, payloadType: 96, firstSequence: 65_000 });
  let sound = 0;
  return footage.pictures.slice(0, pictures).map(({ bytes, keyFrame }, index) => {
    const pts90k = 900_000 + index * footage.ticksPerPicture90k;
    const packets = slicer.slice(muxer.video({ bytes, pts90k, keyFrame }), pts90k);
    for (; sound < footage.audioFrames.length && sound * footage.ticksPerAudioFrame90k <= index * footage.ticksPerPicture90k; sound += 1) {
      const at = 900_000 + Math.round(sound * footage.ticksPerAudioFrame90k);
      packets.push(...slicer.slice(muxer.audio({ bytes: footage.audioFrames[sound]!.bytes, pts90k: at }), at));
    }
    return packets;
  });
}

async function openCamera(rig: Rig, bridgeId: string, format?: 'ps' | 'h264' | 'h265', payloadType = 96): Promise<TcpPeer> {
  const { local } = await rig.bridges.openSource(sourceParams(bridgeId, { transport: 'tcp-passive', ssrc: SSRC }));
  const camera = await TcpPeer.connect(local);
  rig.bridges.connectSource({ bridgeId, remote: { address: LOCAL, port: camera.socket.localPort! }, ssrc: SSRC, ssrcPolicy: 'exact', payloadType, format });
  return camera;
}

async function openViewer(rig: Rig, bridgeId: string, sinkId = 'viewer', format: 'ps' | 'h264' | 'h265' = 'ps'): Promise<{ host: TcpHost; peer: TcpPeer }> {
  const host = await TcpHost.open();
  await rig.bridges.openSink(sinkParams(bridgeId, host.endpoint, { sinkId, transport: 'tcp-active', format }));
  rig.bridges.startSink({ bridgeId, sinkId });
  return { host, peer: await host.peer() };
}

/** An elementary stream leaves one bridge and comes in at another, over TCP. */
async function chain(rig: Rig, from: string, to: string, format: 'h264' | 'h265' | 'aac' | 'g711a', formatParameters?: string): Promise<void> {
  const { local } = await rig.bridges.openSource(sourceParams(to, { transport: 'tcp-passive', ssrc: SINK_SSRC }));
  const sink = await rig.bridges.openSink(sinkParams(from, local, { sinkId: `to-${to}`, transport: 'tcp-active', ssrc: SINK_SSRC, payloadType: 98, format }));
  rig.bridges.connectSource({ bridgeId: to, remote: sink.local, ssrc: SINK_SSRC, ssrcPolicy: 'exact', payloadType: 98, format, formatParameters });
  rig.bridges.startSink({ bridgeId: from, sinkId: `to-${to}` });
}

/** MD5 of every decoded picture; what ffmpeg warns of comes along. It does not know G.711 in a program stream and probes it as MPEG audio. */
async function framesOf(path: string, frames: number, input: readonly string[] = []): Promise<{ md5: string[]; warnings: string }> {
  const { stdout, stderr } = await run('ffmpeg', ['-hide_banner', '-v', 'warning', ...input, '-i', path, '-map', '0:v', '-frames:v', String(frames), '-fps_mode', 'passthrough', '-f', 'framemd5', '-'], { maxBuffer: 1 << 24 });
  return { md5: stdout.split('\n').filter(line => /^\d/.test(line)).map(line => line.split(',').at(-1)!.trim()), warnings: stderr.replaceAll(/^(\[mp2 @.*| *Last message repeated.*|.*stream 1 \(Audio: mp2.*|Consider increasing.*)\n/gm, '') };
}

/** What GStreamer's demultiplexer warns of; it fails when no video pad appears. */
async function gstreamerWarnings(path: string, codec: 'h264' | 'h265'): Promise<string> {
  const pipeline = ['filesrc', `location=${path}`, '!', 'mpegpsdemux', 'name=d', 'd.', '!', 'queue', '!', `video/x-${codec}`, '!', 'fakesink', 'sync=false'];
  const { stderr } = await run('gst-launch-1.0', ['-q', ...pipeline], { env: { ...process.env, GST_DEBUG: 'mpegpsdemux:3,mpegpspesfilter:3,*:1', GST_DEBUG_NO_COLOR: '1' }, maxBuffer: 1 << 24 });
  return stderr;
}

function soundsOf(stream: Uint8Array): Buffer {
  const demuxer = new PsDemuxer();
  const events = [...demuxer.push(stream), ...demuxer.flush()];
  return Buffer.concat(events.flatMap(event => (event.type === 'unit' && event.kind === 'audio' ? [event.bytes] : [])));
}

async function sendAll(camera: TcpPeer, groups: readonly Uint8Array[][], taken: () => number): Promise<void> {
  for (const [index, packets] of groups.entries()) {
    camera.send(...packets);
    if (index % 20 === 19) await until(`picture ${index} was taken`, () => taken() >= index - 1);
  }
}

for (const name of FOOTAGE_NAMES) {
  t.test(`${name}: program stream to units to program stream, and over an elementary stream`, async (t: Test) => {
    const rig = openRig();
    t.teardown(() => rig.bridges[Symbol.asyncDispose]());
    const footage = await loadFootage(name);
    const camera = await openCamera(rig, 'camera');
    const again = rig.bridges.openUnitBridge({ bridgeId: 'again', label: 'units', transport: 'tcp-active', remote: null, silenceMs: 60_000, onClosed: () => undefined });
    const taker = new Taker(unit => again.feed(unit));
    rig.bridges.units('camera').join(taker);
    await chain(rig, 'camera', 'video', footage.videoCodec);
    const [viaUnits, viaEs] = [await openViewer(rig, 'again'), await openViewer(rig, 'video')];
    t.teardown(() => [viaUnits, viaEs].forEach(({ host }) => host.close()));
    const sounds = new Taker();
    if (footage.audioCodec !== undefined) {
      await chain(rig, 'camera', 'audio', footage.audioCodec, footage.audioCodec === 'aac' ? 'mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408' : undefined);
      rig.bridges.units('audio').join(sounds);
    }

    const groups = packetsOf(footage, PICTURES + 1);
    await sendAll(camera, groups, () => taker.of('video').length);
    await until('all pictures are units', () => taker.of('video').length >= PICTURES);
    const pictures = taker.of('video');
    t.ok(pictures[0]!.keyFrame && pictures.every(unit => !unit.damaged), 'a key frame first, nothing damaged');
    t.ok(pictures.every((unit, index) => Buffer.compare(unit.bytes, footage.pictures[index]!.bytes) === 0), 'pictures are as they were');
    t.same(pictures.map(unit => unit.pts90k), pictures.map((_, index) => 900_000 + index * footage.ticksPerPicture90k), 'on their own timeline');
    t.match(taker.tracks.at(-1), { video: { codec: footage.videoCodec, width: 768, height: 576 } });
    t.equal(taker.tracks.length, 1, 'tracks are told once');
    t.equal(taker.tracks[0]!.video!.parameterSets.length, footage.videoCodec === 'h264' ? 2 : 3);
    t.equal(taker.tracks[0]!.audio?.codec, footage.audioCodec);

    const [unitsPath, esPath] = [join(directory, `${name}-units.ps`), join(directory, `${name}-es.ps`)];
    const enough = (peer: TcpPeer): boolean => videoPictures(peer.payload) >= PICTURES - 2;
    await until('both viewers have it', () => enough(viaUnits.peer) && enough(viaEs.peer));
    await Promise.all([writeFile(unitsPath, viaUnits.peer.payload), writeFile(esPath, viaEs.peer.payload)]);
    const reference = await framesOf(footage.videoPath, PICTURES - 3, ['-r', '25']);
    t.equal(reference.md5.length, PICTURES - 3);
    for (const path of [unitsPath, esPath]) {
      const found = await framesOf(path, PICTURES - 3);
      t.same(found.md5, reference.md5, `framemd5 of ${path.split('/').at(-1)}`);
      t.equal(found.warnings, '', 'ffmpeg warns of nothing');
      t.equal(await gstreamerWarnings(path, footage.videoCodec), '', 'mpegpsdemux warns of nothing');
    }
    if (footage.audioCodec === undefined) return;
    const original = Buffer.concat(footage.audioFrames.map(frame => frame.bytes));
    const heard = [soundsOf(viaUnits.peer.payload), sounds.bytesOf('audio')];
    for (const sound of heard) {
      t.ok(sound.length > original.length * 0.2, `${sound.length} bytes of sound`);
      // What was heard before the first key frame was complete is not given.
      const from = original.indexOf(sound);
      t.ok(from >= 0 && from <= 3 * footage.audioFrames[0]!.bytes.length, `sound is as it was, from byte ${from}`);
    }
  });
}

function videoPictures(stream: Uint8Array): number {
  return new PsDemuxer().push(stream).filter(event => event.type === 'unit' && event.kind === 'video').length;
}

/** A file as a camera would send it: cut into packets wherever they end. */
function packetsOfFile(stream: Uint8Array): Uint8Array[][] {
  const slicer = new RtpSlicer({ ssrc: SSRC, payloadType: 96, firstSequence: 1 });
  const groups: Uint8Array[][] = [];
  for (let at = 0; at < stream.length; at += 14_000) groups.push(slicer.slice(stream.subarray(at, at + 14_000), at, false));
  return groups;
}

t.test("ffmpeg's own program streams: packets that begin anywhere, no map, B pictures", async t => {
  const made = [
    ['h264', 'vob', ['-c', 'copy']],
    ['h265', 'mpeg', ['-c', 'copy']],
    ['h264', 'vob', ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '25', '-qp', '14']],
  ] as const;
  for (const [codec, container, how] of made) {
    const label = `${codec} in ${container}, ${how.length > 2 ? 'with B pictures' : 'copied'}`;
    const footage = await loadFootage(codec);
    const file = join(directory, `made-${made.findIndex(each => each[2] === how)}.ps`);
    await run('ffmpeg', ['-nostdin', '-v', 'fatal', '-y', '-r', '25', '-i', footage.videoPath, '-frames:v', '60', ...how, '-f', container, file]);
    await using rig = disposable(openRig());
    const camera = await openCamera(rig, 'camera');
    const again = rig.bridges.openUnitBridge({ bridgeId: 'again', label: 'units', transport: 'tcp-active', remote: null, silenceMs: 60_000, promised: { audio: false }, onClosed: () => undefined });
    const taker = new Taker(unit => again.feed(unit));
    rig.bridges.units('camera').join(taker);
    const viewer = await openViewer(rig, 'again');
    t.teardown(() => viewer.host.close());
    for (const packets of packetsOfFile(new Uint8Array(await readFile(file)))) {
      camera.send(...packets);
      await new Promise(resolve => setImmediate(resolve));
    }
    await until('all pictures but the last', () => taker.of('video').length >= 59);
    const times = taker.of('video').map(unit => unit.dts90k);
    t.ok(times.every((time, index) => index === 0 || time > times[index - 1]!), `${label}: decoding times grow`);
    t.ok(taker.of('video').every(unit => unit.pts90k >= unit.dts90k), `${label}: nothing is shown before it is decoded`);
    if (how.length > 2) t.ok(taker.of('video').some(unit => unit.pts90k > unit.dts90k), `${label}: there are some`);
    const path = join(directory, `again-${codec}-${container}.ps`);
    await until('the viewer has it', () => videoPictures(viewer.peer.payload) >= 57);
    await writeFile(path, viewer.peer.payload);
    const [wanted, found] = [await framesOf(file, 50), await framesOf(path, 50)];
    t.equal(found.md5.length, 50);
    t.same(found.md5, wanted.md5, `${label}: framemd5`);
    t.equal(found.warnings, '', label);
    t.equal(await gstreamerWarnings(path, codec), '', label);
  }
});

const disposable = (rig: Rig): Rig & AsyncDisposable => Object.assign(rig, { [Symbol.asyncDispose]: () => rig.bridges[Symbol.asyncDispose]() });

t.test('takers come and go: nothing before the first, the last group at once, a key picture is asked for', async t => {
  await using rig = disposable(openRig());
  const footage = await loadFootage('h264-g711a');
  const camera = await openCamera(rig, 'camera');
  const groups = packetsOf(footage, 80);
  const send = async (from: number, to: number, seen: () => number): Promise<void> => {
    for (const packets of groups.slice(from, to)) camera.send(...packets);
    await until(`picture ${to}`, () => seen() >= to - 1);
  };
  const stats = (): BridgeStats => rig.bridges.listBridges().bridges[0]!;
  camera.send(...groups[0]!);
  await rig.event('source-flowing');
  t.equal(stats().units, null, 'nobody takes anything');
  const first = new Taker();
  const seat = rig.bridges.units('camera').join(first);
  await send(1, 40, () => first.of('video').length);
  t.ok(first.of('video')[0]!.keyFrame, 'what was held since the key picture came first');
  t.match(stats().units, { takers: 1, state: 'flowing', video: { codec: 'h264', width: 768, height: 576 }, audio: { codec: 'g711a', sampleRateHz: 8000, channels: 1 }, frozenForMs: null });
  const second = new Taker();
  const other = rig.bridges.units('camera').join(second);
  t.equal(second.tracks.length, 1, 'tracks at once');
  t.ok(second.units.length > 10 && second.of('video')[0]!.keyFrame, `${second.units.length} units at once, before join returned`);
  t.same(second.of('video').at(-1), first.of('video').at(-1), 'up to the live one');
  t.equal(second.of('video')[0]!.bytes, first.of('video').findLast(unit => unit.keyFrame)!.bytes, 'shared, not copied');
  const before = rig.events.filter(event => event.type === 'key-picture-wanted').length;
  for (let i = 0; i < 5; i += 1) other.wantKeyFrame();
  t.ok(rig.events.filter(event => event.type === 'key-picture-wanted').length <= before + 1, 'asked once');
  other[Symbol.dispose]();
  const kept = second.units.length;
  await send(40, 60, () => first.of('video').length);
  t.equal(second.units.length, kept, 'who left gets nothing');
  seat[Symbol.dispose]();
  const third = new Taker();
  using _seat = rig.bridges.units('camera').join(third);
  t.ok(third.units.length > 0, 'who comes back soon finds its key frame');
  await rig.bridges.closeBridge({ bridgeId: 'camera' });
  t.equal(third.ended, 'closed');
  t.equal(first.ended, undefined, 'who left is not told');
});

t.test('loss on a camera leg: takers and converting sinks get whole pictures only', async t => {
  await using rig = disposable(openRig());
  const footage = await loadFootage('h264');
  const udp = await UdpPeer.open();
  t.teardown(() => udp.close());
  const { local } = await rig.bridges.openSource(sourceParams('camera', { ssrc: SSRC }));
  rig.bridges.connectSource({ bridgeId: 'camera', remote: udp.endpoint, ssrc: SSRC, ssrcPolicy: 'exact', payloadType: 96 });
  const taker = new Taker();
  const stream = rig.bridges.units('camera');
  using _seat = stream.join(taker);
  const viewer = await UdpPeer.open();
  t.teardown(() => viewer.close());
  await rig.bridges.openSink(sinkParams('camera', viewer.endpoint, { format: 'h264', payloadType: 98 }));
  rig.bridges.startSink({ bridgeId: 'camera', sinkId: 's1' });
  let number = 0;
  for (const packets of packetsOf(footage, 100)) {
    for (const packet of packets) if (number++ % 300 !== 120) await udp.send(local, packet);
  }
  const key = footage.pictures.map(({ keyFrame }, index) => (keyFrame ? index : -1)).filter(index => index >= 0);
  await until('it says when it holds back', () => stream.frozenSince !== null);
  await until('the viewer, too', () => viewer.packets.length > 150);
  const places = taker.of('video').map(unit => footage.pictures.findIndex(picture => Buffer.compare(picture.bytes, unit.bytes) === 0));
  t.ok(places.every(place => place >= 0), 'each is a picture of the source, octet for octet');
  t.ok(places.every((place, index) => key.includes(place) || place === places[index - 1]! + 1), 'none without the one it is built on');
  const { units } = rig.bridges.listBridges().bridges[0]!;
  t.ok(units!.freezes > 0 && units!.picturesHeld > 0 && units!.frozenMs > 0, JSON.stringify(units));
  const depacketizer = openDepacketizer('h264');
  const shown = viewer.packets.flatMap(packet => depacketizer.push(packet.payload, packet.marker, packet.timestamp));
  t.ok(shown.length > 8 && shown[0]!.keyFrame && shown.every(unit => !unit.damaged), `${shown.length} pictures at the viewer`);
  t.ok(viewer.packets.every((packet, index) => index === 0 || packet.sequence === ((viewer.packets[index - 1]!.sequence + 1) & 0xffff)), 'its numbers have no holes');
});

t.test('a unit source: events, silence, its end', async t => {
  await using rig = disposable(openRig());
  let closed = 0;
  const source = rig.bridges.openUnitBridge({ bridgeId: 'pull', label: 'camera behind RTSP', transport: 'tcp-active', remote: { address: '192.0.2.5', port: 554 }, silenceMs: 150, onClosed: () => (closed += 1) });
  t.throws(() => rig.bridges.openUnitBridge({ bridgeId: 'pull', label: '', transport: 'udp', remote: null, silenceMs: 1, onClosed: () => undefined }), { code: 'BAD_REQUEST' });
  t.throws(() => rig.bridges.connectSource({ bridgeId: 'pull', remote: { address: LOCAL, port: 4000 }, ssrc: 1, ssrcPolicy: 'exact', payloadType: 96 }), { code: 'BAD_REQUEST' });
  const { pictures } = await loadFootage('h264');
  const feed = (index: number): void => source.feed({ kind: 'video', codec: 'h264', pts90k: index * 3600, dts90k: index * 3600, keyFrame: false, damaged: false, bytes: pictures[index]!.bytes });
  feed(0);
  t.match(await rig.event('source-flowing'), { bridgeId: 'pull', remote: { address: '192.0.2.5', port: 554 } });
  t.match(await rig.event('source-silent'), { bridgeId: 'pull' });
  feed(1);
  await rig.event('source-flowing', 2);
  source.lost();
  feed(2);
  t.not(source.stream.frozenSince, null, 'bytes are missing');
  t.match(rig.bridges.listBridges().bridges[0], { label: 'camera behind RTSP', source: { packets: 3, remote: { port: 554 } } });
  source.ended('peer-closed');
  source.ended('peer-closed');
  t.match(await rig.event('source-closed'), { bridgeId: 'pull', why: 'peer-closed' });
  t.equal(rig.events.filter(event => event.type === 'source-closed').length, 1);
  await rig.bridges.closeBridge({ bridgeId: 'pull' });
  t.equal(closed, 0, 'it ended by itself');
  rig.bridges.openUnitBridge({ bridgeId: 'pull', label: '', transport: 'udp', remote: null, silenceMs: 1000, onClosed: () => (closed += 1) });
  await rig.bridges.closeBridge({ bridgeId: 'pull' });
  t.equal(closed, 1, 'its owner closed it');
  t.same(await rig.bridges.closeBridge({ bridgeId: 'pull' }), null, 'twice is once');
});

t.test('a source that takes over may send in another format: viewers of either see one stream', async t => {
  for (const [before, after] of [['ps', 'h264'], ['h264', 'ps']] as const) {
    await using rig = disposable(openRig());
    const footage = await loadFootage('h264');
    const packets = (format: 'ps' | 'h264', ssrc: number, from: number, to: number): Uint8Array[][] => {
      const slicer = new RtpSlicer({ ssrc, payloadType: format === 'ps' ? 96 : 98, firstSequence: 500 });
      const muxer = new PsMuxer({ video: 'h264' });
      const packetizer = openPacketizer('h264');
      return footage.pictures.slice(from, to).map(({ bytes, keyFrame }, index) => {
        const pts90k = 1000 + index * 3600;
        if (format === 'ps') return slicer.slice(muxer.video({ bytes, keyFrame, pts90k }), pts90k);
        return packetizer.packets({ kind: 'video', codec: 'h264', bytes, keyFrame, pts90k, dts90k: pts90k, damaged: false }).flatMap(({ payload, marker, timestamp }) => slicer.slice(payload, timestamp, marker));
      });
    };
    const first = await openCamera(rig, 'b', before, before === 'ps' ? 96 : 98);
    const taker = new Taker();
    rig.bridges.units('b').join(taker);
    const viewers = [await openViewer(rig, 'b', 'ps', 'ps'), await openViewer(rig, 'b', 'es', 'h264')];
    t.teardown(() => viewers.forEach(({ host }) => host.close()));
    for (const group of packets(before, SSRC, 0, 40)) first.send(...group);
    await until('the first source', () => taker.of('video').length >= 39);
    const { local } = await rig.bridges.openSource(sourceParams('b', { transport: 'tcp-passive', ssrc: SINK_SSRC, legId: 'second', replaces: true }));
    const second = await TcpPeer.connect(local);
    rig.bridges.connectSource({ bridgeId: 'b', legId: 'second', remote: { address: LOCAL, port: second.socket.localPort! }, ssrc: SINK_SSRC, ssrcPolicy: 'exact', payloadType: after === 'ps' ? 96 : 98, format: after });
    for (const group of packets(after, SINK_SSRC, 50, 90)) second.send(...group);
    await until('the second source', () => taker.of('video').some(unit => Buffer.compare(unit.bytes.subarray(-100), footage.pictures[88]!.bytes.subarray(-100)) === 0));
    const label = `${before}, then ${after}`;
    const times = taker.of('video').map(unit => unit.dts90k);
    t.ok(times.every((time, index) => index === 0 || (time > times[index - 1]! && time - times[index - 1]! < 90_000)), `${label}: one timeline`);
    const places = taker.of('video').map(unit => footage.pictures.findIndex(picture => Buffer.compare(picture.bytes.subarray(-100), unit.bytes.subarray(-100)) === 0));
    t.ok(places.includes(38) && places.includes(50) && places.at(-1)! >= 88, `${label}: ${places.length} pictures`);
    const last = Buffer.from(footage.pictures[87]!.bytes.subarray(-60));
    for (const [index, { peer }] of viewers.entries()) {
      await until(`viewer ${index} has both`, () => Buffer.from(peer.payload).includes(last));
      t.ok(peer.packets.every((packet, at) => at === 0 || ((packet.sequence - peer.packets[at - 1]!.sequence) & 0xffff) < 1000), `${label}: numbers of viewer ${index} go on`);
    }
    const seen = new PsDemuxer();
    const shown = [...seen.push(viewers[0]!.peer.payload), ...seen.flush()].filter(event => event.type === 'unit');
    t.ok(shown.length > 70 && shown.length <= 81 && shown.filter(unit => unit.damaged).length <= 1, `${label}: ${shown.length} pictures in the program stream`);
  }
});
