/** Times of the week at which something is permitted (configuration: upstreams[].view.rules[].allow). */
import { type Allowance, type Permission, WEEKDAYS } from '../config/view-schema.ts';
import type { WallMs } from '../units.ts';
import { BEIJING_OFFSET_MS } from './gb-time.ts';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
/** 1970-01-01 was a Thursday. */
const FIRST_WEEKDAY = 3;

/** Minutes since Monday 00:00, local time: 0 to 10079. */
export type WeekMinute = number;

/** Beijing time, as all times of GB/T 28181 are. */
export function weekMinuteOf(at: WallMs): WeekMinute {
  const minutes = Math.floor((at + BEIJING_OFFSET_MS) / MINUTE_MS) + FIRST_WEEKDAY * DAY_MINUTES;
  return ((minutes % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
}

/** First minute and length of each window. */
function* windowsOf({ days, from, to }: Allowance): Generator<readonly [WeekMinute, number]> {
  const start = minuteOf(from);
  const end = minuteOf(to);
  const length = end > start ? end - start : end + DAY_MINUTES - start;
  for (const day of days) yield [WEEKDAYS.indexOf(day) * DAY_MINUTES + start, length];
}

const minuteOf = (time: string): number => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));

const isWithin = (allowance: Allowance, at: WeekMinute): boolean => [...windowsOf(allowance)].some(([start, length]) => (at - start + WEEK_MINUTES) % WEEK_MINUTES < length);

/** No allowances at all: everything is allowed. */
export const isAllowed = (allowances: readonly Allowance[], what: Permission, at: WeekMinute): boolean =>
  allowances.length === 0 || allowances.some(allowance => allowance.what.includes(what) && isWithin(allowance, at));

/** At some time of the week. */
export const isEverAllowed = (allowances: readonly Allowance[], what: Permission): boolean => allowances.length === 0 || allowances.some(allowance => allowance.what.includes(what));

/** Minutes until a window begins or ends, 1 to 10080; undefined when nothing ever changes. */
export function minutesToChange(allowances: Iterable<Allowance>, at: WeekMinute): number | undefined {
  let least: number | undefined;
  for (const allowance of allowances) {
    for (const [start, length] of windowsOf(allowance)) {
      for (const edge of [start, start + length]) {
        const wait = ((edge - at - 1 + 2 * WEEK_MINUTES) % WEEK_MINUTES) + 1;
        least = Math.min(least ?? wait, wait);
      }
    }
  }
  return least;
}
