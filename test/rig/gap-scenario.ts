/**
 * A gateway between two networks, everything that both sides do with it, and what was seen of it: run in a network namespace of its own
 * (test/wire/gateway-gap.test.ts), prints one JSON object.
 *
 *   low side: camera 127.0.0.4 ── 127.0.0.2 gateway 127.0.0.3 ── platform 127.0.0.5: high side
 */
import { toByteString } from '#core/bytes.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { serializeMessage } from '#core/sip/serialize.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';
import { CITY_ID, CITY_LOCAL_ID } from './relay-rig.ts';
import { until } from './until.ts';

const [LOW, HIGH, CAMERA, CITY] = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];
const [SIP_PORT, MEDIA_PORT] = [5060, 10_000];
const PASSWORD = 'city-secret';
const START_S = 1_773_100_800;

const seenAbove: string[] = [];
await using platform = await Platform.open({
  id: CITY_ID, password: PASSWORD, address: CITY, port: SIP_PORT,
  onTrace: (direction, message) => {
    if (direction === 'in') seenAbove.push(toByteString(serializeMessage(message)));
  },
});
await using gateway = await LabGateway.open({
  address: LOW, sipPort: SIP_PORT,
  config: {
    sip: { listen: [{ transport: 'udp', address: LOW, port: SIP_PORT }, { transport: 'udp', address: HIGH, port: SIP_PORT }] },
    devices: { media: { lingerS: 0 }, gap: { methods: ['REGISTER', 'MESSAGE', 'BYE', 'NOTIFY'], commands: ['Keepalive', 'Catalog', 'DeviceInfo', 'DeviceStatus', 'RecordInfo', 'Alarm', 'MediaStatus'] } },
    media: { downstreamAddress: LOW, upstreamAddress: HIGH, ports: { mode: 'fixed', fixedUdp: MEDIA_PORT, fixedTcp: MEDIA_PORT } },
    upstreams: [{ name: 'city', id: CITY_ID, address: CITY, port: SIP_PORT, localId: CITY_LOCAL_ID, localAddress: HIGH, password: PASSWORD, gap: { methods: ['MESSAGE', 'INVITE', 'BYE', 'INFO', 'SUBSCRIBE'], commands: ['Catalog', 'DeviceInfo', 'RecordInfo', 'DeviceControl'], unknownElements: 'drop' } }],
  },
});
await using camera = await CameraSimulator.open({ id: '34020000001180000001', localAddress: CAMERA, platform: { id: LAB_ID, address: LOW, port: SIP_PORT }, password: LAB_PASSWORD });
await platform.waitRegistered(CITY_LOCAL_ID);
await using rpc = await gateway.rpc();
await until('the catalogue', async () => (await rpc.call('listChannels', {})).total === 1, 20_000);
const [channel] = (await rpc.call('listChannels', {})).rows;
const id = channel!.mapped[0]!.id;

const catalogue = await platform.catalog();
await platform.deviceInfo();
const records = await platform.records(id, '2026-03-10T00:00:00', '2026-03-10T02:00:00');
const subscription = platform.subscribe('Catalog');
await subscription.when('granted', ({ granted }) => granted !== undefined);
await platform.control(id, '<PTZCmd>A50F0108000000BD</PTZCmd>');
const live = await platform.play(id, { transport: 'udp' });
const passive = await platform.play(id, { transport: 'tcp-active' });
await Promise.all([live.waitFrames(50), passive.waitFrames(50)]);
const recorded = await platform.play(id, { transport: 'udp', history: { startS: START_S, stopS: START_S + 2 } });
await recorded.waitFrames(20);
const alarm = { priority: 1, method: '2', time: '2026-03-10T08:14:02', description: CAMERA, longitude: undefined, latitude: undefined, type: undefined, eventType: undefined };
await camera.device.sendAlarm({ alarm: { ...alarm, description: 'gate' } });
await until('the alarm is above', () => platform.notices.length === 1);
// What was not declared.
const refused = {
  command: await platform.message(buildManscdp('Query', 'PresetQuery', { sn: 9, deviceId: id }), CITY_LOCAL_ID).then(() => 200, (error: Error) => Number(/\d{3}$/.exec(error.message)?.[0])),
  notice: await camera.device.send(buildManscdp('Notify', 'MobilePosition', { sn: 9, deviceId: camera.device.id }, '<Longitude>1</Longitude><Latitude>1</Latitude>')),
};
const reports = [await live.stop(), await passive.stop(), await recorded.stop()];
const counters = await rpc.call('counters', {});

const text = seenAbove.join('\n');
process.stdout.write(
  `${JSON.stringify({
    messages: seenAbove.length,
    channels: catalogue.items.length,
    records: records.items.length,
    lost: reports.map(({ lost, damaged }) => [lost, damaged]),
    lowSideSeenAbove: [LOW, CAMERA, camera.device.id, ...(id === channel!.channelId ? [] : [channel!.channelId])].filter(word => text.includes(word)),
    refused,
    undeclared: [counters['gap.undeclared-command'], counters['gap.undeclared-method'] ?? 0],
  })}\n`,
);
