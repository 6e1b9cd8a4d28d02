import t from 'tap';
import type { Endpoint, LegTransport } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { ms } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import type { DatagramBatch } from '#kit/udp-batch.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { MediaBatch } from '../../daemons/mediad/media-batch.ts';
import { RangePorts, type UdpSinkPort, type UdpSourcePort } from '../../daemons/mediad/media-ports.ts';
import { OpeningHold } from '../../daemons/mediad/opening-hold.ts';
import { Strays } from '../../daemons/mediad/strays.ts';
import { type Camera, type CameraStream, cameraStream, framed, joinCamera, LOCAL, nextPicture, openRig, parse, type Parsed, picture, type Rig, rtp, sinkParams, sourceParams, TcpHost, TcpPeer, UdpPeer, until } from './mediad-peers.ts';

const TRANSPORTS: readonly LegTransport[] = ['udp', 'tcp-active', 'tcp-passive'];
const SOURCE_SSRC = 0x05f5e101;
const SINK_SSRC = 0x11e1a307;

interface Platform {
  readonly packets: readonly Parsed[];
  readonly payload: Buffer;
  close(): void;
}

interface OpenOptions {
  readonly bridgeId?: string;
  readonly ssrc?: number;
  readonly silenceMs?: number;
  readonly ssrcPolicy?: 'exact' | 'adopt';
  readonly latch?: 'strict' | 'nat';
}

/** Opens the source leg and the camera that feeds it, connected as SDP would have it. */
async function openCamera(rig: Rig, transport: LegTransport, { bridgeId = 'b', ssrc = SOURCE_SSRC, silenceMs = 60_000, ssrcPolicy = 'exact', latch = 'strict' }: OpenOptions = {}): Promise<Camera> {
  const peer = { allowed: ['127.0.0.0/8'], latch };
  const { local } = await rig.bridges.openSource(sourceParams(bridgeId, { transport, ssrc, silenceMs, peer }));
  return joinCamera(transport, local, remote => rig.bridges.connectSource({ bridgeId, remote, ssrc, ssrcPolicy, payloadType: 96 }));
}

async function openPlatform(rig: Rig, transport: LegTransport, sinkId = 's1', bridgeId = 'b', ssrc = SINK_SSRC): Promise<Platform> {
  const start = (): null => rig.bridges.startSink({ bridgeId, sinkId });
  const open = (remote: Endpoint): Promise<{ local: Endpoint }> => rig.bridges.openSink(sinkParams(bridgeId, remote, { transport, sinkId, ssrc }));
  if (transport === 'udp') {
    const platform = await UdpPeer.open();
    await open(platform.endpoint);
    start();
    return withClose(platform, () => void platform.close());
  }
  if (transport === 'tcp-passive') {
    const { local } = await open({ address: LOCAL, port: 0 });
    start();
    const platform = await TcpPeer.connect(local);
    await new Promise(resolve => setImmediate(resolve));
    return withClose(platform, () => platform.close());
  }
  const host = await TcpHost.open();
  await open(host.endpoint);
  start();
  const platform = await host.peer();
  return withClose(platform, () => host.close());
}

const withClose = (peer: { readonly packets: readonly Parsed[]; readonly payload: Buffer }, close: () => void): Platform => ({
  packets: peer.packets,
  get payload() {
    return peer.payload;
  },
  close,
});

async function feed(camera: Camera, stream: CameraStream, pictures: number, options?: { bytes?: number; slice?: number }): Promise<void> {
  for (let i = 0; i < pictures; i++) await camera.send(...nextPicture(stream, options));
}

const consecutive = (packets: readonly Parsed[]): boolean => packets.every((packet, i) => packet.sequence === ((packets[0]!.sequence + i) & 0xffff));
const sentBytes = (stream: CameraStream): Buffer => Buffer.concat(stream.sent);
const sinkState = (rig: Rig, state: string, count = 1): Promise<void> => until(`sink ${state}`, () => rig.bridges.listBridges().bridges.flatMap(bridge => bridge.sinks).filter(sink => sink.state === state).length >= count);

t.test('nine leg combinations carry the payload byte for byte', async t => {
  for (const from of TRANSPORTS) {
    for (const to of TRANSPORTS) {
      const rig = openRig();
      const camera = await openCamera(rig, from);
      const platform = await openPlatform(rig, to);
      const stream = cameraStream(SOURCE_SSRC);
      // The first picture lets both connections come up; what counts is what follows it.
      do await feed(camera, stream, 1);
      while (!(await Promise.race([rig.event('sink-flowing').then(() => true), new Promise<false>(resolve => setTimeout(resolve, 50, false))])));
      await feed(camera, stream, 40, from === 'udp' ? {} : { bytes: 30_000, slice: 9000 });
      const all = sentBytes(stream);
      await until(`${from} to ${to}`, () => platform.payload.subarray(-1000).equals(all.subarray(-1000)));
      const got = platform.payload;
      t.ok(all.subarray(all.length - got.length).equals(got), `${from} to ${to}: payload`);
      t.ok(got.length > 40 * 4000);
      t.ok(consecutive(platform.packets), `${from} to ${to}: numbers`);
      t.ok(platform.packets.every(packet => packet.ssrc === SINK_SSRC && packet.payloadType === 96));
      t.ok(to !== 'udp' || platform.packets.every(packet => packet.payload.length <= 1400), 'datagrams fit the path');
      const marks = platform.packets.filter(packet => packet.marker).map(packet => packet.timestamp);
      t.equal(new Set(marks).size, marks.length, 'one marker a picture');
      t.match(rig.bridges.listBridges().bridges, [{ source: { state: 'flowing', payload: 'ps', codecs: ['h264', 'g711a'], lost: 0 }, sinks: [{ state: 'flowing' }] }]);
      await rig.bridges[Symbol.asyncDispose]();
      camera.close();
      platform.close();
    }
  }
});

t.test('one source, many sinks: each its own SSRC and numbers; joining and leaving disturbs nobody', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp');
  const stream = cameraStream(SOURCE_SSRC);
  const platforms = [await openPlatform(rig, 'udp', 'u1', 'b', 1), await openPlatform(rig, 'udp', 'u2', 'b', 2), await openPlatform(rig, 'tcp-passive', 't1', 'b', 3), await openPlatform(rig, 'tcp-active', 't2', 'b', 4)];
  await feed(camera, stream, 1);
  await sinkState(rig, 'flowing', 4);
  await feed(camera, stream, 20);
  await rig.bridges.closeSink({ bridgeId: 'b', sinkId: 'u1' });
  await feed(camera, stream, 20);
  const tail = Buffer.concat(stream.sent.slice(-39));
  for (const [i, platform] of platforms.entries()) {
    if (i > 0) await until(`platform ${i}`, () => platform.payload.subarray(-tail.length).equals(tail));
    t.ok(consecutive(platform.packets));
    t.ok(platform.packets.every(packet => packet.ssrc === i + 1));
  }
  t.ok(platforms[0]!.packets.length < platforms[1]!.packets.length);
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  for (const platform of platforms) platform.close();
});

t.test('nobody else feeds a source: other address, other port, other SSRC, other payload type, RTCP, garbage (faults 51-54, 62)', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp');
  const platform = await openPlatform(rig, 'udp');
  const stream = cameraStream(SOURCE_SSRC);
  await feed(camera, stream, 5);
  const attacker = await UdpPeer.open('127.0.0.9');
  const payload = picture(1, 1000, true);
  const forged = Array.from({ length: 200 }, (_, i) => rtp({ sequence: stream.sequence + i, timestamp: stream.timestamp, ssrc: SOURCE_SSRC, payload }));
  for (let round = 0; round < 50; round++) {
    await attacker.send(camera.local, ...forged);
    await feed(camera, stream, 1);
    // The kernel's buffer holds one round, not all of them.
    await until('round is read', () => rig.bridges.listBridges().bridges[0]!.source.dropped['wrong-source'] === 200 * (round + 1));
  }
  const bad = [
    Buffer.alloc(0),
    Buffer.from('80', 'hex'),
    Buffer.concat([Buffer.of(0x8f), forged[0]!.subarray(1, 12)]),
    Buffer.concat([Buffer.of(0x90), forged[0]!.subarray(1, 12), Buffer.from('beadffff', 'hex')]),
    Buffer.concat([Buffer.of(0xa0), forged[0]!.subarray(1, 12), Buffer.from('00ff', 'hex')]),
    Buffer.concat([Buffer.of(0x40), forged[0]!.subarray(1)]),
  ];
  const rtcp = [Buffer.from('80c8000600000001', 'hex'), Buffer.from('81cbffff', 'hex'), Buffer.from('80cc00ff00000000', 'hex')];
  const spoofed = Array.from({ length: 30 }, (_, i) => rtp({ sequence: i, timestamp: 0, ssrc: 0xdead, payload }));
  const mistyped = Array.from({ length: 20 }, (_, i) => rtp({ sequence: i, timestamp: 0, ssrc: SOURCE_SSRC, payloadType: 8, payload }));
  await camera.send(...bad, ...rtcp, ...spoofed, ...mistyped);
  await feed(camera, stream, 5);
  const sent = sentBytes(stream);
  await until('all pictures', () => platform.payload.length >= sent.length);
  t.ok(platform.payload.equals(sent), 'exactly the camera');
  t.ok(consecutive(platform.packets));
  const { bridges, strays } = rig.bridges.listBridges();
  t.match(bridges[0]!.source.dropped, { 'wrong-source': 10_000, 'wrong-ssrc': 30, 'wrong-payload-type': 20, 'malformed': 6, 'rtcp': 3 });
  t.match(strays.find(stray => stray.reason === 'wrong-source'), { bridgeId: 'b', localPort: camera.local.port, from: attacker.endpoint, count: 10_000 });
  t.match(rig.bridges.counters(), { 'dropped.wrong-source': 10_000 });
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  platform.close();
  await attacker.close();
});

t.test('a camera that sends before its answer is known loses nothing; a stranger gains nothing by being early', async t => {
  const rig = openRig();
  const { local } = await rig.bridges.openSource(sourceParams('b', { transport: 'udp', ssrc: SOURCE_SSRC, peer: { allowed: [LOCAL], latch: 'strict' } }));
  const platform = await openPlatform(rig, 'udp');
  const [camera, stranger] = [await UdpPeer.open(), await UdpPeer.open('127.0.0.9')];
  const [stream, foreign] = [cameraStream(SOURCE_SSRC), cameraStream(SOURCE_SSRC, 100)];
  await stranger.send(local, ...nextPicture(foreign));
  await camera.send(local, ...nextPicture(stream));
  await until('the stranger was noticed', () => rig.bridges.listBridges().strays.some(stray => stray.from.address === '127.0.0.9'));
  t.equal(platform.packets.length, 0, 'nothing passes before the answer');
  rig.bridges.connectSource({ bridgeId: 'b', remote: camera.endpoint, ssrc: SOURCE_SSRC, ssrcPolicy: 'exact', payloadType: 96 });
  await camera.send(local, ...nextPicture(stream));
  await until('both pictures', () => platform.payload.length >= Buffer.concat(stream.sent).length);
  t.same(platform.payload, Buffer.concat(stream.sent), 'from the first byte on, and of the camera only');
  await Promise.all([camera.close(), stranger.close()]);
  platform.close();
  await rig.bridges[Symbol.asyncDispose]();
});

t.test('nat: the first right packet locks, whoever comes later is nobody', async t => {
  const rig = openRig();
  const behindNat = await UdpPeer.open('127.0.0.2');
  const late = await UdpPeer.open('127.0.0.3');
  const outside = await UdpPeer.open('127.1.0.1');
  const platform = await UdpPeer.open();
  const peer = { allowed: ['127.0.0.0/24'], latch: 'nat' } as const;
  const { local } = await rig.bridges.openSource(sourceParams('b', { peer }));
  rig.bridges.connectSource({ bridgeId: 'b', remote: { address: '127.0.0.8', port: 5000 }, ssrc: 5, ssrcPolicy: 'exact', payloadType: 96 });
  await rig.bridges.openSink(sinkParams('b', platform.endpoint));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  const packet = (from: number, sequence: number): Buffer => rtp({ sequence, timestamp: 0, ssrc: 5, payload: Buffer.alloc(100, from) });
  await outside.send(local, packet(1, 1));
  await late.send(local, rtp({ sequence: 1, timestamp: 0, ssrc: 6, payload: Buffer.alloc(100, 2) }));
  await behindNat.send(local, packet(3, 1));
  t.match(await rig.event('source-flowing'), { ssrc: 5, remote: behindNat.endpoint });
  await late.send(local, packet(2, 2));
  await behindNat.send(local, packet(3, 2));
  await until('two packets', () => platform.packets.length === 2);
  t.ok(platform.packets.every(({ payload }) => payload[0] === 3));
  t.match(rig.bridges.listBridges().bridges[0]!.source, { remote: behindNat.endpoint, dropped: { 'wrong-source': 2, 'wrong-ssrc': 1 } });
  await rig.bridges[Symbol.asyncDispose]();
  for (const one of [behindNat, late, outside, platform]) await one.close();
});

t.test('a camera that uses its own SSRC, and restarts under a third (quirk 38, fault 60)', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp', { ssrcPolicy: 'adopt' });
  const platform = await openPlatform(rig, 'udp');
  const first = cameraStream(0x1111, 100);
  await feed(camera, first, 5);
  t.match(await rig.event('source-flowing'), { ssrc: 0x1111 });
  const second = cameraStream(0x2222, 60_000);
  await feed(camera, second, 1);
  await until('spoof refused', () => (rig.bridges.listBridges().bridges[0]!.source.dropped['wrong-ssrc'] ?? 0) === 3);
  const restartedAt = Date.now();
  second.sent.length = 0;
  while (rig.events.filter(event => event.type === 'source-flowing').length < 2) {
    second.sent.length = 0;
    await feed(camera, second, 1);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  t.ok(Date.now() - restartedAt < 2000, 'picked up in 2 s');
  await feed(camera, second, 5);
  const all = Buffer.concat([...first.sent, ...second.sent]);
  await until('both runs', () => platform.payload.length === all.length);
  t.ok(platform.payload.equals(all));
  t.ok(consecutive(platform.packets), 'no number goes back');
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  platform.close();
});

t.test('same SSRC, numbers start anew; duplicates and reordering', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp');
  const platform = await openPlatform(rig, 'udp');
  const numbered = (sequence: number): Buffer => rtp({ sequence, timestamp: 90 * sequence, ssrc: SOURCE_SSRC, payload: Buffer.of(sequence & 0xff, sequence >> 8) });
  for (const sequence of [10, 11, 13, 12, 12, 11, 14, 40_000, 40_001, 40_002]) await camera.send(numbered(sequence));
  await until('packets', () => platform.packets.length >= 7);
  t.same(platform.packets.map(packet => packet.payload.readUInt16LE()), [10, 11, 12, 13, 14, 40_001, 40_002]);
  const base = platform.packets[0]!.sequence;
  t.same(platform.packets.map(packet => (packet.sequence - base) & 0xffff), [0, 1, 2, 3, 4, 5, 6]);
  t.match(rig.bridges.listBridges().bridges[0]!.source, { lost: 0, reordered: 1, duplicates: 2, packets: 7 });
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  platform.close();
});

t.test('silence: counted from connectSource, told once, again after packets came', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp', { silenceMs: 150 });
  const silent = await rig.event('source-silent');
  t.ok(silent.silentMs >= 150 && silent.silentMs < 1000);
  t.equal(rig.bridges.listBridges().bridges[0]!.source.state, 'silent');
  await feed(camera, cameraStream(SOURCE_SSRC), 1);
  await rig.event('source-flowing');
  await rig.event('source-silent', 2);
  t.same(rig.events.map(event => event.type), ['source-silent', 'source-flowing', 'source-silent']);
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
});

t.test('TCP framing of the field: $ frames, empty frames, garbage in front, stale bytes inside, single bytes (fault 63)', async t => {
  const rig = openRig();
  const { local } = await rig.bridges.openSource(sourceParams('b', { transport: 'tcp-passive' }));
  const platform = await openPlatform(rig, 'udp');
  const camera = await TcpPeer.connect(local);
  rig.bridges.connectSource({ bridgeId: 'b', remote: { address: LOCAL, port: 9 }, ssrc: SOURCE_SSRC, ssrcPolicy: 'exact', payloadType: 96 });
  const stream = cameraStream(SOURCE_SSRC);
  const packets = (): Buffer[] => nextPicture(stream, { bytes: 2000, slice: 1000 });
  const interleaved = packets().map(packet => Buffer.concat([Buffer.of(0x24, 0, packet.length >> 8, packet.length & 0xff), packet]));
  const chunks = [
    Buffer.from('private header that is none of ours'),
    ...packets().map(framed),
    ...interleaved,
    Buffer.from('0000', 'hex'),
    framed(Buffer.from('80c8000600000001', 'hex')),
    ...packets().map(framed),
    Buffer.alloc(700, 0x47),
    ...packets().map(framed),
    Buffer.of(0),
    ...packets().map(framed),
  ];
  const wire = Buffer.concat(chunks);
  camera.socket.setNoDelay(true);
  for (let at = 0; at < 1000; at++) camera.socket.write(wire.subarray(at, at + 1));
  camera.socket.write(wire.subarray(1000));
  // interleaved was drawn first but stands second on the wire
  const [second, first, ...rest] = stream.sent;
  const all = Buffer.concat([first!, second!, ...rest]);
  await until('all payload', () => platform.payload.length === all.length);
  t.ok(platform.payload.equals(all));
  t.match(rig.bridges.listBridges().bridges[0]!.source.dropped, { desync: 3, rtcp: 1 });
  camera.socket.write(Buffer.alloc(200_000, 0x47));
  t.equal((await rig.event('source-closed')).why, 'desync');
  await until('camera is closed', () => camera.closed);
  await rig.bridges[Symbol.asyncDispose]();
  platform.close();
});

t.test('tcp-passive source: strangers and wrong SSRCs are closed, the right one still gets in', async t => {
  const rig = openRig();
  const { local } = await rig.bridges.openSource(sourceParams('b', { transport: 'tcp-passive', peer: { allowed: ['127.0.0.0/24'], latch: 'strict' } }));
  const early = await TcpPeer.connect(local, '127.0.0.7');
  const outside = await TcpPeer.connect(local, '127.5.0.1');
  await until('outside closed', () => outside.closed);
  rig.bridges.connectSource({ bridgeId: 'b', remote: { address: LOCAL, port: 9 }, ssrc: SOURCE_SSRC, ssrcPolicy: 'exact', payloadType: 96 });
  await until('not the answered address', () => early.closed);
  const wrong = await TcpPeer.connect(local);
  wrong.send(...nextPicture(cameraStream(0xbad)));
  await until('wrong SSRC closed', () => wrong.closed);
  const right = await TcpPeer.connect(local);
  right.send(...nextPicture(cameraStream(SOURCE_SSRC)));
  await rig.event('source-flowing');
  await t.rejects(TcpPeer.connect(local), 'nobody else may connect');
  t.match(rig.bridges.listBridges(), { bridges: [{ source: { dropped: { 'wrong-source': 2, 'wrong-ssrc': 1 } } }], strays: { length: 3 } });
  right.close();
  t.equal((await rig.event('source-closed')).why, 'peer-closed');
  t.equal(rig.bridges.listBridges().bridges[0]!.source.state, 'closed');
  await rig.bridges[Symbol.asyncDispose]();
});

t.test('connections that fail: four tries to a camera, a platform that never comes, one that is gone', async t => {
  const rig = openRig();
  const gone = await TcpHost.open();
  gone.close();
  await rig.bridges.openSource(sourceParams('b', { transport: 'tcp-active' }));
  const began = Date.now();
  rig.bridges.connectSource({ bridgeId: 'b', remote: gone.endpoint, ssrc: 1, ssrcPolicy: 'exact', payloadType: 96 });
  await rig.bridges.openSink(sinkParams('b', gone.endpoint, { transport: 'tcp-active', sinkId: 'a', connectTimeoutMs: 500 }));
  await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 0 }, { transport: 'tcp-passive', sinkId: 'p', connectTimeoutMs: 200 }));
  await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 0 }, { transport: 'tcp-passive', sinkId: 'never-started', connectTimeoutMs: 100 }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 'a' });
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 'p' });
  t.equal((await rig.event('source-closed')).why, 'connect-failed');
  const tookMs = Date.now() - began;
  t.ok(tookMs >= 2900 && tookMs < 4500, `three retries a second apart (${tookMs} ms)`);
  const ends = rig.events.filter(event => event.type === 'sink-closed').map(event => [event.sinkId, event.why]);
  t.same(ends.sort(), [['a', 'connect-failed'], ['p', 'never-connected']]);

  const second = openRig({ range: { first: 9_200, last: 9_299 } });
  const camera = await openCamera(second, 'udp');
  const platform = await openPlatform(second, 'tcp-active');
  await feed(camera, cameraStream(SOURCE_SSRC), 1);
  await second.event('sink-flowing');
  platform.close();
  t.equal((await second.event('sink-closed')).why, 'peer-closed');
  camera.close();
  await rig.bridges[Symbol.asyncDispose]();
  await second.bridges[Symbol.asyncDispose]();
});

t.test('a reader that stops reading loses pictures, its neighbour none (fault 64)', { timeout: 60_000 }, async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'tcp-passive');
  const slow = await openPlatform(rig, 'tcp-active', 'slow');
  const host = await TcpHost.open();
  await rig.bridges.openSink(sinkParams('b', host.endpoint, { transport: 'tcp-active', sinkId: 'stuck' }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 'stuck' });
  const stuck = await host.peer();
  const stream = cameraStream(SOURCE_SSRC);
  await feed(camera, stream, 1);
  await sinkState(rig, 'flowing', 2);
  stuck.socket.pause();
  const dropped = (): number => rig.bridges.listBridges().bridges[0]!.sinks.find(sink => sink.sinkId === 'stuck')!.dropped['queue-full'] ?? 0;
  while (dropped() < 100) {
    await feed(camera, stream, 4, { bytes: 60_000, slice: 1400 });
    await new Promise(resolve => setImmediate(resolve));
  }
  stuck.socket.resume();
  const before = stream.sent.length;
  await until('queue drains', () => stuck.payload.length > 0);
  const stuckLast = (): Buffer => stuck.payload.subarray(-stream.sent.at(-1)!.length);
  while (!stuckLast().equals(stream.sent.at(-1)!)) {
    await feed(camera, stream, 1, { bytes: 6000 });
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  const resumed = stuck.packets.findIndex((packet, i) => i > 0 && packet.sequence !== ((stuck.packets[i - 1]!.sequence + 1) & 0xffff));
  t.ok(resumed > 0, 'the loss shows in the numbers');
  t.equal(stuck.packets[resumed]!.payload.subarray(0, 18).toString('hex'), '000001ba4400dddd0401005f6bf8000001bb', 'goes on with a key picture');
  t.ok(stuck.packets[resumed - 1]!.payload.length > 0 && before > 0);
  const all = sentBytes(stream);
  await until('neighbour has everything', () => slow.payload.length === all.length);
  t.ok(slow.payload.equals(all));
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  slow.close();
  host.close();
});

t.test('fixed ports: many channels on one UDP and one TCP port, told apart by SSRC', async t => {
  const rig = openRig({ fixed: true, range: { first: 9_300, last: 9_300 } });
  const channels: { camera: Camera; platform: Platform; stream: CameraStream }[] = [];
  for (let i = 0; i < 6; i++) {
    const ssrc = 1000 + i;
    const camera = await openCamera(rig, i < 3 ? 'udp' : i < 5 ? 'tcp-passive' : 'tcp-active', { bridgeId: `b${i}`, ssrc });
    t.equal(camera.local.port, i < 5 ? 9_300 : 9);
    const platform = await openPlatform(rig, i % 2 === 0 ? 'udp' : 'tcp-active', 's1', `b${i}`, 2000 + i);
    channels.push({ camera, platform, stream: cameraStream(ssrc) });
  }
  await t.rejects(rig.bridges.openSource(sourceParams('twin', { ssrc: 1000 })), { code: 'BAD_REQUEST' }, 'SSRC of a live leg (fault 33)');
  for (const { camera, stream } of channels) await feed(camera, stream, 1);
  await rig.event('sink-flowing', 6);
  for (let round = 0; round < 10; round++) for (const { camera, stream } of channels) await feed(camera, stream, 1);
  for (const [i, { platform, stream }] of channels.entries()) {
    const tail = Buffer.concat(stream.sent.slice(1));
    await until(`channel ${i}`, () => platform.payload.subarray(-tail.length).equals(tail));
    t.ok(platform.packets.every(packet => packet.ssrc === 2000 + i));
  }
  const stranger = await UdpPeer.open();
  await stranger.send({ address: LOCAL, port: 9_300 }, ...nextPicture(cameraStream(0xbad)), ...nextPicture(cameraStream(1000)));
  await until('strays', () => rig.bridges.listBridges().strays.length >= 2);
  t.match(rig.bridges.listBridges().strays.map(stray => [stray.bridgeId, stray.reason, stray.count]).sort(), [[null, 'wrong-ssrc', 3], ['b0', 'wrong-source', 3]]);
  await rig.bridges[Symbol.asyncDispose]();
  for (const { camera, platform } of channels) {
    camera.close();
    platform.close();
  }
  await stranger.close();
});

t.test('fixed ports: viewers that connect, a camera with its own SSRC, what stays ambiguous', async t => {
  const rig = openRig({ fixed: true, range: { first: 9_310, last: 9_310 } });
  const fixed = { address: LOCAL, port: 9_310 };
  const own = await UdpPeer.open();
  await rig.bridges.openSource(sourceParams('b', { ssrc: 1 }));
  rig.bridges.connectSource({ bridgeId: 'b', remote: own.endpoint, ssrc: 1, ssrcPolicy: 'adopt', payloadType: 96 });
  await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 0 }, { transport: 'tcp-passive' }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  const viewer = await TcpPeer.connect(fixed);
  const stream = cameraStream(0x7777);
  await own.send(fixed, ...nextPicture(stream));
  t.match(await rig.event('source-flowing'), { ssrc: 0x7777 });
  await own.send(fixed, ...nextPicture(stream));
  await until('viewer', () => viewer.payload.length > 0 && sentBytes(stream).subarray(-viewer.payload.length).equals(viewer.payload));
  await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 1 }, { transport: 'tcp-passive', sinkId: 's2' }));
  await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 2 }, { transport: 'tcp-passive', sinkId: 's3' }));
  const either = await TcpPeer.connect(fixed);
  await until('ambiguous is closed', () => either.closed);
  // The address is a viewer's and a camera's: what comes first decides.
  await rig.bridges.closeSink({ bridgeId: 'b', sinkId: 's3' });
  await rig.bridges.openSource(sourceParams('c', { ssrc: 2, transport: 'tcp-passive' }));
  rig.bridges.connectSource({ bridgeId: 'c', remote: { address: LOCAL, port: 9 }, ssrc: 2, ssrcPolicy: 'exact', payloadType: 96 });
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's2' });
  const quiet = await TcpPeer.connect(fixed);
  const camera = await TcpPeer.connect(fixed);
  camera.send(...nextPicture(cameraStream(2)));
  await rig.event('source-flowing', 2);
  while (quiet.payload.length === 0) {
    await own.send(fixed, ...nextPicture(stream));
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  t.ok(quiet.packets.every(packet => packet.ssrc === SINK_SSRC));
  t.match(rig.bridges.listBridges().strays, [{ reason: 'ambiguous' }]);
  await rig.bridges[Symbol.asyncDispose]();
  for (const peer of [viewer, either, quiet, camera]) peer.close();
  await own.close();
});

t.test('IPv6', async t => {
  const rig = openRig();
  const camera = await UdpPeer.open('::1');
  const platform = await UdpPeer.open('::1');
  const { local } = await rig.bridges.openSource(sourceParams('b', { localAddress: '::1', ssrc: 3 }));
  rig.bridges.connectSource({ bridgeId: 'b', remote: { address: '0:0::0:1', port: camera.endpoint.port }, ssrc: 3, ssrcPolicy: 'exact', payloadType: 96 });
  await rig.bridges.openSink(sinkParams('b', platform.endpoint, { localAddress: '::1' }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  const stream = cameraStream(3);
  await camera.send(local, ...nextPicture(stream));
  await until('picture', () => platform.payload.equals(sentBytes(stream)));
  t.equal(platform.packets[0]!.ssrc, SINK_SSRC);
  await rig.bridges[Symbol.asyncDispose]();
  await camera.close();
  await platform.close();
});

t.test('refusals have codes, and refusing leaves nothing behind', async t => {
  const clock = new ManualClock();
  const rig = openRig({ range: { first: 9_100, last: 9_107 }, maxBridges: 5, clock });
  const { bridges } = rig;
  const code = async (task: () => unknown): Promise<string> => {
    try {
      await task();
      return 'none';
    } catch (error) {
      return error instanceof GatewayError ? error.code : String(error);
    }
  };
  await bridges.openSource(sourceParams('b'));
  t.equal(await code(() => bridges.openSource(sourceParams('b'))), 'BAD_REQUEST');
  t.equal(await code(() => bridges.openSource(sourceParams('x', { localAddress: '203.0.113.1' }))), 'MEDIA_UNAVAILABLE');
  t.equal(await code(() => bridges.openSource(sourceParams('x', { peer: { allowed: ['nonsense'], latch: 'strict' } }))), 'BAD_REQUEST');
  for (const localAddress of ['localhost', '', '127.0.0.1:5000', '0x7f000001']) t.equal(await code(() => bridges.openSource(sourceParams('x', { localAddress }))), 'BAD_REQUEST', localAddress);
  const to = (address: string, port = 5000): Promise<string> => code(() => bridges.openSink(sinkParams('b', { address, port }, { peer: { allowed: ['0.0.0.0/0', '::/0'], latch: 'strict' } })));
  for (const address of ['0.0.0.0', '224.0.0.1', '239.1.2.3', '255.255.255.255', '::', 'ff02::1', '::1', 'localhost', '127.0.0.1.']) t.equal(await to(address), 'MEDIA_TARGET_REFUSED', address);
  t.equal(await to(LOCAL, 0), 'MEDIA_TARGET_REFUSED');
  t.equal(await code(() => bridges.openSink(sinkParams('b', { address: '192.0.2.1', port: 5000 }))), 'MEDIA_TARGET_REFUSED', 'third party (fault 28)');
  t.equal(await code(() => bridges.connectSource({ bridgeId: 'b', remote: { address: '192.0.2.1', port: 5000 }, ssrc: 1, ssrcPolicy: 'exact', payloadType: 96 })), 'MEDIA_TARGET_REFUSED');
  t.equal(await code(() => bridges.startSink({ bridgeId: 'b', sinkId: 'none' })), 'BRIDGE_UNKNOWN');
  t.equal(await code(() => bridges.openSink(sinkParams('none', { address: LOCAL, port: 5000 }))), 'BRIDGE_UNKNOWN');
  t.equal(await code(() => bridges.closeBridge({ bridgeId: 'none' })), 'none');
  t.equal(bridges.load().portsFree, 3, 'the number that could not be bound rests at its own address');
  await bridges.openSource(sourceParams('c', { transport: 'tcp-passive' }));
  await bridges.openSource(sourceParams('d', { transport: 'tcp-active' }));
  await bridges.openSource(sourceParams('f'));
  t.equal(await code(() => bridges.openSource(sourceParams('e'))), 'PORTS_EXHAUSTED', 'fault 109');
  t.equal(bridges.size, 4);
  await bridges.closeBridge({ bridgeId: 'd' });
  await bridges.closeBridge({ bridgeId: 'd' });
  t.equal(bridges.load().portsFree, 0, 'what was just used rests');
  clock.advance(3000);
  const racing = bridges.openSource(sourceParams('r'));
  await bridges.closeBridge({ bridgeId: 'r' });
  t.equal(await code(() => racing), 'BRIDGE_UNKNOWN', 'closed while it opened');
  clock.advance(3000);
  t.equal(bridges.load().portsFree, 1, 'all are back but three');
  await bridges[Symbol.asyncDispose]();
});

t.test('a sink that starts behind the key picture catches up without a burst, in order', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp');
  const stream = cameraStream(SOURCE_SSRC);
  const received = (): number => rig.bridges.listBridges().bridges[0]!.source.packets;
  for (let i = 0; i < 9; i++) await camera.send(...nextPicture(stream, { bytes: 20_000 }));
  await until('nine pictures', () => received() === 9 * 15);
  const [udp, other] = [await UdpPeer.open(), await UdpPeer.open()];
  await rig.bridges.openSink(sinkParams('b', udp.endpoint));
  await rig.bridges.openSink(sinkParams('b', other.endpoint, { sinkId: 's2', ssrc: 5 }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  t.equal(rig.bridges.listBridges().bridges[0]!.sinks[0]!.packets, 32, 'the first burst is small');
  const [next, ...rest] = nextPicture(stream, { bytes: 20_000, key: false });
  await camera.send(next!);
  await until('the next packet', () => received() === 9 * 15 + 1);
  t.equal(rig.bridges.listBridges().bridges[0]!.sinks[0]!.packets, 40, 'eight for one');
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's2' });
  await camera.send(...rest);
  for (let i = 0; i < 3; i++) await feed(camera, stream, 1);
  for (const platform of [udp, other]) {
    await until('everything', () => platform.payload.length >= sentBytes(stream).length);
    t.ok(platform.payload.equals(sentBytes(stream)));
    t.ok(consecutive(platform.packets));
  }
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
  for (const platform of [udp, other]) await platform.close();
});

t.test('what is held for a sink: from the latest key picture, at most 1 MiB and 2 s of it', async t => {
  const hold = new OpeningHold();
  const live = new MediaBatch();
  live.kind = 'ps';
  const take = (bytes: number, key: boolean, at: number): void => {
    const content = picture(at, bytes, key);
    live.count = 0;
    live.add(Buffer.concat([Buffer.alloc(12), content]), 12, content.length, true, 0, at);
    hold.take(live, ms(at));
  };
  take(1000, false, 0);
  t.equal(hold.batch(ms(1)).count, 0, 'no key picture yet');
  take(1000, true, 10);
  take(1000, false, 20);
  take(1000, true, 30);
  take(1000, false, 40);
  t.same(hold.batch(ms(41)).index, [30, 40]);
  t.equal(hold.batch(ms(2031)).count, 0, 'too old');
  take(1000, false, 2032);
  t.equal(hold.batch(ms(2033)).count, 0);
  take(60_000, true, 3000);
  for (let i = 1; i < 18; i++) take(60_000, false, 3000 + i);
  t.equal(hold.batch(ms(3100)).count, 0, 'too much');
  take(60_000, true, 4000);
  t.equal(hold.batch(ms(4001)).count, 1, 'the next key picture is a new chance');
});

/** The kernel's buffer is full: what is sent is read from our memory later. */
class SlowKernel extends RangePorts {
  readonly held: Uint8Array[][] = [];

  /** Who may hold memory of the caller does not receive into it again (kit/udp-port). */
  override udpSource(...[address, ssrc, handlers]: Parameters<RangePorts['udpSource']>): Promise<UdpSourcePort> {
    const onBatch = (batch: DatagramBatch): void => {
      for (let i = 0; i < batch.count; i++) {
        batch.memory[i] = Buffer.from(batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + batch.length[i]!));
        batch.offset[i] = 0;
      }
      handlers.onBatch(batch);
    };
    return super.udpSource(address, ssrc, { ...handlers, onBatch });
  }

  override async udpSink(...args: Parameters<RangePorts['udpSink']>): Promise<UdpSinkPort> {
    const port = await super.udpSink(...args);
    const held: Uint8Array[] = [];
    this.held.push(held);
    return {
      local: port.local,
      close: () => port.close(),
      udp: {
        dropped: 0,
        send: batch => {
          for (let i = 0; i < batch.count; i++) held.push(batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + batch.length[i]!));
          return false;
        },
      },
    };
  }
}

t.test('what one sink still sends, the next one does not write over', async t => {
  const ports = new SlowKernel({ first: 9_400, last: 9_499 }, { receiveBufferBytes: 1024 * 1024, clock: systemClock, strays: new Strays() });
  const rig = openRig({ ports });
  const camera = await openCamera(rig, 'udp');
  for (let i = 0; i < 3; i++) {
    await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 5000 + i }, { sinkId: `s${i}`, ssrc: i }));
    rig.bridges.startSink({ bridgeId: 'b', sinkId: `s${i}` });
  }
  const stream = cameraStream(SOURCE_SSRC);
  await feed(camera, stream, 3);
  await until('all sinks', () => ports.held.length === 3 && ports.held.every(held => held.length === 9));
  for (const [ssrc, held] of ports.held.entries()) {
    const packets = held.map(bytes => parse(Buffer.from(bytes)));
    t.ok(packets.every(packet => packet.ssrc === ssrc));
    t.ok(consecutive(packets));
    t.ok(Buffer.concat(packets.map(packet => packet.payload)).equals(sentBytes(stream)));
  }
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
});

t.test('a datagram receiver that is not there is noticed; nothing is sent before startSink', async t => {
  const rig = openRig();
  const camera = await openCamera(rig, 'udp');
  const platform = await UdpPeer.open();
  await rig.bridges.openSink(sinkParams('b', platform.endpoint));
  const stream = cameraStream(SOURCE_SSRC);
  await feed(camera, stream, 3);
  await until('three pictures came', () => rig.bridges.listBridges().bridges[0]!.source.packets === 9);
  t.equal(platform.packets.length, 0);
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  await until('what came since the key picture', () => platform.payload.equals(sentBytes(stream)));
  await feed(camera, stream, 1);
  await until('the next', () => platform.payload.equals(sentBytes(stream)));
  await platform.close();
  const refused = (): number => rig.bridges.listBridges().bridges[0]!.sinks[0]!.dropped['unreachable'] ?? 0;
  while (refused() < 3) {
    await feed(camera, stream, 1);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  t.equal(rig.bridges.listBridges().bridges[0]!.sinks[0]!.state, 'flowing', 'a receiver gets ten seconds');
  await rig.bridges[Symbol.asyncDispose]();
  camera.close();
});
