/** Fault 110: 23:59:60 in whatever a peer says, read as the second after it and never said by us. */
import fc from 'fast-check';
import t from 'tap';
import { readAlarmFilter, wants } from '#core/gb/alarm.ts';
import { formatGbTime, parseGbTime } from '#core/gb/gb-time.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { parseMansrtsp } from '#core/gb/mansrtsp.ts';
import { RecordList, readRecordPart, readRecordQuery } from '#core/gb/record-info.ts';
import { wallMs } from '#core/units.ts';

/** 2017-01-01T00:00:00Z: the last one began a second before. */
const AFTER_MS = 1_483_228_800_000;

function element(cmdType: string, content: string) {
  const parsed = parseManscdp(`<?xml version="1.0"?><Response><CmdType>${cmdType}</CmdType><SN>1</SN><DeviceID>33010000001320000901</DeviceID>${content}</Response>`);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value.element;
}

t.test('fault 110: the leap second in a Date header, in XML and with zones is the one after it', async t => {
  for (const text of ['2017-01-01T07:59:60', '2017-01-01T07:59:60.000', '2017-01-01 07:59:60', '2016-12-31T23:59:60Z', '2016-12-31T18:59:60-05:00']) t.equal(parseGbTime(text), AFTER_MS, text);
  t.equal(parseGbTime('2017-01-01T07:59:60.999'), AFTER_MS + 999);
  for (const text of ['2017-01-01T07:59:61', '2017-01-01T07:60:00', '2017-01-01T24:00:00', '2017-01-01T07:59:6000']) t.equal(parseGbTime(text), undefined, text);
  t.equal(formatGbTime(wallMs(AFTER_MS)), '2017-01-01T08:00:00');
});

t.test('fault 110: no second 60 is ever said by us, whatever is read', async () => {
  const field = fc.integer({ min: 0, max: 99 });
  fc.assert(
    fc.property(fc.integer({ min: 1960, max: 2210 }), field, field, field, field, fc.oneof(field, fc.constant(60)), fc.constantFrom('', 'Z', '+08:00', '-12:00'), (year, month, day, hour, minute, second, zone) => {
      const at = parseGbTime(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
      if (at === undefined) return;
      const said = formatGbTime(at);
      if (!/T([01]\d|2[0-3]):[0-5]\d:[0-5]\d$/.test(said)) throw new Error(said);
      if (parseGbTime(said) !== at) throw new Error(`${said} is another time`);
    }),
    { numRuns: 20_000 },
  );
});

t.test('fault 110: recordings that begin or end in the leap second', async t => {
  const item = (begin: string, end: string): string => `<Item><DeviceID>33010000001320000901</DeviceID><Name>gate</Name><StartTime>${begin}</StartTime><EndTime>${end}</EndTime></Item>`;
  const items = [item('2017-01-01T07:59:60', '2017-01-01T09:00:00'), item('2017-01-01T07:00:00', '2017-01-01T07:59:60')];
  const found = new RecordList();
  found.add(readRecordPart(element('RecordInfo', `<Name>gate</Name><SumNum>2</SumNum><RecordList Num="2">${items.join('')}</RecordList>`)));
  t.same(found.records.map(({ StartTime, EndTime }) => [StartTime, EndTime]), [['2017-01-01T07:00:00', '2017-01-01T08:00:00'], ['2017-01-01T08:00:00', '2017-01-01T09:00:00']], 'one after the other, without a gap');
  const query = readRecordQuery(element('RecordInfo', '<StartTime>2017-01-01T07:59:60</StartTime><EndTime>2017-01-01T09:00:00</EndTime>'));
  t.match(query, { content: /<StartTime>2017-01-01T08:00:00<\/StartTime>/ }, 'a camera that knows no such second is asked for the next one');
});

t.test('fault 110: an alarm of the leap second, for who wants those of that night', async t => {
  const alarm = { priority: 1, method: '5', time: '2017-01-01T07:59:60', description: undefined, longitude: undefined, latitude: undefined, type: undefined, eventType: undefined };
  const filter = (from: string, until: string): ReturnType<typeof readAlarmFilter> => readAlarmFilter(element('Alarm', `<StartAlarmTime>${from}</StartAlarmTime><EndAlarmTime>${until}</EndAlarmTime>`));
  t.ok(wants(filter('2017-01-01T07:00:00', '2017-01-01T08:00:00'), alarm));
  t.ok(wants(filter('2017-01-01T07:59:60', '2017-01-01T09:00:00'), alarm));
  t.notOk(wants(filter('2017-01-01T08:00:01', '2017-01-01T09:00:00'), alarm));
});

t.test('fault 110: MANSRTSP: the sixtieth second of a recording, and a wall clock where npt stands', async t => {
  const range = (text: string): unknown => {
    const read = parseMansrtsp(`PLAY RTSP/1.0\r\nCSeq: 2\r\nRange: ${text}\r\n\r\n`);
    return read.ok && read.value.kind === 'request' ? read.value.range : 'refused';
  };
  t.same(range('npt=0:59:60-'), { from: 3600, to: undefined });
  t.same(range('npt=23:59:60-'), { from: 86_400, to: undefined });
  t.equal(range('clock=20161231T235960Z-'), 'refused');
});
