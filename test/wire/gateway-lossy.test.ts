/** Loss of a camera's UDP above the limit: it is asked again over TCP under its viewers, and remembered. */
import t from 'tap';
import { assertReleased, openRelayRig, type RelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(180_000);

const counter = async (rig: RelayRig, name: string): Promise<number> => (await rig.rpc.call('counters', {}))[name] ?? 0;
const device = (index: number): string => `3402000000118000000${index + 1}`;

await t.test('a lossy camera is moved to TCP; one that sends to one only makes room; one that has no TCP stays; one that is configured is left alone', async t => {
  const kinds = [['loss'], ['loss', 'busy'], ['loss', 'never-connects'], ['loss']] as const;
  await using rig = await openRelayRig({
    cameras: kinds.map(quirks => ({ quirks: [...quirks] })),
    devices: { media: { lingerS: 0, firstPacketS: 2 }, known: [{ id: device(3), password: 'lab-device-secret', transport: 'udp' }] },
    media: { loss: { tcpAbovePercent: 0.3 } },
  });
  const platform = rig.platforms[0]!;
  const taken = (index: number) => rig.gateway.sipd.next(line => line.msg === 'source.taken-over' && String(line['from']).startsWith(device(index)) && String(line['to']).includes('tcp'), 60_000);
  const lines = [taken(0), taken(1)];
  const stays = rig.gateway.sipd.next(line => line.msg === 'source.stays-lossy' && line['deviceId'] === device(2), 60_000);
  const plays = await Promise.all(kinds.map((_, index) => platform.play(rig.idOf(index, 0), { transport: 'udp' })));
  await Promise.all(plays.map(play => play.waitFrames(10)));
  const legOf = async (index: number) => (await rig.rpc.call('listSessions', {})).find(row => row.deviceId === device(index));
  t.equal((await legOf(0))?.bridge?.source.transport, 'udp');
  await Promise.all([...lines, stays]);
  for (const index of [0, 1]) {
    await plays[index]!.waitFrames(plays[index]!.report.frames + 25, 20_000);
    t.match(await legOf(index), { sourceState: 'flowing', learnt: 'its UDP was lossy', bridge: { source: { transport: 'tcp-passive', state: 'flowing' }, replacement: null } });
    await until('one stream of the camera', () => rig.cameras[index]!.sessions.length === 1);
  }
  t.match(await legOf(2), { sourceState: 'flowing', learnt: 'its UDP is lossy, but it cannot be had over TCP', bridge: { source: { transport: 'udp', state: 'flowing' }, replacement: null } });
  t.match(await legOf(3), { learnt: null, bridge: { source: { transport: 'udp', state: 'flowing' } } });
  t.same(plays.map(play => play.report.ended), [undefined, undefined, undefined, undefined], 'no BYE for anybody');
  t.equal(await counter(rig, 'relay.moved-to-tcp'), 2);
  t.equal(await counter(rig, 'relay.tcp-refused'), 1);
  await Promise.all(plays.map(play => play.stop()));
  await assertReleased(rig, 10_000);

  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await until('registered again', () => platform.play(rig.idOf(0, 0), { transport: 'udp' }).then(play => play.waitFrames(5).then(() => play.stop()).then(() => true), () => false), 20_000);
  const again = await platform.play(rig.idOf(0, 0), { transport: 'udp' });
  await again.waitFrames(5);
  t.match(await legOf(0), { bridge: { source: { transport: 'tcp-passive' } } }, 'asked over TCP from the start, after a restart too');
  const report = await rig.rpc.call('why', { channel: `${device(0)}/${(await legOf(0))!.channelId}`, probe: false });
  t.match(report.steps.find(step => step.step === 'invite')?.evidence, { transport: 'tcp-passive', learnt: 'its UDP was lossy' });
  await again.stop();
});
