/**
 * PTZCmd, the eight octets of front-end control (gb28181.md 4): one table is the specification, read in both directions.
 *
 *     A5 | version 0, check F | address low 8 | instruction | data 1 | data 2 | data 3, address high 4 | sum of the seven mod 256
 */
import { fromHex, toHex } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';

const FIRST = 0xa5;
/** Version 0; check = (A + 5 + 0) mod 16. */
const SECOND = 0x0f;
const OCTETS = 8;
/** Of the text: what robust receivers allow besides the 16 digits. */
const MAX_TEXT = 64;

export const MAX_SPEED = 0xff;
export const MAX_ZOOM_SPEED = 0xf;
export const MAX_ADDRESS = 0xfff;
/** Speeds and dwell times of cruises and scans. */
export const MAX_VALUE = 0xfff;

/** Pan, tilt and zoom at once; nothing of the three: stop, which ends cruises and scans too. Speeds are 0-255, of zoom 0-15. */
export interface PtzMove {
  readonly kind: 'move';
  readonly pan?: 'left' | 'right';
  readonly tilt?: 'up' | 'down';
  readonly zoom?: 'in' | 'out';
  readonly panSpeed: number;
  readonly tiltSpeed: number;
  readonly zoomSpeed: number;
}

/** Focus and iris at once; neither: stop of both. Speeds are 0-255. */
export interface PtzLens {
  readonly kind: 'lens';
  readonly focus?: 'near' | 'far';
  readonly iris?: 'open' | 'close';
  readonly focusSpeed: number;
  readonly irisSpeed: number;
}

export type PtzCommand =
  | PtzMove
  | PtzLens
  /** 1-255. */
  | { readonly kind: 'preset-set' | 'preset-call' | 'preset-delete'; readonly preset: number }
  | { readonly kind: 'cruise-add' | 'cruise-delete'; readonly group: number; readonly preset: number }
  /** Every point of the group. */
  | { readonly kind: 'cruise-clear'; readonly group: number }
  /** Twelve bits; dwell in seconds. */
  | { readonly kind: 'cruise-speed' | 'cruise-dwell' | 'scan-speed'; readonly group: number; readonly value: number }
  | { readonly kind: 'cruise-start' | 'scan-start' | 'scan-left' | 'scan-right'; readonly group: number }
  /** 1 is the wiper. */
  | { readonly kind: 'aux-on' | 'aux-off'; readonly number: number }
  /** Instructions that the standard leaves open; vendors use some. */
  | { readonly kind: 'other'; readonly code: number; readonly data1: number; readonly data2: number; readonly data3: number };

/** An instruction and the 12-bit address that most devices ignore. */
export interface PtzInstruction {
  readonly command: PtzCommand;
  readonly address: number;
}

/** Bits of octet 4 below 0x40 (4.2). */
const MOVE_BITS = { right: 0x01, left: 0x02, down: 0x04, up: 0x08, in: 0x10, out: 0x20 } as const;
/** Bits of octet 4 at 0x40 (4.3). */
const LENS = 0x40;
const LENS_BITS = { far: 0x01, near: 0x02, open: 0x04, close: 0x08 } as const;

type Kind = PtzCommand['kind'];
/** What the data octets of an instruction hold (4.4): `value` is data 3 and data 2, a number is fixed. */
interface Row {
  readonly kind: Exclude<Kind, 'move' | 'lens' | 'other'>;
  readonly code: number;
  readonly data1?: 'group' | 'number';
  readonly data2?: 'preset' | 'value' | number;
}

const ROWS: readonly Row[] = [
  { kind: 'preset-set', code: 0x81, data2: 'preset' },
  { kind: 'preset-call', code: 0x82, data2: 'preset' },
  { kind: 'preset-delete', code: 0x83, data2: 'preset' },
  { kind: 'cruise-add', code: 0x84, data1: 'group', data2: 'preset' },
  { kind: 'cruise-clear', code: 0x85, data1: 'group', data2: 0x00 },
  { kind: 'cruise-delete', code: 0x85, data1: 'group', data2: 'preset' },
  { kind: 'cruise-speed', code: 0x86, data1: 'group', data2: 'value' },
  { kind: 'cruise-dwell', code: 0x87, data1: 'group', data2: 'value' },
  { kind: 'cruise-start', code: 0x88, data1: 'group' },
  { kind: 'scan-start', code: 0x89, data1: 'group', data2: 0x00 },
  { kind: 'scan-left', code: 0x89, data1: 'group', data2: 0x01 },
  { kind: 'scan-right', code: 0x89, data1: 'group', data2: 0x02 },
  { kind: 'scan-speed', code: 0x8a, data1: 'group', data2: 'value' },
  { kind: 'aux-on', code: 0x8c, data1: 'number' },
  { kind: 'aux-off', code: 0x8d, data1: 'number' },
];
const ROW_OF_KIND: ReadonlyMap<Kind, Row> = new Map(ROWS.map(row => [row.kind, row]));
const KNOWN_CODES: ReadonlySet<number> = new Set(ROWS.map(row => row.code));

export const PTZ_STOP: PtzMove = { kind: 'move', panSpeed: 0, tiltSpeed: 0, zoomSpeed: 0 };
export const LENS_STOP: PtzLens = { kind: 'lens', focusSpeed: 0, irisSpeed: 0 };

/** Whether it ends a movement, whatever speeds come with it. */
export const isStop = (command: PtzCommand): boolean =>
  command.kind === 'move' ? !(command.pan ?? command.tilt ?? command.zoom) : command.kind === 'lens' && !(command.focus ?? command.iris);

/** The same with no speed above `max` (0-255; of zoom the same share of 0-15). */
export function clampSpeed(command: PtzCommand, max: number): PtzCommand {
  const within = (speed: number): number => Math.min(speed, max);
  if (command.kind === 'move') return { ...command, panSpeed: within(command.panSpeed), tiltSpeed: within(command.tiltSpeed), zoomSpeed: Math.min(command.zoomSpeed, Math.ceil((max * MAX_ZOOM_SPEED) / MAX_SPEED)) };
  return command.kind === 'lens' ? { ...command, focusSpeed: within(command.focusSpeed), irisSpeed: within(command.irisSpeed) } : command;
}

/** Numbers beyond their bits are cut to them. */
export function encodePtz({ command, address }: PtzInstruction): Uint8Array {
  const [code, data1, data2, data3] = dataOf(command);
  const octets = Uint8Array.of(FIRST, SECOND, address & 0xff, code, data1, data2, ((data3 & 0xf) << 4) | ((address >> 8) & 0xf), 0);
  octets[7] = checksum(octets);
  return octets;
}

/** 16 hex digits in upper case, as they stand in the XML. */
export const formatPtz = (instruction: PtzInstruction): string => toHex(encodePtz(instruction)).toUpperCase();

/** Text of PTZCmd: hex digits of either case, spaces between them. */
export function parsePtz(text: string): Result<PtzInstruction> {
  if (text.length > MAX_TEXT) return fail(MAX_TEXT, 'too long');
  const octets = fromHex(text.replace(/\s/g, ''));
  return octets === undefined ? fail(0, 'not hex digits') : decodePtz(octets);
}

export function decodePtz(octets: Uint8Array): Result<PtzInstruction> {
  if (octets.length !== OCTETS) return fail(octets.length, `${octets.length} octets, not ${OCTETS}`);
  if (octets[0] !== FIRST || octets[1] !== SECOND) return fail(0, 'does not begin with A50F');
  if (octets[7] !== checksum(octets)) return fail(7, 'checksum is wrong');
  const command = commandOf(octets[3]!, octets[4]!, octets[5]!, octets[6]! >> 4);
  return typeof command === 'string' ? fail(3, command) : ok({ command, address: ((octets[6]! & 0xf) << 8) | octets[2]! });
}

function checksum(octets: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < OCTETS - 1; i++) sum += octets[i]!;
  return sum & 0xff;
}

type Data = readonly [code: number, data1: number, data2: number, data3: number];

function dataOf(command: PtzCommand): Data {
  switch (command.kind) {
    case 'move': {
      const { pan, tilt, zoom, panSpeed, tiltSpeed, zoomSpeed } = command;
      return [[pan, tilt, zoom].reduce((bits, way) => bits | (way === undefined ? 0 : MOVE_BITS[way]), 0), panSpeed, tiltSpeed, zoomSpeed];
    }
    case 'lens': {
      const { focus, iris, focusSpeed, irisSpeed } = command;
      return [LENS | (focus === undefined ? 0 : LENS_BITS[focus]) | (iris === undefined ? 0 : LENS_BITS[iris]), focusSpeed, irisSpeed, 0];
    }
    case 'other':
      return [command.code, command.data1, command.data2, command.data3];
    default: {
      const { code, data1, data2 } = ROW_OF_KIND.get(command.kind)!;
      const numbers: Readonly<Record<string, number>> = { group: 0, number: 0, preset: 0, value: 0, ...(command as object) };
      const low = data2 === undefined ? 0 : typeof data2 === 'number' ? data2 : numbers[data2]!;
      return [code, data1 === undefined ? 0 : numbers[data1]!, low & 0xff, data2 === 'value' ? low >> 8 : 0];
    }
  }
}

/** A sentence when the octets make no instruction. */
function commandOf(code: number, data1: number, data2: number, data3: number): PtzCommand | string {
  if (code < LENS) return moveOf(code, data1, data2, data3);
  if ((code & 0xf0) === LENS) return lensOf(code, data1, data2);
  if (!KNOWN_CODES.has(code)) return { kind: 'other', code, data1, data2, data3 };
  const row = ROWS.find(each => each.code === code && (typeof each.data2 !== 'number' || each.data2 === data2));
  if (row === undefined) return `instruction ${code.toString(16)} with ${data2}`;
  if (row.data2 === 'preset' && data2 === 0) return 'preset 0';
  return {
    kind: row.kind,
    ...(row.data1 !== undefined && { [row.data1]: data1 }),
    ...(row.data2 === 'preset' && { preset: data2 }),
    ...(row.data2 === 'value' && { value: (data3 << 8) | data2 }),
  } as PtzCommand;
}

function moveOf(code: number, panSpeed: number, tiltSpeed: number, zoomSpeed: number): PtzMove | string {
  const [pan, tilt, zoom] = [oneOf(code, MOVE_BITS, 'left', 'right'), oneOf(code, MOVE_BITS, 'up', 'down'), oneOf(code, MOVE_BITS, 'in', 'out')];
  if (pan === null || tilt === null || zoom === null) return 'opposite directions at once';
  return { kind: 'move', ...(pan && { pan }), ...(tilt && { tilt }), ...(zoom && { zoom }), panSpeed, tiltSpeed, zoomSpeed };
}

function lensOf(code: number, focusSpeed: number, irisSpeed: number): PtzLens | string {
  const [focus, iris] = [oneOf(code, LENS_BITS, 'near', 'far'), oneOf(code, LENS_BITS, 'open', 'close')];
  if (focus === null || iris === null) return 'opposite directions at once';
  return { kind: 'lens', ...(focus && { focus }), ...(iris && { iris }), focusSpeed, irisSpeed };
}

/** Which of two opposite bits is set; null: both. */
function oneOf<A extends string, B extends string>(code: number, bits: Readonly<Record<A | B, number>>, a: A, b: B): A | B | undefined | null {
  const [hasA, hasB] = [(code & bits[a]) !== 0, (code & bits[b]) !== 0];
  return hasA && hasB ? null : hasA ? a : hasB ? b : undefined;
}
