/** /proc/stat, /proc/loadavg, /proc/pressure/* (proc(5), Documentation/accounting/psi.rst). */
import { fieldsOf, linesOf, numberOf } from './text.ts';

const MAX_CPUS = 1024;

/** Ticks since boot. */
export interface CpuTicks {
  readonly busy: number;
  readonly iowait: number;
  /** Taken by the hypervisor. */
  readonly steal: number;
  readonly total: number;
}

export interface ProcStat {
  readonly all: CpuTicks;
  readonly cores: readonly CpuTicks[];
  readonly bootTimeS: number | null;
}

export function parseStat(text: string): ProcStat | undefined {
  let all: CpuTicks | undefined;
  let bootTimeS: number | null = null;
  const cores: CpuTicks[] = [];
  for (const line of linesOf(text)) {
    const [name, ...rest] = fieldsOf(line);
    if (name === 'btime') bootTimeS = numberOf(rest[0]) ?? null;
    if (name === undefined || !/^cpu\d*$/.test(name)) continue;
    const ticks = ticksOf(rest);
    if (ticks === undefined) continue;
    if (name === 'cpu') all ??= ticks;
    else if (cores.length < MAX_CPUS) cores.push(ticks);
  }
  return all === undefined ? undefined : { all, cores, bootTimeS };
}

/** user nice system idle iowait irq softirq steal; guest times are in user and nice already. */
function ticksOf(fields: readonly string[]): CpuTicks | undefined {
  const numbers = fields.slice(0, 8).map(numberOf);
  if (numbers.length < 4 || numbers.some(value => value === undefined || value < 0)) return undefined;
  const [user, nice, system, idle, iowait = 0, irq = 0, softirq = 0, steal = 0] = numbers as number[];
  const busy = user! + nice! + system! + irq + softirq + steal;
  return { busy, iowait, steal, total: busy + idle! + iowait };
}

export interface Loadavg {
  readonly load1: number;
  readonly load5: number;
  readonly load15: number;
}

export function parseLoadavg(text: string): Loadavg | undefined {
  const [load1, load5, load15] = fieldsOf(text).map(numberOf);
  return load1 === undefined || load5 === undefined || load15 === undefined ? undefined : { load1, load5, load15 };
}

/** Share of time in per cent, averaged by the kernel over a minute; `full` is null where the kernel does not say it. */
export interface Pressure {
  readonly some60: number;
  readonly full60: number | null;
}

export function parsePressure(text: string): Pressure | undefined {
  const average = (kind: string): number | undefined => numberOf(new RegExp(`^${kind} .*\\bavg60=([\\d.]+)`, 'm').exec(text.slice(0, 4096))?.[1]);
  const some60 = average('some');
  return some60 === undefined ? undefined : { some60, full60: average('full') ?? null };
}
