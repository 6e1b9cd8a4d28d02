/**
 * A ladder of messages for a terminal: lifelines of the parties with the gateway among them, one arrow a message, times from the first
 * one. Pure text; how wide characters are is told from outside.
 *
 *       time  city                     gateway                  camera
 *      0.000   |-- INVITE (20) ---------->|                        |
 *              |   Play UDP               |                        |
 */
import { type Decode, labelOf } from './label.ts';
import type { Passed } from './passed.ts';

export interface Measure {
  width(text: string): number;
  /** At most `columns` wide. */
  clip(text: string, columns: number): string;
}

export interface Party {
  /** Equal for messages of the same lifeline. */
  readonly key: string;
  readonly name: string;
  readonly side: 'above' | 'below';
}

export interface LadderOptions extends Measure {
  /** Of the terminal. */
  readonly columns: number;
  readonly partyOf: (message: Passed) => Party;
  readonly decode: Decode;
  /** Marks the messages to which findings belong, by sequence. */
  readonly marks?: ReadonlyMap<number, string> | undefined;
  readonly gateway?: string;
}

export const MIN_COLUMNS = 72;
export const MAX_COLUMNS = 240;
const TIME_COLUMNS = 10;
/** Between lifelines, at least. */
const LEAST_GAP = 22;
const MOST_GAP = 64;
/** Around the text of an arrow. */
const HEAD = 4;

interface Lane {
  readonly key: string;
  readonly name: string;
  readonly at: number;
}

export function ladderLines(messages: readonly Passed[], options: LadderOptions): string[] {
  const first = messages[0];
  if (first === undefined) return [];
  const columns = Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, options.columns));
  const lanes = lanesOf(messages, options, columns);
  const lines = [headerLine(lanes, options)];
  const seen = new Set<string>();
  for (const message of messages) {
    const identity = `${message.direction} ${message.remote.address}:${message.remote.port} ${message.callId} ${labelOf(message, options.decode).what} ${message.bytes.length}`;
    lines.push(...messageLines(message, lanes, first.atWallMs, seen.has(identity), options));
    seen.add(identity);
  }
  return lines.map(line => line.trimEnd());
}

/** Who is above stands left of the gateway. What does not fit shares the last lifeline of its side. */
function lanesOf(messages: readonly Passed[], { partyOf, gateway = 'gateway' }: LadderOptions, columns: number): Lane[] {
  const parties = new Map<string, Party>();
  for (const message of messages) parties.set(partyOf(message).key, partyOf(message));
  const above = [...parties.values()].filter(({ side }) => side === 'above');
  const below = [...parties.values()].filter(({ side }) => side === 'below');
  const gaps = above.length + below.length;
  const gap = Math.min(MOST_GAP, Math.max(LEAST_GAP, Math.floor((columns - TIME_COLUMNS - 4) / Math.max(1, gaps))));
  return [...above, { key: GATEWAY, name: gateway }, ...below].map(({ key, name }, i) => ({ key, name, at: TIME_COLUMNS + 2 + i * gap }));
}

const GATEWAY = '\0gateway';

function headerLine(lanes: readonly Lane[], { width, clip }: Measure): string {
  let line = 'time'.padStart(TIME_COLUMNS - 2);
  for (const [i, { name, at }] of lanes.entries()) {
    line += ' '.repeat(Math.max(0, at - width(line)));
    line += clip(name, (lanes[i + 1]?.at ?? at + MOST_GAP) - at - 2);
  }
  return line;
}

function messageLines(message: Passed, lanes: readonly Lane[], startWallMs: number, again: boolean, options: LadderOptions): string[] {
  const { what, facts } = labelOf(message, options.decode);
  const own = lanes.findIndex(({ key }) => key === GATEWAY);
  const far = lanes.findIndex(({ key }) => key === options.partyOf(message).key);
  const [left, right] = [Math.min(own, far), Math.max(own, far)];
  const pointsRight = (message.direction === 'in') === far < own;
  const room = lanes[right]!.at - lanes[left]!.at - 1;
  const mark = options.marks?.get(message.sequence) ?? '';
  const text = options.clip(`${mark}${what}${again ? ' again' : ''}`, room - 2 * HEAD + 2);
  const dashes = '-'.repeat(Math.max(0, room - options.width(text) - 5));
  const arrow = pointsRight ? `-- ${text} ${dashes}>` : `<- ${text} ${dashes}-`;
  const time = ((message.atWallMs - startWallMs) / 1000).toFixed(3).padStart(TIME_COLUMNS - 2).padEnd(TIME_COLUMNS);
  // A message that came again says nothing new.
  const notes = again ? [] : packed(facts, room - HEAD, options);
  return [row(time, lanes, left, right, arrow, options), ...notes.map(note => row(' '.repeat(TIME_COLUMNS), lanes, left, right, `   ${note}`, options))];
}

/** Facts on as few lines as they need. */
function packed(facts: readonly string[], room: number, { width, clip }: Measure): string[] {
  const lines: string[] = [];
  for (const fact of facts) {
    const last = lines.at(-1);
    if (last !== undefined && width(last) + 2 + width(fact) <= room) lines[lines.length - 1] = `${last}  ${fact}`;
    else lines.push(clip(fact, room));
  }
  return lines;
}

/** All lifelines, with `text` between two of them; it covers those that it crosses. */
function row(time: string, lanes: readonly Lane[], left: number, right: number, text: string, { width }: Measure): string {
  let line = time;
  for (const [i, { at }] of lanes.entries()) {
    if (i > left && i < right) continue;
    line += `${' '.repeat(Math.max(0, at - width(line)))}|`;
    if (i === left) line += text;
  }
  return line;
}
