/** Drives one commit at a time (core/config/commit.ts) with the disk (commit-disk.ts), the daemons and the time. */
import type { Author, CommitWait, ConfigdEvent } from '#contracts/configd.ts';
import { ConfigCommit, type CommitInput, type CommitOutput, type Refusal } from '#core/config/commit.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { addMs, NEVER } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { ConfigFile } from '#kit/config-file.ts';
import type { ConfigRevisions, PendingFile } from '#kit/config-revisions.ts';
import type { Log } from '#kit/log.ts';
import { CommitDisk } from './commit-disk.ts';
import type { Peers } from './peers.ts';

const MINUTE_MS = 60_000;

export interface CommitRequest {
  /** Good, and sealed. */
  readonly text: string;
  readonly config: GatewayConfig;
  readonly author: Author;
  readonly reason: string;
  readonly changes: number;
  readonly confirmMinutes: number | null;
  readonly restart: boolean;
}

export interface CommitEnd {
  /** Null: the old configuration is in force. */
  readonly revision: number | null;
  readonly refusals: readonly Refusal[];
  readonly warnings: readonly string[];
  readonly confirmByWallMs: number | null;
  /** What kept it from being, when no daemon did. */
  readonly why: string | null;
}

export interface CommitsDeps {
  readonly file: ConfigFile;
  readonly revisions: ConfigRevisions;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly log: Log;
  readonly onEvent: (event: ConfigdEvent) => void;
  /** What is in force or kept has changed, and is on the disk; before anybody is told of it. Null: nobody has looked at what is in force again. */
  readonly onSettled: (config: GatewayConfig | null) => void;
  /** Of the cluster, for revisions made now; 0: there is none, or this node is not the active one. */
  readonly term: () => number;
  /** Something that nobody asked for just now: it returned by itself. */
  readonly onReturned: (revision: number, returnsTo: number, why: string) => void;
  /** What is in force, to know who should be there; null: nobody knows. */
  readonly inForce: () => Promise<GatewayConfig | null>;
}

/** A commit under way, or one that waits for `confirm`. */
interface Running {
  readonly commit: ConfigCommit;
  readonly author: Author;
  readonly restart: boolean;
  readonly returnsTo: number;
  readonly request: CommitRequest | null;
  revision: number | null;
  confirmByWallMs: number | null;
  /** Whoever waits for the end, or for the waiting to begin. */
  readonly settled: PromiseWithResolvers<{ readonly how: string; readonly why: string }>;
}

export class Commits implements Disposable {
  readonly #deps: CommitsDeps;
  readonly #disk: CommitDisk;
  readonly #alarm: Alarm;
  #running: Running | null = null;
  #inputs: Promise<unknown> = Promise.resolve();
  readonly counters: Record<'committed' | 'aborted' | 'returned', number> = { committed: 0, aborted: 0, returned: 0 };

  constructor(deps: CommitsDeps) {
    this.#deps = deps;
    this.#disk = new CommitDisk(deps);
    this.#alarm = new Alarm(deps.clock, () => void this.#due());
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  /** Goes on where the disk says that a configd before this one was. */
  async resume(): Promise<void> {
    const left = this.#disk.takeUp();
    if (left === null) return;
    const { pending, waitMs } = left;
    const why = pending.phase === 'applying' ? 'the configuration daemon ended in the middle of it' : 'it was not confirmed in time';
    this.#deps.log.info({ revision: pending.revision, waitMs }, 'config.pending-found');
    await this.#waitFor(pending, waitMs, why);
  }

  /** What waits here is decided by another node from now on. */
  async standDown(): Promise<void> {
    await this.#inputs;
    this.#running = null;
    this.#alarm.arm(NEVER);
  }

  /** What another node committed waits here too: whoever lives then returns it at the same time. */
  async follow(): Promise<void> {
    const { pending } = this.#disk;
    if (pending !== null) await this.#waitFor(pending, Math.max(1, this.#disk.msLeft(pending)), 'it was not confirmed in time');
  }

  async #waitFor(pending: PendingFile, waitMs: number, why: string): Promise<void> {
    const { clock } = this.#deps;
    const now = clock.now();
    const { up } = await this.#peersThere();
    const { commit, outputs } = ConfigCommit.resume(up, addMs(now, Math.max(0, waitMs)), now, why);
    this.#running = { commit, author: pending.author, restart: true, returnsTo: pending.returnsTo, request: null, revision: pending.revision, confirmByWallMs: pending.deadlineWallMs, settled: Promise.withResolvers() };
    if (waitMs > 0) this.#disk.rearm(pending, waitMs);
    const running = this.#running;
    // A daemon that does not answer must not keep vlink from us.
    void this.#enqueue(() => this.#perform(running, outputs));
  }

  get busy(): 'no' | 'applying' | 'waiting' {
    if (this.#running === null) return 'no';
    return this.#running.commit.phase === 'waiting' ? 'waiting' : 'applying';
  }

  /** Whom it waits for now. */
  get waiting(): CommitWait | null {
    return this.#deps.peers.waiting;
  }

  /** What every daemon would say, with nothing changed. */
  async check({ text, config, restart }: Pick<CommitRequest, 'text' | 'config' | 'restart'>): Promise<Pick<CommitEnd, 'refusals' | 'warnings'>> {
    this.#refuseWhenBusy();
    const { peers } = this.#deps;
    const { up, down } = await peers.there(config);
    this.#disk.stage(text);
    try {
      const answers = await Promise.all(up.map(async daemon => ({ daemon, why: await peers.check(daemon, restart) })));
      return { refusals: answers.filter((one): one is Refusal => one.why !== null), warnings: down.map(warning) };
    } finally {
      this.#disk.unstage();
    }
  }

  /** Returns when it is done, aborted or returned, or when everybody has it and it waits for `confirm`. */
  async run(request: CommitRequest): Promise<CommitEnd> {
    this.#refuseWhenBusy();
    const { author, confirmMinutes } = request;
    this.#disk.stage(request.text);
    const { up, down } = await this.#deps.peers.there(request.config);
    const begun = ConfigCommit.begin({ daemons: up, confirmWithinMs: confirmMinutes === null ? null : confirmMinutes * MINUTE_MS });
    const running: Running = { commit: begun.commit, author, restart: request.restart, returnsTo: this.#disk.current, request, revision: null, confirmByWallMs: null, settled: Promise.withResolvers() };
    this.#running = running;
    void this.#enqueue(() => this.#perform(running, begun.outputs));
    const { how, why } = await running.settled.promise;
    const done = how === 'committed' || how === 'waiting';
    return { revision: done ? running.revision : null, refusals: begun.commit.refusals, warnings: down.map(warning), confirmByWallMs: how === 'waiting' ? running.confirmByWallMs : null, why: done || begun.commit.refusals.length > 0 ? null : why };
  }

  /** Another text of the revision in force, which means the same to the other node. It cannot be returned by itself. */
  async inPlace(text: string, config: GatewayConfig): Promise<Pick<CommitEnd, 'refusals' | 'warnings'>> {
    const checked = await this.check({ text, config, restart: true });
    if (checked.refusals.length > 0) return checked;
    const { peers } = this.#deps;
    this.#disk.replace(text);
    const { up, down } = await peers.there(config);
    const refused: Refusal[] = [];
    for (const daemon of up) {
      const why = await peers.apply(daemon, true);
      if (why !== null) refused.push({ daemon, why });
    }
    return { refusals: [], warnings: [...down.map(warning), ...refused.map(({ daemon, why }) => `${daemon} did not take it: ${why}`)] };
  }

  /** CONFLICT: nothing waits. */
  async confirm(): Promise<number> {
    const running = this.#waiting();
    await this.#feed(running, { type: 'confirm' });
    return running.revision!;
  }

  /** The configuration before the one that waits, at once. */
  async returnNow(why: string): Promise<number> {
    const running = this.#waiting();
    running.commit.meet((await this.#peersThere()).up);
    await this.#feed(running, { type: 'return', why });
    return running.returnsTo;
  }

  #waiting(): Running {
    if (this.#running?.commit.phase !== 'waiting') throw new GatewayError('CONFLICT', { why: 'no commit waits for confirm' });
    return this.#running;
  }

  #refuseWhenBusy(): void {
    if (this.#running === null) return;
    const { commit, author, revision } = this.#running;
    throw new GatewayError('CONFLICT', { why: commit.phase === 'waiting' ? `revision ${revision} of ${author.user} waits for confirm: confirm it or roll it back first` : `another commit is under way, by ${author.user}` });
  }

  async #peersThere(): Promise<Awaited<ReturnType<Peers['there']>>> {
    return await this.#deps.peers.there(await this.#deps.inForce());
  }

  async #due(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    running.commit.meet((await this.#peersThere()).up);
    await this.#feed(running, { type: 'tick' });
  }

  /** One after the other: all outputs of an input are done before the next input. */
  #enqueue(task: () => Promise<void>): Promise<void> {
    const run = this.#inputs.then(task);
    this.#inputs = run.catch(() => undefined);
    return run;
  }

  #feed(running: Running, input: CommitInput): Promise<void> {
    return this.#enqueue(() => this.#perform(running, running.commit.handle(input, this.#deps.clock.now())));
  }

  async #perform(running: Running, outputs: readonly CommitOutput[]): Promise<void> {
    const { clock } = this.#deps;
    for (const inputs of await Promise.all(outputs.map(output => this.#do(running, output)))) {
      if (inputs !== null) await this.#perform(running, running.commit.handle(inputs, clock.now()));
    }
    this.#alarm.arm(this.#running?.commit.deadline ?? NEVER);
    if (running.commit.phase === 'stuck') running.settled.resolve({ how: 'stuck', why: 'the disk does not take the old configuration back; this is tried again' });
  }

  /** Does one thing; what came of it is the next input. */
  async #do(running: Running, output: CommitOutput): Promise<CommitInput | null> {
    const { peers } = this.#deps;
    switch (output.type) {
      case 'check': return { type: 'checked', daemon: output.daemon, refused: await peers.check(output.daemon, running.restart) };
      case 'apply': return { type: 'applied', daemon: output.daemon, refused: await peers.apply(output.daemon, running.restart) };
      case 'write': return this.#write(running, output.which);
      case 'waiting': return this.#beginWaiting(running);
      case 'ended': return this.#end(running, output.how, output.why);
    }
  }

  #write(running: Running, which: 'new' | 'old'): CommitInput {
    const { returnsTo } = running;
    try {
      if (which === 'old') this.#disk.putBack(returnsTo);
      else {
        const { text, author, reason, changes } = running.request!;
        running.revision = this.#disk.keep({ text, author, reason, changes, term: this.#deps.term() });
        this.#disk.putIn({ revision: running.revision, returnsTo, author });
      }
      return { type: 'written' };
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#deps.log.error({ which, why: error.message }, 'config.write-failed');
      if (which === 'new') this.#disk.undo(returnsTo);
      return { type: 'write-failed', why: error.message };
    }
  }

  /** Whether it can be forgotten must be known before anybody relies on it. */
  #beginWaiting(running: Running): CommitInput | null {
    const { author, returnsTo } = running;
    const revision = running.revision!;
    try {
      running.confirmByWallMs = this.#disk.startWaiting({ revision, returnsTo, author }, running.request!.confirmMinutes! * MINUTE_MS);
    } catch (error) {
      return { type: 'return', why: (error as Error).message };
    }
    this.#deps.onSettled(running.request?.config ?? null);
    this.#deps.onEvent({ type: 'committed', revision, author, pending: true });
    running.settled.resolve({ how: 'waiting', why: '' });
    return null;
  }

  #end(running: Running, how: 'committed' | 'aborted' | 'returned', why: string): null {
    const { onEvent, onReturned } = this.#deps;
    this.counters[how] += 1;
    this.#running = null;
    const { revision } = running;
    this.#disk.end(how, running);
    if (revision !== null) this.#deps.onSettled(how === 'committed' ? (running.request?.config ?? null) : null);
    if (how === 'committed') onEvent({ type: 'committed', revision: revision!, author: running.author, pending: false });
    if (how === 'returned') {
      onEvent({ type: 'returned', revision: running.returnsTo, why });
      onReturned(revision!, running.returnsTo, why);
    }
    running.settled.resolve({ how, why });
    return null;
  }
}

const warning = (daemon: string): string => `${daemon} does not run: it reads the configuration when it starts`;
