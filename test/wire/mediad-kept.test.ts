/** Who wants to see a channel that is only passed through: the key picture that was kept, not one that the camera has to be asked for. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { MediaUnit } from '#core/media/unit.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';
import { systemClock } from '#kit/clock.ts';
import { probeFfmpeg } from '#kit/ffmpeg.ts';
import { createLog } from '#kit/log.ts';
import type { OutletDoor } from '../../daemons/mediad/outlet-door.ts';
import { Snapshots } from '../../daemons/mediad/transcode/snapshots.ts';
import type { UnitSink } from '../../daemons/mediad/unit-stream.ts';
import { type LoadedFootage, loadFootage, prepareFootage } from '../../scripts/media/footage.ts';
import { ssim } from '../../scripts/media/ssim.ts';
import { eachLuma } from '../../scripts/media/timed-pictures.ts';
import { type Camera, joinCamera, openRig, type Rig, sinkParams, sourceParams, UdpPeer, until } from './mediad-peers.ts';

t.setTimeout(120_000);
const run = promisify(execFile);
const SSRC = 0x05f5e101;
const KIB = 1024;
/** Pictures of the footage behind its first key picture. */
const OTHERS = 24;
/** The key picture fits, the group does not. */
const KEY_BYTES = 128 * KIB;
const directory = await mkdtemp(join(tmpdir(), 'viewlink-kept-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
t.before(() => prepareFootage());

/** A camera whose only key picture is the first one, and a platform that takes it as it comes. */
class Channel {
  readonly rig: Rig;
  readonly bridgeId: string;
  readonly #footage: LoadedFootage;
  readonly #camera: Camera;
  readonly #platform: UdpPeer;
  readonly #muxer: PsMuxer;
  readonly #slicer = new RtpSlicer({ ssrc: SSRC, payloadType: 96, firstSequence: 65_500 });
  #pictures = 0;
  #packets = 0;

  private constructor(rig: Rig, bridgeId: string, footage: LoadedFootage, camera: Camera, platform: UdpPeer) {
    this.rig = rig;
    this.bridgeId = bridgeId;
    this.#footage = footage;
    this.#camera = camera;
    this.#platform = platform;
    this.#muxer = new PsMuxer({ video: footage.videoCodec, ...(footage.audioCodec !== undefined && { audio: footage.audioCodec }) });
  }

  static async open(t: Test, rig: Rig, bridgeId: string, footage: LoadedFootage): Promise<Channel> {
    const { local } = await rig.bridges.openSource(sourceParams(bridgeId, { ssrc: SSRC }));
    const camera = await joinCamera('udp', local, remote => rig.bridges.connectSource({ bridgeId, remote, ssrc: SSRC, ssrcPolicy: 'exact', payloadType: 96 }));
    const platform = await UdpPeer.open();
    await rig.bridges.openSink(sinkParams(bridgeId, platform.endpoint));
    rig.bridges.startSink({ bridgeId, sinkId: 's1' });
    t.teardown(async () => {
      camera.close();
      await platform.close();
    });
    return new Channel(rig, bridgeId, footage, camera, platform);
  }

  /** The next picture, and its sound; `number`: of the footage. It is with the platform when this ends. */
  async send(number: number, lose: readonly number[] = []): Promise<void> {
    const { bytes, keyFrame } = this.#footage.pictures[number]!;
    const pts90k = 900_000 + this.#pictures++ * this.#footage.ticksPerPicture90k;
    const packets = this.#slicer.slice(this.#muxer.video({ bytes, pts90k, keyFrame }), pts90k).filter((_, i) => !lose.includes(i));
    if (this.#footage.audioCodec !== undefined) packets.push(...this.#slicer.slice(this.#muxer.audio({ bytes: this.#footage.audioFrames[this.#pictures]!.bytes, pts90k }), pts90k));
    this.#packets += packets.length;
    await this.#camera.send(...packets.map(packet => Buffer.from(packet)));
    await until('relayed', () => this.#platform.packets.length >= this.#packets);
  }

  /** Pictures that are built on others, as they come. */
  async sendOthers(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.send(1 + (i % OTHERS));
  }

  asked(): number {
    return this.rig.events.filter(event => event.type === 'key-picture-wanted').length;
  }

  counter(name: string): number {
    return this.rig.bridges.counters()[name] ?? 0;
  }
}

class Viewer implements UnitSink {
  readonly units: MediaUnit[] = [];
  onTracks(): void {}
  onUnit(unit: MediaUnit): void {
    this.units.push(unit);
  }
  onEnd(): void {}

  get pictures(): readonly MediaUnit[] {
    return this.units.filter(({ kind }) => kind === 'video');
  }
}

/** What the unit is to a decoder, parameter sets that were put in front of it or not. */
const endsWith = (unit: MediaUnit | undefined, bytes: Uint8Array): boolean => unit !== undefined && Buffer.from(unit.bytes).subarray(-bytes.length).equals(bytes);

for (const name of ['h264', 'h265', 'h264-g711a'] as const) {
  t.test(`${name}: the first viewer of a channel that is only passed through sees its key picture at once`, async t => {
    const rig = openRig({ keyPictureBytes: KEY_BYTES });
    t.teardown(() => rig.bridges[Symbol.asyncDispose]());
    const footage = await loadFootage(name);
    const channel = await Channel.open(t, rig, 'camera', footage);
    await channel.send(0);
    await channel.sendOthers(49);
    t.ok(channel.counter('pictures.kept-bytes') > footage.pictures[0]!.bytes.length);
    t.ok(channel.counter('pictures.kept-bytes') <= KEY_BYTES);
    const viewer = new Viewer();
    const from = systemClock.now();
    using _seat = rig.bridges.units('camera').join(viewer);
    // Promised sound is waited for, and the camera goes on.
    while (viewer.pictures.length === 0) await channel.sendOthers(1);
    t.ok(systemClock.now() - from <= 300, `${systemClock.now() - from} ms`);
    t.ok(viewer.pictures[0]!.keyFrame && endsWith(viewer.pictures[0], footage.pictures[0]!.bytes));
    t.equal(channel.counter('units.taken.behind'), 1);
    t.equal(channel.asked(), 1, 'what follows is built on pictures that are gone: the viewer needs the next key picture soon');
    await channel.sendOthers(3);
    t.equal(viewer.pictures.length, 1, 'and gets none of those before it');
    await channel.send(0);
    await channel.sendOthers(2);
    await until('live', () => viewer.pictures.length >= 3);
    t.same(viewer.pictures.slice(1, 3).map(({ keyFrame }) => keyFrame), [true, false]);
  });
}

t.test('a group that fits is given whole, and goes on live', async t => {
  const rig = openRig({ keyPictureBytes: 1024 * KIB });
  t.teardown(() => rig.bridges[Symbol.asyncDispose]());
  const footage = await loadFootage('h264');
  const channel = await Channel.open(t, rig, 'camera', footage);
  await channel.send(0);
  await channel.sendOthers(15);
  const viewer = new Viewer();
  using _seat = rig.bridges.units('camera').join(viewer);
  t.equal(viewer.pictures.length, 15, 'the last one ends where the next one begins');
  for (let i = 16; i <= OTHERS; i += 1) await channel.send(i);
  await channel.send(0);
  await until('live', () => viewer.pictures.length === 1 + OTHERS);
  t.ok(viewer.pictures.every((unit, i) => endsWith(unit, footage.pictures[i]!.bytes)));
  t.same([channel.counter('units.taken.live'), channel.asked()], [1, 0]);
});

t.test('a packet of it was lost: it is not shown, and the camera is asked', async t => {
  const rig = openRig({ keyPictureBytes: KEY_BYTES });
  t.teardown(() => rig.bridges[Symbol.asyncDispose]());
  const footage = await loadFootage('h264');
  const channel = await Channel.open(t, rig, 'camera', footage);
  await channel.send(0, [2]);
  await channel.sendOthers(10);
  const viewer = new Viewer();
  using _seat = rig.bridges.units('camera').join(viewer);
  await channel.sendOthers(5);
  t.same([viewer.pictures.length, channel.counter('units.taken.nothing'), channel.asked()], [0, 1, 1]);
  await channel.send(0);
  await channel.sendOthers(1);
  await until('the next key picture', () => viewer.pictures.length > 0);
  t.ok(endsWith(viewer.pictures[0], footage.pictures[0]!.bytes));
});

/** One picture of a file as its luma. */
async function lumaOf(path: string, size: { readonly width: number; readonly height: number }): Promise<Uint8Array> {
  let first: Uint8Array | undefined;
  await eachLuma(path, size, (luma, index) => {
    if (index === 0) first = Uint8Array.from(luma);
  });
  return first!;
}

t.test('snapshots of channels that are only passed through, whose cameras have a key picture every 10 s and answer no request', async t => {
  const rig = openRig({ keyPictureBytes: 192 * KIB });
  t.teardown(() => rig.bridges[Symbol.asyncDispose]());
  const footage = await loadFootage('h264');
  const facts = await probeFfmpeg('');
  if ('why' in facts) throw new Error(facts.why);
  const door: OutletDoor = { tokenFits: () => true, user: () => undefined, open: async ({ channel }) => ({ stream: rig.bridges.units(channel), onEnd: () => undefined, [Symbol.dispose]: () => undefined }) };
  using snapshots = new Snapshots({ door, clock: systemClock, log: createLog('mediad', 'silent'), facts: async () => facts });
  const took: number[] = [];
  const size = { width: 768, height: 576 };
  await writeFile(join(directory, 'key.h264'), footage.pictures[0]!.bytes);
  const key = await lumaOf(join(directory, 'key.h264'), size);
  for (const bridgeId of ['one', 'two', 'three']) {
    const channel = await Channel.open(t, rig, bridgeId, footage);
    await channel.send(0);
    await channel.sendOthers(240);
    const { jpeg, tookMs } = await snapshots.take({ channel: bridgeId, streamNumber: 0, rendition: null } as never, 'test', null);
    took.push(tookMs);
    const path = join(directory, `${bridgeId}.jpg`);
    await writeFile(path, jpeg);
    const { stdout } = await run('ffprobe', ['-v', 'error', '-show_entries', 'stream=width,height', '-of', 'csv=p=0', path]);
    t.equal(stdout.trim(), '768,576');
    t.ok(ssim(await lumaOf(path, size), key, size) > 0.95, 'it is that picture');
  }
  t.equal(rig.events.filter(event => event.type === 'key-picture-wanted').length, 0, 'no camera was asked');
  t.ok(Math.min(...took) < 500, `after ${took.join(', ')} ms`);
});
