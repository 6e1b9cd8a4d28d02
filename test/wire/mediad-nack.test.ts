/** Two gateways of ours with a bad network between them: what is lost is asked for again (RFC 4585). */
import t from 'tap';
import { systemClock as clock } from '#kit/clock.ts';
import { ImpairmentRelay } from '../../scripts/impairment/relay.ts';
import { CLEAR } from '../../scripts/impairment/rules.ts';
import { LOCAL, cameraStream, nextPicture, openRig, sinkParams, sourceParams, UdpPeer, until } from './mediad-peers.ts';

const SOURCE_SSRC = 0x05f5e101;
const BETWEEN_SSRC = 0x0bebc201;
const PICTURES = 250;

for (const fixed of [false, true]) {
  t.test(`5 % lost both ways, 40 ms round trip, ${fixed ? 'one port for all' : 'a port a leg'}: everything arrives`, { timeout: 60_000 }, async t => {
    const lower = openRig({ fixed, range: { first: 9400, last: 9499 } });
    const upper = openRig({ fixed, range: { first: 9500, last: 9599 }, loss: { maxWaitMs: 300 } });
    const [camera, viewer] = [await UdpPeer.open(), await UdpPeer.open()];
    const below = await lower.bridges.openSource(sourceParams('b'));
    lower.bridges.connectSource({ bridgeId: 'b', remote: camera.endpoint, ssrc: SOURCE_SSRC, ssrcPolicy: 'exact', payloadType: 96 });
    const between = await upper.bridges.openSource(sourceParams('u', { ssrc: BETWEEN_SSRC }));
    const rules = { ...CLEAR, lossPercent: 5, delayMs: 20 };
    await using network = await ImpairmentRelay.open({ clock, address: LOCAL, right: between.local, toRight: { ...rules, seed: 11 }, toLeft: { ...rules, seed: 12 } });
    await lower.bridges.openSink(sinkParams('b', network.leftSocket, { ssrc: BETWEEN_SSRC, nack: true, pictures: 'whole' }));
    lower.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
    upper.bridges.connectSource({ bridgeId: 'u', remote: network.rightSocket, ssrc: BETWEEN_SSRC, ssrcPolicy: 'exact', payloadType: 96, nack: true });
    await upper.bridges.openSink(sinkParams('u', viewer.endpoint, { pictures: 'whole' }));
    upper.bridges.startSink({ bridgeId: 'u', sinkId: 's1' });
    const stream = cameraStream(SOURCE_SSRC);
    for (let i = 0; i < PICTURES; i++) {
      await camera.send(below.local, ...nextPicture(stream));
      await new Promise(resolve => setTimeout(resolve, 8));
    }
    await until('the last picture', () => viewer.packets.some(({ timestamp }) => timestamp === stream.timestamp) || upper.bridges.listBridges().bridges[0]!.gate!.freezes > 0);
    const [{ source, gate }, [sent]] = [upper.bridges.listBridges().bridges[0]!, lower.bridges.listBridges().bridges[0]!.sinks];
    t.ok(network.counters.toRight.lost > PICTURES / 15, 'the network did lose');
    t.match(gate, { freezes: 0, state: 'flowing' });
    t.ok(source.asked >= source.repaired && source.repaired >= PICTURES / 15, `asked ${source.asked}, repaired ${source.repaired}`);
    t.ok(sent!.repaired > 0 && sent!.asked >= sent!.repaired);
    t.ok(stream.sent.length > 0 && viewer.payload.equals(Buffer.concat(stream.sent.slice(-picturesIn(viewer)))), 'byte for byte');
    await lower.bridges[Symbol.asyncDispose]();
    await upper.bridges[Symbol.asyncDispose]();
    await Promise.all([camera.close(), viewer.close()]);
  });
}

const picturesIn = ({ packets }: UdpPeer): number => new Set(packets.map(({ timestamp }) => timestamp)).size;

t.test('a peer that was not promised anything gets nothing resent, and its RTCP is counted', async t => {
  const rig = openRig();
  const [camera, viewer] = [await UdpPeer.open(), await UdpPeer.open()];
  const { local } = await rig.bridges.openSource(sourceParams('b'));
  rig.bridges.connectSource({ bridgeId: 'b', remote: camera.endpoint, ssrc: SOURCE_SSRC, ssrcPolicy: 'exact', payloadType: 96 });
  const opened = await rig.bridges.openSink(sinkParams('b', viewer.endpoint, { ssrc: 7 }));
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  const stream = cameraStream(SOURCE_SSRC);
  for (let i = 0; i < 5; i++) await camera.send(local, ...nextPicture(stream));
  await until('pictures', () => viewer.packets.length === 15);
  const nack = Buffer.from('81cd000300000001000000070000ffff', 'hex');
  nack.writeUInt16BE(viewer.packets[3]!.sequence, 12);
  await viewer.send(opened.local, nack);
  const sink = (): { dropped: Readonly<Record<string, number>>; repaired: number } => rig.bridges.listBridges().bridges[0]!.sinks[0]!;
  await until('counted', () => sink().dropped['unexpected'] === 1);
  t.equal(sink().repaired, 0);
  t.equal(viewer.packets.length, 15);
  await rig.bridges[Symbol.asyncDispose]();
  await Promise.all([camera.close(), viewer.close()]);
});
