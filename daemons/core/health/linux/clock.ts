/** What keeps the clock right says of itself: `chronyc -c tracking`, `timedatectl show`, `timedatectl timesync-status`. */
import { numberOf, pairsOf } from './text.ts';

export interface ClockState {
  readonly synchronised: boolean;
  readonly source: string | null;
  /** Ours less that of the source; null: it does not say. */
  readonly offsetMs: number | null;
  readonly stratum: number | null;
  /** Wall time of what its source said last; null: it does not say. */
  readonly heardAtWallMs: number | null;
}

/** CSV of `chronyc -c tracking`: reference, its name, stratum, time of the last update, system offset in seconds (positive: we are behind) ... leap status. */
export function parseChronyTracking(text: string): ClockState | undefined {
  const fields = text.slice(0, 1024).trim().split(',');
  const [stratum, heardAtS, offsetS, leap] = [numberOf(fields[2]), numberOf(fields[3]), numberOf(fields[4]), fields[13]];
  if (fields.length < 14 || stratum === undefined || offsetS === undefined || leap === undefined) return undefined;
  const synchronised = leap !== 'Not synchronised' && stratum > 0 && stratum < 16;
  return { synchronised, source: fields[1]!.slice(0, 64) || null, offsetMs: -offsetS * 1000, stratum, heardAtWallMs: heardAtS === undefined || heardAtS <= 0 ? null : heardAtS * 1000 };
}

/** `NTPSynchronized=yes` of `timedatectl show`, with `ServerName=`, `Offset:` and `Stratum:` where timesync-status follows it. */
export function parseTimedatectl(text: string): ClockState | undefined {
  const shown = pairsOf(text, /=/);
  const status = pairsOf(text, /: /);
  const said = shown.get('NTPSynchronized');
  if (said !== 'yes' && said !== 'no') return undefined;
  const server = status.get('Server')?.slice(0, 64) ?? null;
  return { synchronised: said === 'yes', source: server, offsetMs: spanMs(status.get('Offset')), stratum: numberOf(status.get('Stratum')) ?? null, heardAtWallMs: null };
}

const UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

/** `+1.234ms`, `-2min 3.5s`. */
function spanMs(text: string | undefined): number | null {
  if (text === undefined || !/^[+-]?[\d.]+(us|ms|s|min|h)( [\d.]+(us|ms|s|min|h))*$/.test(text)) return null;
  const parts = [...text.matchAll(/([\d.]+)(us|ms|s|min|h)/g)];
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS_MS[unit!]!, 0);
  return Number.isFinite(total) ? (text.startsWith('-') ? -total : total) : null;
}
