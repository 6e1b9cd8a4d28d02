/** Parameters of commands to cameras, checked where they come over the socket. */
import { z } from 'zod';
import { MAX_SPEED, MAX_VALUE, MAX_ZOOM_SPEED, type PtzCommand } from '#core/gb/ptz.ts';
import type { Author } from '#contracts/configd.ts';
import type { LocalControl } from '#contracts/sipd.ts';

/** A movement that nobody ends ends by itself after this at the latest. */
export const MAX_HOLD_MS = 60_000;
const LATEST_WALL_MS = 7_258_118_400_000;

const byte = z.int().min(0).max(0xff);
const speed = z.int().min(0).max(MAX_SPEED);
const preset = z.int().min(1).max(255);

export const ptzCommand: z.ZodType<PtzCommand> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('move'), pan: z.enum(['left', 'right']).exactOptional(), tilt: z.enum(['up', 'down']).exactOptional(), zoom: z.enum(['in', 'out']).exactOptional(), panSpeed: speed, tiltSpeed: speed, zoomSpeed: z.int().min(0).max(MAX_ZOOM_SPEED) }),
  z.strictObject({ kind: z.literal('lens'), focus: z.enum(['near', 'far']).exactOptional(), iris: z.enum(['open', 'close']).exactOptional(), focusSpeed: speed, irisSpeed: speed }),
  z.strictObject({ kind: z.enum(['preset-set', 'preset-call', 'preset-delete']), preset }),
  z.strictObject({ kind: z.enum(['cruise-add', 'cruise-delete']), group: byte, preset }),
  z.strictObject({ kind: z.literal('cruise-clear'), group: byte }),
  z.strictObject({ kind: z.enum(['cruise-speed', 'cruise-dwell', 'scan-speed']), group: byte, value: z.int().min(0).max(MAX_VALUE) }),
  z.strictObject({ kind: z.enum(['cruise-start', 'scan-start', 'scan-left', 'scan-right']), group: byte }),
  z.strictObject({ kind: z.enum(['aux-on', 'aux-off']), number: byte }),
]);

export const localControl: z.ZodType<LocalControl> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('record'), on: z.boolean(), streamNumber: z.int().min(0).max(255).exactOptional() }),
  z.strictObject({ kind: z.literal('guard'), on: z.boolean() }),
  z.strictObject({ kind: z.literal('alarm-reset'), alarmMethod: z.string().regex(/^[\d/]{1,32}$/).exactOptional(), alarmType: z.string().regex(/^[\d/]{1,32}$/).exactOptional() }),
  z.strictObject({ kind: z.literal('i-frame') }),
  z.strictObject({ kind: z.literal('home-position'), enabled: z.boolean(), resetTimeS: z.int().min(0).max(86_400).exactOptional(), presetIndex: byte.exactOptional() }),
]);

const channel = z.string().min(1).max(256);
export const author: z.ZodType<Author> = z.strictObject({ user: z.string().min(1).max(64), via: z.enum(['cli', 'api', 'system']), address: z.string().max(64).nullable() });
const wallMs = z.int().min(0).max(LATEST_WALL_MS);

export const controlSchemas = {
  ptz: z.strictObject({ channel, command: ptzCommand, holdMs: z.int().min(100).max(MAX_HOLD_MS), author }),
  control: z.strictObject({ channel, control: localControl, author }),
  presets: z.strictObject({ channel, author }),
  records: z.strictObject({ channel, fromWallMs: wallMs, toWallMs: wallMs, author }),
};
