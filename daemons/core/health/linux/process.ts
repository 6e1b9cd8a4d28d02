/** /proc/PID/stat and /proc/PID/limits (proc(5)). */
import { fieldsOf, linesOf, numberOf } from './text.ts';

/** USER_HZ of Linux, the unit of proc(5) times. */
export const TICKS_PER_S = 100;
const PAGE_BYTES = 4096;

export interface ProcessStat {
  readonly name: string;
  readonly state: string;
  readonly cpuTicks: number;
  readonly threads: number;
  /** Ticks since boot: with the pid it is the identity of a process. */
  readonly startedAtTicks: number;
  readonly residentBytes: number;
}

/** The name may hold blanks and brackets: it ends at the last one. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const line = text.slice(0, 4096);
  const open = line.indexOf('(');
  const close = line.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = fieldsOf(line.slice(close + 1));
  const [user, system] = [numberOf(fields[11]), numberOf(fields[12])];
  const [threads, startedAtTicks, pages] = [numberOf(fields[17]), numberOf(fields[19]), numberOf(fields[21])];
  if (user === undefined || system === undefined || threads === undefined || startedAtTicks === undefined || pages === undefined) return undefined;
  return { name: line.slice(open + 1, close).slice(0, 64), state: (fields[0] ?? '?').slice(0, 1), cpuTicks: user + system, threads, startedAtTicks, residentBytes: pages * PAGE_BYTES };
}

/** Soft limit of open files; null: there is none, or it does not say. */
export function parseOpenFilesLimit(text: string): number | null {
  const line = linesOf(text).find(each => each.startsWith('Max open files'));
  return numberOf(fieldsOf(line?.slice('Max open files'.length) ?? '')[0]) ?? null;
}
