/** Pictures and sounds through mediad in every form: program stream, units, elementary streams; judged by ffmpeg and GStreamer. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { PsDemuxer } from '#core/ps/demux.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';
import { FOOTAGE_NAMES, type LoadedFootage, loadFootage, prepareFootage } from '../../scripts/media/footage.ts';
import type { UnitSink } from '../../daemons/mediad/unit-stream.ts';
import { LOCAL, openRig, type Rig, sinkParams, sourceParams, TcpHost, TcpPeer, until } from './mediad-peers.ts';

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
  const { stdout, stderr } = await run('ffmpeg', ['-hide_banner', '-v', 'warning', ...input, '-i', path, '-map', '0:v', '-frames:v', String(frames), '-f', 'framemd5', '-'], { maxBuffer: 1 << 24 });
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
