/** What the kernel says of a process (proc(5)). */
import { readFileSync } from 'node:fs';

/** USER_HZ of Linux, the unit of proc(5) times. */
const TICKS_PER_S = 100;

/** Seconds of CPU that a process took so far, all threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Seconds that main threads were ready to run and had no core: what other work on the machine takes away. */
export const waitedSeconds = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e9, 0);

export function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? NaN) * 1024;
}
