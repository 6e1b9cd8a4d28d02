/** The screen of `vlink top` as lines: figures in, text out, as wide and as high as the terminal is. Pure. */
import { say } from '../language.ts';
import { clip, duration, inert, table, type Column } from '../render.ts';
import type { TopFigures, TopSession } from './figures.ts';

export const SORTS = ['traffic', 'loss', 'age', 'channel'] as const;
export type Sort = (typeof SORTS)[number];

export interface ScreenState {
  readonly sort: Sort;
  /** Only sessions with this text in them; empty: all. */
  readonly filter: string;
  /** What is being typed after `f`; null: nothing. */
  readonly typing: string | null;
}

export interface ScreenSize {
  readonly columns: number;
  /** Infinity: as many as there are. */
  readonly rows: number;
}

const MAX_ALARMS = 3;

export const bits = (bps: number | null): string | null => (bps === null ? null : bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${(bps / 1e3).toFixed(0)} kbit/s`);
const percent = (value: number | null, digits: number): string | null => (value === null ? null : `${value.toFixed(digits)} %`);
const megabytes = (bytes: number | null): string | null => (bytes === null ? null : `${Math.round(bytes / 1e6)} MB`);

const SESSIONS: readonly Column<TopSession>[] = [
  { title: 'SESSION', value: row => row.sessionId },
  { title: 'UPSTREAM', value: row => row.upstream },
  { title: 'CHANNEL', value: row => row.channelId },
  { title: 'STATE', value: row => row.state },
  { title: 'AGE', value: row => duration(row.ageMs), align: 'right' },
  { title: 'IN', value: row => bits(row.inBps), align: 'right' },
  { title: 'OUT', value: row => bits(row.outBps), align: 'right' },
  { title: 'LOST', value: row => percent(row.lostPercent, 2), align: 'right' },
  { title: 'FROZEN', value: row => duration(row.frozenForMs), align: 'right' },
  { title: 'MEDIAD', value: row => row.instance, align: 'right' },
];

const DAEMONS: readonly Column<TopFigures['daemons'][number]>[] = [
  { title: 'DAEMON', value: row => row.name },
  { title: 'CPU', value: row => percent(row.cpuPercent, 1), align: 'right' },
  { title: 'MEMORY', value: row => megabytes(row.memoryBytes), align: 'right' },
  { title: 'LOOP P99', value: row => (row.loopDelayMs === null ? null : `${row.loopDelayMs.toFixed(1)} ms`), align: 'right' },
  { title: 'STATE', value: row => (row.answers ? 'answers' : 'does not answer') },
];

const RANK: Readonly<Record<Sort, (a: TopSession, b: TopSession) => number>> = {
  traffic: (a, b) => (b.inBps ?? -1) + (b.outBps ?? 0) - (a.inBps ?? -1) - (a.outBps ?? 0),
  loss: (a, b) => (b.lostPercent ?? -1) - (a.lostPercent ?? -1),
  age: (a, b) => b.ageMs - a.ageMs,
  channel: (a, b) => (a.channelId < b.channelId ? -1 : 1),
};

function shown(figures: TopFigures, { sort, filter }: ScreenState): readonly TopSession[] {
  const wanted = filter.toLowerCase();
  return figures.sessions.filter(row => Object.values(row).join(' ').toLowerCase().includes(wanted)).sort(RANK[sort]);
}

const share = (part: { readonly online: number; readonly all: number } | null): string => (part === null ? '-' : `${part.online}/${part.all}`);

function heading(figures: TopFigures, clock: string): readonly string[] {
  const { sessions, viewers, devices, upstreams, totals, alarms } = figures;
  const channels = totals === null ? '-' : `${totals.online}/${totals.channels}`;
  const critical = alarms?.filter(({ severity }) => severity === 'critical').length ?? 0;
  return [
    `${clock}  ${say('sessions')} ${sessions.length}  ${say('viewers')} ${viewers}  ${say('devices')} ${share(devices)}  ${say('channels')} ${channels}  ${say('upstreams')} ${share(upstreams)}`,
    `${say('in')} ${bits(figures.inBps)}  ${say('out')} ${bits(figures.outBps)}  ${say('lost')} ${percent(figures.lostPercent, 2) ?? '-'}  ${say('frozen')} ${figures.frozen}  ${say('alarms')} ${alarms === null ? '-' : critical > 0 ? `${alarms.length} (${critical} ${say('critical')})` : alarms.length}`,
  ];
}

/** As many lines as the screen has rows at the most; none is wider than it. */
export function screenLines(figures: TopFigures, state: ScreenState, size: ScreenSize, clock: string): readonly string[] {
  const alarms = (figures.alarms ?? []).slice(0, MAX_ALARMS).map(({ severity, says }) => `! ${severity}: ${says}`);
  const above = [...heading(figures, clock), ...alarms, '', ...table(figures.daemons, DAEMONS, say('no daemon answers')).split('\n'), ''];
  const rows = shown(figures, state);
  const sessions = table(rows, SESSIONS, say(figures.sessions.length === 0 ? 'no sessions' : 'no session fits')).split('\n');
  const room = Math.max(0, size.rows - above.length - 1);
  const cut = sessions.length > room ? [...sessions.slice(0, Math.max(0, room - 1)), `... ${sessions.length - room + 1}`] : sessions;
  const lines = [...above, ...cut];
  if (Number.isFinite(size.rows)) lines.splice(size.rows - 1, Infinity, keyLine(state));
  return lines.map(line => clip(inert(line), size.columns));
}

function keyLine({ sort, filter, typing }: ScreenState): string {
  if (typing !== null) return `${say('only with')}: ${typing}`;
  return `q ${say('quit')}  s ${say('sort')}: ${say(sort)}  f ${say('filter')}${filter === '' ? '' : `: ${filter}`}`;
}

/** What a key changes; null: it ends. */
export function afterKey(state: ScreenState, key: string): ScreenState | null {
  const { typing, sort } = state;
  if (typing !== null) {
    if (key === 'enter') return { ...state, typing: null, filter: typing };
    if (key === 'escape' || key === 'ctrl-c') return { ...state, typing: null };
    if (key === 'backspace') return { ...state, typing: [...typing].slice(0, -1).join('') };
    return [...key].length === 1 || key === 'space' ? { ...state, typing: typing + (key === 'space' ? ' ' : key) } : state;
  }
  if (key === 'q' || key === 'ctrl-c' || key === 'ctrl-d') return null;
  if (key === 's') return { ...state, sort: SORTS[(SORTS.indexOf(sort) + 1) % SORTS.length]! };
  return key === 'f' ? { ...state, typing: '' } : state;
}
