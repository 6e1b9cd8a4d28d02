/**
 * Whether a media process is short of memory or processor: readings of a few seconds, judged together. What counts is what was so all
 * the time: one late second, one burst of garbage is nothing.
 *
 * The kernel's own averages over ten seconds (avg10) remember what was before the last look; the totals that they are made of do not,
 * so that who has just ended something sees what that has changed.
 */
import type { Ms } from '../units.ts';

/** Null: no limit. Hits grow. */
export interface MemoryReading {
  /** Without what the kernel drops by itself when it needs room (file cache that nobody used lately). */
  readonly workingBytes: number;
  readonly highBytes: number | null;
  readonly maxBytes: number | null;
  readonly highHits: number;
  readonly maxHits: number;
}

/** Undefined: not known, and then nothing is made of it. */
export interface HostReading {
  /** Of the cgroup. */
  readonly memory?: MemoryReading | undefined;
  /** Microseconds in which something in the cgroup waited for memory, since some beginning. */
  readonly memoryStallUs?: number | undefined;
  /** In which all of it waited for a processor: transcoders, which step aside for the relay, wait whenever they want more than there is. */
  readonly cpuStallUs?: number | undefined;
  /** Ticks of the machine since its boot. */
  readonly ticks?: { readonly steal: number; readonly total: number } | undefined;
}

export interface StrainReading extends HostReading {
  readonly at: Ms;
  /** By so much the event loop was late with what was due in this second. */
  readonly lateMs: number;
}

/** `media.strain`; 0: not looked at. */
export interface StrainLimits {
  readonly memoryPercent: number;
  readonly memoryStallPercent: number;
  readonly cpuStallPercent: number;
  readonly stealPercent: number;
  readonly lateMs: number;
  /** So long it must be so. */
  readonly holdS: number;
}

export interface StrainVerdict {
  /** `unsure`: not long enough looked at, or neither. */
  readonly state: 'strained' | 'eased' | 'unsure';
  /** The next thing is that the kernel ends a process, or that packets are lost for all. */
  readonly isDire: boolean;
  /** What is short; empty unless strained. */
  readonly cause: string;
}

/** One thing that can be short. `least`: all the time; `most`: at some time. In per cent of its limit. */
interface Shortage {
  readonly least: number;
  readonly most: number;
  readonly says: string;
  readonly isDire?: boolean;
}

/** Better only when it is so much better (per cent of the limit). */
const EASED_PERCENT = 80;
/** Whoever is below this share of his limit and hits it has read files: cache goes, and nobody misses it. */
const CACHE_PERCENT = 75;
const DIRE_LATE_FACTOR = 4;
const MAX_READINGS = 64;
const GIB = 2 ** 30;

export class StrainGauge {
  limits: StrainLimits;
  #readings: readonly StrainReading[] = [];

  constructor(limits: StrainLimits) {
    this.limits = limits;
  }

  /** About once a second. */
  take(reading: StrainReading): StrainVerdict {
    const all = [...this.#readings, reading].slice(-MAX_READINGS);
    // The newest that is old enough is what the others are compared with.
    const from = all.findLastIndex(({ at }) => reading.at - at >= this.limits.holdS * 1000);
    this.#readings = all.slice(Math.max(0, from));
    return from < 0 ? { state: 'unsure', isDire: false, cause: '' } : this.#judge(this.#readings);
  }

  /** Something was ended: what was before does not count any more. */
  restart(): void {
    this.#readings = this.#readings.slice(-1);
  }

  #judge(readings: readonly StrainReading[]): StrainVerdict {
    const { limits } = this;
    const short = [
      memoryUse(readings, limits),
      limitHits(readings, limits),
      stall(readings, 'memoryStallUs', limits.memoryStallPercent, 'waited for memory'),
      stall(readings, 'cpuStallUs', limits.cpuStallPercent, 'waited for a processor'),
      steal(readings, limits),
      lateness(readings, limits),
    ].filter(each => each !== undefined);
    const strained = short.filter(({ least }) => least >= 100);
    if (strained.length > 0) return { state: 'strained', isDire: strained.some(({ isDire }) => isDire === true), cause: strained.map(({ says }) => says).join(', ') };
    return { state: short.every(({ most }) => most < EASED_PERCENT) ? 'eased' : 'unsure', isDire: false, cause: '' };
  }
}

const rounded = (value: number): string => String(Math.round(value * 10) / 10);
const limitOf = ({ highBytes, maxBytes }: MemoryReading): number => Math.min(highBytes ?? Infinity, maxBytes ?? Infinity);
const shareOf = (memory: MemoryReading): number => (100 * memory.workingBytes) / limitOf(memory);
const memories = (readings: readonly StrainReading[]): readonly MemoryReading[] => readings.flatMap(({ memory }) => memory ?? []);

function memoryUse(readings: readonly StrainReading[], { memoryPercent }: StrainLimits): Shortage | undefined {
  const seen = memories(readings);
  const last = seen.at(-1);
  if (memoryPercent === 0 || last === undefined || limitOf(last) === Infinity) return undefined;
  const shares = seen.map(each => (100 * shareOf(each)) / memoryPercent);
  return { least: Math.min(...shares), most: Math.max(...shares), says: `memory ${rounded(shareOf(last))} % of ${rounded(limitOf(last) / GIB)} GiB` };
}

/** Over the limit again and again, or once over the last one: the kernel makes us wait, and then it kills. */
function limitHits(readings: readonly StrainReading[], { memoryPercent }: StrainLimits): Shortage | undefined {
  const seen = memories(readings);
  const [first, last] = [seen[0], seen.at(-1)];
  if (memoryPercent === 0 || first === undefined || last === undefined) return undefined;
  const rises = (key: 'highHits' | 'maxHits'): number => seen.filter((each, i) => i > 0 && each[key] > seen[i - 1]![key]).length;
  const isOver = rises('maxHits') > 0;
  if (shareOf(last) < CACHE_PERCENT || (!isOver && rises('highHits') === 0)) return { least: 0, most: 0, says: '' };
  const least = isOver || 2 * rises('highHits') >= seen.length - 1 ? 100 : 0;
  const hits = isOver ? last.maxHits - first.maxHits : last.highHits - first.highHits;
  return { least, most: 100, says: `${isOver ? 'MemoryMax' : 'MemoryHigh'} hit ${hits} times`, isDire: isOver };
}

/** A counter that began anew says nothing. */
function stall(readings: readonly StrainReading[], key: 'memoryStallUs' | 'cpuStallUs', limitPercent: number, says: string): Shortage | undefined {
  const [first, last] = [readings[0]!, readings.at(-1)!];
  const [before, now] = [first[key], last[key]];
  if (limitPercent === 0 || before === undefined || now === undefined || now < before) return undefined;
  return constant((now - before) / 10 / (last.at - first.at), limitPercent, percent => `${says} ${rounded(percent)} % of the time`);
}

function steal(readings: readonly StrainReading[], { stealPercent }: StrainLimits): Shortage | undefined {
  const [before, now] = [readings[0]!.ticks, readings.at(-1)!.ticks];
  if (stealPercent === 0 || before === undefined || now === undefined || now.total <= before.total || now.steal < before.steal) return undefined;
  return constant((100 * (now.steal - before.steal)) / (now.total - before.total), stealPercent, percent => `${rounded(percent)} % of the processor taken by the hypervisor`);
}

function lateness(readings: readonly StrainReading[], { lateMs: limitMs }: StrainLimits): Shortage | undefined {
  const late = readings.slice(1).map(({ lateMs }) => lateMs);
  if (limitMs === 0 || late.length === 0) return undefined;
  const [least, most] = [Math.min(...late), Math.max(...late)];
  return { least: (100 * least) / limitMs, most: (100 * most) / limitMs, says: `everything is ${Math.round(least)} ms late`, isDire: least >= DIRE_LATE_FACTOR * limitMs };
}

function constant(percent: number, limitPercent: number, says: (percent: number) => string): Shortage {
  const share = (100 * percent) / limitPercent;
  return { least: share, most: share, says: says(percent) };
}
