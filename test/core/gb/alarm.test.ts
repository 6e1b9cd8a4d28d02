import fc from 'fast-check';
import t from 'tap';
import { type AlarmNotice, buildAlarm, readAlarm, readAlarmFilter, wants } from '#core/gb/alarm.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';

const HEAD = { sn: 900, deviceId: '33010000001320000701' };
const TRIPWIRE: AlarmNotice = { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: 'tripwire 3', longitude: '120.13', latitude: '30.27', type: '6', eventType: '1' };
const BARE: AlarmNotice = { priority: 4, method: undefined, time: undefined, description: undefined, longitude: undefined, latitude: undefined, type: undefined, eventType: undefined };

const parse = (xml: string): Manscdp => {
  const parsed = parseManscdp(xml);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};
const filterOf = (content: string): ReturnType<typeof readAlarmFilter> => readAlarmFilter(parse(buildManscdp('Query', 'Alarm', HEAD, content)).element);

t.test('notifications, read and written', async t => {
  const vectors: readonly [string, AlarmNotice][] = [
    ['<AlarmPriority>2</AlarmPriority>\r\n<AlarmMethod>5</AlarmMethod>\r\n<AlarmTime>2026-03-10T08:14:02</AlarmTime>\r\n<AlarmDescription>tripwire 3</AlarmDescription>\r\n<Longitude>120.13</Longitude>\r\n<Latitude>30.27</Latitude>\r\n<Info><AlarmType>6</AlarmType><AlarmTypeParam><EventType>1</EventType></AlarmTypeParam></Info>\r\n', TRIPWIRE],
    ['<AlarmPriority>4</AlarmPriority>\r\n', BARE],
    ['<AlarmPriority>1</AlarmPriority>\r\n<AlarmMethod>2</AlarmMethod>\r\n<Info><AlarmType>1</AlarmType></Info>\r\n', { ...BARE, priority: 1, method: '2', type: '1' }],
  ];
  for (const [content, alarm] of vectors) {
    const xml = buildManscdp('Notify', 'Alarm', HEAD, content);
    t.equal(buildAlarm(HEAD, alarm), xml);
    t.same(readAlarm(parse(xml).element), alarm);
  }
  const odd = parse('<Notify><SN>1</SN><CmdType>alarm</CmdType><DeviceId>1</DeviceId><AlarmPriority> 9 </AlarmPriority><info><alarmtype>2</alarmtype></info></Notify>');
  t.equal(odd.cmdType, 'Alarm');
  t.same(readAlarm(odd.element), { ...BARE, type: '2' }, 'quirk 24; a priority that there is not is the lowest');
});

t.test('filters', async t => {
  t.same(filterOf(''), { highestPriority: 1, lowestPriority: 4, methods: [], types: [], from: undefined, until: undefined });
  t.match(filterOf('<StartAlarmPriority>0</StartAlarmPriority><EndAlarmPriority>0</EndAlarmPriority><AlarmMethod>0</AlarmMethod>'), { highestPriority: 1, lowestPriority: 4, methods: { length: 0 } }, '0 is all');
  t.same(filterOf('<AlarmMethod>12</AlarmMethod>').methods, ['1', '2'], '2016');
  t.same(filterOf('<AlarmMethod>1/2</AlarmMethod>').methods, ['1', '2'], '2022');
  t.same(filterOf('<AlarmType>2/13</AlarmType>').types, ['2', '13']);
  const cases: readonly [string, Partial<AlarmNotice>, boolean][] = [
    ['', {}, true],
    ['<StartAlarmPriority>1</StartAlarmPriority><EndAlarmPriority>1</EndAlarmPriority>', {}, false],
    ['<StartAlarmPriority>2</StartAlarmPriority>', {}, true],
    ['<StartAlarmPriority>3</StartAlarmPriority>', {}, false],
    ['<AlarmMethod>25</AlarmMethod>', {}, true],
    ['<AlarmMethod>2</AlarmMethod>', {}, false],
    ['<AlarmMethod>2</AlarmMethod>', { method: undefined }, true],
    ['<AlarmType>6</AlarmType>', {}, true],
    ['<AlarmType>1</AlarmType>', {}, false],
    ['<StartAlarmTime>2026-03-10T08:14:02</StartAlarmTime><EndAlarmTime>2026-03-10T08:14:02</EndAlarmTime>', {}, true],
    ['<StartAlarmTime>2026-03-10T08:14:03</StartAlarmTime>', {}, false],
    ['<EndAlarmTime>2026-03-10T08:14:01</EndAlarmTime>', {}, false],
    ['<EndAlarmTime>2026-03-10T08:14:01</EndAlarmTime>', { time: 'yesterday' }, true],
  ];
  for (const [content, change, expected] of cases) t.equal(wants(filterOf(content), { ...TRIPWIRE, ...change }), expected, `${content} ${JSON.stringify(change)}`);
});

t.test('property: what is written is read as the same', async () => {
  const text = fc.option(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter(value => value.trim() === value && !/[\p{C}\s]/u.test(value)), { nil: undefined });
  const notice = fc.record({ priority: fc.integer({ min: 1, max: 4 }), method: text, time: text, description: text, longitude: text, latitude: text, type: text, eventType: text });
  fc.assert(fc.property(notice, alarm => JSON.stringify(readAlarm(parse(buildAlarm(HEAD, alarm)).element)) === JSON.stringify(alarm)));
});
