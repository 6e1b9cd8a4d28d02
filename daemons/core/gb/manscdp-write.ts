/**
 * MANSCDP+xml that we send: elements in schema order, absent ones omitted. Text without prologue: the charset encoder puts the
 * one that matches its octets in front.
 */
import { type CatalogItem, formatCatalogItem } from './catalog-item.ts';
import type { GbVersion } from './dialect.ts';
import { formatGbTime } from './gb-time.ts';
import type { ManscdpRoot } from './manscdp.ts';
import { xmlText } from './xml-text.ts';
import type { WallMs } from '../units.ts';

export const MANSCDP_TYPE = 'Application/MANSCDP+xml';

export interface Head {
  readonly sn: number;
  readonly deviceId: string;
}

/** Any command: envelope with `content` (already XML) behind it. */
export function buildManscdp(root: ManscdpRoot, cmdType: string, { sn, deviceId }: Head, content = ''): string {
  return `<${root}>\r\n${xmlText('CmdType', cmdType)}\r\n${xmlText('SN', sn)}\r\n${xmlText('DeviceID', deviceId)}\r\n${content}</${root}>\r\n`;
}

/** `faulty`: sub-devices out of order. */
export function buildKeepalive(head: Head, status: 'OK' | 'ERROR' = 'OK', faulty: readonly string[] = []): string {
  const info = faulty.length === 0 ? '' : `<Info>${faulty.map(id => xmlText('DeviceID', id)).join('')}</Info>\r\n`;
  return buildManscdp('Notify', 'Keepalive', head, `${xmlText('Status', status)}\r\n${info}`);
}

export const buildCatalogQuery = (head: Head): string => buildManscdp('Query', 'Catalog', head);
export const buildDeviceInfoQuery = (head: Head): string => buildManscdp('Query', 'DeviceInfo', head);
export const buildDeviceStatusQuery = (head: Head): string => buildManscdp('Query', 'DeviceStatus', head);

/** Bare result of a control, a configuration, an alarm, or of a query that cannot be served. */
export const buildResult = (cmdType: string, head: Head, result: 'OK' | 'ERROR'): string => buildManscdp('Response', cmdType, head, `${xmlText('Result', result)}\r\n`);

/** One message of a catalogue answer. `items` are already formatted; none: SumNum alone, without a list (3.2). */
export function buildCatalogPage(head: Head, sumNum: number, items: readonly string[]): string {
  const list = items.length === 0 ? '' : `<DeviceList Num="${items.length}">\r\n${items.join('')}</DeviceList>\r\n`;
  return buildManscdp('Response', 'Catalog', head, `${xmlText('SumNum', sumNum)}\r\n${list}`);
}

/** NOTIFY of a catalogue subscription: its numbers are those of this message alone (5.4). */
export function buildCatalogNotify(head: Head, items: readonly string[]): string {
  const list = items.length === 0 ? '' : `<DeviceList Num="${items.length}">\r\n${items.join('')}</DeviceList>\r\n`;
  return buildManscdp('Notify', 'Catalog', head, `${xmlText('SumNum', items.length)}\r\n${list}`);
}

export const buildCatalogResponse = (head: Head, sumNum: number, items: readonly CatalogItem[], version: GbVersion): string =>
  buildCatalogPage(head, sumNum, items.map(item => formatCatalogItem(item, version)));

export interface DeviceInfoParts {
  readonly deviceName?: string | undefined;
  readonly result?: 'OK' | 'ERROR';
  readonly manufacturer?: string | undefined;
  readonly model?: string | undefined;
  readonly firmware?: string | undefined;
  readonly channel?: number | undefined;
}

export function buildDeviceInfoResponse(head: Head, parts: DeviceInfoParts): string {
  const { deviceName, result = 'OK', manufacturer, model, firmware, channel } = parts;
  const content = [
    xmlText('DeviceName', deviceName),
    xmlText('Result', result),
    xmlText('Manufacturer', manufacturer),
    xmlText('Model', model),
    xmlText('Firmware', firmware),
    xmlText('Channel', channel),
  ];
  return buildManscdp('Response', 'DeviceInfo', head, joinLines(content));
}

export interface DeviceStatusParts {
  readonly result?: 'OK' | 'ERROR';
  readonly online: boolean;
  readonly status: 'OK' | 'ERROR';
  readonly reason?: string | undefined;
  readonly encode?: boolean;
  readonly record?: boolean;
  readonly deviceTime?: WallMs;
  readonly alarms?: readonly { readonly deviceId: string; readonly dutyStatus: string }[];
}

export function buildDeviceStatusResponse(head: Head, parts: DeviceStatusParts): string {
  const content = [
    xmlText('Result', parts.result ?? 'OK'),
    xmlText('Online', parts.online ? 'ONLINE' : 'OFFLINE'),
    xmlText('Status', parts.status),
    xmlText('Reason', parts.reason),
    xmlText('Encode', onOff(parts.encode)),
    xmlText('Record', onOff(parts.record)),
    xmlText('DeviceTime', parts.deviceTime === undefined ? undefined : formatGbTime(parts.deviceTime)),
    alarmStatus(parts.alarms ?? []),
  ];
  return buildManscdp('Response', 'DeviceStatus', head, joinLines(content));
}

const onOff = (on: boolean | undefined): string | undefined => (on === undefined ? undefined : on ? 'ON' : 'OFF');
const joinLines = (lines: readonly string[]): string => lines.map(line => (line === '' ? '' : `${line}\r\n`)).join('');

function alarmStatus(alarms: NonNullable<DeviceStatusParts['alarms']>): string {
  if (alarms.length === 0) return '';
  const items = alarms.map(({ deviceId, dutyStatus }) => `<Item>${xmlText('DeviceID', deviceId)}${xmlText('DutyStatus', dutyStatus)}</Item>`);
  return `<Alarmstatus Num="${alarms.length}">${items.join('')}</Alarmstatus>`;
}
