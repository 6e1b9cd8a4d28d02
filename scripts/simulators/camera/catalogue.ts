/** The channels of one simulated device, and its answers to queries (gb28181.md 3.4 to 3.6) with the faults that were asked for. */
import { civilCodeOf } from '#core/gb/device-id.ts';
import { buildCatalogPage, buildDeviceInfoResponse, buildDeviceStatusResponse, buildManscdp } from '#core/gb/manscdp-write.ts';
import type { WallMs } from '#core/units.ts';
import type { Quirks } from './quirks.ts';

export interface Channel {
  readonly id: string;
  readonly name: string;
  readonly online: boolean;
}

export interface DeviceFacts {
  readonly id: string;
  readonly name: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly firmware: string;
  readonly version: '2016' | '2022';
}

const PLACES = ['北门枪机', '南门球机', '东大街路口', '断桥残雪', '停车场入口', '电梯厅', '学校正门', '河滨公园', '人民广场', '枢纽站台', '喆羴楼顶', 'Loading dock'] as const;

/** Type code 132, the serial counted through over all devices (gb28181.md 1.1). */
export function channelsOf(deviceId: string, count: number, firstSerial: number): Channel[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${deviceId.slice(0, 10)}132${deviceId.slice(13, 14)}${String(firstSerial + index).padStart(6, '0')}`,
    name: `${PLACES[index % PLACES.length]} ${index + 1}`,
    online: true,
  }));
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const element = (name: string, value: string): string => `<${name}>${value}</${name}>`;

function parentOf(device: DeviceFacts, channel: Channel, quirks: Quirks): string | undefined {
  if (quirks.has('no-parent')) return undefined;
  if (quirks.has('parent-null')) return 'null';
  if (quirks.has('parent-self')) return channel.id;
  return quirks.has('composite-parent') ? `${device.id}/${device.id.slice(0, 10)}2160000001` : device.id;
}

export function catalogItem(device: DeviceFacts, channel: Channel, quirks: Quirks): string {
  const stray = quirks.has('stray-markup');
  const parent = parentOf(device, channel, quirks);
  const old = device.version === '2016';
  const fields = [
    element('DeviceID', channel.id),
    element('Name', stray ? `${channel.name} A&B <1>` : escapeXml(channel.name)),
    element('Manufacturer', device.manufacturer),
    element('Model', 'IPC-2M'),
    ...(old ? [element('Owner', 'Owner')] : []),
    element('CivilCode', civilCodeOf(device.id) ?? device.id.slice(0, 6)),
    element('Address', stray ? 'Gate <N> & yard' : 'Gate N'),
    element('Parental', '0'),
    ...(parent === undefined ? [] : [element('ParentID', parent)]),
    ...(old ? [element('SafetyWay', '0')] : []),
    element('RegisterWay', '1'),
    element('Secrecy', '0'),
    element('Status', channel.online ? 'ON' : 'OFF'),
    element('Longitude', '120.13'),
    element('Latitude', '30.27'),
    `<Info>${element('PTZType', '3')}${old ? '' : element('GrassrootsCode', '000000') + element('PointType', '3')}</Info>`,
  ];
  return `<Item>\r\n${fields.join('\r\n')}\r\n</Item>\r\n`;
}

/** The answer to a Catalog query, cut into messages. */
export function catalogPages(device: DeviceFacts, channels: readonly Channel[], sn: number, itemsPerMessage: number, quirks: Quirks): string[] {
  const items = channels.flatMap(channel => {
    const item = catalogItem(device, channel, quirks);
    return quirks.has('duplicate-items') ? [item, item] : [item];
  });
  const sumNum = channels.length + (quirks.has('wrong-sumnum') ? 3 : 0);
  const head = { sn, deviceId: device.id };
  const pages: string[] = [];
  for (let at = 0; at < items.length; at += itemsPerMessage) pages.push(buildCatalogPage(head, sumNum, items.slice(at, at + itemsPerMessage)));
  if (pages.length === 0) pages.push(buildCatalogPage(head, sumNum, []));
  if (quirks.has('no-sumnum-end')) pages.pop();
  return quirks.has('spaced-num') ? pages.map(page => page.replace(/Num="(\d+)"/, 'Num=" $1 "').replaceAll(/(<\/?)(SumNum|Name|Status)>/g, (_, open: string, name: string) => `${open}${name.toLowerCase()}>`)) : pages;
}

export function deviceInfo(device: DeviceFacts, sn: number, channels: number): string {
  return buildDeviceInfoResponse({ sn, deviceId: device.id }, { deviceName: device.name, manufacturer: device.manufacturer, model: device.model, firmware: device.firmware, channel: channels });
}

export function deviceStatus(deviceId: string, sn: number, deviceTime: WallMs): string {
  return buildDeviceStatusResponse({ sn, deviceId }, { online: true, status: 'OK', encode: true, record: false, deviceTime });
}

/** To controls that want an answer. */
export const controlResult = (cmdType: string, deviceId: string, sn: number): string => buildManscdp('Response', cmdType, { sn, deviceId }, element('Result', 'OK'));
