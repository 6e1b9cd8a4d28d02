/** A line of the journal as somebody reads it: time, unit, level, event, facts. */
import { inert } from './render.ts';

/** Of pino. */
const LEVELS: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' };
const UNINTERESTING: ReadonlySet<string> = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg', 'daemon']);
const MAX_LINE = 2000;

/** `journalctl -o json` gives one object a line; what is none is shown as it is. */
export function logLine(line: string): string {
  const entry = objectIn(line);
  if (entry === null) return inert(line.slice(0, MAX_LINE));
  const microseconds = Number(entry['__REALTIME_TIMESTAMP']);
  const at = Number.isFinite(microseconds) && microseconds > 0 ? new Date(microseconds / 1000).toISOString().replace('T', ' ').slice(0, 23) : '-';
  const unit = String(entry['_SYSTEMD_UNIT'] ?? entry['SYSLOG_IDENTIFIER'] ?? '-').replace(/^viewlink-|\.service$/g, '');
  return inert(`${at} ${unit} ${messageText(textOf(entry['MESSAGE']))}`.slice(0, MAX_LINE));
}

/** What is no UTF-8 comes as numbers. */
const textOf = (message: unknown): string => (Array.isArray(message) ? Buffer.from(message.filter(byte => typeof byte === 'number')).toString('utf8') : String(message ?? ''));

function messageText(message: string): string {
  const event = objectIn(message);
  if (event === null) return message;
  const facts = Object.entries(event).filter(([key]) => !UNINTERESTING.has(key)).map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  return [LEVELS[Number(event['level'])] ?? '-', String(event['msg'] ?? ''), ...facts].join(' ').trimEnd();
}

function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
}
