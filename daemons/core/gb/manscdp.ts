/**
 * MANSCDP+xml (gb28181.md 3): the envelope, one table of commands, typed bodies for those that the base needs. A command that
 * is not typed here is still an envelope with its elements. Writers are in manscdp-write.ts.
 */
import { type CatalogItem, SharedText, readCatalogItem } from './catalog-item.ts';
import { type XmlElement, childOf, parseXml, textOf } from './xml.ts';
import { type ParseError, type Result, ok } from '../result.ts';

export type ManscdpRoot = 'Control' | 'Query' | 'Notify' | 'Response';

interface Command {
  readonly cmdType: string;
  readonly roots: readonly ManscdpRoot[];
  /** 2016 MobilePosition and Broadcast have no DeviceID. */
  readonly deviceId?: 'optional';
}

/** Every CmdType of the editions (3.2). What is not here is answered 200, ignored and counted (faults.md 42). */
export const COMMANDS: readonly Command[] = [
  { cmdType: 'Keepalive', roots: ['Notify'] },
  { cmdType: 'Catalog', roots: ['Query', 'Response', 'Notify'] },
  { cmdType: 'DeviceInfo', roots: ['Query', 'Response'] },
  { cmdType: 'DeviceStatus', roots: ['Query', 'Response'] },
  { cmdType: 'RecordInfo', roots: ['Query', 'Response'] },
  { cmdType: 'Alarm', roots: ['Query', 'Notify', 'Response'] },
  { cmdType: 'MobilePosition', roots: ['Query', 'Notify'], deviceId: 'optional' },
  { cmdType: 'ConfigDownload', roots: ['Query', 'Response'] },
  { cmdType: 'PresetQuery', roots: ['Query', 'Response'] },
  { cmdType: 'HomePositionQuery', roots: ['Query', 'Response'] },
  { cmdType: 'CruiseTrackListQuery', roots: ['Query', 'Response'] },
  { cmdType: 'CruiseTrackQuery', roots: ['Query', 'Response'] },
  { cmdType: 'PTZPosition', roots: ['Query', 'Notify', 'Response'] },
  { cmdType: 'SDCardStatus', roots: ['Query', 'Response'] },
  { cmdType: 'DeviceControl', roots: ['Control', 'Response'] },
  { cmdType: 'DeviceConfig', roots: ['Control', 'Response'] },
  { cmdType: 'MediaStatus', roots: ['Notify'] },
  { cmdType: 'Broadcast', roots: ['Notify', 'Response'], deviceId: 'optional' },
  { cmdType: 'UploadSnapShotFinished', roots: ['Notify'] },
  { cmdType: 'VideoUploadNotify', roots: ['Notify'] },
  { cmdType: 'DeviceUpgradeResult', roots: ['Notify'] },
];

const COMMAND_BY_NAME: ReadonlyMap<string, Command> = new Map(COMMANDS.map(command => [command.cmdType.toLowerCase(), command]));
const ROOTS: ReadonlyMap<string, ManscdpRoot> = new Map([
  ['control', 'Control'],
  ['query', 'Query'],
  ['notify', 'Notify'],
  ['response', 'Response'],
]);

export type ManscdpBody =
  | { readonly kind: 'keepalive'; readonly status: 'OK' | 'ERROR'; /** Sub-devices out of order. */ readonly faulty: readonly string[] }
  /** `startTime`, `endTime`: when the device was added, text. */
  | { readonly kind: 'catalog-query'; readonly startTime: string | undefined; readonly endTime: string | undefined }
  | CatalogBody
  | { readonly kind: 'device-info-query' }
  | DeviceInfoBody
  | { readonly kind: 'device-status-query' }
  | DeviceStatusBody
  /** A bare `Result` to a control, a configuration, an alarm or a broadcast. */
  | { readonly kind: 'result'; readonly result: 'OK' | 'ERROR' }
  | { readonly kind: 'other' };

/** Response to a query, or the content of a NOTIFY (then `items` carry `event`, and 2011 senders call it a Response too). */
export interface CatalogBody {
  readonly kind: 'catalog';
  /** Total over all messages of the answer as declared; undefined when unreadable. */
  readonly sumNum: number | undefined;
  /** Items of this message as declared. */
  readonly num: number | undefined;
  readonly items: readonly CatalogItem[];
  /** Items without DeviceID or beyond repair. */
  readonly dropped: number;
}

export interface DeviceInfoBody {
  readonly kind: 'device-info';
  readonly result: 'OK' | 'ERROR';
  readonly deviceName: string | undefined;
  readonly manufacturer: string | undefined;
  readonly model: string | undefined;
  readonly firmware: string | undefined;
  /** Declared input channels; not the size of the catalogue (3.5). */
  readonly channel: number | undefined;
}

export interface DeviceStatusBody {
  readonly kind: 'device-status';
  readonly result: 'OK' | 'ERROR';
  readonly online: boolean | undefined;
  readonly status: 'OK' | 'ERROR' | undefined;
  readonly reason: string | undefined;
  readonly encode: boolean | undefined;
  readonly record: boolean | undefined;
  /** Text; `parseGbTime` reads it. */
  readonly deviceTime: string | undefined;
  readonly alarms: readonly { readonly deviceId: string; readonly dutyStatus: string }[];
}

export interface Manscdp {
  readonly root: ManscdpRoot;
  /** Canonical spelling of a known command, else as it came. */
  readonly cmdType: string;
  /** False: not in the table. */
  readonly known: boolean;
  readonly sn: number;
  /** Empty only where the schema has none. */
  readonly deviceId: string;
  readonly body: ManscdpBody;
  readonly element: XmlElement;
  /** Stray markup that was taken for text. */
  readonly repairs: number;
}

/** What could be read before the fault, so that a Response with Result ERROR can be sent (faults.md 41). */
export interface ManscdpError extends ParseError {
  readonly root?: ManscdpRoot;
  readonly cmdType?: string;
  readonly sn?: number;
  readonly deviceId?: string;
}

const MAX_SN = 0xffff_ffff;
const MAX_ID = 64;
const MAX_CMD_TYPE = 64;
const MAX_FAULTY = 10_000;
const MAX_COUNT = 0x7fff_ffff;

/** `text` as the charset decoder left it. */
export function parseManscdp(text: string): Result<Manscdp, ManscdpError> {
  const document = parseXml(text);
  if (!document.ok) return document;
  const { root: element, repairs, droppedItems } = document.value;
  const root = ROOTS.get(element.key);
  if (root === undefined) return bad(`root element ${element.name.slice(0, MAX_CMD_TYPE)}`);
  const envelope = readEnvelope(element);
  if (envelope.why !== undefined) return bad(envelope.why, { root, ...envelope.read });
  const { cmdType = '', sn = 0, deviceId = '' } = envelope.read;
  const command = COMMAND_BY_NAME.get(cmdType.toLowerCase());
  const body = readBody(root, command?.cmdType, element, droppedItems);
  return ok({ root, cmdType: command?.cmdType ?? cmdType, known: command?.roots.includes(root) ?? false, sn, deviceId, body, element, repairs });
}

const bad = (why: string, read: Omit<ManscdpError, 'at' | 'why'> = {}): { readonly ok: false; readonly error: ManscdpError } => ({ ok: false, error: { at: 0, why, ...read } });

interface Envelope {
  readonly why: string | undefined;
  readonly read: { cmdType?: string; sn?: number; deviceId?: string };
}

function readEnvelope(element: XmlElement): Envelope {
  const cmdType = onlyText(element, 'cmdtype');
  const sn = onlyText(element, 'sn');
  const deviceId = onlyText(element, 'deviceid');
  const read: Envelope['read'] = {};
  let why = cmdType.why ?? sn.why ?? deviceId.why;
  if (cmdType.text !== undefined && cmdType.text.length <= MAX_CMD_TYPE) read.cmdType = cmdType.text;
  else why ??= 'no CmdType';
  const number = readCount(sn.text, MAX_SN);
  if (number !== undefined) read.sn = number;
  else why ??= 'no SN';
  if (deviceId.text !== undefined && deviceId.text.length <= MAX_ID) read.deviceId = deviceId.text;
  else if (COMMAND_BY_NAME.get((read.cmdType ?? '').toLowerCase())?.deviceId !== 'optional') why ??= 'no DeviceID';
  return { why, read };
}

/** Text of a child that must not be repeated. */
function onlyText(element: XmlElement, key: string): { text?: string; why?: string } {
  let text: string | undefined;
  for (const child of element.children) {
    if (child.key !== key) continue;
    if (text !== undefined) return { text, why: `more than one ${child.name}` };
    text = child.text;
  }
  return text === undefined || text === '' ? {} : { text };
}

function readBody(root: ManscdpRoot, cmdType: string | undefined, element: XmlElement, droppedItems: number): ManscdpBody {
  switch (`${root} ${cmdType ?? ''}`) {
    case 'Notify Keepalive':
      return { kind: 'keepalive', status: readResult(textOf(element, 'status')), faulty: readFaulty(element) };
    case 'Query Catalog':
      return { kind: 'catalog-query', startTime: textOf(element, 'starttime'), endTime: textOf(element, 'endtime') };
    case 'Response Catalog':
    case 'Notify Catalog':
      return readCatalog(element, droppedItems);
    case 'Query DeviceInfo':
      return { kind: 'device-info-query' };
    case 'Response DeviceInfo':
      return readDeviceInfo(element);
    case 'Query DeviceStatus':
      return { kind: 'device-status-query' };
    case 'Response DeviceStatus':
      return readDeviceStatus(element);
    case 'Response DeviceControl':
    case 'Response DeviceConfig':
    case 'Response Alarm':
    case 'Response Broadcast':
      return { kind: 'result', result: readResult(textOf(element, 'result')) };
    default:
      return { kind: 'other' };
  }
}

/** Absent is OK: only a plain ERROR is one. */
const readResult = (text: string | undefined): 'OK' | 'ERROR' => (text?.toUpperCase() === 'ERROR' ? 'ERROR' : 'OK');

function readFaulty(element: XmlElement): string[] {
  const faulty: string[] = [];
  for (const info of element.children) {
    if (info.key !== 'info') continue;
    for (const child of info.children) if (child.key === 'deviceid' && child.text !== '' && faulty.length < MAX_FAULTY) faulty.push(child.text.slice(0, MAX_ID));
  }
  return faulty;
}

function readCatalog(element: XmlElement, droppedItems: number): CatalogBody {
  const list = childOf(element, 'devicelist');
  const shared = new SharedText();
  const items: CatalogItem[] = [];
  let dropped = droppedItems;
  for (const child of list?.children ?? []) {
    if (child.key !== 'item') continue;
    const item = readCatalogItem(child, shared);
    if (item !== undefined && item.deviceId.length <= MAX_ID) items.push(item);
    else dropped++;
  }
  return { kind: 'catalog', sumNum: readCount(textOf(element, 'sumnum'), MAX_COUNT), num: readCount(list?.attributes.get('num'), MAX_COUNT), items, dropped };
}

function readDeviceInfo(element: XmlElement): DeviceInfoBody {
  return {
    kind: 'device-info',
    result: readResult(textOf(element, 'result')),
    deviceName: textOf(element, 'devicename'),
    manufacturer: textOf(element, 'manufacturer'),
    model: textOf(element, 'model'),
    firmware: textOf(element, 'firmware'),
    channel: readCount(textOf(element, 'channel'), MAX_COUNT),
  };
}

function readDeviceStatus(element: XmlElement): DeviceStatusBody {
  const online = textOf(element, 'online')?.toUpperCase();
  const status = textOf(element, 'status');
  return {
    kind: 'device-status',
    result: readResult(textOf(element, 'result')),
    online: online === undefined ? undefined : online === 'ONLINE' || online === 'ON',
    status: status === undefined ? undefined : readResult(status),
    reason: textOf(element, 'reason'),
    encode: readSwitch(textOf(element, 'encode')),
    record: readSwitch(textOf(element, 'record')),
    deviceTime: textOf(element, 'devicetime'),
    alarms: (childOf(element, 'alarmstatus')?.children ?? []).flatMap(item => {
      const deviceId = textOf(item, 'deviceid');
      return item.key === 'item' && deviceId !== undefined ? [{ deviceId, dutyStatus: textOf(item, 'dutystatus') ?? '' }] : [];
    }),
  };
}

const readSwitch = (text: string | undefined): boolean | undefined => (text === undefined ? undefined : text.toUpperCase() === 'ON');

function readCount(text: string | undefined, max: number): number | undefined {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  return value <= max ? value : undefined;
}
