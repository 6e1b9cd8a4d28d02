/** Which of the mediad instances has the least to do. */
import type { MediadLoad } from '#contracts/mediad.ts';

export interface Loaded {
  /** What it said last. */
  readonly load: MediadLoad | undefined;
  /** Bridges that it was given, the newest included. */
  readonly bridges: { readonly size: number };
}

/** Differences smaller than these say nothing. */
const CPU_STEP = 0.05;
const BITRATE_STEP_BPS = 20_000_000;
/** What a bridge may cost that shows in no measurement yet. */
const UNSEEN_CPU = 0.01;
const UNSEEN_BPS = 8_000_000;

/** Who is short of something already comes last (media.strain); then CPU, because it runs out first; then what is moved; then how many. */
export function isLessLoaded(one: Loaded, other: Loaded): boolean {
  const [a, b] = [rankOf(one), rankOf(other)];
  const differs = a.findIndex((value, i) => value !== b[i]);
  return differs >= 0 && a[differs]! < b[differs]!;
}

function rankOf({ load, bridges }: Loaded): readonly number[] {
  const unseen = Math.max(0, bridges.size - (load?.bridges ?? 0));
  const cpu = (load?.cpu ?? 0) + unseen * UNSEEN_CPU;
  const bps = (load?.bitrateInBps ?? 0) + (load?.bitrateOutBps ?? 0) + unseen * UNSEEN_BPS;
  return [load?.strain?.level ?? 0, Math.floor(cpu / CPU_STEP), Math.floor(bps / BITRATE_STEP_BPS), bridges.size];
}
