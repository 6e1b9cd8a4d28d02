/** How much one upstream may have at once (configuration: upstreams[].view.quota): streams by count, and Mbit/s as measured. */
import type { Ms } from '../units.ts';

const MEGABIT = 1_000_000;

export interface QuotaLimits {
  /** 0: no limit. */
  readonly streams: number;
  /** Mbit/s; 0: no limit. */
  readonly mbps: number;
  /** Mbit/s that count for a stream which is not measured yet. */
  readonly streamMbps: number;
}

/** 486: it has its streams. 503: there is no room in its Mbit/s now. */
export interface QuotaRefusal {
  readonly status: 486 | 503;
  readonly why: string;
}

/** `ratesBps`: of its streams, undefined where not measured. `wantedBps`: of one more. */
export function judgeQuota({ streams, mbps, streamMbps }: QuotaLimits, ratesBps: readonly (number | undefined)[], wantedBps: number | undefined): QuotaRefusal | null {
  if (streams > 0 && ratesBps.length >= streams) return { status: 486, why: `it has its ${streams} streams already` };
  if (mbps === 0) return null;
  const used = [...ratesBps, wantedBps].reduce<number>((sum, bps) => sum + (bps ?? streamMbps * MEGABIT), 0);
  return used > mbps * MEGABIT ? { status: 503, why: `with one more stream it would have ${(used / MEGABIT).toFixed(1)} of ${mbps} Mbit/s` } : null;
}

interface Sample {
  readonly bytes: number;
  readonly at: Ms;
  readonly bps: number | undefined;
}

/** Rates of streams out of byte counts that are read now and then. */
export class StreamRates {
  #samples = new Map<string, Sample>();

  /** Streams that are not among them any more are forgotten. A count that went back began anew. */
  sample(counts: Iterable<readonly [streamId: string, bytes: number]>, now: Ms): void {
    const next = new Map<string, Sample>();
    for (const [streamId, bytes] of counts) {
      const before = this.#samples.get(streamId);
      const elapsed = before === undefined ? 0 : now - before.at;
      const grown = before === undefined ? -1 : bytes - before.bytes;
      next.set(streamId, { bytes, at: now, bps: elapsed > 0 && grown >= 0 ? (grown * 8000) / elapsed : undefined });
    }
    this.#samples = next;
  }

  /** Undefined: not measured yet. */
  rateOf(streamId: string): number | undefined {
    return this.#samples.get(streamId)?.bps;
  }

  get size(): number {
    return this.#samples.size;
  }
}
