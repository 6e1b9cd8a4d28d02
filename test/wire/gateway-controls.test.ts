/** Controls and questions of two platforms, forwarded to cameras: mapped IDs, both SIP transports, refusals, limits (gb28181.md 3, 4, 8.2; A.7). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { SipdEvent, SipdRequests } from '#contracts/sipd.ts';
import { type DeviceControl, formatDeviceControl } from '#core/gb/device-control.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { LENS_STOP, PTZ_STOP, type PtzCommand, formatPtz } from '#core/gb/ptz.ts';
import { childOf, textOf } from '#core/gb/xml.ts';
import { connectRpc } from '#kit/rpc.ts';
import { CITY_LOCAL_ID, type RelayRig, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);
type Camera = RelayRig['cameras'][number]['device'];
type City = RelayRig['platforms'][number];

const ptz = (command: PtzCommand): DeviceControl & { kind: 'ptz' } => ({ kind: 'ptz', instruction: { command, address: 1 } });
const left = (panSpeed: number): PtzCommand => ({ ...PTZ_STOP, pan: 'left', panSpeed });
const inside = (message: Manscdp, ...path: string[]): string | undefined => path.reduce<Manscdp['element'] | undefined>((element, key) => element && childOf(element, key), message.element)?.text;

await using rig = await openRelayRig({
  cameras: [{ channels: 2 }, { transport: 'tcp', version: '2022', channels: 2 }, {}],
  platforms: 2,
  upstream: { permissions: { maintenance: true } },
});
const [city, county] = rig.platforms as [City, City];
const [udp, tcp, stalling] = rig.cameras.map(camera => camera.device) as [Camera, Camera, Camera];
const CAMERAS = [[0, udp], [1, tcp]] as const;
const counter = async (name: string): Promise<number> => (await rig.rpc.call('counters', {}))[name] ?? 0;
const arrived = (device: Camera, value: string): Promise<unknown> => until(`${value} at ${device.id}`, () => device.controls.some(control => control.value === value));
/** Until everything that was sent before has been dealt with. */
const settled = async (): Promise<unknown> => Promise.all(CAMERAS.map(([index]) => city.ask('Query', 'PTZPosition', rig.idOf(index, 0))));

/** A camera that repeats itself and stops in the middle takes as long as our patience: asked beside the others. */
stalling.onCommand = message => (message.cmdType === 'RecordInfo' ? [stalledPart(message, 12, 11), stalledPart(message, 11, 10)] : undefined);
const stalled = city.records(rig.idOf(2, 0), '2026-03-10T00:00:00', '2026-03-10T23:59:59');

await t.test('PTZ reaches the camera under its own ID, whoever asks and however it is connected', async t => {
  for (const [index, device] of CAMERAS) {
    for (const [which, platform] of rig.platforms.entries()) {
      const speed = 10 + 2 * index + which;
      const asked = rig.idOf(index, 1, which);
      await platform.control(asked, formatDeviceControl(ptz(left(speed)), '2016'));
      await arrived(device, formatPtz(ptz(left(speed)).instruction));
      t.match(device.controls.at(-1), { channelId: device.channels[1]!.id, command: 'PTZCmd' });
      await platform.control(asked, formatDeviceControl(ptz(PTZ_STOP), '2016'));
      await until('the stop', () => device.frontEnd.of(device.channels[1]!.id).moving === undefined);
    }
  }
  t.equal(await counter('control.forwarded'), 8);
});

await t.test('I-frame in the spelling of the camera', async t => {
  await city.control(rig.idOf(0, 0), '<IFrameCmd>Send</IFrameCmd>');
  await county.control(rig.idOf(1, 0, 1), '<IFameCmd>Send</IFameCmd>');
  for (const [index, device] of CAMERAS) {
    await until('the request', () => device.counters.keyFrameRequests === 1);
    t.equal(device.controls.at(-1)!.command, index === 0 ? 'IFameCmd' : 'IFrameCmd');
  }
});

await t.test('controls that want a Response get that of the camera, others none', async t => {
  const guard = await city.ask('Control', 'DeviceControl', rig.idOf(0, 0), '<GuardCmd>SetGuard</GuardCmd>');
  t.match(guard, { deviceId: rig.idOf(0, 0), body: { kind: 'result', result: 'OK' } });
  const home = await county.ask('Control', 'DeviceControl', rig.idOf(1, 1, 1), '<HomePosition><Enabled>1</Enabled><ResetTime>30</ResetTime><PresetIndex>5</PresetIndex></HomePosition>');
  t.match(home, { deviceId: rig.idOf(1, 1, 1), body: { result: 'OK' } });
  t.match(tcp.frontEnd.of(tcp.channels[1]!.id).home, { enabled: true, resetTimeS: 30, presetIndex: 5 });
  await city.control(rig.idOf(0, 0), '<TeleBoot>Boot</TeleBoot>');
  await until('the restart', () => udp.controls.some(({ command }) => command === 'TeleBoot'));
  const configured = await city.ask('Control', 'DeviceConfig', rig.idOf(1, 0), '<BasicParam><Name>North</Name><SIPServerIP>203.0.113.66</SIPServerIP></BasicParam>');
  t.match(configured, { deviceId: rig.idOf(1, 0), body: { result: 'OK' } });
  t.equal(tcp.frontEnd.of(tcp.channels[0]!.id).config.get('BasicParam'), '<Name>North</Name>', 'nobody above moves the camera to another server');
});

await t.test('every question, with the IDs of whoever asks', async t => {
  const questions: readonly (readonly [string, string, (answer: Manscdp) => unknown, unknown])[] = [
    ['PresetQuery', '', answer => inside(answer, 'presetlist', 'item', 'presetname'), '大门'],
    ['HomePositionQuery', '', answer => inside(answer, 'homeposition', 'enabled'), '0'],
    ['CruiseTrackListQuery', '', answer => inside(answer, 'cruisetracklist', 'cruisetrack', 'name'), 'tour'],
    ['CruiseTrackQuery', '<Number>3</Number>', answer => inside(answer, 'number'), '3'],
    ['PTZPosition', '', answer => inside(answer, 'pan'), '87.50'],
    ['SDCardStatus', '', answer => inside(answer, 'sdcardstatusinfo', 'item', 'hddname'), 'card1'],
    ['Alarm', '<StartAlarmPriority>0</StartAlarmPriority>', answer => inside(answer, 'result'), 'OK'],
    ['DeviceStatus', '', answer => inside(answer, 'online'), 'ONLINE'],
    ['ConfigDownload', '<ConfigType>BasicParam</ConfigType>', answer => inside(answer, 'basicparam', 'heartbeatinterval'), '60'],
  ];
  for (const [index] of CAMERAS) {
    for (const [cmdType, content, pick, expected] of questions) {
      const channel = cmdType === 'ConfigDownload' ? 1 : 0;
      const [a, b] = await Promise.all(rig.platforms.map((platform, which) => platform.ask('Query', cmdType, rig.idOf(index, channel, which), content)));
      t.match(a, { root: 'Response', deviceId: rig.idOf(index, channel, 0) }, cmdType);
      t.match(b, { root: 'Response', deviceId: rig.idOf(index, channel, 1) }, cmdType);
      for (const answer of [a!, b!]) t.equal(pick(answer), expected, cmdType);
    }
  }
  const config = await city.ask('Query', 'ConfigDownload', rig.idOf(0, 0), '<ConfigType>BasicParam</ConfigType>');
  t.same(['password', 'sipserverip'].map(key => inside(config, 'basicparam', key)), [undefined, undefined], 'what is between the camera and us stays there');
});

await t.test('recordings: in parts that fit a datagram, with our IDs, one question at a time', async t => {
  let asking = 0;
  let most = 0;
  for (const [, device] of CAMERAS) {
    device.onCommand = message => {
      if (message.cmdType === 'RecordInfo') most = Math.max(most, (asking += 1));
      return undefined;
    };
  }
  const [day, short, none, other] = await Promise.all([
    city.records(rig.idOf(0, 0), '2026-03-10T00:00:00', '2026-03-10T23:59:59'),
    county.records(rig.idOf(0, 1, 1), '2026-03-10T08:00:00', '2026-03-10T09:00:00').then(answer => ((asking -= 1), answer)),
    city.records(rig.idOf(0, 1), '2026-03-10T08:00:00', '2026-03-10T08:00:01'),
    county.records(rig.idOf(1, 0, 1), '2026-03-10 8:0:0', '2026-03-10T12:00:00+08:00'),
  ]);
  t.same([day.sumNum, day.items.length, day.complete], [48, 48, true]);
  t.ok(day.parts.length >= 12, `${day.parts.length} parts`);
  t.ok(day.items.every(item => textOf(item, 'deviceid') === rig.idOf(0, 0)));
  t.same([short.sumNum, short.items.length], [2, 2]);
  t.ok(short.items.every(item => textOf(item, 'deviceid') === rig.idOf(0, 1, 1)));
  t.same([none.sumNum, none.items.length, childOf(none.parts[0]!.element, 'recordlist')], [0, 0, undefined]);
  t.same([other.sumNum, textOf(other.items[0]!, 'starttime')], [8, '2026-03-10T08:00:00']);
  for (const [, device] of CAMERAS) device.onCommand = undefined;
});

await t.test('fault 22: a bad checksum is dropped, a flood is cut, stops pass', async t => {
  const channel = rig.idOf(0, 1);
  const first = udp.controls.length;
  const before = { controls: udp.counters.controls, malformed: await counter('control.malformed') };
  await city.control(channel, '<PTZCmd>A50F0102400000F8</PTZCmd>');
  await settled();
  t.same([udp.counters.controls, await counter('control.malformed')], [before.controls, before.malformed + 1]);
  const flood = Array.from({ length: 60 }, (_, index) => city.control(channel, formatDeviceControl(ptz(left(100 + index)), '2016')));
  await Promise.all(flood);
  for (let stops = 0; stops < 3; stops += 1) await city.control(channel, formatDeviceControl(ptz(LENS_STOP), '2016'));
  await city.control(channel, formatDeviceControl(ptz(PTZ_STOP), '2016'));
  // Stops of the lens and of the mount may change places among themselves.
  await until('the stop', () => udp.controls.slice(first).some(({ value }) => value === formatPtz(ptz(PTZ_STOP).instruction)));
  await settled();
  t.ok((await counter('control.too-fast')) >= 40, `${await counter('control.too-fast')} of 60 cut`);
  t.ok(udp.counters.controls - before.controls <= 60 - 40 + 4);
  t.equal(udp.frontEnd.of(udp.channels[1]!.id).moving, undefined, 'and in the end it stands still');
});

await t.test('refused at once: unknown, ours, malformed, offline; what is not permitted', async t => {
  const errors: readonly (readonly ['Query' | 'Control', string, string, string])[] = [
    ['Query', 'PresetQuery', '34020000001320009999', ''],
    ['Query', 'PresetQuery', CITY_LOCAL_ID, ''],
    ['Control', 'DeviceControl', rig.idOf(0, 0), '<RecordCmd>Play</RecordCmd>'],
    ['Control', 'DeviceControl', rig.idOf(0, 0), '<GuardCmd>SetGuard</GuardCmd><RecordCmd>Record</RecordCmd>'],
    ['Control', 'DeviceConfig', rig.idOf(0, 0), '<Nothing>1</Nothing>'],
    ['Query', 'ConfigDownload', rig.idOf(0, 0), ''],
  ];
  for (const [root, cmdType, id, content] of errors) {
    const answer = await city.ask(root, cmdType, id, content, { timeoutMs: 2000 });
    t.equal(inside(answer, 'result'), 'ERROR', `${cmdType} ${content}`);
    t.equal(answer.deviceId, id);
  }
  t.same((await city.records('34020000001320009999', '2026-03-10T00:00:00', '2026-03-10T23:59:59', { timeoutMs: 2000 })).sumNum, 0);
  t.equal((await city.records(rig.idOf(0, 0), 'yesterday', 'today', { timeoutMs: 2000 })).sumNum, 0);
  await rig.rewrite({ upstream: { permissions: { ptz: false, config: false, query: false, maintenance: false, ptzMaxSpeed: 20 } } });
  const { controls, queries } = { ...udp.counters };
  await city.control(rig.idOf(0, 0), formatDeviceControl(ptz(left(33)), '2016'));
  await city.control(rig.idOf(0, 0), '<TeleBoot>Boot</TeleBoot>');
  for (const [root, cmdType, content] of [['Query', 'PresetQuery', ''], ['Control', 'DeviceConfig', '<FrameMirror>1</FrameMirror>']] as const) t.equal(inside(await city.ask(root, cmdType, rig.idOf(0, 0), content), 'result'), 'ERROR');
  t.equal(inside(await city.ask('Query', 'DeviceStatus', rig.idOf(0, 0)), 'online'), 'ONLINE', 'what we know ourselves');
  t.match(await city.ask('Control', 'DeviceControl', rig.idOf(0, 0), '<GuardCmd>SetGuard</GuardCmd>'), { body: { result: 'OK' } }, 'the rest is');
  t.same([udp.counters.controls, udp.counters.queries], [controls + 1, queries]);
  await rig.rewrite({ upstream: { permissions: { ptzMaxSpeed: 20 } } });
  await city.control(rig.idOf(0, 0), formatDeviceControl(ptz(left(255)), '2016'));
  await arrived(udp, formatPtz(ptz(left(20)).instruction));
  t.equal(udp.controls.at(-1)!.value, 'A50F0102140000CB', 'a speed above its limit is lowered to it');
  await city.control(rig.idOf(0, 0), formatDeviceControl(ptz(PTZ_STOP), '2016'));
  await rig.rewrite({});
});

await t.test('recordings of a camera that repeats itself and stops in the middle', { timeout: 30_000 }, async t => {
  const { items, sumNum } = await stalled;
  t.equal(sumNum, 3, 'the sum of what there is, so that nobody waits for more');
  t.same(items.map(each => textOf(each, 'starttime')), ['10', '11', '12'].map(minute => `2026-03-10T08:${minute}:00`));
  t.equal(textOf(items[0]!, 'filepath'), '../../etc/shadow', 'a path is only text (fault 48)');
});

await t.test('a platform that goes away while a camera moves: it is stopped', async t => {
  await county.control(rig.idOf(1, 0, 1), formatDeviceControl(ptz(left(50)), '2016'));
  const { id } = tcp.channels[0]!;
  await until('it moves', () => tcp.frontEnd.of(id).moving !== undefined);
  await rig.gateway.rewrite({ upstreams: [] });
  await rig.rpc.call('reload', { sections: [] });
  await until('it stands still', () => tcp.frontEnd.of(id).moving === undefined);
  t.equal(await counter('control.dead-man'), 1);
  await rig.rewrite({});
  await until('both platforms again', async () => (await rig.rpc.call('listUpstreams', {})).every(({ state }) => state === 'online'));
});

const OPERATOR = { user: 'chen', via: 'api', address: null } as const;

await t.test('an operator of this gateway: the same way, a movement that ends by itself, a turn by priority', async t => {
  const camera = tcp.channels[1]!.id;
  const channel = `${tcp.id}/${camera}`;
  const moving = (): unknown => tcp.frontEnd.of(camera).moving;
  t.same(await rig.rpc.call('ptz', { channel: rig.idOf(1, 1), command: left(70), holdMs: 60_000, author: OPERATOR }), { deviceId: tcp.id, channelId: camera }, 'named as a platform knows it');
  await arrived(tcp, formatPtz(ptz(left(70)).instruction));
  await rig.rpc.call('ptz', { channel, command: left(71), holdMs: 100, author: OPERATOR });
  await arrived(tcp, formatPtz(ptz(left(71)).instruction));
  await until('it stands still', () => moving() === undefined);
  await rig.rpc.call('ptz', { channel, command: left(72), holdMs: 300, author: OPERATOR });
  await city.control(rig.idOf(1, 1), formatDeviceControl(ptz(left(73)), '2016'));
  await arrived(tcp, formatPtz(ptz(left(73)).instruction));
  await rig.rpc.call('ptz', { channel, command: { ...LENS_STOP, focus: 'near', focusSpeed: 1 }, holdMs: 500, author: OPERATOR });
  await arrived(tcp, formatPtz(ptz(LENS_STOP).instruction));
  t.ok(moving(), 'what a platform took over meanwhile goes on, and the lens has an end of its own');
  await rig.rewrite({ devices: { localPriority: 10 } });
  await city.control(rig.idOf(1, 1), formatDeviceControl(ptz(left(74)), '2016'));
  await arrived(tcp, formatPtz(ptz(left(74)).instruction));
  await t.rejects(rig.rpc.call('ptz', { channel, command: left(75), holdMs: 1000, author: OPERATOR }), { code: 'NOT_PERMITTED', detail: { why: 'city0 of higher priority steers it' } });
  await rig.rpc.call('ptz', { channel, command: PTZ_STOP, holdMs: 1000, author: OPERATOR });
  await until('a stop always passes', () => moving() === undefined);
  await rig.rewrite({});
  const flood = await Promise.allSettled(Array.from({ length: 30 }, () => rig.rpc.call('ptz', { channel, command: { kind: 'preset-call', preset: 1 }, holdMs: 1000, author: OPERATOR })));
  t.ok(flood.some(each => each.status === 'rejected' && (each.reason as { code: string }).code === 'CAPACITY_EXHAUSTED'), 'ten a second');
});

await t.test('an operator asks and switches: presets, recordings, guard; and is told what fails', async t => {
  const channel = `${udp.id}/${udp.channels[0]!.id}`;
  t.same(await rig.rpc.call('presets', { channel, author: OPERATOR }), { deviceId: udp.id, channelId: udp.channels[0]!.id, presets: [...udp.frontEnd.of(udp.channels[0]!.id).presets].map(([preset, name]) => ({ preset, name })) });
  const day = { fromWallMs: Date.parse('2026-03-10T00:00:00+08:00'), toWallMs: Date.parse('2026-03-10T12:00:00+08:00') };
  const [records, above] = await Promise.all([rig.rpc.call('records', { channel, ...day, author: OPERATOR }), city.records(rig.idOf(0, 0), '2026-03-10T08:00:00', '2026-03-10T09:00:00')]);
  t.match(records, { complete: true, missing: 0, deviceId: udp.id });
  t.equal(records.records.length, 24);
  t.match(records.records[0], { startWallMs: day.fromWallMs, endWallMs: day.fromWallMs + 1_800_000, type: 'time', name: 'seg 1' });
  t.equal(above.items.length, 2, 'a platform that asks at the same time has its own answer');
  await rig.rpc.call('control', { channel, control: { kind: 'guard', on: true }, author: OPERATOR });
  await rig.rpc.call('control', { channel, control: { kind: 'home-position', enabled: true, presetIndex: 3 }, author: OPERATOR });
  t.match(udp.frontEnd.of(udp.channels[0]!.id).home, { enabled: true, presetIndex: 3 });
  const before = udp.counters.keyFrameRequests;
  await rig.rpc.call('control', { channel, control: { kind: 'i-frame' }, author: OPERATOR });
  await until('the I-frame', () => udp.counters.keyFrameRequests === before + 1);
  udp.onCommand = message => [`<Response><CmdType>${message.cmdType}</CmdType><SN>${message.sn}</SN><DeviceID>${message.deviceId}</DeviceID><Result>ERROR</Result></Response>`];
  await t.rejects(rig.rpc.call('control', { channel, control: { kind: 'record', on: true }, author: OPERATOR }), { code: 'SIP_REJECTED' });
  udp.onCommand = undefined;
  await t.rejects(rig.rpc.call('presets', { channel: '34020000001320009999', author: OPERATOR }), { code: 'CHANNEL_UNKNOWN' });
  await t.rejects(rig.rpc.call('records', { channel, fromWallMs: 1000, toWallMs: 0, author: OPERATOR }), { code: 'BAD_REQUEST' });
  for (const holdMs of [0, 3_600_000]) await t.rejects(rig.rpc.call('ptz', { channel, command: left(1), holdMs, author: OPERATOR }), { code: 'BAD_REQUEST' });
});

await t.test('cameras that are gone are said to be', async t => {
  const ids = [rig.idOf(0, 0), rig.idOf(1, 0)];
  const events: SipdEvent[] = [];
  await using _listening = await connectRpc<SipdRequests, SipdEvent>(join(rig.gateway.directory, 'run/sipd.sock'), { onEvent: event => void events.push(event) });
  await Promise.all(CAMERAS.map(([, device]) => device.stop(true)));
  for (const id of ids) {
    t.equal(inside(await city.ask('Query', 'PresetQuery', id, '', { timeoutMs: 2000 }), 'result'), 'ERROR');
    t.equal(inside(await city.ask('Control', 'DeviceControl', id, '<PTZCmd>A50F0100000000B5</PTZCmd>', { timeoutMs: 2000 }), 'result'), 'ERROR');
    t.equal(inside(await city.ask('Query', 'DeviceStatus', id, '', { timeoutMs: 2000 }), 'online'), 'OFFLINE');
    t.equal((await city.records(id, '2026-03-10T00:00:00', '2026-03-10T23:59:59', { timeoutMs: 2000 })).sumNum, 0);
  }
  t.same(events.filter(({ type }) => type === 'device-offline'), CAMERAS.map(([, { id }]) => ({ type: 'device-offline', deviceId: id, reason: 'unregistered' })), 'and whoever listens is told');
  await t.rejects(rig.rpc.call('presets', { channel: ids[0]!, author: OPERATOR }), { code: 'PEER_OFFLINE' });
});

await t.test('every control has its line in the log, with who, which and what', async t => {
  const forwarded = await counter('control.forwarded');
  const logged = async (): Promise<Record<string, unknown>[]> => {
    const lines = (await readFile(join(rig.gateway.directory, 'sipd.log'), 'utf8')).split('\n').filter(line => line.includes('"control.forwarded"'));
    return lines.map(line => JSON.parse(line) as Record<string, unknown>);
  };
  const lines = await until('as many lines as controls', async () => {
    const found = await logged();
    return found.length === forwarded && found;
  });
  t.match(lines[0], { upstream: 'city0', askedId: rig.idOf(0, 1), deviceId: udp.id, channelId: udp.channels[1]!.id, command: 'ptz move pan=left panSpeed=10 tiltSpeed=0 zoomSpeed=0' });
});

await t.test('kill -9 of sipd while a camera moves: it is stopped when we are back', async t => {
  const { id } = stalling.channels[0]!;
  await city.control(rig.idOf(2, 0), formatDeviceControl(ptz(left(50)), '2016'));
  await until('it moves', () => stalling.frontEnd.of(id).moving !== undefined);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await until('it stands still', () => stalling.frontEnd.of(id).moving === undefined, 20_000);
  const stops = (): number => stalling.controls.filter(({ value }) => value === formatPtz(ptz(PTZ_STOP).instruction)).length;
  const before = stops();
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await until('both platforms again', async () => (await rig.rpc.call('listUpstreams', {})).every(({ state }) => state === 'online'), 20_000);
  t.equal(stops(), before, 'once');
});

await t.test('a gateway that is stopped leaves no camera moving', async () => {
  const { id } = stalling.channels[0]!;
  await city.control(rig.idOf(2, 0), formatDeviceControl(ptz(left(50)), '2016'));
  await until('it moves', () => stalling.frontEnd.of(id).moving !== undefined);
  rig.gateway.sipd.signal('SIGTERM');
  await until('it stands still', () => stalling.frontEnd.of(id).moving === undefined);
});

function stalledPart({ sn, deviceId }: Manscdp, ...minutes: number[]): string {
  const item = (minute: number): string => `<Item><DeviceID>x</DeviceID><Name>n</Name><FilePath>../../etc/shadow</FilePath><StartTime>2026-03-10T08:${minute}:00</StartTime><EndTime>2026-03-10T08:${minute + 1}:00</EndTime><Secrecy>0</Secrecy></Item>`;
  return `<Response><CmdType>RecordInfo</CmdType><SN>${sn}</SN><DeviceID>${deviceId}</DeviceID><SumNum>299</SumNum><RecordList Num="${minutes.length}">${minutes.map(item).join('')}</RecordList></Response>`;
}
