/**
 * The audit logs of a pair: each node writes its own, and keeps a copy of the other one's as a chain of its own, so that neither
 * a dead machine nor somebody who has one machine takes what was written down with it. The copy of a machine that was replaced by
 * another one of the same name stays beside the new one's.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEntry, AuditVerdict } from '#contracts/configd.ts';
import { GatewayError } from '#core/result.ts';
import type { AuditLog } from '#kit/audit-log.ts';
import type { Log } from '#kit/log.ts';
import type { KeyRing } from '#kit/secret-box.ts';
import type { PeerLink } from './peer-link.ts';
import { auditCopiesIn, openAuditCopy } from './place.ts';

const MOST_AT_ONCE = 500;
const READ_MS = 30_000;
const NAME = /^[A-Za-z0-9_.-]{1,80}$/;
export const OF_ALL = 'all';

export interface PairAuditDeps {
  readonly stateDirectory: string;
  readonly ring: () => KeyRing;
  readonly own: AuditLog;
  readonly log: Log;
}

export class PairAudit implements Disposable {
  readonly #deps: PairAuditDeps;
  readonly #copies = new Map<string, AuditLog>();
  #copying = false;
  #closed = false;
  readonly counters = { copied: 0, replaced: 0, failed: 0 };

  constructor(deps: PairAuditDeps) {
    this.#deps = deps;
    const directory = auditCopiesIn(deps.stateDirectory);
    for (const name of existsSync(directory) ? readdirSync(directory).sort() : []) if (NAME.test(name)) this.#open(name);
  }

  /** Of the last entry that was written here. */
  get sequence(): number {
    return this.#deps.own.head.sequence;
  }

  /** The log of this node has come to there; what is missing here is fetched. */
  follow(node: string, sequence: number, link: PeerLink): void {
    const copy = this.#copies.get(node) ?? this.#open(node);
    if (this.#copying || copy.head.sequence === sequence) return;
    this.#copying = true;
    void this.#copy(node, link).finally(() => (this.#copying = false));
  }

  /** From the last one that is here: when that is another one there, so is the machine. */
  async #copy(node: string, link: PeerLink): Promise<void> {
    try {
      for (;;) {
        const { head } = this.#copies.get(node)!;
        const entries = await link.call('auditLog', { fromSequence: Math.max(1, head.sequence), limit: MOST_AT_ONCE }, { timeoutMs: READ_MS });
        if (this.#closed) return;
        const isOther = head.sequence > 0 && !sameEntry(this.#copies.get(node)!.read(head.sequence, 1)[0], entries[0]);
        if (isOther) this.#putAway(node);
        const copy = this.#copies.get(node)!;
        const fresh = entries.filter(entry => entry.sequence > copy.head.sequence);
        for (const entry of fresh) copy.take(entry);
        this.counters.copied += fresh.length;
        if (!isOther && fresh.length === 0) return;
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.counters.failed += 1;
      this.#deps.log.warn({ node, why: error.message }, 'audit.copy-failed');
    }
  }

  #open(name: string): AuditLog {
    const { stateDirectory, ring, log } = this.#deps;
    const copy = openAuditCopy(stateDirectory, name, ring, log);
    this.#copies.set(name, copy);
    return copy;
  }

  /** The copy of a log that does not go on. */
  #putAway(node: string): void {
    const { stateDirectory, log } = this.#deps;
    let count = 1;
    while (this.#copies.has(`${node}.${count}`)) count += 1;
    const name = `${node}.${count}`;
    this.#copies.get(node)![Symbol.dispose]();
    this.#copies.delete(node);
    renameSync(join(stateDirectory, `audit-copy-${node}-head`), join(stateDirectory, `audit-copy-${name}-head`));
    renameSync(join(auditCopiesIn(stateDirectory), node), join(auditCopiesIn(stateDirectory), name));
    this.counters.replaced += 1;
    log.warn({ node, kept: name }, 'audit.other-log');
    this.#open(name);
    this.#open(node);
  }

  /** BAD_REQUEST: there is no copy of that name. `own`: as this node is called; null: it stands alone. */
  read(fromSequence: number, limit: number, of: string | undefined, own: string | null): readonly AuditEntry[] {
    if (of === undefined || of === own || (of === OF_ALL && this.#copies.size === 0)) return this.#deps.own.read(fromSequence, limit);
    if (of !== OF_ALL) return this.#copyOf(of).read(fromSequence, limit).map(entry => ({ ...entry, node: of }));
    const named = [[own ?? '', this.#deps.own] as const, ...this.#copies];
    const all = named.map(([node, log]) => log.read(-limit, limit).map(entry => (node === '' ? entry : { ...entry, node }))).reduce(merged, []);
    return all.slice(-limit);
  }

  #copyOf(name: string): AuditLog {
    const copy = this.#copies.get(name);
    if (copy === undefined) throw new GatewayError('BAD_REQUEST', { node: name, why: `there is no copy of its log; copies: ${[...this.#copies.keys()].join(', ') || 'none'}` });
    return copy;
  }

  async verify(): Promise<AuditVerdict & { readonly copies?: readonly (AuditVerdict & { readonly node: string })[] }> {
    const copies: (AuditVerdict & { readonly node: string })[] = [];
    for (const [node, copy] of this.#copies) copies.push({ ...(await copy.verify()), node });
    return { ...(await this.#deps.own.verify()), ...(copies.length > 0 && { copies }) };
  }

  /** As `AuditLog.reseal`, of every copy. */
  reseal(): void {
    for (const copy of this.#copies.values()) copy.reseal();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const copy of this.#copies.values()) copy[Symbol.dispose]();
  }
}

/** By time; each log keeps its order, whatever its clock did. */
function merged(ours: readonly AuditEntry[], theirs: readonly AuditEntry[]): AuditEntry[] {
  const all: AuditEntry[] = [];
  for (let i = 0, k = 0; i < ours.length || k < theirs.length; ) {
    const isOurs = k === theirs.length || (i < ours.length && ours[i]!.atWallMs <= theirs[k]!.atWallMs);
    all.push(isOurs ? ours[i++]! : theirs[k++]!);
  }
  return all;
}

/** But for the hash, which is that of another chain. */
function sameEntry(copied: AuditEntry | undefined, read: AuditEntry | undefined): boolean {
  if (copied === undefined || read === undefined) return false;
  return JSON.stringify({ ...copied, hash: '' }) === JSON.stringify({ ...read, hash: '' });
}
