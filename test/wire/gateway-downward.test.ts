/** Subscriptions of the gateway at cameras, through the real daemon: what they say reaches the platform above. */
import t from 'tap';
import { readAlarm } from '#core/gb/alarm.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { GbDevice, item, xml } from '../rig/gb-peer.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { token } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const channel = (serial: number) => ({ id: `340200000013200000${String(serial).padStart(2, '0')}`, name: `c${serial}`, online: true });
const LIAR = '34020000001180000003';

await using rig = await openRelayRig({
  cameras: [{ channelList: [channel(1), channel(2)] }, { id: '34020000001180000002', channelList: [channel(3)], topics: [] }, { id: LIAR, channelList: [channel(4)] }],
  devices: { subscribe: { catalog: true, alarm: true, pollS: 10 }, known: [{ id: LIAR, password: LAB_PASSWORD, notifiedStatus: 'ignore' }] },
  upstream: { catalog: { notifyAfterMs: 20 } },
});
const platform = rig.platforms[0]!;
const [nvr, deaf, liar] = rig.cameras.map(({ device }) => device);
const id = (device: number, at: number): string => rig.idOf(device, at);
const counters = (): Promise<Record<string, number>> => rig.rpc.call('counters', {});

const above = platform.subscribe('Catalog');
await above.when('the first NOTIFY', ({ notifications }) => notifications.length === 1);
const next = async (count = 1): Promise<string[]> => {
  const from = above.events.length;
  return above.when(`${count} more`, ({ events }) => events.length >= from + count).then(() => above.events.slice(from));
};
const polled = until('polled in place of subscribed', () => deaf!.counters.catalogMessages >= 2, 25_000);

await t.test('both topics are subscribed when a device registers', async t => {
  await until('both', () => nvr!.subscriptions.topics.length === 2);
  t.match(nvr!.subscriptions.accepted, [{ root: 'Query', cmdType: 'Catalog', deviceId: nvr!.id }, { root: 'Query', cmdType: 'Alarm', deviceId: nvr!.id }]);
  await until('refused', () => deaf!.subscriptions.asked === 2);
});

await t.test('what the device says goes up', async t => {
  for (const event of ['OFF', 'ON', 'VLOST', 'DEFECT', 'ON']) {
    const heard = next();
    t.equal(await nvr!.notifyCatalog({ events: [{ id: channel(2).id, event }] }), 200);
    t.same(await heard, [`${event} ${id(0, 1)}`]);
  }
  const added = next(2);
  t.equal(await nvr!.notifyCatalog({ root: 'Response', sumNum: 77, events: [{ id: channel(9).id, event: 'ADD', content: '<Name>new</Name><Status>ON</Status>' }, { id: channel(1).id, event: 'DEL' }] }), 200, 'as of 2011, with a total that is none');
  const events = await added;
  t.match(events, [/^ADD /, `DEL ${id(0, 0)}`]);
  t.equal(above.picture.get(events[0]!.slice(4))?.item?.name, 'new');
  t.same((await rig.rpc.call('listChannels', { deviceId: nvr!.id })).rows.map(row => row.channelId), [channel(2).id, channel(9).id]);
  const updated = next();
  await nvr!.notifyCatalog({ events: [{ id: channel(9).id, event: 'UPDATE', content: '<Name>renamed</Name>' }] });
  t.match(await updated, [/^UPDATE /]);
});

await t.test('a state of something unknown: the catalogue is asked for', async t => {
  const asked = nvr!.counters.catalogMessages;
  await until('no query under way', async () => (await rig.rpc.call('listDevices', {})).find(row => row.id === nvr!.id)?.catalog.state === 'complete');
  const heard = next(2);
  await nvr!.notifyCatalog({ events: [{ id: channel(33).id, event: 'OFF' }] });
  await until('asked', () => nvr!.counters.catalogMessages > asked);
  t.equal((await counters())['catalog.notified-unknown'], 1);
  t.match(await heard, [`ADD ${id(0, 0)}`, /^DEL /], 'the answer counts: what was said before was not true');
});

await t.test('quirk 4: states of a platform whose states are wrong are not taken, its items are', async t => {
  await until('subscribed', () => liar!.subscriptions.topics.length === 2);
  const heard = next();
  t.equal(await liar!.notifyCatalog({ events: [{ id: channel(4).id, event: 'OFF' }, { id: channel(4).id, event: 'UPDATE', content: '<Name>honest</Name><Status>OFF</Status>' }] }), 200);
  t.same(await heard, [`UPDATE ${id(2, 0)}`]);
  t.match(above.picture.get(id(2, 0)), { state: 'ON', item: { name: 'honest' } });
});

await t.test('an alarm in a NOTIFY goes up, and wants no Response', async t => {
  const alarm = { priority: 1, method: '2', time: '2026-03-10T08:14:02', description: 'by NOTIFY', longitude: undefined, latitude: undefined, type: undefined, eventType: undefined };
  t.equal(await nvr!.sendAlarm({ source: channel(2).id, byNotify: true, alarm }), 200);
  await until('above', () => platform.notices.length === 1);
  t.same(readAlarm(platform.notices[0]!.element), alarm);
  t.equal(platform.notices[0]!.deviceId, id(0, 1));
  t.equal(nvr!.alarmResponses.length, 0);
});

await t.test('fault 50: a NOTIFY without tag or count is taken in the dialog that fits; one of no dialog is not', async t => {
  await using raw = await GbDevice.open(rig.gateway, { id: '34020000001180000007', address: '127.0.0.41' });
  raw.items = [item('34020000001320000071', 'raw')];
  const asked = raw.raw.wait(message => message.method === 'SUBSCRIBE' && message.xml('CmdType') === 'Catalog', 'SUBSCRIBE');
  await raw.register();
  const subscribe = await asked;
  raw.raw.answer(subscribe, 200, { contact: raw.raw.contact(raw.id), headers: ['Expires: 600'] });
  const ours = (): string | undefined => [...above.picture].find(([, { item: known }]) => known?.name === 'raw')?.[0];
  await above.when('its channel', () => ours() !== undefined);
  const notify = (event: string, callId: string): Promise<{ status: number | undefined }> =>
    raw.ask('NOTIFY', LAB_ID, { callId, seq: 2, headers: [`Event: ${subscribe.header('Event')}`, 'Subscription-State: active'], body: xml('Notify', 'Catalog', 5, raw.id, `<SumNum>1</SumNum><DeviceList><Item><DeviceID>34020000001320000071</DeviceID><Event>${event}</Event></Item></DeviceList>`) });
  const status = async (): Promise<string> => (await rig.rpc.call('listChannels', { deviceId: raw.id })).rows[0]!.status;
  for (const event of ['OFF', 'ON']) {
    const heard = next();
    t.equal((await notify(event, subscribe.callId)).status, 200);
    t.equal(await status(), event);
    t.same(await heard, [`${event} ${ours()!}`]);
  }
  t.equal((await notify('OFF', token())).status, 481);
  t.equal(await status(), 'ON');

  // Of a subscription that went with an earlier process: nobody would send it twice.
  const alarm = (text: string, from = raw): Promise<{ status: number | undefined }> =>
    from.ask('NOTIFY', LAB_ID, { callId: token(), seq: 9, headers: ['Event: presence', 'Subscription-State: active'], body: xml('Notify', 'Alarm', 6, '34020000001320000071', `<AlarmPriority>1</AlarmPriority><AlarmMethod>2</AlarmMethod><AlarmTime>2026-03-10T08:14:02</AlarmTime><AlarmDescription>${text}</AlarmDescription>`) });
  await using stranger = await GbDevice.open(rig.gateway, { id: '34020000001180000008', address: '127.0.0.42' });
  t.equal((await alarm('of a stranger', stranger)).status, 481);
  t.equal((await alarm('of an old dialog')).status, 481, 'the device forgets the old dialog');
  await until('above', () => platform.notices.length === 2);
  t.equal(readAlarm(platform.notices[1]!.element).description, 'of an old dialog');
  t.equal((await counters())['alarm.in-stray-notify'], 1);
});

await t.test('after a restart it is subscribed anew', async t => {
  const before = nvr!.subscriptions.accepted.length;
  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGKILL');
  await ready;
  await rig.reconnect();
  await until('both again', () => nvr!.subscriptions.accepted.length === before + 2);
  const heard = next();
  t.equal(await nvr!.notifyCatalog({ events: [{ id: channel(2).id, event: 'OFF' }] }), 200);
  t.same(await heard, [`OFF ${id(0, 1)}`]);
});

await t.test('switched off, it is unsubscribed', async t => {
  await rig.rewrite({ devices: { subscribe: { catalog: false, alarm: true }, known: [{ id: LIAR, password: LAB_PASSWORD }] } });
  await until('one is left', () => nvr!.subscriptions.topics.join() === 'Alarm');
  t.same(nvr!.subscriptions.topics, ['Alarm']);
});

await t.test('a device that refuses is polled', async t => {
  t.ok(await polled);
});
