/**
 * Content of a command that passes through us: what a device answers, on its way up, and configuration on its way down. IDs
 * are mapped wherever they stand (gb28181.md 8.2, A.7), names are written exactly as the schema has them (3.1), and what
 * concerns only the device and us is taken out.
 */
import type { Head } from './manscdp-write.ts';
import { buildManscdp } from './manscdp-write.ts';
import type { Manscdp } from './manscdp.ts';
import { escapeXml } from './xml-text.ts';
import { type XmlElement, childOf, textOf } from './xml.ts';

const ENVELOPE: ReadonlySet<string> = new Set(['cmdtype', 'sn', 'deviceid']);
/** 2011 BasicParam (3.9): whoever sets these takes the device away from us, whoever reads them can pose as it. */
const PRIVATE: ReadonlySet<string> = new Set(['password', 'sipserverid', 'sipserverip', 'sipserverport', 'domainname', 'sipserverpassword']);

/** Blocks of DeviceConfig and of the answer to ConfigDownload (3.9). */
const CONFIG_BLOCKS = [
  'BasicParam', 'VideoParamOpt', 'VideoParamConfig', 'SVACEncodeConfig', 'SVACDecodeConfig', 'VideoParamAttribute', 'VideoRecordPlan', 'VideoAlarmRecord', 'PictureMask',
  'FrameMirror', 'AlarmReport', 'OSDConfig', 'SnapShotConfig', 'SnapShot',
] as const;
const CONFIG_KEYS: ReadonlySet<string> = new Set(CONFIG_BLOCKS.map(name => name.toLowerCase()));

/** Names of answers and of configuration in their one right spelling. */
const NAMES: ReadonlyMap<string, string> = new Map(
  [
    ...CONFIG_BLOCKS, 'DeviceID', 'Name', 'Result', 'SumNum', 'Item', 'Info', 'ExtraInfo', 'Online', 'Status', 'Reason', 'Encode', 'Record', 'DeviceTime', 'Alarmstatus', 'DutyStatus',
    'PresetList', 'PresetID', 'PresetName', 'HomePosition', 'Enabled', 'ResetTime', 'PresetIndex', 'CruiseTrackList', 'CruiseTrack', 'Number', 'CruisePointList', 'CruisePoint', 'StayTime', 'Speed',
    'Pan', 'Tilt', 'Zoom', 'HorizontalFieldAngle', 'VerticalFieldAngle', 'MaxViewDistance', 'SDCardStatusInfo', 'ID', 'HddName', 'FormatProgress', 'Capacity', 'FreeSpace', 'Expiration',
    'HeartBeatInterval', 'HeartBeatCount', 'PositionCapability', 'Longitude', 'Latitude', 'DownloadSpeed', 'Resolution', 'StreamNumber', 'VideoFormat', 'FrameRate', 'BitRateType', 'VideoBitRate',
    'RecordEnable', 'RecordScheduleSumNum', 'RecordSchedule', 'WeekDayNum', 'TimeSegmentSumNum', 'TimeSegment', 'StartHour', 'StartMin', 'StartSec', 'StopHour', 'StopMin', 'StopSec', 'RecordTime',
    'PreRecordTime', 'On', 'RegionList', 'Seq', 'Point', 'MotionDetection', 'FieldDetection', 'Length', 'Width', 'TimeX', 'TimeY', 'TimeEnable', 'TimeType', 'TextEnable', 'Text', 'X', 'Y', 'SnapNum',
    'Interval', 'UploadURL', 'SessionID', 'AlarmPriority', 'AlarmMethod', 'AlarmTime', 'AlarmDescription', 'AlarmType', 'AlarmTypeParam', 'EventType', 'UpgradeResult', 'Firmware', 'SnapShotList', 'SnapShotFileID',
  ].map(name => [name.toLowerCase(), name]),
);

/** Elements whose text is an ID of the sender's, or begins with one (SnapShotFileID: the camera's, then what makes it unique). */
const IDS: ReadonlySet<string> = new Set(['deviceid', 'snapshotfileid']);

/** The ID that the receiver knows for one of the sender's; undefined: none. */
export type MapId = (id: string) => string | undefined;

/** Presets go to 255, cruises and cards to fewer; what a device sends beyond is not passed on. */
const MAX_LIST = 1024;
const LISTS: ReadonlySet<string> = new Set(['presetlist', 'cruisetracklist', 'cruisepointlist', 'sdcardstatusinfo']);

/** What a device says, mostly a Response, under the upstream's SN and ID; a list that makes it longer than `fits` allows goes in several, each with the sum. */
export function relayResponse(message: Manscdp, head: Head, mapId: MapId, fits: (body: string) => boolean, unknownElements: 'pass' | 'drop' = 'pass'): string[] {
  const wanted = (key: string): boolean => unknownElements === 'pass' || NAMES.has(key);
  const build = (element: XmlElement): string => buildManscdp(message.root, message.cmdType, head, contentOf(unknownElements === 'pass' ? element : pruned(element), wanted, mapId));
  const whole = build(message.element);
  const list = message.element.children.find(({ key }) => LISTS.has(key));
  if (list === undefined || list.children.length < 2 || (list.children.length <= MAX_LIST && fits(whole))) return [whole];
  const sumNum: XmlElement = childOf(message.element, 'sumnum') ?? { name: 'SumNum', key: 'sumnum', attributes: new Map(), text: String(Math.min(list.children.length, MAX_LIST)), children: [] };
  const others = message.element.children.filter(({ key }) => key !== 'sumnum');
  const page = (items: readonly XmlElement[]): string => {
    const part: XmlElement = { ...list, attributes: new Map([['num', String(items.length)]]), children: items };
    return build({ ...message.element, children: others.flatMap(child => (child === list ? [sumNum, part] : [child])) });
  };
  return split(list.children.slice(0, MAX_LIST), items => fits(page(items))).map(page);
}

/** Without elements that the standard does not know (faults.md 5, rule 3). */
const pruned = (element: XmlElement): XmlElement => ({ ...element, children: element.children.filter(({ key }) => NAMES.has(key) || ENVELOPE.has(key)).map(pruned) });

/** Halves what does not fit; one item goes alone in any case. */
function split<T>(items: readonly T[], fits: (items: readonly T[]) => boolean): (readonly T[])[] {
  if (items.length < 2 || fits(items)) return [items];
  const middle = items.length >> 1;
  return [...split(items.slice(0, middle), fits), ...split(items.slice(middle), fits)];
}

/** Blocks of a Control/DeviceConfig; undefined when there is none that we know. */
export function configBlocks({ element }: Manscdp, mapId: MapId): string | undefined {
  const content = contentOf(element, key => CONFIG_KEYS.has(key), mapId);
  return content === '' ? undefined : content;
}

/** How much of an answer this message is: items of its list as they came, and the total that it declares. */
export function partOf({ element, cmdType }: Manscdp): { readonly items: number; readonly sumNum: number | undefined } {
  const sumNum = textOf(element, 'sumnum');
  const total = sumNum !== undefined && /^\d{1,6}$/.test(sumNum) ? Number(sumNum) : undefined;
  if (cmdType === 'ConfigDownload') return { items: element.children.filter(({ key }) => !ENVELOPE.has(key) && key !== 'result').length, sumNum: undefined };
  const list = element.children.find(({ key }) => LISTS.has(key));
  return { items: list?.children.length ?? 0, sumNum: total };
}

const contentOf = (element: XmlElement, wanted: (key: string) => boolean, mapId: MapId): string =>
  element.children
    .filter(({ key }) => !ENVELOPE.has(key) && wanted(key))
    .map(child => write(child, mapId))
    .filter(text => text !== undefined && text !== '')
    .map(text => `${text}\r\n`)
    .join('');

/** Nothing for what is private; undefined for an item whose ID the receiver does not know. */
function write(element: XmlElement, mapId: MapId): string | undefined {
  if (PRIVATE.has(element.key)) return '';
  const name = NAMES.get(element.key) ?? element.name;
  const ids = new Map(element.children.filter(({ key }) => IDS.has(key)).map(child => [child, mapId(child.text)]));
  if (element.key === 'item' && [...ids.values()].includes(undefined)) return undefined;
  const children = element.children.map(child => (ids.has(child) ? idElement(child, ids.get(child)) : write(child, mapId)));
  const dropped = children.filter(child => child === undefined).length;
  const attributes = [...element.attributes].map(([key, value]) => (key === 'num' ? ` Num="${countOf(value, dropped)}"` : ` ${key}="${escapeXml(value)}"`));
  return `<${name}${attributes.join('')}>${element.children.length === 0 ? escapeXml(element.text) : children.join('')}</${name}>`;
}

const idElement = (child: XmlElement, id: string | undefined): string => (id === undefined ? '' : `<${NAMES.get(child.key) ?? child.name}>${escapeXml(id)}</${NAMES.get(child.key) ?? child.name}>`);
const countOf = (declared: string, dropped: number): string => (/^\d{1,6}$/.test(declared) ? String(Math.max(0, Number(declared) - dropped)) : escapeXml(declared));
