/**
 * Times of GB/T 28181: Beijing time without zone (gb28181.md 3.1, quirk 33), converted without the host's time zone. Calendar
 * arithmetic is the proleptic Gregorian one on a year that begins in March, so that the leap day is the last.
 */
import { type WallMs, wallMs } from '../units.ts';

export const BEIJING_OFFSET_MS = 8 * 3_600_000;
const DAY_MS = 86_400_000;
const FIRST_YEAR = 1970;
const LAST_YEAR = 2199;
/** Longest text that is looked at. */
const MAX_TEXT = 40;

/** `2026-03-10T08:00:00`, Beijing time; with `milliseconds` as the Date header of a 200 to REGISTER has them. */
export function formatGbTime(at: WallMs, milliseconds = false): string {
  const local = Math.floor(at) + BEIJING_OFFSET_MS;
  const days = Math.floor(local / DAY_MS);
  const { year, month, day } = civilFromDays(days);
  const inDay = local - days * DAY_MS;
  const seconds = Math.floor(inDay / 1000);
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(pad2).join(':');
  return `${year}-${pad2(month)}-${pad2(day)}T${time}${milliseconds ? `.${String(inDay % 1000).padStart(3, '0')}` : ''}`;
}

const GRAMMAR = /^(\d{4})-(\d{1,2})-(\d{1,2})[T ]+(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?\s*(?:(Z)|([+-])(\d{2}):?(\d{2}))?$/i;

/** Lenient: space for T, one-digit fields, fractions, `Z` and offsets. Undefined when it is no date of this calendar. */
export function parseGbTime(text: string): WallMs | undefined {
  const match = text.length > MAX_TEXT ? null : GRAMMAR.exec(text.trim());
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  if (year < FIRST_YEAR || year > LAST_YEAR || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const offset = offsetMs(match[8], match[9], match[10], match[11]);
  const fraction = match[7] === undefined ? 0 : Number(match[7].slice(0, 3).padEnd(3, '0'));
  return wallMs(daysFromCivil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + fraction - offset);
}

function offsetMs(zulu: string | undefined, sign: string | undefined, hours: string | undefined, minutes: string | undefined): number {
  if (zulu !== undefined) return 0;
  if (sign === undefined) return BEIJING_OFFSET_MS;
  return (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1);
}

const pad2 = (value: number): string => String(value).padStart(2, '0');
const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
const daysInMonth = (year: number, month: number): number => (month === 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31);

/** Days from 1970-01-01. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const monthFromMarch = (month + 9) % 12;
  return shifted * 365 + Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400) + Math.floor((monthFromMarch * 153 + 2) / 5) + day - 719_469;
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  let year = Math.floor(FIRST_YEAR + days / 365.2425) + 1;
  while (daysFromCivil(year, 1, 1) > days) year--;
  let month = 12;
  while (daysFromCivil(year, month, 1) > days) month--;
  return { year, month, day: days - daysFromCivil(year, month, 1) + 1 };
}
