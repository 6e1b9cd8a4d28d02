import { MAX_SPEED, MAX_ZOOM_SPEED, type PtzCommand } from '#core/gb/ptz.ts';
import { GatewayError } from '#core/result.ts';
import { MAX_HOLD_MS } from '#kit/request-schemas-controls.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { authorOf } from '../identity.ts';
import { table } from '../render.ts';
import { wholeNumber } from '../values.ts';

const DEFAULT_SPEED = 64;
const DEFAULT_SECONDS = 1;
const MAX_SECONDS = MAX_HOLD_MS / 1000;
/** The camera is asked for its list. */
const PRESETS_TIMEOUT_MS = 20_000;

type Turn = (speed: number) => PtzCommand;

const move = (directions: Partial<Pick<Extract<PtzCommand, { kind: 'move' }>, 'pan' | 'tilt' | 'zoom'>>): Turn => speed => ({ kind: 'move', ...directions, panSpeed: speed, tiltSpeed: speed, zoomSpeed: Math.round((speed * MAX_ZOOM_SPEED) / MAX_SPEED) });
const lens = (directions: Partial<Pick<Extract<PtzCommand, { kind: 'lens' }>, 'focus' | 'iris'>>): Turn => speed => ({ kind: 'lens', ...directions, focusSpeed: speed, irisSpeed: speed });

/** What the camera does while it lasts. */
const TURNS: Readonly<Record<string, Turn>> = {
  left: move({ pan: 'left' }),
  right: move({ pan: 'right' }),
  up: move({ tilt: 'up' }),
  down: move({ tilt: 'down' }),
  'left-up': move({ pan: 'left', tilt: 'up' }),
  'left-down': move({ pan: 'left', tilt: 'down' }),
  'right-up': move({ pan: 'right', tilt: 'up' }),
  'right-down': move({ pan: 'right', tilt: 'down' }),
  'zoom-in': move({ zoom: 'in' }),
  'zoom-out': move({ zoom: 'out' }),
  'focus-near': lens({ focus: 'near' }),
  'focus-far': lens({ focus: 'far' }),
  'iris-open': lens({ iris: 'open' }),
  'iris-close': lens({ iris: 'close' }),
  stop: () => ({ kind: 'move', panSpeed: 0, tiltSpeed: 0, zoomSpeed: 0 }),
};
const PRESETS = { preset: 'preset-call', 'preset-set': 'preset-set', 'preset-delete': 'preset-delete' } as const;
const HOME = { 'home-on': true, 'home-off': false } as const;
const ACTIONS = [...Object.keys(TURNS), ...Object.keys(PRESETS), ...Object.keys(HOME), 'presets'];

const isKey = <Of extends object>(of: Of, key: string): key is Extract<keyof Of, string> => Object.hasOwn(of, key);

export default defineCommand({
  path: 'ptz',
  access: 'operate',
  help: 'steers a camera: it moves for --seconds and stops by itself; presets, home position',
  args: {
    channel: { type: 'argument', help: 'channel ID, the ID that an upstream knows it by, or a part of its name' },
    action: { type: 'argument', help: 'what it shall do', values: ACTIONS },
    number: { type: 'argument', help: 'of the preset, 1 to 255', optional: true, values: [] },
    speed: { type: 'option', help: `1 to ${MAX_SPEED}; default ${DEFAULT_SPEED}`, values: [] },
    seconds: { type: 'option', help: `how long it moves, 1 to ${MAX_SECONDS}; default ${DEFAULT_SECONDS}`, values: [] },
    json: JSON_FLAG,
  },
  async run(context, { channel, action, number, speed, seconds, json }) {
    if (action === 'presets') return listPresets(context, channel, json);
    const author = authorOf(context.identity);
    if (isKey(HOME, action)) {
      const enabled = HOME[action];
      const answer = await context.sipd(client => client.call('control', { channel, control: { kind: 'home-position', enabled }, author }));
      context.print(answer, json, () => `${answer.channelId}: home position is ${enabled ? 'on' : 'off'}`);
      return 0;
    }
    const command = commandOf(action, number, wholeNumber('speed', speed, { min: 1, max: MAX_SPEED, otherwise: DEFAULT_SPEED }));
    const holdMs = 1000 * wholeNumber('seconds', seconds, { min: 1, max: MAX_SECONDS, otherwise: DEFAULT_SECONDS });
    const answer = await context.sipd(client => client.call('ptz', { channel, command, holdMs, author }));
    context.print(answer, json, () => `${answer.channelId}: ${action}${number === undefined ? '' : ` ${number}`}${action in TURNS && action !== 'stop' ? ` for ${holdMs / 1000} s` : ''}`);
    return 0;
  },
});

function commandOf(action: string, number: string | undefined, speed: number): PtzCommand {
  if (isKey(PRESETS, action)) {
    if (number === undefined) throw new GatewayError('BAD_REQUEST', { action, why: 'which preset? vlink ptz CHANNEL presets lists them' });
    return { kind: PRESETS[action], preset: wholeNumber('number', number, { min: 1, max: 255, otherwise: 0 }) };
  }
  const turn = isKey(TURNS, action) ? TURNS[action] : undefined;
  if (turn === undefined) throw new GatewayError('BAD_REQUEST', { action, why: `there is ${ACTIONS.join(', ')}` });
  if (number !== undefined) throw new GatewayError('BAD_REQUEST', { action, why: 'takes no number; see --speed and --seconds' });
  return turn(speed);
}

async function listPresets(context: Context, channel: string, json: boolean): Promise<number> {
  const answer = await context.sipd(client => client.call('presets', { channel, author: authorOf(context.identity) }, { timeoutMs: PRESETS_TIMEOUT_MS }));
  context.print(answer, json, ({ presets }) => table(presets, [{ title: 'PRESET', value: row => row.preset, align: 'right' }, { title: 'NAME', value: row => row.name || null }], 'the camera lists no presets'));
  return 0;
}
