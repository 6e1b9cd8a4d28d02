/**
 * The audit log as a chain: one JSON object a line, whose last field is the HMAC-SHA256 (in older entries plain SHA-256) over the
 * hash before it and the rest of the line. Whoever changes, removes or puts in a line breaks it there. Each file begins with the hash that it goes on from.
 */
import type { Json } from '../config/json.ts';

/** Of the entry before the first one. */
export const CHAIN_START = '0'.repeat(64);
/** An entry may carry a changed part of the configuration, not a whole one. */
export const MAX_LINE = 64 * 1024;

const LINE = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/s;

/** Lower-case hex of the UTF-8 of a text. */
export type Sha256 = (text: string) => string;

export interface AuditAuthor {
  /** Unix user or API user. */
  readonly user: string;
  readonly via: 'cli' | 'api' | 'system';
  /** Where from: the SSH client or the HTTP peer; null on the console. */
  readonly address: string | null;
}

export interface AuditFacts {
  readonly author: AuditAuthor;
  /** `config.commit`, `ptz`, `login` ... */
  readonly action: string;
  /** What it was done to. */
  readonly target: string;
  readonly before: Json;
  readonly after: Json;
  readonly result: 'done' | 'refused' | 'failed';
  readonly detail: string;
}

export interface AuditLine extends AuditFacts {
  readonly sequence: number;
  readonly atWallMs: number;
  /** Milliseconds since boot: a changed clock shows. */
  readonly monotonicMs: number;
  /** HMAC-SHA256 over the entry and the hash before it, under a key that only configd opens; entries of versions before: plain SHA-256. */
  readonly hash: string;
}

/** Where a chain has come to. */
export interface ChainHead {
  /** Of the last entry; 0: none. */
  readonly sequence: number;
  readonly hash: string;
}

/** The next line, without its line end, and the head that it makes. */
export function appendLine(head: ChainHead, facts: AuditFacts, atWallMs: number, monotonicMs: number, sha256: Sha256): { readonly line: string; readonly head: ChainHead } {
  const { author, action, target, before, after, result, detail } = facts;
  const sequence = head.sequence + 1;
  const make = (kept: Pick<AuditFacts, 'before' | 'after'>): string => JSON.stringify({ sequence, atWallMs, monotonicMs, author, action, target, before: kept.before, after: kept.after, result, detail });
  const whole = make({ before, after });
  const body = whole.length <= MAX_LINE ? whole : make({ before: `left out: ${JSON.stringify(before).length} characters`, after: `left out: ${JSON.stringify(after).length} characters` });
  const hash = chained(head.hash, body, sha256);
  return { line: `${body.slice(0, -1)},"hash":"${hash}"}`, head: { sequence, hash } };
}

const chained = (previous: string, body: string, sha256: Sha256): string => sha256(`${previous}\n${body}`);

/** The head behind this line, or why it does not follow from the one before. */
export function followLine(head: ChainHead, line: string, sha256: Sha256): ChainHead | string {
  const [, body, hash] = LINE.exec(line) ?? [];
  if (body === undefined || hash === undefined) return 'this is no entry';
  if (chained(head.hash, `${body}}`, sha256) !== hash) return 'its hash does not follow from the entry before and what it says';
  const sequence = readLine(line)?.sequence;
  return sequence === head.sequence + 1 ? { sequence, hash } : `its number is ${sequence ?? 'missing'}, expected ${head.sequence + 1}`;
}

/** The entry of a line; undefined: it is none. */
export function readLine(line: string): AuditLine | undefined {
  if (!LINE.test(line)) return undefined;
  try {
    return JSON.parse(line) as AuditLine;
  } catch {
    return undefined;
  }
}

/** First line of a file. */
export const fileHeader = (head: ChainHead): string => JSON.stringify({ follows: head.sequence, hash: head.hash });

export function readHeader(line: string): ChainHead | undefined {
  const match = /^\{"follows":(\d{1,15}),"hash":"([0-9a-f]{64})"\}$/.exec(line);
  return match === null ? undefined : { sequence: Number(match[1]), hash: match[2]! };
}
