/**
 * Kept revisions of gateway.yaml. One file a revision: a line of facts, then the text, whose SHA-256 stands in the facts: what a
 * power cut left half-written is not taken for one. `pending.json` is there as long as a commit may have to be returned.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Author, RevisionRow } from '#contracts/configd.ts';
import { type LineFacts, type LineRow, rowId } from '#core/config/line.ts';
import type { PendingCommit } from '#core/config/pending.ts';
import { removeDurably, removeQuietly, storeFailure, syncDirectory, writeDurably } from './durable.ts';
import type { Log } from './log.ts';

export const MAX_REVISIONS = 200;
/** A configuration of 100,000 devices has 12 MB. */
const MAX_REVISION_BYTES = 256 * 1024 * 1024;
const FILE = /^(\d{8})\.rev$/;
const ASIDE = /^(\d{8}-[0-9a-f]{24})\.aside$/;
/** What is not in force yet goes with its process. */
const UNFINISHED = /\.(new|incoming)$/;
const PENDING_FILE = 'pending.json';

const author = z.strictObject({ user: z.string().max(128), via: z.enum(['cli', 'api', 'system']), address: z.string().max(128).nullable() });
const facts = z.strictObject({
  revision: z.int().min(1),
  atWallMs: z.number(),
  author,
  reason: z.string(),
  sha256: z.string(),
  changes: z.int().min(0),
  /** Only in a pair (core/config/line.ts). */
  term: z.int().min(1).optional(),
  aside: z.string().max(64).optional(),
});
const pendingFacts = z.strictObject({
  phase: z.enum(['applying', 'waiting']),
  revision: z.int().min(1),
  returnsTo: z.int().min(1),
  deadlineWallMs: z.number(),
  deadlineBootMs: z.number(),
  armedWallMs: z.number(),
  bootId: z.string(),
  author,
});

type Facts = z.infer<typeof facts>;
export interface PendingFile extends PendingCommit {
  readonly author: Author;
}
export interface NewRevision {
  readonly text: string;
  readonly author: Author;
  readonly reason: string;
  readonly changes: number;
  readonly atWallMs: number;
  /** Of the cluster; absent or 0: there is no pair. */
  readonly term?: number;
  /** Of a conflict: the node whose revision it was. */
  readonly aside?: string;
}

export const textHash = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

export class ConfigRevisions {
  readonly #directory: string;
  readonly #log: Log;
  readonly #known = new Map<number, Facts & { readonly bytes: number }>();
  #returned = new Set<number>();
  #current = 0;

  /** Reads what is there; makes the directory. `inForce`: the text of gateway.yaml, which says which revision is current. */
  constructor(directory: string, inForce: string | undefined, log: Log) {
    this.#directory = directory;
    this.#log = log;
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    for (const name of readdirSync(directory)) this.#take(name);
    const state = this.#readState();
    this.#returned = new Set(state.returned);
    const hash = inForce === undefined ? undefined : textHash(inForce);
    this.#current = this.#newest(one => one.sha256 === hash) ?? (this.#known.has(state.current) ? state.current : (this.#newest(one => !this.#returned.has(one.revision)) ?? 0));
  }

  /** 0: there is none. */
  get current(): number {
    return this.#current;
  }

  /** Newest first. */
  rows(limit: number): readonly RevisionRow[] {
    const pending = this.pending?.revision;
    return [...this.#known.values()]
      .sort((a, b) => b.revision - a.revision)
      .slice(0, limit)
      .map(({ revision, atWallMs, author: who, reason, sha256, changes, aside }) => ({ revision, atWallMs, author: who, reason, sha256, changes, state: revision === pending ? 'pending' : revision === this.#current ? 'current' : this.#returned.has(revision) ? 'returned' : aside !== undefined ? 'aside' : 'past' }));
  }

  /** As the other node of a pair is told of them, newest first. */
  lineRows(): readonly LineRow[] {
    return [...this.#known.values()].sort((a, b) => b.revision - a.revision).map(one => ({ ...lineFacts(one), id: rowId(lineFacts(one), textHash), returned: this.#returned.has(one.revision) }));
  }

  /** Undefined: not kept any more. */
  text(revision: number): string | undefined {
    if (!this.#known.has(revision)) return undefined;
    const read = this.#read(this.#fileOf(revision));
    return read?.text;
  }

  hashOf(revision: number): string | undefined {
    return this.#known.get(revision)?.sha256;
  }

  /** On the disk when it returns; it is not current by that. */
  add({ text, author: who, reason, changes, atWallMs, term = 0, aside }: NewRevision): number {
    const revision = Math.max(0, ...this.#known.keys()) + 1;
    this.#write({ revision, atWallMs, author: { ...who }, reason, sha256: textHash(text), changes, ...(term > 0 && { term }), ...(aside !== undefined && { aside }) }, text);
    this.#prune();
    return revision;
  }

  /** A revision of the other node, under its own number, on the disk; it is none of ours before `takeIncoming`. */
  putIncoming({ revision, atWallMs, author: who, reason, changes, term, aside }: LineFacts, text: string): void {
    const one: Facts = { revision, atWallMs, author: { ...who }, reason, sha256: textHash(text), changes, ...(term > 0 && { term }), ...(aside !== null && { aside }) };
    writeDurably(this.#incomingOf(revision), `${JSON.stringify(one)}\n${text}`);
  }

  /** Only renames: a disk that is full by now does not keep us from it. `strays`: those of ours that give way, kept as `aside` files or, from before there was a pair, as `alone` ones. */
  takeIncoming(strays: readonly LineRow[], kept: 'aside' | 'alone'): void {
    for (const { revision, id } of strays) {
      renameSync(this.#fileOf(revision), join(this.#directory, `${String(revision).padStart(8, '0')}-${id}.${kept}`));
      this.#known.delete(revision);
      this.#returned.delete(revision);
    }
    for (const name of readdirSync(this.#directory).filter(found => found.endsWith('.incoming')).sort()) {
      const path = join(this.#directory, name.replace('.incoming', '.rev'));
      renameSync(join(this.#directory, name), path);
      this.#take(basename(path));
    }
    syncDirectory(join(this.#directory, PENDING_FILE));
    this.#prune();
  }

  /** STORE_FAILED when one stays. */
  dropIncoming(): void {
    try {
      for (const name of readdirSync(this.#directory)) if (name.endsWith('.incoming')) rmSync(join(this.#directory, name), { force: true });
    } catch (error) {
      throw storeFailure(this.#directory, error);
    }
  }

  /** Those that gave way and that nobody has numbered anew yet, oldest first. */
  strays(): readonly { readonly path: string; readonly facts: LineFacts; readonly text: string }[] {
    const names = readdirSync(this.#directory).filter(name => ASIDE.test(name)).sort();
    return names.flatMap(name => {
      const path = join(this.#directory, name);
      const read = readRevision(path);
      return read === undefined ? [] : [{ path, facts: lineFacts(read.facts), text: read.text }];
    });
  }

  /** It stands among the revisions again. */
  dropStray(path: string): void {
    removeDurably(path);
  }

  /** What the other node says of them. */
  setReturned(revisions: readonly number[]): void {
    this.#returned = new Set(revisions);
  }

  /** The same revision with another text of the same meaning: its secrets have a new key. */
  replaceText(revision: number, text: string): void {
    const known = this.#known.get(revision);
    if (known === undefined) return;
    const { bytes: _, ...rest } = known;
    this.#write({ ...rest, sha256: textHash(text) }, text);
  }

  /** A copy of it under another ending, which is no revision. */
  keepBeside(revision: number, ending: string): void {
    writeDurably(this.#fileOf(revision).replace(/rev$/, ending), readFileSync(this.#fileOf(revision)));
  }

  setCurrent(revision: number): void {
    this.#current = revision;
    this.#returned.delete(revision);
    this.#saveState();
  }

  markReturned(revision: number): void {
    this.#returned.add(revision);
    this.#saveState();
  }

  get pending(): PendingFile | null {
    try {
      return pendingFacts.parse(JSON.parse(readFileSync(this.pendingPath, 'utf8')));
    } catch {
      return null;
    }
  }

  get pendingPath(): string {
    return join(this.#directory, PENDING_FILE);
  }

  setPending(pending: PendingFile | null): void {
    if (pending === null) removeDurably(this.pendingPath);
    else writeDurably(this.pendingPath, `${JSON.stringify(pending)}\n`);
  }

  #incomingOf(revision: number): string {
    return this.#fileOf(revision).replace(/\.rev$/, '.incoming');
  }

  #fileOf(revision: number): string {
    return join(this.#directory, `${String(revision).padStart(8, '0')}.rev`);
  }

  #newest(fits: (one: Facts) => boolean): number | undefined {
    return [...this.#known.values()].filter(fits).sort((a, b) => b.revision - a.revision)[0]?.revision;
  }

  #write(one: Facts, text: string): void {
    writeDurably(this.#fileOf(one.revision), `${JSON.stringify(one)}\n${text}`);
    this.#known.set(one.revision, { ...one, bytes: Buffer.byteLength(text) });
  }

  #take(name: string): void {
    const path = join(this.#directory, name);
    if (UNFINISHED.test(name)) return void removeQuietly(path);
    if (!FILE.test(name)) return;
    const read = this.#read(path);
    if (read !== undefined) this.#known.set(read.facts.revision, { ...read.facts, bytes: Buffer.byteLength(read.text) });
    else {
      this.#log.warn({ file: path }, 'config.revision-unreadable');
      renameSync(path, `${path}.bad`);
    }
  }

  #read(path: string): { readonly facts: Facts; readonly text: string } | undefined {
    const read = readRevision(path);
    return read !== undefined && this.#fileOf(read.facts.revision) === path ? read : undefined;
  }

  /** The oldest go, but not the one in force nor one to which a commit may return. */
  #prune(): void {
    const kept = new Set([this.#current, this.pending?.returnsTo]);
    const all = [...this.#known.values()].sort((a, b) => b.revision - a.revision);
    let bytes = 0;
    for (const [i, one] of all.entries()) {
      bytes += one.bytes;
      if (i === 0 || kept.has(one.revision) || (i < MAX_REVISIONS && bytes <= MAX_REVISION_BYTES)) continue;
      removeQuietly(this.#fileOf(one.revision));
      this.#known.delete(one.revision);
      this.#returned.delete(one.revision);
    }
  }

  #readState(): { readonly current: number; readonly returned: readonly number[] } {
    try {
      return z.strictObject({ current: z.int(), returned: z.array(z.int()) }).parse(JSON.parse(readFileSync(join(this.#directory, 'state.json'), 'utf8')));
    } catch {
      return { current: 0, returned: [] };
    }
  }

  /** A help for the next start, which finds out without it what is in force: a full disk does not undo what was done. */
  #saveState(): void {
    try {
      writeDurably(join(this.#directory, 'state.json'), JSON.stringify({ current: this.#current, returned: [...this.#returned] }));
    } catch (error) {
      this.#log.warn({ why: (error as Error).message }, 'config.state-not-saved');
    }
  }
}

const lineFacts = ({ revision, atWallMs, author: who, reason, changes, term = 0, aside = null }: Omit<Facts, 'aside'> & { readonly aside?: string | null | undefined }): LineFacts => ({ revision, atWallMs, author: who, reason, changes, term, aside });

/** Undefined: it is none, or not whole. */
function readRevision(path: string): { readonly facts: Facts; readonly text: string } | undefined {
  try {
    const content = readFileSync(path, 'utf8');
    const end = content.indexOf('\n');
    const text = content.slice(end + 1);
    const parsed = facts.parse(JSON.parse(content.slice(0, end)));
    return parsed.sha256 === textHash(text) ? { facts: parsed, text } : undefined;
  } catch {
    return undefined;
  }
}
