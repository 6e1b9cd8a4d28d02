/**
 * The revisions of a pair as one line: each node says by which states its configuration came to where it is, newest first. Of two
 * that differ, the one that came through the state of the other goes on; where both changed while they were apart, one line wins
 * and what only the other one has is set aside.
 */
import type { AuditAuthor, Sha256 } from '../audit/chain.ts';

/** States that a node remembers: one that was away for longer is brought up to date all the same, by the active one. */
export const MAX_TRAIL = 256;
/** Newest revisions that the state of a line is told by. */
const MARKED_REVISIONS = 5;
const MARK_DIGITS = 24;

/** A revision without its text: the same on both nodes, whatever keys and local values their texts have. */
export interface LineFacts {
  readonly revision: number;
  readonly atWallMs: number;
  readonly author: AuditAuthor;
  readonly reason: string;
  readonly changes: number;
  /** Of the cluster, when it was committed; 0: before there was a pair. */
  readonly term: number;
  /** The node whose revision it was, when it had to give way to another one; null: it did not. */
  readonly aside: string | null;
}

export interface LineRow extends LineFacts {
  readonly id: string;
  readonly returned: boolean;
}

/** What of it is in force. */
export interface LineState {
  /** 0: none. */
  readonly current: number;
  readonly pending: { readonly revision: number; readonly returnsTo: number } | null;
}

/** A commit that waits for `confirm`, as the other node has to know it. */
export interface ToldPending {
  readonly revision: number;
  readonly returnsTo: number;
  readonly deadlineWallMs: number;
  /** By the clock of the machine that tells it. */
  readonly leftMs: number;
  readonly author: AuditAuthor;
}

export interface Line {
  /** Of the last change; 0: none since this node belongs to the pair. */
  readonly term: number;
  /** Marks of its states, newest first; never empty. */
  readonly trail: readonly string[];
}

/** As a node keeps it. */
export interface KeptLine extends Line {
  /** It stood where the other node stood, once: what was before is no history of the pair. */
  readonly met: boolean;
}

/** A line and whether its node is the active one, as that says. */
export interface LineSide extends Line {
  readonly active: boolean;
}

export function rowId({ revision, atWallMs, author, reason, changes, term, aside }: LineFacts, sha256: Sha256): string {
  const { user, via, address } = author;
  return sha256(JSON.stringify([revision, atWallMs, user, via, address, reason, changes, term, aside])).slice(0, MARK_DIGITS);
}

/** Two nodes of which this is the same stand at the same place. `rows`: newest first. */
export function stateMark(rows: readonly LineRow[], { current, pending }: LineState, sha256: Sha256): string {
  const idOf = (revision: number): string | null => rows.find(row => row.revision === revision)?.id ?? null;
  const newest = rows.slice(0, MARKED_REVISIONS).map(({ id, returned }) => [id, returned]);
  return sha256(JSON.stringify([newest, idOf(current), pending === null ? null : [idOf(pending.revision), idOf(pending.returnsTo)]])).slice(0, MARK_DIGITS);
}

/** The line after a change that a node of this term made (0: it is not the active one); the same one when nothing changed. */
export function moveLine(line: KeptLine, mark: string, term: number): KeptLine {
  if (line.trail[0] === mark) return line;
  return { met: line.met, term: Math.max(line.term, term, line.met ? 1 : 0), trail: [mark, ...line.trail].slice(0, MAX_TRAIL) };
}

/**
 * Who goes on. `theirs`: they come from where we stand; `ours`: the other way round; `yield`: both changed, and theirs stays;
 * `prevail`: both changed, and ours stays; `undecided`: both changed at the same term, and nobody is active to say which.
 */
export type Precedence = 'same' | 'theirs' | 'ours' | 'yield' | 'prevail' | 'undecided';

export function precedence(own: LineSide, peer: LineSide): Precedence {
  const [ours, theirs] = [own.trail[0]!, peer.trail[0]!];
  if (ours === theirs) return 'same';
  const [theyCameByUs, weCameByThem] = [peer.trail.includes(ours), own.trail.includes(theirs)];
  if (theyCameByUs !== weCameByThem) return theyCameByUs ? 'theirs' : 'ours';
  if (own.term !== peer.term) return peer.term > own.term ? 'yield' : 'prevail';
  if (own.active !== peer.active) return peer.active ? 'yield' : 'prevail';
  return 'undecided';
}

/** Revisions of theirs that are not here, oldest first: in this order they are fetched. */
export function missingRows(ours: readonly LineRow[], theirs: readonly LineRow[]): readonly LineRow[] {
  const known = new Set(ours.map(({ id }) => id));
  return theirs.filter(({ id }) => !known.has(id)).sort((a, b) => a.revision - b.revision);
}

/** Ours that only stand here and that nothing but a conflict can have made: theirs do not reach further back than these. Oldest first. */
export function strayRows(ours: readonly LineRow[], theirs: readonly LineRow[]): readonly LineRow[] {
  const known = new Set(theirs.map(({ id }) => id));
  const oldest = Math.min(...theirs.map(({ revision }) => revision));
  return ours.filter(({ id, revision }) => revision >= oldest && !known.has(id)).sort((a, b) => a.revision - b.revision);
}

/** Revisions that were set aside and that nobody has looked after yet: the next commit says that somebody did. */
export const openAsides = (rows: readonly Pick<LineRow, 'revision' | 'aside'>[], current: number): readonly number[] => rows.filter(({ aside, revision }) => aside !== null && revision > current).map(({ revision }) => revision).sort((a, b) => a - b);
