/**
 * A daemon that was told to start anew, as systemd sees its unit: whether it is on its way, or has ended instead.
 *
 *   running --it ends--> auto-restart --> start --ready--> running      it is back
 *                            ^              |
 *                            +----it ends---+   a second time: it does not start with what is in force now
 *   failed, inactive without a job: systemd tries it no more, or somebody stopped it
 */

/** TimeoutStartSec of our units, for where systemd does not say it. */
export const START_LIMIT_MS = 120_000;

/**
 * How long is waited for the answer to a commit: every daemon is told, one after the other, and some start anew, forth and back. That
 * configd has ended, or the other node, is known by the connection.
 */
export const COMMIT_PATIENCE_MS = 3_600_000;

/** Of `systemctl show`. */
export interface UnitFacts {
  /** ActiveState */
  readonly state: string;
  /** Result: `success`, `exit-code`, `timeout`, `start-limit-hit` ... */
  readonly result: string;
  /** Job: something is about to be done with it. Between the end and the next start a unit is `inactive` for a moment, with one. */
  readonly hasJob: boolean;
  /** NRestarts */
  readonly restarts: number;
  /** TimeoutStartUSec; null: none. */
  readonly startLimitMs: number | null;
}

/** The restart that was asked for is one. */
const ASKED_FOR = 1;

/** Why it is not waited for any longer; null: it is. `before`: when it was told. */
export function endedInstead(before: UnitFacts, now: UnitFacts): string | null {
  if (now.state === 'failed') return `ended as it started (${now.result})`;
  if (now.state === 'inactive' && !now.hasJob) return 'was stopped';
  return now.restarts - before.restarts > ASKED_FOR ? 'ended as it started, and is tried again' : null;
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A span of systemd.time(7) as systemctl prints it: `2min`, `1min 30s`. Null: `infinity`, or no span. */
export function spanMs(text: string): number | null {
  let totalMs = 0;
  for (const part of text.trim().split(' ')) {
    const [, count, unit = ''] = /^(\d+(?:\.\d+)?)([a-z]+)$/.exec(part) ?? [];
    const each = UNIT_MS[unit];
    if (count === undefined || each === undefined) return null;
    totalMs += Number(count) * each;
  }
  return totalMs;
}

/** Of `systemctl show --property=...`: `Name=value` a line. Null: systemd has no such unit. */
export function unitFacts(shown: string): UnitFacts | null {
  const values = new Map(shown.split('\n').map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const [state, restarts] = [values.get('ActiveState'), Number(values.get('NRestarts') ?? NaN)];
  if (state === undefined || values.get('LoadState') !== 'loaded' || !Number.isSafeInteger(restarts)) return null;
  return { state, result: values.get('Result') ?? '', hasJob: Number(values.get('Job') ?? 0) > 0, restarts, startLimitMs: spanMs(values.get('TimeoutStartUSec') ?? '') };
}
