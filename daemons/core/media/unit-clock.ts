/**
 * One 90 kHz timeline for the pictures and sounds of a source, whatever its time stamps do (faults 55 and 69, quirks 47, 51): they
 * may be missing, stand still, jump, start again, or lack decoding times although pictures are reordered.
 *
 *   following ──stamp is missing or stands still──► following, one usual step on
 *   following ──jumps by more than 10 s, or back by more than 1 s──► anchored anew: with the other kind where both count from one origin,
 *                                                                    else one usual step on, or where the other kind is
 */
import type { Ms } from '../units.ts';

const MAX_STEP_TICKS = 10 * 90_000;
/** Pictures are reordered over less than this. */
const MAX_BACK_TICKS = 90_000;
/** 25 pictures a second, until stamps or arrivals say otherwise. */
const DEFAULT_STEP_TICKS = 3600;
const ARRIVAL_SHARE = 1 / 16;

export interface RawStamp {
  readonly pts90k: number;
  readonly dts90k: number;
  /** The source gave none: what stands there is a guess by the steps before. */
  readonly estimated: boolean;
  /** How long it lasts, where its bytes tell. */
  readonly ticks: number | undefined;
}

export interface UnitStamp {
  readonly pts90k: number;
  readonly dts90k: number;
}

interface Line {
  rawDts: number;
  rawPts: number;
  dts: number;
  /** dts = raw + offset. */
  offset: number;
  /** Of the last unit. */
  stepTicks: number;
  arrivalTicks: number;
  arrivedAt: Ms;
  /** The source gave a time once: what it guesses from then on goes by its own steps. */
  stamped: boolean;
  /** Pictures come in another order than they are shown, without decoding times. */
  reorders: boolean;
}

export class UnitClock {
  readonly #lines: { video: Line | undefined; audio: Line | undefined } = { video: undefined, audio: undefined };
  /** Times at which a line was anchored anew. */
  jumps = 0;

  /** Decoding times of one kind always grow. */
  stamp(kind: 'video' | 'audio', raw: RawStamp, now: Ms): UnitStamp {
    const line = this.#lines[kind];
    const other = this.#lines[kind === 'video' ? 'audio' : 'video'];
    if (line === undefined) return this.#begin(kind, raw, other, now);
    line.arrivalTicks += ((now - line.arrivedAt) * 90 - line.arrivalTicks) * ARRIVAL_SHARE;
    line.arrivedAt = now;
    const stamp = this.#follow(line, other, raw);
    line.rawDts = raw.dts90k;
    line.rawPts = raw.pts90k;
    line.dts = stamp.dts90k;
    if (raw.ticks !== undefined && raw.ticks > 0) line.stepTicks = raw.ticks;
    return stamp;
  }

  #begin(kind: 'video' | 'audio', raw: RawStamp, other: Line | undefined, now: Ms): UnitStamp {
    const offset = other === undefined ? 0 : offsetNear(other, raw);
    const dts = raw.dts90k + offset;
    const stepTicks = raw.ticks ?? DEFAULT_STEP_TICKS;
    this.#lines[kind] = { rawDts: raw.dts90k, rawPts: raw.pts90k, dts, offset, stepTicks, arrivalTicks: DEFAULT_STEP_TICKS, arrivedAt: now, stamped: !raw.estimated, reorders: false };
    return { pts90k: raw.pts90k + offset, dts90k: dts };
  }

  #follow(line: Line, other: Line | undefined, raw: RawStamp): UnitStamp {
    const step = raw.dts90k - line.rawDts;
    const guessed = raw.estimated && !(line.stamped && step > 0 && step <= MAX_BACK_TICKS);
    if (guessed || (step === 0 && raw.pts90k === line.rawPts)) return stay(line, raw);
    line.stamped ||= !raw.estimated;
    if (step > MAX_STEP_TICKS || step < -MAX_BACK_TICKS) {
      this.jumps += 1;
      line.offset = offsetAfterJump(line, other, raw);
      line.reorders = false;
      return { dts90k: raw.dts90k + line.offset, pts90k: raw.pts90k + line.offset };
    }
    if (step < 0 && raw.pts90k === raw.dts90k) line.reorders = true;
    else if (step > 0 && step < MAX_BACK_TICKS) line.stepTicks = line.reorders ? Math.min(line.stepTicks, step) : step;
    const pts90k = raw.pts90k + line.offset;
    const wanted = line.reorders ? Math.min(line.dts + line.stepTicks, pts90k) : raw.dts90k + line.offset;
    const dts90k = Math.max(line.dts + 1, wanted);
    return { dts90k, pts90k: Math.max(pts90k, dts90k) };
  }
}

/** The stamp says nothing: as long after the last one as units usually come. */
function stay(line: Line, raw: RawStamp): UnitStamp {
  const dts90k = line.dts + Math.max(1, Math.round(raw.ticks === undefined ? line.arrivalTicks : line.stepTicks));
  line.offset = dts90k - raw.dts90k;
  return { dts90k, pts90k: dts90k };
}

const sameOrigin = (other: Line, raw: RawStamp): boolean => Math.abs(raw.dts90k - other.rawDts) <= MAX_STEP_TICKS && !raw.estimated;

/** The other kind's offset when both count from the same origin, else the moment where the other kind is. */
const offsetNear = (other: Line, raw: RawStamp): number => (sameOrigin(other, raw) ? other.offset : other.dts - raw.dts90k);

function offsetAfterJump(line: Line, other: Line | undefined, raw: RawStamp): number {
  const onward = line.dts + line.stepTicks;
  if (other === undefined) return onward - raw.dts90k;
  if (sameOrigin(other, raw)) return Math.max(other.offset, line.dts + 1 - raw.dts90k);
  return (Math.abs(onward - other.dts) <= MAX_BACK_TICKS ? onward : Math.max(onward, other.dts)) - raw.dts90k;
}
