/** Everything that changes the configuration in force: judged, written down, committed; one at a time. */
import type { Author, CommitResult } from '#contracts/configd.ts';
import type { AuditFacts } from '#core/audit/chain.ts';
import { shown } from '#core/config/difference.ts';
import type { Json } from '#core/config/json.ts';
import { referenceConfig } from '#core/config/reference.ts';
import { lockOut } from '#core/host/lock-out.ts';
import { GatewayError } from '#core/result.ts';
import type { AuditLog } from '#kit/audit-log.ts';
import type { ConfigFile } from '#kit/config-file.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import type { Candidate, Candidates } from './candidates.ts';
import { isInForce } from './commit-disk.ts';
import type { Commits } from './commits.ts';
import type { Editor, Judged } from './editor.ts';
import type { Secrets } from './secrets.ts';

export interface ChangesDeps {
  readonly file: ConfigFile;
  readonly revisions: ConfigRevisions;
  readonly candidates: Candidates;
  readonly secrets: Secrets;
  readonly editor: Editor;
  readonly commits: Commits;
  readonly audit: AuditLog;
  /** In a pair: null when the other node has what was committed, else why it has not. */
  readonly reached: () => Promise<string | null>;
}

export interface How {
  readonly action: string;
  readonly author: Author;
  readonly reason: string;
  readonly confirmMinutes: number | null;
  readonly restart: boolean;
}

const NOTHING: CommitResult = { revision: null, issues: [], refusals: [], warnings: [], confirmByWallMs: null };
const issueResult = (why: string): CommitResult => ({ ...NOTHING, issues: [{ line: 0, path: '', why }] });
const outside = (current: number): string => `gateway.yaml was changed past vlink: take that over with \`config adopt\`, or undo it with \`config rollback ${current}\``;
/** Rows of an audit entry; what is more is a number. */
const MAX_AUDITED = 100;

export class Changes {
  readonly #deps: ChangesDeps;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: ChangesDeps) {
    this.#deps = deps;
  }

  get changedOutside(): boolean {
    const { file, revisions } = this.#deps;
    return !isInForce(file, revisions, revisions.current);
  }

  async check(author: Author, restart: boolean): Promise<CommitResult> {
    const { editor, commits } = this.#deps;
    const { text, config, issues } = await editor.candidateNow(editor.candidate(author));
    if (config === undefined) return { ...NOTHING, issues };
    if (this.changedOutside) return issueResult(outside(this.#deps.revisions.current));
    return { ...NOTHING, ...(await commits.check({ text, config, restart })) };
  }

  async commit(author: Author, how: Omit<How, 'author' | 'action'>): Promise<CommitResult> {
    const { editor, candidates } = this.#deps;
    const result = await this.commitCandidate(editor.candidate(author), { ...how, action: 'config.commit', author });
    if (result.revision !== null) candidates.drop(author);
    return result;
  }

  /** Of whomever, from whatever revision he began. */
  commitCandidate(candidate: Omit<Candidate, 'owner'>, how: How): Promise<CommitResult> {
    return this.alone(async () => {
      const judged = await this.#deps.editor.candidateNow(candidate);
      if (judged.config !== undefined && judged.changes.length === 0) return issueResult('nothing is changed');
      return await this.#run(judged, how);
    });
  }

  /** Of a node that is not active: the revision in force gets another text, of which only what belongs to this machine is new. */
  commitLocal(author: Author, reason: string, text: string): Promise<CommitResult> {
    return this.alone(async () => {
      const { editor, secrets } = this.#deps;
      const judged = await editor.judge(secrets.sealText(editor.read(text), editor.current().value));
      return await this.#inPlace({ action: 'config.commit', author, reason, confirmMinutes: null, restart: true }, judged);
    });
  }

  /** While a commit waits for `confirm`, any revision but the one before it is refused, and that one comes back at once. */
  rollback(revision: number, how: Omit<How, 'action'>): Promise<CommitResult> {
    return this.alone(async () => {
      const { editor, revisions, commits, audit } = this.#deps;
      if (commits.busy === 'waiting') {
        if (revisions.pending?.returnsTo !== revision) throw new GatewayError('CONFLICT', { why: `a commit waits for confirm: it can be rolled back to revision ${revisions.pending?.returnsTo ?? '?'} only` });
        await commits.returnNow(`rolled back by ${how.author.user}`);
        audit.record({ author: how.author, action: 'config.rollback', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: how.reason });
        return { ...NOTHING, revision: revisions.current };
      }
      const judged = await editor.judge(editor.revision(revision).text);
      return await this.#run(judged, { ...how, action: 'config.rollback', reason: how.reason === '' ? `back to revision ${revision}` : how.reason }, revision === revisions.current);
    });
  }

  adopt(author: Author, reason: string, confirmMinutes: number | null): Promise<CommitResult> {
    return this.alone(async () => {
      const found = await this.outside();
      if ('issues' in found) return found;
      return await this.#run(await this.#deps.editor.judge(found.text), { action: 'config.adopt', author, reason, confirmMinutes, restart: false }, true);
    });
  }

  /** What somebody wrote past us, sealed; or why it cannot be taken over. */
  async outside(): Promise<{ readonly text: string } | CommitResult> {
    const { editor, file, secrets } = this.#deps;
    if (!this.changedOutside) return issueResult('gateway.yaml is the current revision: there is nothing to adopt');
    const judged = await editor.judge(file.read() ?? '');
    if (judged.config === undefined) return { ...NOTHING, issues: judged.issues };
    return { text: secrets.sealText(editor.read(judged.text), editor.current().value) };
  }

  /** The file is the current revision again. */
  undoOutside(): void {
    const { file, revisions, editor } = this.#deps;
    if (this.changedOutside && revisions.current > 0) file.putBack(editor.current().text);
  }

  /** The text takes the place of everything; where it must, daemons start anew. */
  replace(text: string, how: Omit<How, 'restart'>): Promise<CommitResult> {
    return this.alone(async () => await this.#run(await this.#deps.editor.judge(text), { ...how, restart: true }, true));
  }

  factoryReset(author: Author, reason: string, confirmMinutes: number | null): Promise<CommitResult> {
    return this.replace(referenceConfig(), { action: 'config.factory-reset', author, confirmMinutes, reason: reason === '' ? 'factory reset' : reason });
  }

  /**
   * A new key, then everything that is kept is sealed with it; only then the old keys go. `inPlace`: this node is not the one that
   * makes revisions: the one in force keeps its number. `resealMore`: what else hangs on the keys.
   */
  rotate(author: Author, reason: string, inPlace: boolean, resealMore: () => void): Promise<CommitResult> {
    return this.alone(async () => {
      const { secrets, editor } = this.#deps;
      const before = secrets.ring;
      secrets.addKey();
      const reseal = (text: string): string => secrets.resealText(editor.read(text), before);
      const judged = await editor.judge(reseal(editor.current().text));
      const how: How = { action: 'config.secrets.rotate', author, reason: reason === '' ? 'secrets sealed with a new key' : reason, confirmMinutes: null, restart: false };
      const result = inPlace ? await this.#inPlace(how, judged) : await this.#run(judged, how, true);
      if (result.revision === null) return result;
      this.#resealKept(result.revision, reseal);
      this.#deps.audit.reseal();
      resealMore();
      secrets.forgetOldKeys();
      return result;
    });
  }

  #resealKept(current: number, reseal: (text: string) => string): void {
    const { revisions, candidates } = this.#deps;
    for (const { revision } of revisions.rows(Infinity)) {
      const text = revisions.text(revision);
      if (text !== undefined && revision !== current) revisions.replaceText(revision, reseal(text));
    }
    for (const { owner, text } of candidates.all()) candidates.replaceText(owner, reseal(text));
  }

  async #inPlace(how: How, judged: Judged): Promise<CommitResult> {
    const { revisions, commits } = this.#deps;
    if (judged.config === undefined) return this.#noted(how, judged, { ...NOTHING, issues: judged.issues });
    const { refusals, warnings } = await commits.inPlace(judged.text, judged.config);
    return this.#noted(how, judged, { ...NOTHING, revision: refusals.length === 0 ? revisions.current : null, refusals, warnings });
  }

  /** `overOutside`: what somebody wrote past us may go. */
  async #run(judged: Judged, how: How, overOutside = false): Promise<CommitResult> {
    const { author, reason, confirmMinutes, restart } = how;
    const { revisions, commits } = this.#deps;
    const { text, config, changes } = judged;
    if (config === undefined) return this.#noted(how, judged, { ...NOTHING, issues: judged.issues });
    if (!overOutside && this.changedOutside) return this.#noted(how, judged, issueResult(outside(revisions.current)));
    const cutOff = confirmMinutes === null ? lockOut(config, author) : null;
    if (cutOff !== null) return this.#noted(how, judged, issueResult(cutOff));
    const end = await commits.run({ text, config, author, reason, changes: changes.length, confirmMinutes, restart }).catch((error: unknown) => {
      if (error instanceof GatewayError) this.#note(how, judged, NOTHING, error.message);
      throw error;
    });
    const { revision, refusals, confirmByWallMs } = end;
    const late = revision === null ? null : await this.#deps.reached();
    const warnings = late === null ? end.warnings : [...end.warnings, late];
    const issues = end.why === null ? [] : [{ line: 0, path: '', why: `${end.why}; revision ${revisions.current} is in force` }];
    return this.#noted(how, judged, { revision, issues, refusals, warnings, confirmByWallMs });
  }

  #noted(how: How, judged: Judged, result: CommitResult): CommitResult {
    this.#note(how, judged, result, [...result.issues.map(issue => `${issue.path} ${issue.why}`.trim()), ...result.refusals.map(refusal => `${refusal.daemon}: ${refusal.why}`)].join('; '));
    return result;
  }

  #note({ action, author, reason }: How, { changes }: Judged, result: CommitResult, why: string): void {
    const rows = changes.map(shown);
    const side = (pick: 'before' | 'after'): Json => Object.fromEntries(rows.slice(0, MAX_AUDITED).map(row => [row.path, row[pick]]));
    const left = rows.length > MAX_AUDITED ? `; ${rows.length - MAX_AUDITED} changes more` : '';
    const facts: AuditFacts = {
      author,
      action,
      target: result.revision === null ? 'configuration' : `revision ${result.revision}`,
      before: side('before'),
      after: side('after'),
      result: result.revision !== null ? 'done' : result.refusals.length > 0 || result.issues.length > 0 ? 'refused' : 'failed',
      detail: [reason, why].filter(part => part !== '').join(': ') + left + (result.confirmByWallMs === null ? '' : ' (waits for confirm)'),
    };
    this.#deps.audit.record(facts);
  }

  /** One after the other: whoever changes what is in force. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => undefined);
    return run;
  }
}
