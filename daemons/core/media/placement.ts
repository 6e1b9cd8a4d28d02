/** Where a new bridge goes: of the media processes that run the one with the least to do, where its address is. */

/** What a media process said last of what it carries. */
export interface ProcessLoad {
  readonly bridges: number;
  readonly bitrateInBps: number;
  readonly bitrateOutBps: number;
  /** Share of one core, 0..1. */
  readonly cpu: number;
  /** Why it takes no new source now; null: it takes one. */
  readonly refuses: string | null;
  /** Absent: it is of an older release. */
  readonly strain?: { readonly level: number };
}

export interface Candidate {
  /** Undefined: it has not said. */
  readonly load: ProcessLoad | undefined;
  /** Bridges that it was given, the newest included. */
  readonly bridges: { readonly size: number };
}

export interface Preferences<Each extends Candidate> {
  /** Its node has its own address, with nothing on the way to it. */
  readonly isAtHome: (each: Each) => boolean;
  /** It did not hang a moment ago. */
  readonly answers: (each: Each) => boolean;
}

/** Differences smaller than these say nothing. */
const CPU_STEP = 0.05;
const BITRATE_STEP_BPS = 20_000_000;
/** What a bridge may cost that shows in no measurement yet. */
const UNSEEN_CPU = 0.01;
const UNSEEN_BPS = 8_000_000;

/** Of processes that run, at least one. What is preferred narrows the choice as long as somebody is left; who takes nothing new is never chosen. */
export function placeFor<Each extends Candidate>(running: readonly Each[], { isAtHome, answers }: Preferences<Each>): Each | { readonly refuses: string } {
  const preferred = preferring(preferring(running, isAtHome), answers);
  const free = preferred.filter(({ load }) => load === undefined || load.refuses === null);
  return leastLoaded(free) ?? { refuses: preferred[0]!.load!.refuses! };
}

const preferring = <Each>(all: readonly Each[], is: (each: Each) => boolean): readonly Each[] => {
  const some = all.filter(is);
  return some.length > 0 ? some : all;
};

/** The first of those that are equal; undefined: there is none. */
export function leastLoaded<Each extends Candidate>(candidates: readonly Each[]): Each | undefined {
  return candidates.reduce<Each | undefined>((best, each) => (best === undefined || isLessLoaded(each, best) ? each : best), undefined);
}

/** Who is short of something already comes last (media.strain); then CPU, because it runs out first; then what is moved; then how many. */
function isLessLoaded(one: Candidate, other: Candidate): boolean {
  const [a, b] = [rankOf(one), rankOf(other)];
  const differs = a.findIndex((value, i) => value !== b[i]);
  return differs >= 0 && a[differs]! < b[differs]!;
}

function rankOf({ load, bridges }: Candidate): readonly number[] {
  const unseen = Math.max(0, bridges.size - (load?.bridges ?? 0));
  const cpu = (load?.cpu ?? 0) + unseen * UNSEEN_CPU;
  const bps = (load?.bitrateInBps ?? 0) + (load?.bitrateOutBps ?? 0) + unseen * UNSEEN_BPS;
  return [load?.strain?.level ?? 0, Math.floor(cpu / CPU_STEP), Math.floor(bps / BITRATE_STEP_BPS), bridges.size];
}
