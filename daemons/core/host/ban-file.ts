/**
 * The file in which sipd tells who is shut out: to itself after a restart, and to the packet filter. JSON, one row a line. The filter
 * believes nothing of it but addresses and times, and not those of declared peers.
 */
import { formatIp, type Network, parseNetwork } from '../ip.ts';
import { addMs, type Ms } from '../units.ts';
import type { Ban } from './ban-policy.ts';
import { networkText } from './nft-text.ts';
import { meets, siteOf } from './site.ts';

/** In rpc.directory. */
export const BAN_FILE = 'bans';
const MAX_TEXT = 4 * 1024 * 1024;
const MAX_LINES = 8192;
const MAX_LINE = 512;
const MAX_WORDS = 160;
const MAX_BAN_MS = 2_592_000_000;

/** Who is shut out, and for how much longer. */
export interface ShutOut {
  /** An address, or the network of an IPv6 site. */
  readonly network: string;
  readonly leftMs: number;
}

/** A row of the file: a ban with its end on the wall clock. */
export type BanRow = Omit<Ban, 'untilMs' | 'firstMs' | 'lastMs'> & { readonly untilWallMs: number; readonly firstWallMs: number; readonly lastWallMs: number };

export const formatBanFile = (rows: readonly BanRow[]): string => rows.slice(0, MAX_LINES).map(row => `${JSON.stringify(row)}\n`).join('');

/** Rows that can be read; what cannot is passed over, a torn last line too. */
export function parseBanFile(text: string): readonly BanRow[] {
  if (text.length > MAX_TEXT) return [];
  return text.split('\n', MAX_LINES).flatMap(line => readRow(line) ?? []);
}

function readRow(line: string): BanRow | undefined {
  if (line.length === 0 || line.length > MAX_LINE) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return typeof value === 'object' && value !== null ? checkedRow(value as Record<string, unknown>) : undefined;
}

function checkedRow({ site, reason, count, times, first, last, untilWallMs, firstWallMs, lastWallMs }: Record<string, unknown>): BanRow | undefined {
  const texts = [site, reason, first, last];
  const numbers = [count, times, untilWallMs, firstWallMs, lastWallMs];
  if (!texts.every(text => typeof text === 'string' && text.length <= MAX_WORDS) || !numbers.every(number => Number.isSafeInteger(number) && (number as number) >= 0)) return undefined;
  const network = parseNetwork(site as string);
  // One address or one site, and never a wider network, whoever wrote it.
  if (network === undefined || networkText(network) !== site || siteOf(formatIp(network.address)) !== site) return undefined;
  return { site, reason, count, times, first, last, untilWallMs, firstWallMs, lastWallMs } as BanRow;
}

/** What the packet filter takes of the file: the living, without those who are declared. */
export function shutOutOf(rows: readonly BanRow[], never: readonly Network[], nowWallMs: number): readonly ShutOut[] {
  const bySite = new Map(rows.filter(({ site, untilWallMs }) => untilWallMs > nowWallMs && !meets(site, never)).map(row => [row.site, row]));
  return [...bySite.values()].map(row => ({ network: row.site, leftMs: leftOf(row, nowWallMs) }));
}

/** A clock that was set back since then makes nobody wait for longer than he was to wait when he was shut out. */
const leftOf = ({ untilWallMs, lastWallMs }: BanRow, nowWallMs: number): number => Math.min(MAX_BAN_MS, untilWallMs - nowWallMs, Math.max(0, untilWallMs - lastWallMs));

/** The ban of a row that is not over; undefined: it is. */
export function restoredBan(row: BanRow, now: Ms, nowWallMs: number): Ban | undefined {
  const { untilWallMs, firstWallMs, lastWallMs, ...ban } = row;
  const leftMs = leftOf(row, nowWallMs);
  const ago = (wallMs: number): Ms => addMs(now, Math.min(0, wallMs - nowWallMs));
  return leftMs <= 0 ? undefined : { ...ban, untilMs: addMs(now, leftMs), firstMs: ago(firstWallMs), lastMs: ago(lastWallMs) };
}

/** Elements of a set with time-out. */
export function banElements(shutOut: readonly ShutOut[], family: '4' | '6'): readonly string[] {
  return shutOut.filter(({ network }) => network.includes(':') === (family === '6')).map(({ network, leftMs }) => `${network} timeout ${Math.max(1, Math.ceil(leftMs / 1000))}s`);
}
