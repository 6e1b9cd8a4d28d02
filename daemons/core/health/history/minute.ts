/**
 * The minute that runs: one value a second for each series, given away when the minute is over or the clock goes elsewhere.
 * A minute that comes twice, because the clock was set back, is given away twice; who keeps them puts them together.
 */
import type { Ms, WallMs } from '../../units.ts';
import type { Labels, Sample } from '../model.ts';
import { type Chunk, STEPS, emptyChunk } from './points.ts';

const MINUTE_MS = 60_000;
/** A bound for what peers can make us keep; the configuration bounds channels below it. */
const MAX_SERIES = 16_384;

export interface MinuteSeries {
  readonly key: string;
  readonly metric: string;
  readonly labels: Labels;
  readonly values: Chunk;
}

export interface FullMinute {
  readonly startS: number;
  readonly series: readonly MinuteSeries[];
}

interface Total {
  value: number;
  at: Ms;
}

export class MinuteBuffer {
  #startMs: number | null = null;
  #series = new Map<string, MinuteSeries>();
  /** Counters as they were seen last. */
  #totals = new Map<string, Total>();
  #seen = new Set<string>();

  /** What was full when these came, if anything. */
  record(samples: readonly Sample[], now: Ms, wall: WallMs): FullMinute | null {
    const startMs = Math.floor(wall / MINUTE_MS) * MINUTE_MS;
    const full = this.#startMs !== null && this.#startMs !== startMs ? this.take() : null;
    this.#startMs = startMs;
    const slot = Math.floor((wall - startMs) / 1000);
    for (const { metric, labels, value } of samples) {
      const key = seriesKey(metric, labels);
      const kept = metric.endsWith('_total') ? this.#gain(key, value, now) : value;
      if (kept !== null) this.#put(key, metric, labels, slot, kept);
    }
    return full;
  }

  /** What there is; it begins anew. */
  take(): FullMinute | null {
    if (this.#startMs === null || this.#series.size === 0) return null;
    const full = { startS: this.#startMs / 1000, series: [...this.#series.values()] };
    this.#series = new Map();
    for (const key of this.#totals.keys()) if (!this.#seen.has(key)) this.#totals.delete(key);
    this.#seen = new Set();
    return full;
  }

  /** Of this metric, as they stand. */
  running(metric: string): FullMinute | null {
    if (this.#startMs === null) return null;
    return { startS: this.#startMs / 1000, series: [...this.#series.values()].filter(series => series.metric === metric) };
  }

  get size(): number {
    return this.#series.size;
  }

  /** In a second, since it was seen last; null: for the first time, or it began anew. */
  #gain(key: string, value: number, now: Ms): number | null {
    const before = this.#totals.get(key);
    this.#seen.add(key);
    if (before === undefined) {
      if (this.#totals.size < MAX_SERIES) this.#totals.set(key, { value, at: now });
      return null;
    }
    const gained = now > before.at && value >= before.value ? ((value - before.value) * 1000) / (now - before.at) : null;
    before.value = value;
    before.at = now;
    return gained;
  }

  #put(key: string, metric: string, labels: Labels, slot: number, value: number): void {
    let series = this.#series.get(key);
    if (series === undefined) {
      if (this.#series.size >= MAX_SERIES) return;
      this.#series.set(key, (series = { key, metric, labels, values: emptyChunk(STEPS[0]) }));
    }
    series.values[slot] = value;
  }
}

/** The same for the same labels in any order. */
export function seriesKey(metric: string, labels: Labels): string {
  const names = Object.keys(labels);
  if (names.length === 0) return metric;
  if (names.length > 1) names.sort();
  return `${metric}{${names.map(name => `${name}=${labels[name]!}`).join('\n')}}`;
}
