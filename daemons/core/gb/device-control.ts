/**
 * Content of Control/DeviceControl (gb28181.md 3.3): exactly one control, read leniently and written in schema order with the
 * spelling of the peer's edition. Which ones get a Response is said in 3.1.
 */
import { DIALECTS, type GbVersion } from './dialect.ts';
import { type PtzInstruction, formatPtz, isStop, parsePtz } from './ptz.ts';
import { type XmlElement, childOf, textOf } from './xml.ts';
import { xmlText } from './xml-text.ts';
import { type Result, fail, ok } from '../result.ts';

const MAX_TEXT = 128;
const MAX_URL = 1024;
/** Bytes of a preset or cruise name are 32; characters of it are fewer. */
const MAX_NAME = 32;
const MAX_ID = 64;
const MAX_PIXELS = 65_535;
const MAX_SECONDS = 86_400;

/** Pixels of the operator's window: its size, the middle of the box drawn in it, and the size of the box. */
export interface DragBox {
  readonly length: number;
  readonly width: number;
  readonly midPointX: number;
  readonly midPointY: number;
  readonly lengthX: number;
  readonly lengthY: number;
}

export type DeviceControl =
  /** `priority` of the operator; names only go with presets and cruises (2022). */
  | { readonly kind: 'ptz'; readonly instruction: PtzInstruction; readonly priority?: number; readonly presetName?: string; readonly cruiseTrackName?: string }
  | { readonly kind: 'tele-boot' }
  /** Stream 0 is the main one (2022). */
  | { readonly kind: 'record'; readonly on: boolean; readonly streamNumber?: number }
  | { readonly kind: 'guard'; readonly on: boolean }
  /** Combinations of methods and types as they came: `12` (2016) or `1/2` (2022). */
  | { readonly kind: 'alarm-reset'; readonly alarmMethod?: string; readonly alarmType?: string }
  | { readonly kind: 'i-frame' }
  | { readonly kind: 'drag-zoom'; readonly way: 'in' | 'out'; readonly box: DragBox }
  | { readonly kind: 'home-position'; readonly enabled: boolean; readonly resetTimeS?: number; readonly presetIndex?: number }
  /** Degrees; the device goes to its limit when they are beyond. Zoom is a factor. */
  | { readonly kind: 'ptz-precise'; readonly pan?: number; readonly tilt?: number; readonly zoom?: number }
  | { readonly kind: 'upgrade'; readonly firmware: string; readonly fileUrl: string; readonly manufacturer: string; readonly sessionId: string }
  /** 0: all of them. */
  | { readonly kind: 'format-sd-card'; readonly card: number }
  /** `panoramicId`: DeviceID2, the channel in whose picture the target is. */
  | { readonly kind: 'target-track'; readonly mode: 'Auto' | 'Manual' | 'Stop'; readonly panoramicId?: string; readonly area?: DragBox };

export type ControlKind = DeviceControl['kind'];

/** Who may: `ptz` moves the camera, `control` switches it, `maintenance` may take it out of service. */
export const CONTROL_GROUP: Readonly<Record<ControlKind, 'ptz' | 'control' | 'maintenance'>> = {
  'ptz': 'ptz',
  'drag-zoom': 'ptz',
  'home-position': 'ptz',
  'ptz-precise': 'ptz',
  'target-track': 'ptz',
  'i-frame': 'control',
  'record': 'control',
  'guard': 'control',
  'alarm-reset': 'control',
  'tele-boot': 'maintenance',
  'upgrade': 'maintenance',
  'format-sd-card': 'maintenance',
};

const ANSWERED: ReadonlySet<ControlKind> = new Set(['record', 'guard', 'alarm-reset', 'home-position', 'upgrade']);

/** Whether the device answers with a Response (3.1). */
export const wantsResponse = ({ kind }: DeviceControl): boolean => ANSWERED.has(kind);

/** A sentence when it is not what it should be. */
type Read = DeviceControl | string;

/** Elements that begin a control, in schema order, by lower-case name; both spellings of the I-frame. */
const READERS: Readonly<Record<string, (value: XmlElement, control: XmlElement) => Read>> = {
  ptzcmd: readPtz,
  teleboot: value => (isWord(value, 'Boot') ? { kind: 'tele-boot' } : 'TeleBoot is not Boot'),
  recordcmd: readRecord,
  guardcmd: value => (isWord(value, 'SetGuard') ? { kind: 'guard', on: true } : isWord(value, 'ResetGuard') ? { kind: 'guard', on: false } : 'GuardCmd is neither SetGuard nor ResetGuard'),
  alarmcmd: readAlarmReset,
  ifamecmd: readIFrame,
  iframecmd: readIFrame,
  dragzoomin: value => readDragZoom(value, 'in'),
  dragzoomout: value => readDragZoom(value, 'out'),
  homeposition: readHomePosition,
  ptzprecisectrl: readPrecise,
  deviceupgrade: readUpgrade,
  formatsdcard: readFormat,
  targettrack: readTargetTrack,
};

/** `control`: the root element of the command. Empty elements are none; more than one control is refused (faults.md 41). */
export function parseDeviceControl(control: XmlElement): Result<DeviceControl> {
  const found = control.children.filter(({ key, text, children }) => Object.hasOwn(READERS, key) && (text !== '' || children.length > 0));
  const [first] = found;
  if (first === undefined) return fail(0, 'no control that we know');
  if (found.length > 1) return fail(0, `${found.length} controls at once`);
  const read = READERS[first.key]!(first, control);
  return typeof read === 'string' ? fail(0, read) : ok(read);
}

/** What goes between DeviceID and the end of Control. */
export function formatDeviceControl(control: DeviceControl, version: GbVersion): string {
  const lines = contentOf(control, version).filter(line => line !== '');
  return lines.map(line => `${line}\r\n`).join('');
}

function contentOf(control: DeviceControl, version: GbVersion): string[] {
  switch (control.kind) {
    case 'ptz':
      return [xmlText('PTZCmd', formatPtz(control.instruction)), group('PTZCmdParams', xmlText('PresetName', control.presetName), xmlText('CruiseTrackName', control.cruiseTrackName)), group('Info', xmlText('ControlPriority', control.priority))];
    case 'tele-boot':
      return [xmlText('TeleBoot', 'Boot')];
    case 'record':
      return [xmlText('RecordCmd', control.on ? 'Record' : 'StopRecord'), xmlText('StreamNumber', control.streamNumber)];
    case 'guard':
      return [xmlText('GuardCmd', control.on ? 'SetGuard' : 'ResetGuard')];
    case 'alarm-reset':
      return [xmlText('AlarmCmd', 'ResetAlarm'), group('Info', xmlText('AlarmMethod', control.alarmMethod), xmlText('AlarmType', control.alarmType))];
    case 'i-frame':
      return [xmlText(DIALECTS[version].iFrameCommand, 'Send')];
    case 'drag-zoom':
      return [group(control.way === 'in' ? 'DragZoomIn' : 'DragZoomOut', ...formatBox(control.box))];
    case 'home-position':
      return [group('HomePosition', xmlText('Enabled', control.enabled ? 1 : 0), xmlText('ResetTime', control.resetTimeS), xmlText('PresetIndex', control.presetIndex))];
    case 'ptz-precise':
      return [group('PTZPreciseCtrl', xmlText('Pan', control.pan), xmlText('Tilt', control.tilt), xmlText('Zoom', control.zoom))];
    case 'upgrade':
      return [group('DeviceUpgrade', xmlText('Firmware', control.firmware), xmlText('FileURL', control.fileUrl), xmlText('Manufacturer', control.manufacturer), xmlText('SessionID', control.sessionId))];
    case 'format-sd-card':
      return [xmlText('FormatSDCard', control.card)];
    case 'target-track':
      return [xmlText('TargetTrack', control.mode), xmlText('DeviceID2', control.panoramicId), control.area === undefined ? '' : group('TargetArea', ...formatBox(control.area))];
  }
}

/** What an audit shows: the command without names, addresses and secrets. */
export function describeControl(control: DeviceControl): string {
  if (control.kind !== 'ptz') return 'on' in control ? `${control.kind} ${control.on ? 'on' : 'off'}` : control.kind;
  const { kind, ...rest } = control.instruction.command;
  const facts = Object.entries(rest).filter(([, value]) => value !== undefined);
  return isStop(control.instruction.command) ? `ptz ${kind} stop` : `ptz ${kind} ${facts.map(([name, value]) => `${name}=${value}`).join(' ')}`;
}

/** Nothing when all is absent. */
const group = (name: string, ...content: readonly string[]): string => (content.join('') === '' ? '' : `<${name}>${content.join('')}</${name}>`);

const formatBox = (box: DragBox): string[] => BOX.map(([name, , field]) => xmlText(name, box[field]));

const BOX: readonly (readonly [name: string, key: string, field: keyof DragBox])[] = [
  ['Length', 'length', 'length'],
  ['Width', 'width', 'width'],
  ['MidPointX', 'midpointx', 'midPointX'],
  ['MidPointY', 'midpointy', 'midPointY'],
  ['LengthX', 'lengthx', 'lengthX'],
  ['LengthY', 'lengthy', 'lengthY'],
];

function readPtz(value: XmlElement, control: XmlElement): Read {
  const instruction = parsePtz(value.text);
  if (!instruction.ok) return `PTZCmd: ${instruction.error.why}`;
  const params = childOf(control, 'ptzcmdparams');
  const info = childOf(control, 'info');
  return present({
    kind: 'ptz',
    instruction: instruction.value,
    priority: readNumber(info && textOf(info, 'controlpriority'), 255),
    presetName: params && short(textOf(params, 'presetname'), MAX_NAME),
    cruiseTrackName: params && short(textOf(params, 'cruisetrackname'), MAX_NAME),
  });
}

function readRecord(value: XmlElement, control: XmlElement): Read {
  const on = isWord(value, 'Record');
  if (!on && !isWord(value, 'StopRecord')) return 'RecordCmd is neither Record nor StopRecord';
  return present({ kind: 'record', on, streamNumber: readNumber(textOf(control, 'streamnumber'), 255) });
}

function readAlarmReset(value: XmlElement, control: XmlElement): Read {
  if (!isWord(value, 'ResetAlarm')) return 'AlarmCmd is not ResetAlarm';
  const info = childOf(control, 'info');
  const codes = (key: string): string | undefined => {
    const text = (info && textOf(info, key)) ?? textOf(control, key);
    return text !== undefined && /^[\d/]{1,32}$/.test(text) ? text : undefined;
  };
  return present({ kind: 'alarm-reset', alarmMethod: codes('alarmmethod'), alarmType: codes('alarmtype') });
}

function readIFrame(value: XmlElement): Read {
  return isWord(value, 'Send') ? { kind: 'i-frame' } : `${value.name} is not Send`;
}

function readDragZoom(value: XmlElement, way: 'in' | 'out'): Read {
  const box = readBox(value);
  return typeof box === 'string' ? `${value.name}: ${box}` : { kind: 'drag-zoom', way, box };
}

function readBox(value: XmlElement): DragBox | string {
  const box: Partial<Record<keyof DragBox, number>> = {};
  for (const [name, key, field] of BOX) {
    const number = readNumber(textOf(value, key), MAX_PIXELS);
    if (number === undefined) return `no ${name} of 0 to ${MAX_PIXELS}`;
    box[field] = number;
  }
  return box as DragBox;
}

function readHomePosition(value: XmlElement): Read {
  const enabled = readNumber(textOf(value, 'enabled'), 1);
  if (enabled === undefined) return 'HomePosition without Enabled of 0 or 1';
  return present({ kind: 'home-position', enabled: enabled === 1, resetTimeS: readNumber(textOf(value, 'resettime'), MAX_SECONDS), presetIndex: readNumber(textOf(value, 'presetindex'), 255) });
}

function readPrecise(value: XmlElement): Read {
  const [pan, tilt, zoom] = ['pan', 'tilt', 'zoom'].map(key => textOf(value, key));
  for (const text of [pan, tilt, zoom]) if (text !== undefined && !/^[+-]?\d{1,4}(\.\d{1,6})?$/.test(text)) return `PTZPreciseCtrl with ${text.slice(0, MAX_NAME)}`;
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  if (pan === undefined && tilt === undefined && zoom === undefined) return 'PTZPreciseCtrl without Pan, Tilt and Zoom';
  return present({ kind: 'ptz-precise', pan: number(pan), tilt: number(tilt), zoom: number(zoom) });
}

function readUpgrade(value: XmlElement): Read {
  const firmware = short(textOf(value, 'firmware'), MAX_TEXT);
  const fileUrl = short(textOf(value, 'fileurl'), MAX_URL);
  const manufacturer = short(textOf(value, 'manufacturer'), MAX_TEXT);
  const sessionId = textOf(value, 'sessionid');
  if (firmware === undefined || fileUrl === undefined || manufacturer === undefined) return 'DeviceUpgrade without Firmware, FileURL or Manufacturer';
  if (sessionId === undefined || !/^[\w-]{1,128}$/.test(sessionId)) return 'DeviceUpgrade without a SessionID of letters, digits and -';
  return { kind: 'upgrade', firmware, fileUrl, manufacturer, sessionId };
}

function readFormat(value: XmlElement): Read {
  const card = readNumber(value.text, 255);
  return card === undefined ? 'FormatSDCard is no number' : { kind: 'format-sd-card', card };
}

function readTargetTrack(value: XmlElement, control: XmlElement): Read {
  const mode = (['Auto', 'Manual', 'Stop'] as const).find(word => isWord(value, word));
  if (mode === undefined) return 'TargetTrack is none of Auto, Manual and Stop';
  const element = childOf(control, 'targetarea');
  const area = element && readBox(element);
  if (typeof area === 'string') return `TargetArea: ${area}`;
  return present({ kind: 'target-track', mode, panoramicId: short(textOf(control, 'deviceid2'), MAX_ID), area });
}

const isWord = ({ text }: XmlElement, word: string): boolean => text.toLowerCase() === word.toLowerCase();

/** Text that XML can carry; undefined when nothing is left or it is too long. */
function short(text: string | undefined, max: number): string | undefined {
  const clean = text?.replace(/[\x00-\x1f\x7f\ufffe\uffff]/g, '').trim();
  return clean !== undefined && clean !== '' && clean.length <= max ? clean : undefined;
}

function readNumber(text: string | undefined, max: number): number | undefined {
  const value = text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  return value <= max ? value : undefined;
}

/** Absent fields are absent, not undefined. */
function present(control: { readonly kind: ControlKind } & Readonly<Record<string, unknown>>): DeviceControl {
  return Object.fromEntries(Object.entries(control).filter(([, value]) => value !== undefined)) as unknown as DeviceControl;
}
