/**
 * Where a change of the configuration is made: in a pair on the active node alone. Whoever asks the other one is handed on, with his
 * name, and has the answer when it is in force where he sits too.
 */
import type { ParamsOf } from '#kit/rpc.ts';
import type { Author, CommitResult, CommitWait, ConfigdRequests, Where } from '#contracts/configd.ts';
import { COMMIT_PATIENCE_MS } from '#core/config/comeback.ts';
import { asSteps } from '#core/config/difference.ts';
import { LOCAL_KEYS } from '#core/config/local-keys.ts';
import type { EditStep } from '#core/config/json.ts';
import { readPath } from '#core/config/path.ts';
import { GatewayError } from '#core/result.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import type { Candidate, Candidates } from './candidates.ts';
import type { Changes } from './changes.ts';
import type { Editor } from './editor.ts';
import type { Pair } from './pair.ts';
import type { PeerLink } from './peer-link.ts';
import type { Secrets } from './secrets.ts';


export interface PairCommitsDeps {
  readonly pair: Pair;
  readonly changes: Changes;
  readonly candidates: Candidates;
  readonly editor: Editor;
  readonly secrets: Secrets;
  readonly revisions: ConfigRevisions;
}

type How = Omit<ParamsOf<ConfigdRequests, 'commit'>, 'author' | 'where'>;
const NOTHING: CommitResult = { revision: null, issues: [], refusals: [], warnings: [], confirmByWallMs: null };
const issueAt = (path: string, why: string): CommitResult => ({ ...NOTHING, issues: [{ line: 0, path, why }] });

export class PairCommits {
  readonly #deps: PairCommitsDeps;
  /** Changes that the other node makes for somebody here, now. */
  #handed = 0;

  constructor(deps: PairCommitsDeps) {
    this.#deps = deps;
  }

  /** NODE_STANDBY: it can be made neither here nor there, with what to do. CONFLICT: `local`, while the active node answers. */
  async place(where: Where | undefined): Promise<'here' | 'there'> {
    const { pair } = this.#deps;
    if (pair.role === null) return 'here';
    const known = await pair.role.ask();
    if (known?.role === 'active') return 'here';
    const { peer, names } = pair;
    const activeThere = peer?.told.active === true;
    if (where === 'forwarded') throw new GatewayError('NODE_STANDBY', { node: names!.own, why: 'the active role is moving: try again' });
    if (where === 'local') {
      if (activeThere) throw new GatewayError('CONFLICT', { why: `${peer.node} is active and answers: commit without --local` });
      return 'here';
    }
    if (activeThere) return 'there';
    // A pair in the making: nobody else has this configuration yet.
    if (!pair.met) return 'here';
    const role = known === null ? 'clusterd does not answer' : `${names!.own} is ${known.role}`;
    const other = peer === null ? `${names!.peer} is not reached` : `${names!.peer} is not active either`;
    throw new GatewayError('NODE_STANDBY', { why: `${role}, and ${other}: see vlink cluster show; config commit --local changes this node alone, and gives way if the other one was changed too` });
  }

  /** What is asked of this node: done here, or by the active one, which is asked the same. */
  async wherever<T>(where: Where | undefined, here: () => T | Promise<T>, there: (link: PeerLink, options: { readonly timeoutMs: number }) => Promise<T>): Promise<T> {
    return (await this.place(where)) === 'here' ? await here() : await this.#hand(link => there(link, { timeoutMs: COMMIT_PATIENCE_MS }));
  }

  async #hand<T>(ask: (link: PeerLink) => Promise<T>): Promise<T> {
    this.#handed += 1;
    try {
      return await ask(this.#deps.pair.peer!.link);
    } finally {
      this.#handed -= 1;
    }
  }

  /** Whom a commit waits for, here or at the node that was handed one. */
  async wait(own: CommitWait | null, where: Where | undefined): Promise<CommitWait | null> {
    const { peer } = this.#deps.pair;
    if (own !== null || this.#handed === 0 || where === 'forwarded' || peer === null) return own;
    const there = await peer.link.call('waitsFor', { where: 'forwarded' });
    return there === null ? null : { ...there, daemon: `${there.daemon} of ${peer.node}` };
  }

  async commit(author: Author, how: How): Promise<CommitResult> {
    const { candidates, revisions, editor } = this.#deps;
    const candidate = candidates.get(author);
    if (candidate === undefined) throw new GatewayError('BAD_REQUEST', { why: 'nothing was edited: there is no candidate' });
    if (revisions.text(candidate.baseRevision) === undefined) return issueAt('', `it began from revision ${candidate.baseRevision}, which is not kept any more: discard and edit anew`);
    const { local, shared } = editor.kindsSince(candidate.baseRevision, candidate.text);
    if (!local && !shared) return issueAt('', 'nothing is changed');
    const result = shared ? await this.#handChanges(author, candidate, { ...how, action: 'config.commit' }) : await this.#deps.changes.commitLocal(author, how.reason, candidate.text);
    if (result.revision !== null) candidates.drop(author);
    return result;
  }

  /** gateway.yaml as somebody wrote it: what belongs to this machine here, all else by the active node. */
  async adopt(author: Author, reason: string, confirmMinutes: number | null): Promise<CommitResult> {
    const { changes: all, revisions, editor } = this.#deps;
    const judged = await all.outside();
    if ('issues' in judged) return judged;
    const candidate = { baseRevision: revisions.current, text: judged.text };
    if (!editor.kindsSince(candidate.baseRevision, candidate.text).shared) return await all.commitLocal(author, reason, judged.text);
    const result = await this.#handChanges(author, candidate, { reason, confirmMinutes, action: 'config.adopt' });
    // What they took comes back from them.
    if (result.revision !== null) all.undoOutside();
    return result;
  }

  async #handChanges(author: Author, { baseRevision, text }: Omit<Candidate, 'owner'>, how: Omit<ParamsOf<ConfigdRequests, 'commitFor'>, 'author' | 'base' | 'steps'>): Promise<CommitResult> {
    const { revisions, editor } = this.#deps;
    if (editor.kindsSince(baseRevision, text).local) return issueAt('', `a part of this belongs to this machine (${LOCAL_KEYS.map(keys => keys.join('.')).join(', ')}), the rest to both: commit the two one after the other`);
    const changes = editor.changesSince(baseRevision, text);
    const id = revisions.lineRows().find(({ revision }) => revision === baseRevision)!.id;
    const steps = asSteps(changes).map(step => this.#opened(step));
    return await this.#hand(link => link.call('commitFor', { ...how, author, base: { revision: baseRevision, id }, steps }, { timeoutMs: COMMIT_PATIENCE_MS }));
  }

  /** The other node has other keys. */
  #opened(step: EditStep): EditStep {
    if (step.op === 'delete') return step;
    const bound = readPath(step.path);
    return { ...step, value: this.#deps.secrets.openValue(step.value, typeof bound === 'string' ? undefined : bound.node) };
  }

  /** For somebody at the other node. */
  async commitFor({ author, base, steps, restart = false, ...how }: ParamsOf<ConfigdRequests, 'commitFor'>): Promise<CommitResult> {
    await this.place('forwarded');
    const { revisions, editor, changes } = this.#deps;
    const known = revisions.lineRows().find(({ revision }) => revision === base.revision);
    if (known?.id !== base.id) return issueAt('', `it began from revision ${base.revision}, which is another one here: wait until vlink cluster show says that both are in step`);
    const candidate = { baseRevision: base.revision, text: editor.edited(base.revision, steps).text };
    return await changes.commitCandidate(candidate, { ...how, author, restart });
  }
}
