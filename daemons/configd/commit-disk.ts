/**
 * What a commit writes. Its order is such that every cut leaves one whole configuration in force: the revision; pending.json (`applying`);
 * gateway.yaml; pending.json (`waiting`), or none. The way back is a rename, then pending.json goes.
 *
 *   keep, putIn ----------------------------> end('committed')
 *           |----- startWaiting ------------> end('committed')
 *           +----- putBack -----------------> end('aborted' or 'returned')
 */
import { type PendingCommit, msUntilReturn } from '#core/config/pending.ts';
import { GatewayError } from '#core/result.ts';
import { type Clock, bootTime } from '#kit/clock.ts';
import type { ConfigFile } from '#kit/config-file.ts';
import { type ConfigRevisions, type NewRevision, type PendingFile, textHash } from '#kit/config-revisions.ts';
import type { Log } from '#kit/log.ts';

export interface CommitDiskDeps {
  readonly file: ConfigFile;
  readonly revisions: ConfigRevisions;
  readonly clock: Clock;
  readonly log: Log;
}

/** A revision, and the one that it takes the place of. */
export type Replacement = Pick<PendingFile, 'revision' | 'returnsTo' | 'author'>;

export class CommitDisk {
  readonly #deps: CommitDiskDeps;

  constructor(deps: CommitDiskDeps) {
    this.#deps = deps;
  }

  /** The revision in force. */
  get current(): number {
    return this.#deps.revisions.current;
  }

  /** What may have to be returned. */
  get pending(): PendingFile | null {
    return this.#deps.revisions.pending;
  }

  /** What a process before this one left, and how long it still waits; 0 or less: it returns now. Null: nothing was left. */
  takeUp(): { readonly pending: PendingFile; readonly waitMs: number } | null {
    const { file, revisions } = this.#deps;
    const { pending } = revisions;
    file.unstage();
    if (pending === null) {
      file.settle();
      return null;
    }
    // The old file is there already when what returned it was cut off before it could say so.
    const isBack = !isInForce(file, revisions, pending.revision) && isInForce(file, revisions, pending.returnsTo);
    return { pending, waitMs: isBack ? 0 : this.msLeft(pending) };
  }

  /** Until it returns by itself; 0 or less: it is due. */
  msLeft(pending: PendingCommit): number {
    return msUntilReturn(pending, { wallMs: this.#deps.clock.wall(), ...bootTime() });
  }

  /** The clock of the boot it was armed in is over after a reboot. On a full disk the wall clock has to do. */
  rearm(pending: PendingFile, waitMs: number): void {
    const { revisions, log } = this.#deps;
    try {
      revisions.setPending({ ...pending, ...this.#deadlines(waitMs, pending.armedWallMs), deadlineWallMs: pending.deadlineWallMs });
    } catch (error) {
      log.warn({ why: (error as Error).message }, 'config.pending-not-rearmed');
    }
  }

  /** The daemons are asked about this text. */
  stage(text: string): void {
    this.#deps.file.stage(text);
  }

  unstage(): void {
    this.#deps.file.unstage();
  }

  /** A new revision, which is not in force by that. */
  keep(revision: Omit<NewRevision, 'atWallMs'>): number {
    const { revisions, clock } = this.#deps;
    return revisions.add({ ...revision, atWallMs: clock.wall() });
  }

  /** What is staged is in force from here on; whoever finds it so, with nobody at it, returns it. */
  putIn(replacement: Replacement): void {
    const { file, revisions, clock } = this.#deps;
    revisions.setPending({ phase: 'applying', ...replacement, ...this.#deadlines(0, clock.wall()) });
    file.promote();
  }

  /** It stays for so long, and returns then unless it is confirmed; answers when that is. */
  startWaiting(replacement: Replacement, forMs: number): number {
    const { revisions, clock } = this.#deps;
    const deadlines = this.#deadlines(forMs, clock.wall());
    revisions.setPending({ phase: 'waiting', ...replacement, ...deadlines });
    revisions.setCurrent(replacement.revision);
    return deadlines.deadlineWallMs;
  }

  putBack(returnsTo: number): void {
    const text = this.#deps.revisions.text(returnsTo);
    if (text === undefined) throw new GatewayError('STORE_FAILED', { revision: returnsTo, why: 'this revision cannot be read' });
    this.#deps.file.putBack(text);
  }

  /** The new file may be in place although the disk did not say that it stays there. */
  undo(returnsTo: number): void {
    try {
      this.putBack(returnsTo);
    } catch (error) {
      this.#deps.log.error({ why: (error as Error).message }, 'config.undo-failed');
    }
  }

  /** It need not be returned any more. `revision` null: none was kept. */
  end(how: 'committed' | 'aborted' | 'returned', { revision, returnsTo }: { readonly revision: number | null; readonly returnsTo: number }): void {
    const { file, revisions } = this.#deps;
    if (how === 'committed') revisions.setCurrent(revision!);
    else {
      file.unstage();
      if (revision !== null) revisions.markReturned(revision);
    }
    if (how === 'returned') revisions.setCurrent(returnsTo);
    revisions.setPending(null);
    file.settle();
  }

  /** Another text of the revision in force. There is no way back. */
  replace(text: string): void {
    const { file, revisions } = this.#deps;
    file.stage(text);
    file.promote();
    revisions.replaceText(revisions.current, text);
    file.settle();
  }

  #deadlines(inMs: number, armedWallMs: number): Pick<PendingCommit, 'deadlineWallMs' | 'deadlineBootMs' | 'armedWallMs' | 'bootId'> {
    const { bootMs, bootId } = bootTime();
    return { deadlineWallMs: this.#deps.clock.wall() + inMs, deadlineBootMs: bootMs + inMs, armedWallMs, bootId };
  }
}

/** Whether the file is this revision to the letter. */
export const isInForce = (file: ConfigFile, revisions: ConfigRevisions, revision: number): boolean => textHash(file.read() ?? '') === revisions.hashOf(revision);
