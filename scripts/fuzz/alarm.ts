/** Alarm notifications and the filters of who subscribes them: what was read is written and read again as the same. */
import { buildAlarm, readAlarm, readAlarmFilter, wants } from '#core/gb/alarm.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const HEAD = { sn: 900, deviceId: '33010000001320000701' };
const FULL = { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: '绊线 3', longitude: '120.13', latitude: '30.27', type: '6', eventType: '1' };
const QUERY = '<StartAlarmPriority>1</StartAlarmPriority><EndAlarmPriority>3</EndAlarmPriority><AlarmMethod>25</AlarmMethod><AlarmType>1/12</AlarmType><StartAlarmTime>2026-03-10T00:00:00</StartAlarmTime>';

export default {
  name: 'alarm',
  seeds: [encodeBody(buildAlarm(HEAD, FULL), 'gb2312'), encodeBody(buildManscdp('Query', 'Alarm', HEAD, QUERY), 'utf-8')],
  run(input: Uint8Array): void {
    const parsed = parseManscdp(decodeBody(input).text);
    if (!parsed.ok) return;
    const { sn, element } = parsed.value;
    wants(readAlarmFilter(element), FULL);
    const written = buildAlarm({ sn, deviceId: HEAD.deviceId }, readAlarm(element));
    const again = parseManscdp(written);
    if (!again.ok) throw new Error(`unreadable: ${written}`);
    if (buildAlarm({ sn, deviceId: HEAD.deviceId }, readAlarm(again.value.element)) !== written) throw new Error(`read otherwise: ${written}`);
  },
};
