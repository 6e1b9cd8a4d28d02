/**
 * The audit log on the disk: chained lines, each synchronized before `append` returns, in files that go on from one another. Files
 * are kept as long as there is room for them; that one goes before its six months are over is counted and said.
 * Where it has come to is kept beside it (audit-head.ts), written after the entry: what is missing when it is opened is said.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEntry, AuditVerdict } from '#contracts/configd.ts';
import { appendLine, type AuditFacts, CHAIN_START, type ChainHead, fileHeader, followLine, readHeader, readLine, type Sha256 } from '#core/audit/chain.ts';
import { judgeHead } from '#core/audit/head.ts';
import { AuditHead, type AuditHeadOptions } from './audit-head.ts';
import { GatewayError } from '#core/result.ts';
import { removeDurably, storeFailure, syncDirectory, writeAll } from './durable.ts';
import type { Log } from './log.ts';

const FILE = /^audit-(\d{12})\.jsonl$/;
const FILE_BYTES = 16 * 1024 * 1024;
const TOTAL_BYTES = 1024 * 1024 * 1024;
/** Six months (cybersecurity law, article 21). */
const KEEP_MS = 184 * 86_400_000;
const FILE_MODE = 0o640;
/** What waits in memory while the disk takes nothing. */
const MAX_WAITING = 1000;

export const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

export interface AuditTime {
  wallMs(): number;
  bootMs(): number;
}

export interface AuditLogOptions {
  readonly time: AuditTime;
  readonly log: Log;
  /** Where the end of the chain is kept, and the keys that its own key is sealed with. */
  readonly head: AuditHeadOptions;
  /** It holds what was written elsewhere (`take`), and nothing of its own. */
  readonly copy?: boolean;
  readonly fileBytes?: number;
  readonly totalBytes?: number;
}

interface WaitingFacts {
  readonly facts: AuditFacts;
  readonly atWallMs: number;
  readonly bootMs: number;
}

export class AuditLog implements Disposable {
  readonly #directory: string;
  readonly #options: AuditLogOptions;
  readonly #kept: AuditHead;
  #head: ChainHead = { sequence: 0, hash: CHAIN_START };
  /** As it stands in the newest file. */
  #lastLine = '';
  #file = -1;
  #bytes = 0;
  readonly #waiting: WaitingFacts[] = [];
  /** For alarms: entries that the disk did not take, files that went too early, torn lines that were cut off, starts that missed entries. */
  readonly counters = { failed: 0, lost: 0, droppedEarly: 0, repaired: 0, missing: 0 };

  /** Opens the newest file; what a power cut tore off at its end is cut away, and that is recorded, as are entries that are missing. */
  constructor(directory: string, options: AuditLogOptions) {
    this.#directory = directory;
    this.#options = options;
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    let torn = 0;
    for (const name of this.#files().reverse()) {
      const found = this.#reopen(name);
      torn += found.torn;
      if (found.usable) break;
    }
    this.#kept = new AuditHead(options.head);
    const missing = this.#goOnFromKept();
    if (this.#file < 0) this.#begin();
    if (torn > 0) {
      this.counters.repaired += 1;
      this.#recordOwn('audit.repair', 'done', `${torn} bytes of an unfinished entry were cut off`);
    }
    if (missing !== null) {
      this.counters.missing += 1;
      options.log.error({ why: missing }, 'audit.missing');
      this.#recordOwn('audit.missing', 'failed', missing);
    }
  }

  /** Compares what was found with what was kept; numbers go on after what is missing. What is wrong, in a sentence. */
  #goOnFromKept(): string | null {
    const { kept, found } = this.#kept;
    const log = this.#head;
    if (kept === undefined) {
      this.#kept.begin(log, this.#firstFollows());
      if (found === 'unreadable') return `where the log had come to cannot be read: what stands up to entry ${log.sequence} is taken at its word`;
      return log.sequence === 0 ? null : `where the log had come to was not kept: what stands up to entry ${log.sequence} is taken at its word`;
    }
    const follows = typeof followLine(kept, this.#lastLine, this.#hashAfter(kept)) !== 'string';
    const judgement = judgeHead(log, kept, follows);
    if (judgement === 'whole') return null;
    this.#head = { sequence: Math.max(log.sequence, kept.sequence), hash: kept.hash };
    this.#begin();
    this.#kept.put(this.#head);
    return judgement === 'cut' ? `entries ${log.sequence + 1} to ${kept.sequence} are missing` : `entries up to ${log.sequence} are not those that were written: the last one was ${kept.sequence}`;
  }

  #recordOwn(action: string, result: AuditFacts['result'], detail: string): void {
    if (this.#options.copy === true) return;
    this.record({ author: { user: 'configd', via: 'system', address: null }, action, target: 'audit log', before: null, after: null, result, detail });
  }

  /** What makes the hash of the entry behind `head`. */
  #hashAfter(head: ChainHead): Sha256 {
    return head.sequence + 1 >= (this.#kept.kept?.keyedFrom ?? Infinity) ? this.#kept.mac : sha256;
  }

  /** Nothing of it hangs on the old keys of the secrets any more. STORE_FAILED. */
  reseal(): void {
    this.#kept.reseal();
  }

  get head(): ChainHead {
    return this.#head;
  }

  /** On the disk when it returns; STORE_FAILED when the disk does not take it, and then nothing of it is there. */
  append(facts: AuditFacts): AuditEntry {
    this.#flush();
    return this.#write(facts, this.#options.time.wallMs(), this.#options.time.bootMs());
  }

  /** An entry of the log that this is a copy of, with its number and its times, under the chain of the copy. STORE_FAILED. */
  take(entry: AuditEntry): void {
    if (entry.sequence !== this.#head.sequence + 1) this.#skipTo(entry.sequence);
    const { author, action, target, before, after, result, detail } = entry;
    this.#write({ author, action, target, before, after, result, detail }, entry.atWallMs, entry.monotonicMs);
  }

  /** What is between went there before it could be copied. That it is missing shows, but at the beginning, where every log once begins. */
  #skipTo(sequence: number): void {
    const isEmpty = this.#head.sequence === 0;
    if (isEmpty) for (const name of this.#files()) removeDurably(join(this.#directory, name));
    this.#head = { sequence: sequence - 1, hash: this.#head.hash };
    this.#begin();
    this.#kept.put({ ...this.#head, ...(isEmpty && { droppedTo: sequence - 1 }) });
  }

  /** As `append`; what the disk does not take waits in memory and is counted: what was done is done. */
  record(facts: AuditFacts): void {
    const { time, log } = this.#options;
    const waiting = { facts, atWallMs: time.wallMs(), bootMs: time.bootMs() };
    try {
      this.#flush();
      this.#write(facts, waiting.atWallMs, waiting.bootMs);
    } catch (error) {
      log.error({ why: (error as Error).message, action: facts.action }, 'audit.not-written');
      this.#waiting.push(waiting);
      if (this.#waiting.length > MAX_WAITING) {
        this.#waiting.shift();
        this.counters.lost += 1;
      }
    }
  }

  /** Entries from this number on, oldest first; a negative one counts from the end. */
  read(fromSequence: number, limit: number): readonly AuditEntry[] {
    const from = fromSequence < 0 ? Math.max(1, this.#head.sequence + 1 + fromSequence) : fromSequence;
    const entries: AuditEntry[] = [];
    const files = this.#files();
    for (const [i, name] of files.entries()) {
      const next = files[i + 1];
      if (next !== undefined && firstOf(next) <= from) continue;
      for (const line of readFileSync(join(this.#directory, name), 'utf8').split('\n')) {
        const entry = readLine(line);
        if (entry !== undefined && entry.sequence >= from) entries.push(entry);
        if (entries.length >= limit) return entries;
      }
    }
    return entries;
  }

  /** Walks every kept file. The first one may begin where others went for want of room. */
  async verify(): Promise<AuditVerdict> {
    let head: ChainHead | undefined;
    let entries = 0;
    const end = this.#head;
    for (const name of this.#files()) {
      const lines = (await readFile(join(this.#directory, name), 'utf8')).split('\n');
      const header = readHeader(lines[0]!);
      const before: ChainHead = head ?? header ?? { sequence: 0, hash: '' };
      if (header === undefined || header.hash !== before.hash || header.sequence !== before.sequence) return { entries, brokenAt: before.sequence + 1, why: gapBefore(name, before, header) };
      if (head === undefined && header.sequence > this.#kept.kept!.droppedTo) return { entries, brokenAt: this.#kept.kept!.droppedTo + 1, why: `entries ${this.#kept.kept!.droppedTo + 1} to ${header.sequence} are missing` };
      head = header;
      for (const line of lines.slice(1, -1)) {
        if (head.sequence === end.sequence) break;
        const next = followLine(head, line, this.#hashAfter(head));
        if (typeof next === 'string') return { entries, brokenAt: head.sequence + 1, why: next };
        head = next;
        entries += 1;
      }
    }
    const whole = head !== undefined && head.sequence === end.sequence && head.hash === end.hash;
    if (!whole) return { entries, brokenAt: (head?.sequence ?? 0) + 1, why: 'entries at the end are missing' };
    return this.#kept.isUntouched() ? { entries, brokenAt: null, why: null } : { entries, brokenAt: this.#head.sequence + 1, why: 'what is kept of the end of the log was changed' };
  }

  [Symbol.dispose](): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    this.#kept[Symbol.dispose]();
  }

  #flush(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      this.#write(first.facts, first.atWallMs, first.bootMs);
      this.#waiting.shift();
    }
  }

  #write(facts: AuditFacts, atWallMs: number, bootMs: number): AuditEntry {
    const { line, head } = appendLine(this.#head, facts, atWallMs, Math.round(bootMs), this.#hashAfter(this.#head));
    const bytes = Buffer.from(`${line}\n`);
    if (this.#bytes + bytes.length > (this.#options.fileBytes ?? FILE_BYTES)) this.#begin();
    try {
      writeAll(this.#file, bytes);
      fdatasyncSync(this.#file);
      this.#kept.put(head);
    } catch (error) {
      this.counters.failed += 1;
      // What was taken of it would tear the next one.
      ftruncateSync(this.#file, this.#bytes);
      if (error instanceof GatewayError) throw error;
      throw storeFailure(this.#directory, error);
    }
    this.#bytes += bytes.length;
    this.#head = head;
    // The journal is a second witness of where the chain was.
    this.#options.log[this.#options.copy === true ? 'debug' : 'info']({ sequence: head.sequence, hash: head.hash, action: facts.action, user: facts.author.user, result: facts.result }, 'audit.appended');
    return JSON.parse(line) as AuditEntry;
  }

  /** Oldest first. */
  #files(): string[] {
    return readdirSync(this.#directory).filter(name => FILE.test(name)).sort();
  }

  #begin(): void {
    const path = join(this.#directory, `audit-${String(this.#head.sequence + 1).padStart(12, '0')}.jsonl`);
    const header = Buffer.from(`${fileHeader(this.#head)}\n`);
    let file = -1;
    try {
      file = openSync(path, 'w', FILE_MODE);
      writeAll(file, header);
      fdatasyncSync(file);
      syncDirectory(path);
    } catch (error) {
      if (file >= 0) closeSync(file);
      this.counters.failed += 1;
      throw storeFailure(path, error);
    }
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = file;
    this.#bytes = header.length;
    this.#makeRoom();
  }

  /** Takes up a file at its last whole line. Not usable: not even its header is whole. */
  #reopen(name: string): { readonly usable: boolean; readonly torn: number } {
    const path = join(this.#directory, name);
    const bytes = readFileSync(path);
    const lines = bytes.toString('utf8').split('\n');
    const header = lines.length > 1 ? readHeader(lines[0]!) : undefined;
    if (header === undefined) {
      removeDurably(path);
      return { usable: false, torn: bytes.length };
    }
    this.#lastLine = lines.slice(1, -1).findLast(line => readLine(line) !== undefined) ?? '';
    const last = readLine(this.#lastLine);
    this.#head = last === undefined ? header : { sequence: last.sequence, hash: last.hash };
    const torn = Buffer.byteLength(lines.at(-1)!);
    this.#file = openSync(path, 'r+');
    this.#bytes = bytes.length - torn;
    if (torn > 0) ftruncateSync(this.#file, this.#bytes);
    closeSync(this.#file);
    this.#file = openSync(path, 'a', FILE_MODE);
    return { usable: true, torn };
  }

  #makeRoom(): void {
    const files = this.#files();
    const sizes = files.map(name => statSync(join(this.#directory, name)));
    let total = sizes.reduce((sum, { size }) => sum + size, 0);
    for (const [i, name] of files.slice(0, -1).entries()) {
      if (total <= (this.#options.totalBytes ?? TOTAL_BYTES)) return;
      total -= sizes[i]!.size;
      if (this.#options.time.wallMs() - sizes[i]!.mtimeMs < KEEP_MS) {
        this.counters.droppedEarly += 1;
        this.#options.log.error({ file: name }, 'audit.dropped-early');
      }
      // Known to be gone before it is: a power cut between leaves one file too many, none too few.
      this.#kept.put({ droppedTo: firstOf(files[i + 1]!) - 1 });
      removeDurably(join(this.#directory, name));
    }
  }

  /** Entry that the oldest file goes on from. */
  #firstFollows(): number {
    const [first] = this.#files();
    return first === undefined ? 0 : firstOf(first) - 1;
  }
}

function gapBefore(name: string, before: ChainHead, header: ChainHead | undefined): string {
  if (header !== undefined && header.sequence > before.sequence) return `entries ${before.sequence + 1} to ${header.sequence} are missing`;
  return `${name} does not go on where the file before ended`;
}

const firstOf = (name: string): number => Number(FILE.exec(name)?.[1] ?? 0);
