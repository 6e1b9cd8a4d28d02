/** The texts: what is in force, what is kept, what somebody is about to commit; edited, compared and judged. */
import type { Author, CandidateReport, ConfigIssue, Json } from '#contracts/configd.ts';
import { changedKinds } from '#core/config/local-keys.ts';
import { asSteps, type Change, difference, overlapOf, shown } from '#core/config/difference.ts';
import type { EditStep } from '#core/config/json.ts';
import { formatPath, locate, readPath } from '#core/config/path.ts';
import { valueAt } from '#core/config/json.ts';
import { maskValue } from '#core/config/secrets.ts';
import { SCHEMA_TREE } from '#core/config/schema-tree.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { editText, maskedPart, maskText, readText, type TextResult } from '#kit/config-edit.ts';
import { migrateText } from '#kit/config-migrate.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import { parseConfigText } from '#kit/config-store.ts';
import type { ConfigDocument } from '#kit/config-text.ts';
import type { Candidate, Candidates } from './candidates.ts';
import type { Secrets } from './secrets.ts';

export interface Judged {
  readonly text: string;
  readonly changes: readonly Change[];
  /** Undefined: it has issues. */
  readonly config: GatewayConfig | undefined;
  readonly issues: readonly ConfigIssue[];
}

export interface EditorDeps {
  readonly revisions: ConfigRevisions;
  readonly candidates: Candidates;
  readonly secrets: Secrets;
}

/** Two to compare, and one in the making. */
const MAX_RECENT = 3;
const bad = (why: string): GatewayError => new GatewayError('BAD_REQUEST', { why });

export class Editor {
  readonly #deps: EditorDeps;
  /** Of the texts read last: most questions are about the same ones, and a large one takes a second. */
  readonly #recent = new Map<string, ConfigDocument>();

  constructor(deps: EditorDeps) {
    this.#deps = deps;
  }

  /** BAD_REQUEST: it is no YAML. */
  read(text: string): ConfigDocument {
    const result = this.#tryRead(text);
    if (!result.ok) throw bad(result.why);
    return result.read;
  }

  #tryRead(text: string): TextResult {
    const known = this.#recent.get(text);
    if (known !== undefined) return { ok: true, read: known };
    const result = readText(text);
    if (result.ok) this.#remember(result.read);
    return result;
  }

  #remember(read: ConfigDocument): void {
    this.#recent.set(read.text, read);
    const oldest = this.#recent.size > MAX_RECENT ? this.#recent.keys().next().value : undefined;
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  /** An edit may have written into the document that it began from. */
  #afterEdit(read: ConfigDocument): void {
    this.#recent.clear();
    this.#remember(read);
  }

  revision(revision: number): ConfigDocument {
    const text = this.#deps.revisions.text(revision);
    if (text === undefined) throw bad(`revision ${revision} is not kept`);
    return this.read(text);
  }

  current(): ConfigDocument {
    return this.revision(this.#deps.revisions.current);
  }

  show(of: 'current' | 'candidate' | number, path: string, author: Author): { readonly text: string; readonly value: Json } {
    const candidate = of === 'candidate' ? this.#deps.candidates.get(author) : undefined;
    const read = candidate !== undefined ? this.read(candidate.text) : typeof of === 'number' ? this.revision(of) : this.current();
    const bound = readPath(path);
    if (typeof bound === 'string') throw bad(bound);
    if (bound.steps.length === 0) return { text: maskText(read), value: maskValue(read.value, SCHEMA_TREE) };
    const { place, missing } = locate(read.value, bound);
    const value = missing === null ? valueAt(read.value, place) : undefined;
    // What is not set has its default, if it has one.
    if (value === undefined) return { text: bound.node.defaultValue === undefined ? '' : `# default\n${maskedPart(bound.node.defaultValue as Json, bound.node)}`, value: (bound.node.defaultValue as Json | undefined) ?? null };
    return { text: maskedPart(value, bound.node), value: maskValue(value, bound.node) };
  }

  /** All steps or none, on the candidate of this author. */
  async edit(author: Author, steps: readonly EditStep[]): Promise<CandidateReport> {
    const { revisions, candidates, secrets } = this.#deps;
    const known = candidates.get(author);
    const result = editText(this.read(known?.text ?? this.current().text), steps, { seal: (value, node) => secrets.seal(value, node) });
    if (!result.ok) {
      this.#recent.clear();
      throw bad(result.why);
    }
    this.#afterEdit(result.read);
    candidates.put(author, { baseRevision: known?.baseRevision ?? revisions.current, text: result.read.text });
    return await this.report(author);
  }

  async load(author: Author, text: string): Promise<CandidateReport> {
    const { revisions, candidates } = this.#deps;
    const base = candidates.get(author)?.baseRevision ?? revisions.current;
    candidates.put(author, { baseRevision: base, text: this.#deps.secrets.sealText(this.read(text), this.current().value) });
    return await this.report(author);
  }

  /** BAD_REQUEST: he has none. */
  async report(author: Author): Promise<CandidateReport> {
    const candidate = this.candidate(author);
    const read = this.read(candidate.text);
    const base = this.#deps.revisions.text(candidate.baseRevision);
    const changes = base === undefined ? [] : difference(this.read(base).value, read.value);
    return { baseRevision: candidate.baseRevision, changes: changes.map(shown), issues: (await this.judge(candidate.text)).issues };
  }

  compare(from: number, to: number): readonly Change[] {
    return difference(this.revision(from).value, this.revision(to).value);
  }

  /** Against what is in force now. A text of an older schema is brought up to date first. */
  async judge(given: string): Promise<Judged> {
    const text = this.#upToDate(given);
    const result = await parseConfigText(new TextEncoder().encode(text), this.#deps.secrets.ring);
    if (result.ok) return { text, changes: difference(this.current().value, this.read(text).value), config: result.config, issues: [] };
    return { text, changes: [], config: undefined, issues: result.problems.map(({ line, path, why }) => ({ line, path, why })) };
  }

  /** What cannot be read is told by whoever judges it. */
  #upToDate(text: string): string {
    const read = this.#tryRead(text);
    const migrated = read.ok ? migrateText(read.read) : { text };
    return 'text' in migrated ? migrated.text : text;
  }

  /** BAD_REQUEST: he has none. */
  candidate(author: Author): Candidate {
    const candidate = this.#deps.candidates.get(author);
    if (candidate === undefined) throw bad('nothing was edited: there is no candidate');
    return candidate;
  }

  /** Against a kept revision. */
  changesSince(revision: number, text: string): readonly Change[] {
    return difference(this.revision(revision).value, this.read(text).value);
  }

  /** Whether what is changed belongs to this machine of a pair, or to both. */
  kindsSince(revision: number, text: string): ReturnType<typeof changedKinds> {
    return changedKinds(this.revision(revision).value, this.read(text).value);
  }

  /** A kept revision with these steps, sealed. BAD_REQUEST: one cannot be done. */
  edited(revision: number, steps: readonly EditStep[]): ConfigDocument {
    const { secrets } = this.#deps;
    const result = editText(this.revision(revision), steps, { seal: (value, node) => secrets.seal(value, node) });
    this.#recent.clear();
    if (!result.ok) throw bad(result.why);
    return result.read;
  }

  /** A candidate as it would be committed now: on top of what others committed meanwhile, or with the sentence who did. */
  async candidateNow(candidate: Omit<Candidate, 'owner'>): Promise<Judged> {
    const { revisions } = this.#deps;
    if (candidate.baseRevision === revisions.current) return await this.judge(candidate.text);
    const base = revisions.text(candidate.baseRevision);
    if (base === undefined) return conflict(candidate.text, '', `it began from revision ${candidate.baseRevision}, which is not kept any more: discard and edit anew`);
    const baseValue = this.read(base).value;
    const ours = difference(baseValue, this.read(candidate.text).value);
    const overlap = overlapOf(ours, difference(baseValue, this.current().value));
    if (overlap !== null) return conflict(candidate.text, formatPath(overlap.ours.steps), this.#whoChanged(candidate.baseRevision, formatPath(overlap.theirs.steps)));
    const rebased = editText(this.current(), asSteps(ours), { stored: true });
    if (rebased.ok) this.#afterEdit(rebased.read);
    if (!rebased.ok) return conflict(candidate.text, '', `${rebased.why}, since revision ${revisions.current}: discard and edit anew`);
    return await this.judge(rebased.read.text);
  }

  #whoChanged(since: number, path: string): string {
    const { revisions } = this.#deps;
    const row = revisions.rows(Infinity).findLast(({ revision, state }) => revision > since && state !== 'returned' && state !== 'aside' && this.#changes(revision, path));
    if (row === undefined) return `${path} was changed meanwhile: discard and edit anew`;
    return `revision ${row.revision} of ${row.author.user}${row.reason === '' ? '' : ` (${row.reason})`} changed ${path} meanwhile: compare, then discard and edit anew`;
  }

  #changes(revision: number, path: string): boolean {
    const { revisions } = this.#deps;
    if (revisions.text(revision) === undefined || revisions.text(revision - 1) === undefined) return true;
    return this.compare(revision - 1, revision).some(({ steps }) => formatPath(steps).startsWith(path) || path.startsWith(formatPath(steps)));
  }
}

const conflict = (text: string, path: string, why: string): Judged => ({ text, changes: [], config: undefined, issues: [{ line: 0, path, why }] });
