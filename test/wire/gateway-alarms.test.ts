/** Alarms of cameras on their way up, through the real daemon and the simulators on loopback. */
import t from 'tap';
import { readAlarm } from '#core/gb/alarm.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const ALARM = { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: '断桥 tripwire', longitude: undefined, latitude: undefined, type: '6', eventType: undefined };
const channel = (serial: number) => ({ id: `340200000013200000${String(serial).padStart(2, '0')}`, name: `c${serial}`, online: true });

await using rig = await openRelayRig({
  cameras: [{ channelList: [channel(1), channel(2)] }, { id: '34020000001180000002', channelList: [channel(3)] }],
  platforms: 2,
});
const [city, other] = rig.platforms;
const [nvr, single] = rig.cameras.map(({ device }) => device);
const counters = (): Promise<Record<string, number>> => rig.rpc.call('counters', {});
const told = (notices: readonly Manscdp[]): string[] => notices.map(({ deviceId, element }) => `${deviceId} ${readAlarm(element).description}`);

await t.test('not subscribed: MESSAGE to every platform that sees the camera, and a Response to the camera', async t => {
  t.equal(await nvr!.sendAlarm({ source: channel(2).id, sn: 900, alarm: ALARM }), 200);
  await until('both heard it', () => city!.notices.length === 1 && other!.notices.length === 1);
  t.same(readAlarm(city!.notices[0]!.element), ALARM);
  t.same([city!.notices[0]!.deviceId, other!.notices[0]!.deviceId], [rig.idOf(0, 1, 0), rig.idOf(0, 1, 1)], 'each under its own ID');
  await until('the Response', () => nvr!.alarmResponses.length === 1);
  t.match(nvr!.alarmResponses[0], { sn: 900, deviceId: channel(2).id, body: { kind: 'result', result: 'OK' } });
});

await t.test('said twice by the camera, it goes up once', async t => {
  t.equal(await nvr!.sendAlarm({ source: channel(2).id, sn: 900, alarm: ALARM }), 200);
  await until('the Response', () => nvr!.alarmResponses.length === 2);
  t.equal((await counters())['alarm.repeated'], 1);
  t.equal(city!.notices.length, 1);
});

await t.test('an alarm of the device: its only channel, or ourselves (quirk 37)', async t => {
  await single!.sendAlarm({ source: single!.id, alarm: { ...ALARM, description: 'single' } });
  await until('heard', () => city!.notices.length === 2);
  await nvr!.sendAlarm({ source: nvr!.id, alarm: { ...ALARM, description: 'nvr' } });
  await until('heard', () => city!.notices.length === 3);
  t.same(told(city!.notices.slice(1)), [`${rig.idOf(1, 0)} single`, `${CITY_LOCAL_ID} nvr`]);
});

await t.test('subscribed: NOTIFY of what is wanted, nothing of the rest, MESSAGE of what no subscription covers', async t => {
  const subscription = city!.subscribe('Alarm', { deviceId: rig.idOf(0, 0), content: '<StartAlarmPriority>1</StartAlarmPriority><EndAlarmPriority>2</EndAlarmPriority><AlarmMethod>25</AlarmMethod>' });
  await subscription.when('granted', ({ granted }) => granted === 600);
  const messages = city!.notices.length;
  for (const [description, change] of [['low', { priority: 3 }], ['wanted', {}], ['method', { method: '4' }], ['urgent', { priority: 1, method: '2' }]] as const) {
    await nvr!.sendAlarm({ source: channel(1).id, alarm: { ...ALARM, description, ...change } });
  }
  await nvr!.sendAlarm({ source: channel(2).id, alarm: { ...ALARM, description: 'not covered' } });
  await until('the MESSAGE', () => city!.notices.length === messages + 1);
  await subscription.when('both', ({ notifications }) => notifications.length === 2);
  t.same(told(subscription.notifications.map(({ message }) => message)), [`${rig.idOf(0, 0)} wanted`, `${rig.idOf(0, 0)} urgent`]);
  t.same(told(city!.notices.slice(messages)), [`${rig.idOf(0, 1)} not covered`]);
  t.equal(await subscription.unsubscribe(), 200);
  await nvr!.sendAlarm({ source: channel(1).id, alarm: { ...ALARM, priority: 4, description: 'afterwards' } });
  await until('a MESSAGE again', () => told(city!.notices).includes(`${rig.idOf(0, 0)} afterwards`));
});

await t.test('what no platform has accepted survives a crash: nothing lost, nothing doubled', async t => {
  const before = city!.notices.length;
  const tries: Manscdp[] = [];
  city!.noticePolicy = notice => {
    tries.push(notice);
    return 'drop';
  };
  for (let index = 0; index < 30; index++) t.equal(await nvr!.sendAlarm({ source: channel(1).id, alarm: { ...ALARM, priority: index === 20 ? 1 : 3, description: `kept ${index}` } }), 200);
  await until('the first try', () => tries.length > 0);
  await until('the other platform has them all', () => other!.notices.length >= 30 + before);

  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGKILL');
  await ready;
  await rig.reconnect();
  city!.noticePolicy = undefined;
  await until('all of them', () => city!.notices.length >= before + 30, 20_000);
  t.same(told(city!.notices.slice(before)).map(text => Number(text.split(' ').at(-1))), [20, ...Array.from({ length: 30 }, (_, index) => index).filter(index => index !== 20)], 'the urgent one first');
  t.equal(tries[0]!.sn, city!.notices.slice(before).find(({ element }) => readAlarm(element).description === 'kept 0')!.sn, 'under the same SN as the try before');
  t.equal(new Set(city!.notices.map(({ sn }) => sn)).size, city!.notices.length);
  const heard = other!.notices.length;
  t.equal(await nvr!.sendAlarm({ source: channel(1).id, alarm: { ...ALARM, description: 'last' } }), 200);
  await until('both', () => told(city!.notices).at(-1)?.endsWith('last') === true && told(other!.notices).at(-1)?.endsWith('last') === true);
  t.equal(other!.notices.length, heard + 1, 'and nothing again to the one that had it all');
  t.equal(await nvr!.sendAlarm({ source: channel(2).id, sn: 900, alarm: ALARM }), 200);
  t.equal((await counters())['alarm.repeated'], 1, 'what was accepted before the crash is known after it');
});
