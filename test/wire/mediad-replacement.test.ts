/** A source is replaced under its sinks: real sockets, every pair of transports. */
import t from 'tap';
import type { LegTransport } from '#contracts/mediad.ts';
import { until as untilAsync } from '../rig/until.ts';
import { type Camera, type CameraStream, LOCAL, type Parsed, type Rig, TcpHost, TcpPeer, UdpPeer, cameraStream, joinCamera, nextPicture, openRig, sinkParams, sourceParams, until } from './mediad-peers.ts';

const TRANSPORTS: readonly LegTransport[] = ['udp', 'tcp-active', 'tcp-passive'];
const SSRC = { first: 0x05f5e101, next: 0x05f5e102 };

/** A leg of bridge `b` and the camera that feeds it. */
async function openCamera(rig: Rig, transport: LegTransport, legId: 'first' | 'next', silenceMs = 60_000): Promise<Camera> {
  const { local } = await rig.bridges.openSource(sourceParams('b', { transport, ssrc: SSRC[legId], silenceMs, legId, ...(legId === 'next' && { replaces: true }) }));
  return joinCamera(transport, local, remote => rig.bridges.connectSource({ bridgeId: 'b', legId, remote, ssrc: SSRC[legId], ssrcPolicy: 'exact', payloadType: 96 }));
}

async function openPlatform(rig: Rig): Promise<{ readonly udp: UdpPeer; readonly tcp: TcpPeer }> {
  const udp = await UdpPeer.open();
  await rig.bridges.openSink(sinkParams('b', udp.endpoint, { sinkId: 'udp' }));
  const { local } = await rig.bridges.openSink(sinkParams('b', { address: LOCAL, port: 0 }, { sinkId: 'tcp', transport: 'tcp-passive' }));
  for (const sinkId of ['udp', 'tcp']) rig.bridges.startSink({ bridgeId: 'b', sinkId });
  return { udp, tcp: await TcpPeer.connect(local) };
}

const feed = async (camera: Camera, stream: CameraStream, pictures: number): Promise<void> => {
  for (let i = 0; i < pictures; i++) await camera.send(...nextPicture(stream));
};
const consecutive = (packets: readonly Parsed[]): boolean => packets.every((packet, i) => packet.sequence === ((packets[0]!.sequence + i) & 0xffff));
/** No step back, none longer than ten seconds. */
const steady = (packets: readonly Parsed[]): boolean => packets.every((packet, i) => i === 0 || (packet.timestamp - packets[i - 1]!.timestamp) >>> 0 < 900_000);
const holds = (packets: readonly Parsed[], content: Buffer): boolean => Buffer.concat(packets.map(packet => packet.payload)).includes(content);

t.test('every transport gives way to every other: one stream upward, numbers and timestamps go on', async t => {
  for (const from of TRANSPORTS) {
    for (const to of TRANSPORTS) {
      const rig = openRig();
      const [old, fresh] = [cameraStream(SSRC.first), cameraStream(SSRC.next, 9)];
      fresh.timestamp = 0xfff0_0000;
      const first = await openCamera(rig, from, 'first');
      const { udp, tcp } = await openPlatform(rig);
      await feed(first, old, 1);
      await until('both sinks flow', () => rig.events.filter(event => event.type === 'sink-flowing').length === 2);
      await feed(first, old, 12);
      const next = await openCamera(rig, to, 'next');
      t.match(rig.bridges.listBridges().bridges[0], { source: { legId: 'first', state: 'flowing' }, replacement: { legId: 'next', state: 'connecting', transport: to } });
      await next.send(...nextPicture(fresh, { key: false }));
      await feed(first, old, 2);
      await feed(next, fresh, 1);
      // The second picture of the new one is no key picture either; the old one is still the source.
      t.equal(rig.events.filter(event => event.type === 'source-flowing').length, 1, `${from} to ${to}: not in the middle of a group`);
      fresh.pictures = 10;
      await feed(next, fresh, 1);
      const event = await rig.event('source-flowing', 2);
      t.match(event, { legId: 'next', ssrc: SSRC.next });
      await feed(next, fresh, 5);
      const last = fresh.sent.at(-1)!;
      await until('the last picture', () => holds(udp.packets.slice(-6), last) && holds(tcp.packets.slice(-6), last));
      for (const { packets } of [udp, tcp]) {
        t.ok(consecutive(packets), `${from} to ${to}: numbers`);
        t.ok(steady(packets), `${from} to ${to}: timestamps`);
        t.equal(new Set(packets.map(packet => packet.ssrc)).size, 1);
        t.ok(holds(packets, old.sent.at(-1)!) && holds(packets, fresh.sent[2]!) && !holds(packets, fresh.sent[0]!), 'all of the old one, the new one from its key picture on');
      }
      t.match(rig.bridges.listBridges().bridges[0], { source: { legId: 'next', state: 'flowing', transport: to }, replacement: null });
      const seen = udp.packets.length;
      if (from === 'udp') await feed(first, old, 3);
      await feed(next, fresh, 1);
      await until('one more', () => holds(udp.packets.slice(seen), fresh.sent.at(-1)!));
      t.notOk(holds(udp.packets.slice(seen), old.sent.at(-1)!), 'the old leg is closed');
      await rig.bridges[Symbol.asyncDispose]();
      for (const peer of [first, next, udp, tcp]) void peer.close();
    }
  }
});

t.test('one fixed port for all: the legs are told apart by their SSRC', async t => {
  for (const [from, to] of [['udp', 'udp'], ['udp', 'tcp-passive'], ['tcp-passive', 'tcp-passive']] as const) {
    const rig = openRig({ fixed: true, range: { first: 8_640, last: 8_640 } });
    const [old, fresh] = [cameraStream(SSRC.first), cameraStream(SSRC.next)];
    const first = await openCamera(rig, from, 'first');
    const { udp, tcp } = await openPlatform(rig);
    await feed(first, old, 3);
    const next = await openCamera(rig, to, 'next');
    t.equal(next.local.port, first.local.port, `${from} to ${to}: one port`);
    await feed(next, fresh, 4);
    t.match(await rig.event('source-flowing', 2), { legId: 'next' });
    await until('pictures of the new one', () => holds(udp.packets, fresh.sent.at(-1)!) && holds(tcp.packets, fresh.sent.at(-1)!));
    t.ok(consecutive(udp.packets) && consecutive(tcp.packets));
    await rig.bridges[Symbol.asyncDispose]();
    for (const peer of [first, next, udp, tcp]) void peer.close();
  }
});

t.test('a dead leg is not waited for, and may be closed before', async t => {
  for (const closed of [true, false]) {
    const rig = openRig();
    const [old, fresh] = [cameraStream(SSRC.first), cameraStream(SSRC.next)];
    const first = await openCamera(rig, 'udp', 'first', 50);
    const { udp, tcp } = await openPlatform(rig);
    await feed(first, old, 3);
    t.match(await rig.event('source-silent'), { legId: 'first' });
    if (closed) await rig.bridges.closeSource({ bridgeId: 'b', legId: 'first' });
    if (closed) t.match(rig.bridges.listBridges().bridges, [{ source: { state: 'closed' }, sinks: [{ state: 'flowing' }, { state: 'flowing' }] }], 'the sinks wait');
    const next = await openCamera(rig, 'tcp-passive', 'next');
    await until('quiet for long enough', () => closed || rig.bridges.listBridges().bridges[0]!.source.lastPacketAgeMs! > 500);
    await next.send(...nextPicture(fresh, { key: false }));
    if (closed) await until('quiet', () => rig.bridges.listBridges().bridges[0]!.source.lastPacketAgeMs! > 500 || rig.events.some(event => event.type === 'source-flowing' && event.legId === 'next'));
    await next.send(...nextPicture(fresh, { key: false }));
    await rig.event('source-flowing', 2);
    await feed(next, fresh, 2);
    await until('pictures', () => holds(udp.packets, fresh.sent.at(-1)!));
    t.ok(consecutive(udp.packets) && steady(udp.packets));
    await rig.bridges[Symbol.asyncDispose]();
    for (const peer of [first, next, udp, tcp]) void peer.close();
  }
});

t.test('a replacement that comes to nothing leaves the running leg alone', async t => {
  const rig = openRig();
  const old = cameraStream(SSRC.first);
  const first = await openCamera(rig, 'udp', 'first');
  const { udp, tcp } = await openPlatform(rig);
  await feed(first, old, 3);
  const host = await TcpHost.open();
  host.close();
  await rig.bridges.openSource(sourceParams('b', { transport: 'tcp-active', ssrc: SSRC.next, legId: 'next', replaces: true }));
  await t.rejects(rig.bridges.openSource(sourceParams('b', { ssrc: 7, legId: 'third', replaces: true })), { code: 'BAD_REQUEST' }, 'one at a time');
  rig.bridges.connectSource({ bridgeId: 'b', legId: 'next', remote: host.endpoint, ssrc: SSRC.next, ssrcPolicy: 'exact', payloadType: 96 });
  t.match(await rig.event('source-closed'), { legId: 'next', why: 'connect-failed' });
  await feed(first, old, 3);
  await rig.bridges.closeSource({ bridgeId: 'b', legId: 'next' });
  await rig.bridges.closeSource({ bridgeId: 'b', legId: 'next' });
  t.throws(() => rig.bridges.connectSource({ bridgeId: 'b', legId: 'next', remote: host.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 }), { code: 'BRIDGE_UNKNOWN' });
  await t.rejects(rig.bridges.openSource(sourceParams('b', { ssrc: 7, legId: 'first', replaces: true })), { code: 'BAD_REQUEST' }, 'a name once');
  await t.rejects(rig.bridges.openSource(sourceParams('c', { ssrc: 7, legId: 'next', replaces: true })), { code: 'BRIDGE_UNKNOWN' }, 'nothing to replace');
  const again = await openCamera(rig, 'udp', 'next', 50);
  t.match(await rig.event('source-silent'), { legId: 'next' }, 'its silence is told too');
  await feed(first, old, 2);
  await until('all of the old one', () => holds(udp.packets, old.sent.at(-1)!));
  t.ok(consecutive(udp.packets));
  t.match(rig.bridges.listBridges().bridges[0], { source: { legId: 'first', state: 'flowing' }, replacement: { legId: 'next', state: 'silent' } });
  await rig.bridges.closeBridge({ bridgeId: 'b' });
  t.equal(rig.bridges.size, 0);
  await rig.bridges[Symbol.asyncDispose]();
  for (const peer of [first, again, udp, tcp]) void peer.close();
});

t.test('a source that is opened anew at the port that it had leaves the ports beside it to those that had them', async t => {
  const rig = openRig({ range: { first: 8_000, last: 8_099 } });
  const remote = { address: LOCAL, port: 9 };
  const open = async (bridgeId: string, localPort?: number): Promise<number> => {
    const { local } = await rig.bridges.openSource(sourceParams(bridgeId, { ssrc: SSRC.first, localPort }));
    rig.bridges.connectSource({ bridgeId, remote, ssrc: SSRC.first, ssrcPolicy: 'exact', payloadType: 96 });
    return local.port;
  };
  const isFree = async (port: number): Promise<boolean> => {
    try {
      const peer = await UdpPeer.open(LOCAL, port);
      await new Promise<void>(resolve => peer.socket.close(() => resolve()));
      return true;
    } catch {
      return false;
    }
  };
  t.equal(await open('anew', 8_040), 8_040);
  const port = await open('new');
  await untilAsync('a silent new one listens beside its port', async () => !(await isFree(port + 1)));
  t.equal(await isFree(8_041), true);
  t.match(await rig.bridges.openSink(sinkParams('anew', remote, { localPort: 8_042 })), { local: { port: 8_042 } });
  await rig.bridges[Symbol.asyncDispose]();
});
