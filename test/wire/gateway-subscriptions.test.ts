/** Subscriptions of platforms above, through the real daemon and the simulators on loopback. */
import t from 'tap';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const camera = (serial: number, online = true) => ({ id: `340200000013200000${String(serial).padStart(2, '0')}`, name: `断桥 ${serial}`, online });

await using rig = await openRelayRig({
  cameras: [{ channelList: [camera(1), camera(2), camera(3, false)] }, { id: '34020000001180000002', channelList: [camera(4), camera(5)] }],
  devices: { catalogEveryS: 0 },
  upstream: { catalog: { notifyAfterMs: 100 } },
});
const platform = rig.platforms[0]!;
const own = CITY_LOCAL_ID;
const id = (device: number, channel: number): string => rig.idOf(device, channel);

/** Asks for the catalogue, as soon as no answer to an earlier question is being collected. */
const refresh = async (deviceId: string): Promise<void> => {
  await until('no query under way', async () => (await rig.rpc.call('listDevices', {})).find(row => row.id === deviceId)?.catalog.state === 'complete');
  await rig.rpc.call('refreshCatalog', { deviceId });
};

const catalogue = await platform.catalog();
const subscription = platform.subscribe('Catalog', { expiresS: 600 });
subscription.know(catalogue.items);

await t.test('at first everything that is not ON, in the dialog that was asked for', async t => {
  await subscription.when('the first NOTIFY', ({ notifications }) => notifications.length > 0);
  t.same(subscription.events, [`OFF ${id(0, 2)}`]);
  t.equal(subscription.granted, 600);
  const { request, message, state } = subscription.notifications[0]!;
  t.match(message, { root: 'Notify', cmdType: 'Catalog', deviceId: own, body: { sumNum: 1, num: 1 } });
  t.equal(state, 'active');
  t.match(request.headers.find(({ name }) => name === 'Event')?.value, /^Catalog;id=\d+$/, 'Event with its id');
});

await t.test('a device that goes and comes is OFF and ON again', async t => {
  await rig.cameras[1]!.device.registration.stop(true);
  await subscription.when('OFF', ({ events }) => events.length === 3);
  t.same(subscription.events.slice(1), [`OFF ${id(1, 0)}`, `OFF ${id(1, 1)}`]);
  rig.cameras[1]!.device.registration.start();
  await subscription.when('ON', ({ events }) => events.length === 5);
  t.same(subscription.events.slice(3), [`ON ${id(1, 0)}`, `ON ${id(1, 1)}`]);
});

await t.test('channels that come, go and are renamed', async t => {
  const { device } = rig.cameras[1]!;
  device.setChannels([{ ...camera(4), name: '改名' }, camera(6)]);
  const [gone, kept] = [id(1, 1), id(1, 0)];
  await refresh(device.id);
  await subscription.when('all three', ({ events }) => events.length === 8);
  const added = subscription.events.slice(5).find(event => event.startsWith('ADD'))!.slice(4);
  t.same(subscription.events.slice(5), [`UPDATE ${kept}`, `ADD ${added}`, `DEL ${gone}`]);
  t.match(subscription.picture.get(kept)?.item, { name: '改名', status: 'ON', parentId: own });
  t.notOk(subscription.picture.has(gone));
  t.same([...(await platform.catalog()).items].map(item => `${item.deviceId} ${item.name}`).sort(), [...subscription.picture].map(([key, { item }]) => `${key} ${item?.name}`).sort(), 'the picture is the catalogue');
});

await t.test('what is shared is another thing now: DEL and ADD', async t => {
  const before = subscription.events.length;
  const hidden = [id(0, 0), id(0, 1), id(0, 2)];
  await rig.rewrite({ devices: { catalogEveryS: 0 }, upstream: { share: ['34020000001180000002'], catalog: { notifyAfterMs: 100 } } });
  await subscription.when('DEL', ({ events }) => events.length === before + 3);
  t.same(subscription.events.slice(before), [...hidden].reverse().map(each => `DEL ${each}`));
  await rig.rewrite({ devices: { catalogEveryS: 0 }, upstream: { catalog: { notifyAfterMs: 100 } } });
  await subscription.when('ADD', ({ events }) => events.length === before + 6);
  t.same(subscription.events.slice(before + 3), hidden.map(each => `ADD ${each}`), 'under the same IDs');
  t.match(subscription.picture.get(hidden[2]!), { state: 'OFF' });
});

await t.test('a lost NOTIFY is said again, and nothing is lost over a restart', async t => {
  let dropped = 0;
  const before = subscription.events.length;
  subscription.policy = () => (dropped++ === 0 ? 503 : undefined);
  await rig.cameras[0]!.device.registration.stop(true);
  await subscription.when('OFF after all', ({ events }) => events.length === before + 2);
  t.equal(dropped, 2);
  t.same(subscription.events.slice(before), [`OFF ${id(0, 0)}`, `OFF ${id(0, 1)}`], 'the third one was OFF already');
  await until('the answer is noted', async () => (await rig.rpc.call('counters', {}))['subscription.notify-accepted'] === subscription.notifications.length);
  const lastSeq = subscription.notifications.at(-1)!.request.cseq.seq;

  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGKILL');
  rig.cameras[0]!.device.registration.start();
  await ready;
  await rig.reconnect();
  await subscription.when('ON after the restart', ({ events }) => events.length === before + 4);
  t.same(subscription.events.slice(before + 2), [`ON ${id(0, 0)}`, `ON ${id(0, 1)}`], 'only what changed');
  t.ok(subscription.notifications.at(-1)!.request.cseq.seq > lastSeq, 'its numbers go on');
  subscription.refresh();
  await until('refreshed', async () => ((await rig.rpc.call('counters', {}))['subscription.refreshed'] ?? 0) > 0);
});

await t.test('another one for the same replaces it; unsubscribed, it is silent', async t => {
  const second = platform.subscribe('Catalog', { expiresS: 600, event: 'presence' });
  await second.when('its first NOTIFY', ({ notifications }) => notifications.length === 1);
  t.same(second.events, [`OFF ${id(0, 2)}`]);
  const heard = subscription.notifications.length;
  await rig.cameras[1]!.device.registration.stop(true);
  await second.when('OFF', ({ events }) => events.length === 3);
  t.equal(subscription.notifications.length, heard);
  t.equal(subscription.empty, 0, 'and not told to end, which some would take for the new one');
  t.equal(await second.unsubscribe(), 200);
  await second.when('its last NOTIFY', ({ ended }) => ended !== undefined);
  t.equal(second.ended, 'unsubscribed 200');
  rig.cameras[1]!.device.registration.start();
  await until('back', async () => (await rig.rpc.call('listDevices', {})).every(({ state }) => state === 'online'));
  t.equal(second.notifications.length, 2);
  t.equal((await rig.rpc.call('counters', {}))['subscription.ended.replaced'], 1);
});

await t.test('scopes, and what cannot be subscribed', async t => {
  const one = platform.subscribe('Catalog', { deviceId: id(0, 2), expiresS: 60 });
  const region = platform.subscribe('Catalog', { deviceId: '340200', expiresS: 60 });
  await one.when('one channel', ({ notifications }) => notifications.length === 1);
  await region.when('a region', ({ notifications }) => notifications.length === 1);
  t.same([one.events, region.events], [[`OFF ${id(0, 2)}`], [`OFF ${id(0, 2)}`]]);
  t.equal(region.notifications[0]!.message.deviceId, '340200');
  const refused = [
    platform.subscribe('Catalog', { deviceId: '34020000001320000099' }),
    platform.subscribe('DeviceStatus'),
    platform.subscribe('Catalog', { body: '' }),
    platform.subscribe('Catalog', { body: '<Query><CmdType>Catalog</CmdType>' }),
  ];
  for (const each of refused) await each.when('an answer', ({ ended }) => ended !== undefined);
  t.same(refused.map(({ ended }) => ended), ['rejected 404', 'rejected 489', 'rejected 400', 'rejected 400']);
});
