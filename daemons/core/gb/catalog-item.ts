/**
 * Catalogue items (gb28181.md 3.4): one table of fields in schema order, read and written by it. Values stay text as the
 * camera wrote it; absent is absent. Unknown elements are kept as they are.
 */
import { kindOf } from './device-id.ts';
import type { GbVersion } from './dialect.ts';
import type { XmlElement } from './xml.ts';
import { xmlText } from './xml-text.ts';

interface Field {
  readonly key: string;
  readonly xml: string;
  /** Editions whose schema has it. */
  readonly in: readonly GbVersion[];
  /** Mostly different in every item: not worth sharing between items. */
  readonly own?: true;
}

const BOTH: readonly GbVersion[] = ['2016', '2022'];
const OLD: readonly GbVersion[] = ['2016'];
const NEW: readonly GbVersion[] = ['2022'];

/** Behind DeviceID and Event, which every item begins with. */
const ITEM_FIELDS = [
  { key: 'name', xml: 'Name', in: BOTH, own: true },
  { key: 'manufacturer', xml: 'Manufacturer', in: BOTH },
  { key: 'model', xml: 'Model', in: BOTH },
  { key: 'owner', xml: 'Owner', in: OLD },
  { key: 'civilCode', xml: 'CivilCode', in: BOTH },
  { key: 'block', xml: 'Block', in: BOTH },
  { key: 'address', xml: 'Address', in: BOTH, own: true },
  { key: 'parental', xml: 'Parental', in: BOTH },
  { key: 'parentId', xml: 'ParentID', in: BOTH },
  { key: 'safetyWay', xml: 'SafetyWay', in: OLD },
  { key: 'registerWay', xml: 'RegisterWay', in: BOTH },
  { key: 'certNum', xml: 'CertNum', in: OLD },
  { key: 'certifiable', xml: 'Certifiable', in: OLD },
  { key: 'errCode', xml: 'ErrCode', in: OLD },
  { key: 'endTime', xml: 'EndTime', in: OLD },
  { key: 'securityLevelCode', xml: 'SecurityLevelCode', in: NEW },
  { key: 'secrecy', xml: 'Secrecy', in: BOTH },
  { key: 'ipAddress', xml: 'IPAddress', in: BOTH, own: true },
  { key: 'port', xml: 'Port', in: BOTH },
  { key: 'password', xml: 'Password', in: BOTH },
  { key: 'status', xml: 'Status', in: BOTH },
  { key: 'longitude', xml: 'Longitude', in: BOTH, own: true },
  { key: 'latitude', xml: 'Latitude', in: BOTH, own: true },
  { key: 'businessGroupId', xml: 'BusinessGroupID', in: BOTH },
  // Ours (core/gb/origin): whoever does not know it passes over it.
  { key: 'route', xml: 'ViewLinkRoute', in: BOTH },
] as const satisfies readonly Field[];

const INFO_FIELDS = [
  { key: 'ptzType', xml: 'PTZType', in: BOTH },
  { key: 'positionType', xml: 'PositionType', in: OLD },
  { key: 'photoelectricImagingType', xml: 'PhotoelectricImagingType', in: NEW },
  { key: 'capturePositionType', xml: 'CapturePositionType', in: NEW },
  { key: 'roomType', xml: 'RoomType', in: BOTH },
  { key: 'useType', xml: 'UseType', in: OLD },
  { key: 'supplyLightType', xml: 'SupplyLightType', in: BOTH },
  { key: 'directionType', xml: 'DirectionType', in: BOTH },
  { key: 'resolution', xml: 'Resolution', in: BOTH },
  { key: 'streamNumberList', xml: 'StreamNumberList', in: NEW },
  { key: 'downloadSpeed', xml: 'DownloadSpeed', in: BOTH },
  { key: 'svcSpaceSupportMode', xml: 'SVCSpaceSupportMode', in: BOTH },
  { key: 'svcTimeSupportMode', xml: 'SVCTimeSupportMode', in: BOTH },
  { key: 'ssvcRatioSupportList', xml: 'SSVCRatioSupportList', in: NEW },
  { key: 'mobileDeviceType', xml: 'MobileDeviceType', in: NEW },
  { key: 'horizontalFieldAngle', xml: 'HorizontalFieldAngle', in: NEW },
  { key: 'verticalFieldAngle', xml: 'VerticalFieldAngle', in: NEW },
  { key: 'maxViewDistance', xml: 'MaxViewDistance', in: NEW },
  { key: 'grassrootsCode', xml: 'GrassrootsCode', in: NEW },
  { key: 'pointType', xml: 'PointType', in: NEW },
  { key: 'pointCommonName', xml: 'PointCommonName', in: NEW, own: true },
  { key: 'mac', xml: 'MAC', in: NEW, own: true },
  { key: 'functionType', xml: 'FunctionType', in: NEW },
  { key: 'encodeType', xml: 'EncodeType', in: NEW },
  { key: 'installTime', xml: 'InstallTime', in: NEW },
  { key: 'managementUnit', xml: 'ManagementUnit', in: NEW },
  { key: 'contactInfo', xml: 'ContactInfo', in: NEW },
  { key: 'recordSaveDays', xml: 'RecordSaveDays', in: NEW },
  { key: 'industrialClassification', xml: 'IndustrialClassification', in: NEW },
] as const satisfies readonly Field[];

/** Unknown elements of one item that are kept. */
const MAX_EXTRAS = 32;
/** Different values of one message that are shared between its items. */
const MAX_SHARED = 4096;

type ItemKey = (typeof ITEM_FIELDS)[number]['key'];
type InfoKey = (typeof INFO_FIELDS)[number]['key'];

export type CatalogInfo = { readonly [K in InfoKey]?: string };

/** One Item. `status` is normalized to ON or OFF. */
export type CatalogItem = { readonly [K in Exclude<ItemKey, 'status'>]?: string } & {
  /** 20 digits, a civil code of 2-8 digits, or what an old site uses. */
  readonly deviceId: string;
  /** NOTIFY only: ON, OFF, VLOST, DEFECT, ADD, DEL, UPDATE. */
  readonly event?: string;
  readonly status?: 'ON' | 'OFF';
  /** Why it is OFF although its device is there, as the device reported it. */
  readonly fault?: 'VLOST' | 'DEFECT';
  readonly info?: CatalogInfo;
  /** Elements that the table does not know. */
  readonly extras?: readonly XmlElement[];
};

const ITEM_BY_NAME: ReadonlyMap<string, Field> = new Map(ITEM_FIELDS.map(field => [field.xml.toLowerCase(), field]));
const INFO_BY_NAME: ReadonlyMap<string, Field> = new Map(INFO_FIELDS.map(field => [field.xml.toLowerCase(), field]));
const ONLINE_WORDS: ReadonlySet<string> = new Set(['on', 'online', 'ok', '1', 'true']);

/** One text for equal values, and none that keeps the whole message in memory behind a substring. */
export class SharedText {
  readonly #known = new Map<string, string>();

  share(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const own = detach(text);
    if (this.#known.size < MAX_SHARED) this.#known.set(own, own);
    return own;
  }
}

/** Engines keep a substring as a window on its source; joining with one character and cutting it off again ends that. */
const detach = (text: string): string => (text.length < 13 ? text : `${text} `.slice(0, -1));

/** Undefined without a DeviceID. */
export function readCatalogItem(element: XmlElement, shared: SharedText): CatalogItem | undefined {
  const read: Record<string, unknown> = {};
  const extras: XmlElement[] = [];
  for (const child of element.children) {
    const field = ITEM_BY_NAME.get(child.key);
    if (field !== undefined) readField(read, field, child, shared);
    else if (child.key === 'deviceid') read['deviceId'] ??= detach(child.text);
    else if (child.key === 'event') read['event'] ??= shared.share(child.text.toUpperCase());
    else if (child.key === 'info') readInfo(read, child, shared);
    else if (extras.length < MAX_EXTRAS) extras.push(detachElement(child, shared));
  }
  if (!read['deviceId']) return undefined;
  if (read['status'] !== undefined) read['status'] = ONLINE_WORDS.has(String(read['status']).toLowerCase()) ? 'ON' : 'OFF';
  if (extras.length > 0) read['extras'] = extras;
  return read as unknown as CatalogItem;
}

/** An empty element is an absent one; of repeated ones the first counts. */
function readField(into: Record<string, unknown>, field: Field, element: XmlElement, shared: SharedText): void {
  if (element.text !== '') into[field.key] ??= field.own ? detach(element.text) : shared.share(element.text);
}

/** BusinessGroupID stands in Info in the 2016 schema and beside it in its sample. */
function readInfo(read: Record<string, unknown>, element: XmlElement, shared: SharedText): void {
  const info: Record<string, unknown> = {};
  for (const child of element.children) {
    const field = INFO_BY_NAME.get(child.key);
    if (field !== undefined) readField(info, field, child, shared);
    else if (child.key === 'businessgroupid' && child.text !== '') read['businessGroupId'] ??= shared.share(child.text);
  }
  if (Object.keys(info).length > 0) read['info'] ??= info;
}

function detachElement(element: XmlElement, shared: SharedText): XmlElement {
  const attributes = new Map([...element.attributes].map(([name, value]) => [shared.share(name), detach(value)]));
  return { name: shared.share(element.name), key: shared.share(element.key), attributes, text: detach(element.text), children: element.children.map(child => detachElement(child, shared)) };
}

/** Fields that items without a device behind them carry (gb28181.md 1.7). */
const VIRTUAL_FIELDS: Readonly<Record<GbVersion, ReadonlySet<string>>> = { '2016': new Set(['name', 'parentId', 'businessGroupId']), '2022': new Set(['name', 'civilCode', 'parentId', 'businessGroupId']) };
const CIVIL_FIELDS: ReadonlySet<string> = new Set(['name']);

function allowedFields(item: CatalogItem, version: GbVersion): ReadonlySet<string> | undefined {
  switch (kindOf(item.deviceId)) {
    case 'civil':
      return CIVIL_FIELDS;
    case 'business-group':
    case 'virtual-org':
      return VIRTUAL_FIELDS[version];
    case 'system':
    case 'device':
      return undefined;
  }
}

/** `<Item>` in schema order with the fields that this edition knows; absent ones are omitted. Extras are not sent on. */
export function formatCatalogItem(item: CatalogItem, version: GbVersion): string {
  const allowed = allowedFields(item, version);
  let text = `<Item>\r\n${xmlText('DeviceID', item.deviceId)}${xmlText('Event', item.event)}`;
  for (const field of ITEM_FIELDS) {
    const value = item[field.key];
    if (value !== undefined && isIn(field, version) && (allowed === undefined || allowed.has(field.key))) text += xmlText(field.xml, value);
  }
  return `${text}${allowed === undefined ? formatInfo(item.info, version) : ''}\r\n</Item>\r\n`;
}

const isIn = (field: Field, version: GbVersion): boolean => field.in.includes(version);

function formatInfo(info: CatalogInfo | undefined, version: GbVersion): string {
  if (info === undefined) return '';
  let text = '';
  for (const field of INFO_FIELDS) if (isIn(field, version)) text += xmlText(field.xml, info[field.key]);
  return text === '' ? '' : `<Info>${text}</Info>`;
}
