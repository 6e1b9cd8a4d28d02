/**
 * What the other node of a pair committed comes into force here: with our keys, and with what belongs to this machine.
 *
 * Order on the disk: every revision beside the others; renames that make them ours; what waits for `confirm`; gateway.yaml; the line.
 * Whoever is cut off in between asks the other node again.
 */
import type { Refusal } from '#core/config/commit.ts';
import type { Json } from '#core/config/json.ts';
import { localSteps } from '#core/config/local-keys.ts';
import type { ToldLine, Takeover } from '#core/config/following.ts';
import type { LineRow } from '#core/config/line.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import type { AuditLog } from '#kit/audit-log.ts';
import { bootTime, type Clock } from '#kit/clock.ts';
import { editText, readText } from '#kit/config-edit.ts';
import type { ConfigFile } from '#kit/config-file.ts';
import { migrateText } from '#kit/config-migrate.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import { writeDurably } from '#kit/durable.ts';
import type { Log } from '#kit/log.ts';
import type { Changes } from './changes.ts';
import { isInForce } from './commit-disk.ts';
import type { Commits } from './commits.ts';
import type { Editor } from './editor.ts';
import type { PairLine } from './pair-line.ts';
import type { Peers } from './peers.ts';
import { configInForce } from './place.ts';
import type { Secrets } from './secrets.ts';

export interface AdoptionDeps {
  readonly file: ConfigFile;
  readonly revisions: ConfigRevisions;
  readonly secrets: Secrets;
  readonly editor: Editor;
  readonly commits: Commits;
  readonly changes: Changes;
  readonly line: PairLine;
  readonly peers: Peers;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Log;
  /** What is in force has another text: who asks may be another one by it. */
  readonly onTaken: () => void;
}

export type Prepared = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly why: string };

export class Adoption {
  readonly #deps: AdoptionDeps;
  #telling: Promise<void> = Promise.resolve();
  #refusals: readonly Refusal[] = [];
  /** Something was kept since the last beginning: the question comes every second, and mostly there is nothing to forget. */
  #hasKept = false;
  /** The revision that was fetched before. */
  #before: Json | null = null;

  constructor(deps: AdoptionDeps) {
    this.#deps = deps;
  }

  /** Daemons that did not take what is in force, when they were told last. */
  get refusals(): readonly Refusal[] {
    return this.#refusals;
  }

  /** What was kept of another try counts for nothing in the one that begins. STORE_FAILED: it is still there. */
  begin(): void {
    this.#before = null;
    if (!this.#hasKept) return;
    this.#deps.revisions.dropIncoming();
    this.#hasKept = false;
  }

  /** On the disk, sealed with our key. `why`: it cannot be in force here. STORE_FAILED. */
  async keep(row: LineRow, text: string, told: ToldLine): Promise<string | null> {
    const inForce = row.revision === told.current || row.revision === told.pending?.returnsTo;
    const prepared = await this.#prepare(text, inForce);
    if (!prepared.ok) return `revision ${row.revision}: ${prepared.why}`;
    this.#hasKept = true;
    this.#deps.revisions.putIncoming(row, prepared.text);
    return null;
  }

  /** A text of an older schema is brought up to date first: only then every secret in it is known as one. */
  async #prepare(given: string, inForce: boolean): Promise<Prepared> {
    const { editor, secrets } = this.#deps;
    const read = readText(given);
    if (!read.ok) return { ok: false, why: `it cannot be read: ${read.why}` };
    const migrated = migrateText(read.read);
    if ('why' in migrated) return { ok: false, why: `it is of a newer release: ${migrated.why}` };
    const today = migrated.text === given ? read : readText(migrated.text);
    const ours = today.ok ? editText(today.read, localSteps(today.read.value, editor.current().value), { stored: true }) : today;
    if (!ours.ok) return { ok: false, why: ours.why };
    const text = secrets.sealAll(ours.read, this.#before ?? editor.current().value);
    this.#before = editor.read(text).value;
    if (!inForce) return { ok: true, text };
    const { config, issues } = await editor.judge(text);
    if (config === undefined) return { ok: false, why: `it is not valid here, it may be of a newer release: ${issues[0]!.path} ${issues[0]!.why}` };
    return pairOf(config) === undefined ? { ok: false, why: 'this node does not belong to its pair' } : { ok: true, text };
  }

  /** Everything of theirs is in force when it returns, and the daemons are being told; false: something was committed here first, and nothing was taken. STORE_FAILED: not all of it. */
  take({ told, strays, from }: Takeover, node: { readonly own: string; readonly peer: string }): Promise<boolean> {
    const { changes, commits, revisions, line, log } = this.#deps;
    return changes.alone(async () => {
      if (line.line?.trail[0] !== from) return false;
      const before = revisions.text(revisions.current);
      await commits.standDown();
      this.#keepOutsideChange();
      revisions.takeIncoming(strays, line.line?.met === true ? 'aside' : 'alone');
      revisions.setReturned(told.rows.filter(({ returned }) => returned).map(({ revision }) => revision));
      if (told.pending !== null) this.#setPending(told.pending);
      const after = this.#putInForce(told.current);
      if (told.pending === null) revisions.setPending(null);
      line.adopt(told);
      log.info({ revision: told.current, from: node.peer, setAside: strays.length }, 'config.taken-over');
      await commits.follow();
      this.#numberStrays(node.own);
      if (after !== before) this.#tell(told, node.peer);
      this.#deps.onTaken();
      return true;
    });
  }

  /** gateway.yaml and what is current. */
  #putInForce(revision: number): string {
    const { file, revisions } = this.#deps;
    const text = revisions.text(revision)!;
    if (file.read() !== text) {
      file.stage(text);
      file.promote();
      file.settle();
    }
    revisions.setCurrent(revision);
    return text;
  }

  #setPending({ revision, returnsTo, deadlineWallMs, leftMs, author }: NonNullable<ToldLine['pending']>): void {
    const { revisions, clock } = this.#deps;
    const { bootMs, bootId } = bootTime();
    revisions.setPending({ phase: 'waiting', revision, returnsTo, author: { ...author }, deadlineWallMs, deadlineBootMs: bootMs + leftMs, armedWallMs: clock.wall(), bootId });
  }

  /** What somebody wrote past us is not in force any more, and is not lost. */
  #keepOutsideChange(): void {
    const { file, revisions, log } = this.#deps;
    const text = file.read();
    if (text === undefined || isInForce(file, revisions, revisions.current)) return;
    const kept = `${file.path}.outside`;
    writeDurably(kept, text);
    log.warn({ kept }, 'config.outside-change-kept');
  }

  /** Ours that gave way get numbers behind theirs, so that both nodes have them. */
  #numberStrays(own: string): void {
    const { revisions, line, audit } = this.#deps;
    const strays = revisions.strays();
    for (const { path, facts, text } of strays) {
      const { atWallMs, author, changes, term } = facts;
      const reason = `set aside, it was revision ${facts.revision} of ${own}: ${facts.reason}`;
      const revision = revisions.add({ text, atWallMs, author, reason, changes, term, aside: own });
      revisions.dropStray(path);
      audit.record({ author: { user: 'configd', via: 'system', address: null }, action: 'config.aside', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: reason });
    }
    if (strays.length > 0) line.settle(0);
  }

  /** One after another, and never so that a commit waits for it. */
  #tell(told: ToldLine, from: string): void {
    this.#telling = this.#telling.then(async () => {
      const { peers, file, audit, log } = this.#deps;
      const refusals: Refusal[] = [];
      const { up } = await peers.there(await configInForce(file.path));
      for (const daemon of up) {
        const why = await peers.apply(daemon, true);
        if (why !== null) refusals.push({ daemon, why });
      }
      this.#refusals = refusals;
      if (refusals.length > 0) log.error({ refusals }, 'config.taken-over-refused');
      audit.record({ author: { user: 'configd', via: 'system', address: null }, action: 'config.follow', target: `revision ${told.current}`, before: null, after: null, result: refusals.length === 0 ? 'done' : 'failed', detail: [`committed at ${from}`, ...refusals.map(({ daemon, why }) => `${daemon}: ${why}`)].join('; ') });
    });
  }
}
