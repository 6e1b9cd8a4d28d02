/**
 * Whether one more stream fits: by what runs, what it moves and what it costs, and by streams that were let in but do not show in
 * any measurement yet. What runs already is never touched.
 */
import type { Ms } from '../units.ts';

export interface CapacityLimits {
  readonly maxBridges: number;
  /** In and out together; 0: no limit. */
  readonly maxBitrateMbps: number;
  /** Of one core; 0: no limit. */
  readonly maxCpuPercent: number;
}

export interface Load {
  readonly bridges: number;
  /** In and out together. */
  readonly bitrateBps: number;
  /** Share of one core, 0..1. */
  readonly cpu: number;
}

/** What a camera sends that is not measured yet, and what goes out of it. */
const STREAM_BPS = 2 * 4_000_000;
/** A stream shows in the measurements after this. */
const UNSEEN_MS = 2500;
/** One busy second refuses nobody: the mean of about four. */
const CPU_WEIGHT = 0.25;

export class Capacity {
  limits: CapacityLimits;
  #recent: Ms[] = [];
  #cpu = 0;

  constructor(limits: CapacityLimits) {
    this.limits = limits;
  }

  /** Share of one core, smoothed. */
  get cpu(): number {
    return this.#cpu;
  }

  /** Once a second. */
  measured(cpu: number): void {
    this.#cpu += (cpu - this.#cpu) * CPU_WEIGHT;
  }

  /** A stream was let in. */
  admitted(now: Ms): void {
    this.#recent.push(now);
  }

  /** Why another one is refused; null when it is not. */
  refusal({ bridges, bitrateBps }: Omit<Load, 'cpu'>, now: Ms): string | null {
    const { maxBridges, maxBitrateMbps, maxCpuPercent } = this.limits;
    this.#recent = this.#recent.filter(at => now - at < UNSEEN_MS);
    const unseen = Math.min(this.#recent.length, bridges);
    const mbps = (bitrateBps + unseen * STREAM_BPS) / 1e6;
    const cpuPercent = 100 * this.#cpu * (bridges / Math.max(1, bridges - unseen));
    if (bridges >= maxBridges) return `${bridges} sources run, media.maxBridges is ${maxBridges}`;
    if (maxBitrateMbps > 0 && mbps >= maxBitrateMbps) return `${Math.round(mbps)} Mbit/s, media.maxBitrateMbps is ${maxBitrateMbps}`;
    // Below half of the limit a few streams more do not reach it, whatever the ratio says.
    if (maxCpuPercent > 0 && 200 * this.#cpu >= maxCpuPercent && cpuPercent >= maxCpuPercent) return `${Math.round(cpuPercent)} % of a core, media.maxCpuPercent is ${maxCpuPercent}`;
    return null;
  }
}
