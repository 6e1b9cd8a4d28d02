import t from 'tap';
import { cameraStream, LOCAL, nextPicture, openRig, sinkParams, sourceParams, until, UdpPeer } from './mediad-peers.ts';

t.test('udp to udp: payload byte for byte, header ours', async t => {
  const rig = openRig();
  const camera = await UdpPeer.open();
  const platform = await UdpPeer.open();
  const { local } = await rig.bridges.openSource(sourceParams('b'));
  rig.bridges.connectSource({ bridgeId: 'b', remote: camera.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 });
  await rig.bridges.openSink(sinkParams('b', platform.endpoint, { ssrc: 9, payloadType: 97 }));
  const stream = cameraStream(7);
  await camera.send(local, ...nextPicture(stream));
  await rig.event('source-flowing');
  stream.sent.length = 0;
  rig.bridges.startSink({ bridgeId: 'b', sinkId: 's1' });
  for (let i = 0; i < 30; i++) await camera.send(local, ...nextPicture(stream));
  await until('all packets', () => platform.packets.length === 90);
  t.ok(platform.payload.equals(Buffer.concat(stream.sent)));
  t.ok(platform.packets.every((packet, i) => packet.ssrc === 9 && packet.payloadType === 97 && packet.sequence === ((platform.packets[0]!.sequence + i) & 0xffff)));
  const [bridge] = rig.bridges.listBridges().bridges;
  t.match(bridge, { source: { state: 'flowing', payload: 'ps', codecs: ['h264', 'g711a'], lost: 0, packets: 93, remote: camera.endpoint }, sinks: [{ state: 'flowing', packets: 90 }] });
  t.equal((await rig.event('sink-flowing')).remote.address, LOCAL);
  await rig.bridges[Symbol.asyncDispose]();
  await camera.close();
  await platform.close();
});
