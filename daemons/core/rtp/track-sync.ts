/**
 * Tracks of one session on one timeline: each RTP stream counts from a begin of its own (RFC 3550 5.1). What says where they meet, the
 * better the later:
 *
 *   arrival of the first packets ──► the begins that RTP-Info names ──► sender reports (RFC 3550 6.4.1)
 *
 * Pictures never move; sound is moved to them, and only when it is out by more than an eye and ear notice.
 */
import type { Ms } from '../units.ts';

const TICKS_PER_MS = 90;
/** 40 ms: one picture. */
const NOTICED_TICKS = 3600;
/** A report that is out by more was written by a clock that runs for itself. */
const BELIEVED_TICKS = 10 * 90_000;

interface Line {
  /** Common time = own time - offset. Undefined before the first packet. */
  offset: number | undefined;
  /** Own time at the begin of play, where RTP-Info names it. */
  begin: number | undefined;
  report: { readonly ntpMs: number; readonly at90k: number } | undefined;
}

export class TrackSync {
  readonly #lines: readonly Line[];
  readonly #reference: number;
  #startedAt: Ms | undefined;
  /** Times that sound was moved by a sender report. */
  corrections = 0;

  /** `reference`: the track that never moves, the pictures where there are any. */
  constructor(tracks: number, reference: number) {
    this.#lines = Array.from({ length: tracks }, () => ({ offset: undefined, begin: undefined, report: undefined }));
    this.#reference = reference;
  }

  /** Own time, 90 kHz without wraps, of the begin of play. */
  begin(track: number, at90k: number): void {
    this.#lines[track]!.begin = at90k;
  }

  report(track: number, ntpMs: number, at90k: number): void {
    const line = this.#lines[track]!;
    line.report = { ntpMs, at90k };
    const reference = this.#lines[this.#reference]!;
    for (const other of this.#lines) if (other !== reference) this.#align(other, reference);
  }

  map(track: number, at90k: number, now: Ms): number {
    const line = this.#lines[track]!;
    this.#startedAt ??= now;
    if (line.offset === undefined) {
      const arrived = at90k - (now - this.#startedAt) * TICKS_PER_MS;
      const named = this.#lines.every(({ begin }) => begin !== undefined) ? line.begin! : undefined;
      line.offset = named !== undefined && Math.abs(at90k - named) < BELIEVED_TICKS ? named : arrived;
    }
    return at90k - line.offset;
  }

  #align(line: Line, reference: Line): void {
    if (line.offset === undefined || reference.offset === undefined || line.report === undefined || reference.report === undefined) return;
    const originMs = reference.report.ntpMs - (reference.report.at90k - reference.offset) / TICKS_PER_MS;
    const wanted = line.report.at90k - (line.report.ntpMs - originMs) * TICKS_PER_MS;
    const out = Math.abs(wanted - line.offset);
    if (out <= NOTICED_TICKS || out > BELIEVED_TICKS) return;
    this.corrections += 1;
    line.offset = wanted;
  }
}
