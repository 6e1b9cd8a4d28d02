/** Alarms (gb28181.md 3.8): the notification, read and written, and what a subscriber wants to hear of. */
import { parseGbTime } from './gb-time.ts';
import { type Head, buildManscdp } from './manscdp-write.ts';
import { type XmlElement, childOf, textOf } from './xml.ts';
import { xmlText } from './xml-text.ts';
import type { WallMs } from '../units.ts';

const MAX_TEXT = 1024;
const MAX_KINDS = 32;
const LOWEST_PRIORITY = 4;

/** Texts as the device wrote them. */
export interface AlarmNotice {
  /** 1 highest to 4 lowest; what cannot be read counts as 4. */
  readonly priority: number;
  readonly method: string | undefined;
  readonly time: string | undefined;
  readonly description: string | undefined;
  readonly longitude: string | undefined;
  readonly latitude: string | undefined;
  readonly type: string | undefined;
  readonly eventType: string | undefined;
}

/** Empty lists and undefined times do not restrict. */
export interface AlarmFilter {
  readonly highestPriority: number;
  readonly lowestPriority: number;
  readonly methods: readonly string[];
  readonly types: readonly string[];
  readonly from: WallMs | undefined;
  readonly until: WallMs | undefined;
}

/** Of a Notify. Total: what is missing is missing. */
export function readAlarm(element: XmlElement): AlarmNotice {
  const info = childOf(element, 'info');
  const parameters = info === undefined ? undefined : childOf(info, 'alarmtypeparam');
  const text = (parent: XmlElement | undefined, key: string): string | undefined => (parent === undefined ? undefined : textOf(parent, key)?.slice(0, MAX_TEXT));
  const priority = Number(textOf(element, 'alarmpriority') ?? NaN);
  return {
    priority: Number.isInteger(priority) && priority >= 1 && priority <= LOWEST_PRIORITY ? priority : LOWEST_PRIORITY,
    method: text(element, 'alarmmethod'),
    time: text(element, 'alarmtime'),
    description: text(element, 'alarmdescription'),
    longitude: text(element, 'longitude'),
    latitude: text(element, 'latitude'),
    type: text(info, 'alarmtype'),
    eventType: text(parameters, 'eventtype'),
  };
}

export function buildAlarm(head: Head, alarm: AlarmNotice): string {
  const { priority, method, time, description, longitude, latitude, type, eventType } = alarm;
  const parameters = eventType === undefined ? '' : `<AlarmTypeParam>${xmlText('EventType', eventType)}</AlarmTypeParam>`;
  const info = type === undefined && eventType === undefined ? '' : `<Info>${xmlText('AlarmType', type)}${parameters}</Info>`;
  const lines = [
    xmlText('AlarmPriority', priority),
    xmlText('AlarmMethod', method),
    xmlText('AlarmTime', time),
    xmlText('AlarmDescription', description),
    xmlText('Longitude', longitude),
    xmlText('Latitude', latitude),
    info,
  ];
  return buildManscdp('Notify', 'Alarm', head, lines.map(line => (line === '' ? '' : `${line}\r\n`)).join(''));
}

/** Of a Query in a SUBSCRIBE; 0 and nothing are all. */
export function readAlarmFilter(element: XmlElement): AlarmFilter {
  const number = (key: string): number => Number(/^[1-4]$/.exec(textOf(element, key) ?? '')?.[0] ?? 0);
  const time = (key: string): WallMs | undefined => parseGbTime(textOf(element, key) ?? '');
  return {
    highestPriority: number('startalarmpriority') || 1,
    lowestPriority: number('endalarmpriority') || LOWEST_PRIORITY,
    methods: kindsOf(textOf(element, 'alarmmethod'), true),
    types: kindsOf(textOf(element, 'alarmtype'), false),
    from: time('startalarmtime'),
    until: time('endalarmtime'),
  };
}

/** `12` (2016) and `1/2` (2022) are both 1 and 2; types have two digits, so only the slash parts them. */
function kindsOf(text: string | undefined, oneDigit: boolean): string[] {
  const parts = (text ?? '').slice(0, MAX_TEXT).split(/[/,\s]+/, MAX_KINDS).flatMap(part => (oneDigit ? [...part] : [part]));
  return parts.includes('0') ? [] : parts.filter(part => /^\d{1,2}$/.test(part)).slice(0, MAX_KINDS);
}

/** What an alarm does not say cannot keep it away. */
export function wants(filter: AlarmFilter, { priority, method, type, time }: AlarmNotice): boolean {
  const at = time === undefined ? undefined : parseGbTime(time);
  const { highestPriority, lowestPriority, methods, types, from, until } = filter;
  if (priority < highestPriority || priority > lowestPriority) return false;
  if (methods.length > 0 && method !== undefined && !methods.includes(method)) return false;
  if (types.length > 0 && type !== undefined && !types.includes(type)) return false;
  return at === undefined || ((from === undefined || at >= from) && (until === undefined || at <= until));
}
