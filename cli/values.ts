/** Values as an engineer types them: numbers in their bounds, points in time. */
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { spanMs } from './wire/duration.ts';

export interface NumberBounds {
  readonly min: number;
  readonly max: number;
  readonly otherwise: number;
}

export function wholeNumber(name: string, text: string | undefined, { min, max, otherwise }: NumberBounds): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) throw new GatewayError('BAD_REQUEST', { [name]: text, why: `expected a number from ${min} to ${max}` });
  return value;
}

const POINT = /^(?:(\d{4})-(\d{2})-(\d{2}))?[ T]?(?:(\d{1,2}):(\d{2})(?::(\d{2}))?)?$/;
const SPAN = /^-?\d{1,6}(s|m|h|d)$/;

/** `2026-11-22 08:30`, `08:30` (today), `2026-11-22`, `-2h` or `2h` (ago), `now`: in the zone of this machine. */
export function wallTime(name: string, text: string, nowWallMs: number = systemClock.wall()): number {
  if (text === 'now') return nowWallMs;
  if (SPAN.test(text)) return nowWallMs - spanMs(name, text.replace('-', ''));
  const [whole, year, month, day, hour, minute, second] = POINT.exec(text) ?? [];
  const today = new Date(nowWallMs);
  const date = year === undefined ? [today.getFullYear(), today.getMonth(), today.getDate()] as const : [Number(year), Number(month) - 1, Number(day)] as const;
  const time = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)] as const;
  const at = new Date(...date, ...time);
  // A 31st of February would otherwise become some other day.
  const isReal = whole !== undefined && text.trim() !== '' && at.getMonth() === date[1] && at.getDate() === date[2] && at.getHours() === time[0] && at.getMinutes() === time[1];
  if (!isReal) throw new GatewayError('BAD_REQUEST', { [name]: text, why: 'expected a time such as 08:30, "2026-11-22 08:30" or 2h for two hours ago' });
  return at.getTime();
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `2026-11-22 08:30:00`, in the zone of this machine. */
export function wallText(wallMs: number | null): string | null {
  if (wallMs === null) return null;
  const at = new Date(wallMs);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
