/** Positions through the real daemon: subscribed by platforms, subscribed at devices on their behalf, in the forms of both editions. */
import t from 'tap';
import { type MobilePosition, buildMobilePositions, buildPtzPosition, readMobilePositions, readPtzPosition } from '#core/gb/position.ts';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const channel = (serial: number) => ({ id: `340200000013200000${String(serial).padStart(2, '0')}`, name: `c${serial}`, online: true });
const NVR = '34020000001180000002';
const TOPICS = ['Catalog', 'Alarm', 'MobilePosition', 'PTZPosition'];

await using rig = await openRelayRig({
  cameras: [{ channelList: [channel(1)], topics: TOPICS }, { id: NVR, channelList: [channel(2), channel(3)], topics: TOPICS }],
});
const platform = rig.platforms[0]!;
const [single, nvr] = rig.cameras.map(({ device }) => device);
const id = (device: number, at: number): string => rig.idOf(device, at);
const counters = (): Promise<Record<string, number>> => rig.rpc.call('counters', {});

const at = (deviceId: string, longitude: number): MobilePosition => ({ deviceId, time: '2026-03-10T08:01:05', longitude, latitude: 30.2702, speedKmh: 36, direction: 90, altitudeM: 12, heightM: undefined });
const flat = (deviceId: string, longitude: number): string => buildMobilePositions('2016', { sn: 81, deviceId }, [at(deviceId, longitude)])[0]!;

await t.test('a channel that a platform subscribes is subscribed at its device with the same interval', async t => {
  const above = platform.subscribe('MobilePosition', { deviceId: id(1, 1), content: '<Interval>1</Interval>' });
  await until('subscribed below', () => nvr!.subscriptions.topics.includes(`MobilePosition ${channel(3).id}`));
  t.match(nvr!.subscriptions.accepted.at(-1), { root: 'Query', cmdType: 'MobilePosition', deviceId: channel(3).id });
  t.equal(nvr!.subscriptions.accepted.at(-1)!.element.children.find(({ key }) => key === 'interval')?.text, '1');
  t.notOk(single!.subscriptions.topics.some(topic => topic.startsWith('Mobile')), 'nobody else is');

  t.equal(await nvr!.subscriptions.notify(`MobilePosition ${channel(3).id}`, flat(channel(3).id, 120.1)), 200);
  await above.when('the first at once', ({ notifications }) => notifications.length === 1);
  t.same(readMobilePositions(above.notifications[0]!.message).positions, [at(id(1, 1), 120.1)], 'under the ID that the platform knows');

  for (const longitude of [120.2, 120.3, 120.4]) await nvr!.subscriptions.notify(`MobilePosition ${channel(3).id}`, flat(channel(3).id, longitude));
  await above.when('the newest after the interval', ({ notifications }) => notifications.length === 2);
  t.equal(readMobilePositions(above.notifications[1]!.message).positions[0]!.longitude, 120.4);

  t.equal(await above.unsubscribe(), 200);
  await until('no longer subscribed below', () => !nvr!.subscriptions.topics.some(topic => topic.startsWith('Mobile')));
});

await t.test('everything of a platform, and what devices send unasked, in the 2016 form without DeviceID too', async t => {
  const above = platform.subscribe('MobilePosition', { deviceId: CITY_LOCAL_ID, content: '<Interval>1</Interval>' });
  await above.when('granted', ({ granted }) => granted !== undefined);
  t.equal(await single!.send(flat('', 1).replace('<DeviceID></DeviceID>\r\n', '')), 200);
  await above.when('of the only channel', ({ notifications }) => notifications.length === 1);
  t.same(readMobilePositions(above.notifications[0]!.message).positions[0]!.deviceId, id(0, 0));
  const [listed] = buildMobilePositions('2022', { sn: 3, deviceId: NVR }, [at(channel(2).id, 5), at('34020000001329999999', 6), at(channel(3).id, 7)]);
  t.equal(await nvr!.send(listed!), 200);
  await above.when('both that are known', ({ notifications }) => notifications.length === 3);
  t.same(above.notifications.slice(1).map(({ message }) => readMobilePositions(message).positions[0]!.longitude), [5, 7]);
  t.match(await counters(), { 'position.unknown-channel': 1, 'subscription.MobilePosition': 2 });
  await nvr!.send(flat(channel(2).id, 999));
  await until('counted', async () => (await counters())['position.malformed'] === 1);
  t.equal(await above.unsubscribe(), 200);
});

await t.test('where a camera looks', async t => {
  const above = platform.subscribe('PTZPosition', { deviceId: id(0, 0) });
  await until('subscribed below', () => single!.subscriptions.topics.includes(`PTZPosition ${channel(1).id}`));
  const position = { pan: 87.5, tilt: 12, zoom: 4, horizontalFieldAngle: 60, verticalFieldAngle: 34, maxViewDistance: 80 };
  t.equal(await single!.subscriptions.notify(`PTZPosition ${channel(1).id}`, buildPtzPosition({ sn: 5, deviceId: channel(1).id }, position)), 200);
  await above.when('it came', ({ notifications }) => notifications.length === 1);
  t.same(readPtzPosition(above.notifications[0]!.message), position);
  t.equal(above.notifications[0]!.message.deviceId, id(0, 0));
});

await t.test('a subscription and what it wants below survive a restart', async t => {
  const above = platform.subscribe('MobilePosition', { deviceId: id(0, 0), content: '<Interval>1</Interval>' });
  await until('subscribed below', () => single!.subscriptions.topics.includes(`MobilePosition ${channel(1).id}`));
  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGTERM');
  await ready;
  await rig.reconnect();
  await until('it answers', async () => {
    await single!.send(flat(channel(1).id, 9));
    return above.notifications.length > 0;
  });
  t.same(readMobilePositions(above.notifications[0]!.message).positions[0]!.deviceId, id(0, 0));
});
