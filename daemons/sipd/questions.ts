/** Queries that are passed on to a camera, and what of them (gb28181.md 3.2). */
import type { Manscdp } from '#core/gb/manscdp.ts';
import { readRecordQuery } from '#core/gb/record-info.ts';
import { textOf } from '#core/gb/xml.ts';
import { xmlText } from '#core/gb/xml-text.ts';

const MAX_TEXT = 256;
const MAX_CONFIG_TYPES = 32;

/** Many cameras never answer DeviceStatus, and we know something ourselves. */
const STATUS_PATIENCE_MS = 3_000;

/** `parts`: blocks that are asked for. A sentence when it cannot be asked so. */
export type QueryContent = { readonly content: string; readonly parts?: number; readonly patienceMs?: number } | string;

/** Elements behind DeviceID in schema order; a query with none has an empty list. */
const FORWARDED: Readonly<Record<string, readonly string[]>> = {
  DeviceStatus: [],
  PresetQuery: [],
  HomePositionQuery: [],
  CruiseTrackListQuery: [],
  CruiseTrackQuery: ['Number'],
  PTZPosition: [],
  SDCardStatus: [],
  ConfigDownload: ['ConfigType'],
  Alarm: ['StartAlarmPriority', 'EndAlarmPriority', 'AlarmMethod', 'AlarmType', 'StartAlarmTime', 'EndAlarmTime'],
};

/** Undefined: not a question to a camera. */
export function readQuestion({ cmdType, element }: Manscdp): QueryContent | undefined {
  if (cmdType === 'RecordInfo') return readRecordQuery(element);
  const fields = Object.hasOwn(FORWARDED, cmdType) ? FORWARDED[cmdType] : undefined;
  if (fields === undefined) return undefined;
  const content = fields.map(field => xmlText(field, textOf(element, field.toLowerCase())?.slice(0, MAX_TEXT))).filter(line => line !== '').map(line => `${line}\r\n`).join('');
  if (cmdType === 'DeviceStatus') return { content, patienceMs: STATUS_PATIENCE_MS };
  if (cmdType !== 'ConfigDownload') return { content };
  const types = textOf(element, 'configtype')?.split('/').length ?? 0;
  return types === 0 || types > MAX_CONFIG_TYPES ? 'no ConfigType' : { content, parts: types };
}
