/**
 * configd as one of a pair: it follows the other one (core/config/following.ts) and tells that one where it stands. On a gateway
 * that stands alone nothing of this is there.
 *
 *   own change --> line moves --> event to the other configd --> it asks `line` --> `revisionText` of each that it lacks
 *              --> on its disk, in force --> it asks `line` again, and that is how we know that both have it
 */
import { join } from 'node:path';
import type { ConfigdRequests, PairReport, PeerLine } from '#contracts/configd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import { Following, type FollowInput, type FollowOutput, type OwnLine, type ToldLine, takeoverOf } from '#core/config/following.ts';
import { missingRows, openAsides, precedence } from '#core/config/line.ts';
import { msUntilReturn } from '#core/config/pending.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { NEVER } from '#core/units.ts';
import { Alarm, bootTime, type Clock } from '#kit/clock.ts';
import { type ConfigRevisions, textHash } from '#kit/config-revisions.ts';
import type { Log } from '#kit/log.ts';
import type { RpcClient } from '#kit/rpc.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { Adoption } from './adoption.ts';
import type { HeldLine } from './held-line.ts';
import type { PairAudit } from './pair-audit.ts';
import type { PairLine } from './pair-line.ts';
import { PairReached } from './pair-reached.ts';
import { PairRole } from './pair-role.ts';
import type { PeerLink } from './peer-link.ts';

const ASK_MS = 5000;
/** A configuration of 100,000 devices. */
const TEXT_MS = 60_000;

export interface PairDeps {
  /** Of the sockets. */
  readonly directory: string;
  readonly revisions: ConfigRevisions;
  readonly line: PairLine;
  readonly held: HeldLine;
  readonly adoption: Adoption;
  readonly audit: PairAudit;
  readonly release: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The two names and what knows them. */
interface Mates {
  readonly id: string;
  readonly own: string;
  readonly peer: string;
  readonly role: PairRole;
  readonly link: PeerLink;
  readonly following: Following;
  readonly reached: PairReached;
}

export class Pair implements AsyncDisposable {
  readonly #deps: PairDeps;
  readonly #alarm: Alarm;
  #mates: Mates | null = null;
  #told: PeerLine | null = null;
  #closed = false;

  constructor(deps: PairDeps) {
    this.#deps = deps;
    this.#alarm = new Alarm(deps.clock, () => this.#feed({ type: 'tick' }));
  }

  /** What is in force; null: nobody can read it, and then all stays as it is. Returns when it is known who is active. */
  async configure(config: GatewayConfig | null): Promise<void> {
    if (config === null || this.#closed) return;
    const found = pairOf(config);
    const id = pairIdOf(config);
    if (id === (this.#mates?.id ?? null)) return;
    await this.#part();
    this.#deps.line.belong(id);
    if (id !== null) await this.#meet(id, found!.own.name, found!.peer.name);
  }

  async #meet(id: string, own: string, peer: string): Promise<void> {
    const { directory, clock, log } = this.#deps;
    const role = new PairRole(directory, clock, log);
    const link: PeerLink = new RpcLink(join(directory, 'peer', 'configd.sock'), { clock, log, onUp: client => this.#found(client), onDown: () => this.#lost(), onEvent: () => this.#feed({ type: 'news' }) });
    this.#mates = { id, own, peer, role, link, following: new Following(), reached: new PairReached(clock) };
    await this.#tryHeld(this.#mates);
    // The other one may stand still: nobody waits for it.
    void link.start();
    await role.start();
  }

  /** A socket that is there says nothing of the other node: it must have answered. */
  async #found(client: RpcClient<ConfigdRequests>): Promise<void> {
    await client.call('pair', {}, { timeoutMs: ASK_MS });
    this.#feed({ type: 'up' });
  }

  async #part(): Promise<void> {
    const mates = this.#mates;
    this.#mates = null;
    this.#told = null;
    this.#alarm.arm(NEVER);
    if (mates !== null) await Promise.all([mates.link[Symbol.asyncDispose](), mates.role[Symbol.asyncDispose]()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#part();
    this.#alarm[Symbol.dispose]();
  }

  /** Null: this gateway stands alone. */
  get role(): PairRole | null {
    return this.#mates?.role ?? null;
  }

  /** The other node, as it was heard of last; null: there is none, or it is not reached. */
  get peer(): { readonly node: string; readonly link: PeerLink; readonly told: PeerLine } | null {
    return this.#mates === null || this.#told === null || !this.#mates.link.up ? null : { node: this.#mates.peer, link: this.#mates.link, told: this.#told };
  }

  get names(): { readonly own: string; readonly peer: string } | null {
    return this.#mates;
  }

  /** Whether this node and the other one ever stood at the same place. */
  get met(): boolean {
    return this.#deps.line.line?.met === true;
  }

  /** The term of what is changed here now; 0: not by the active node of a pair. */
  get term(): number {
    return this.#mates?.role.term ?? 0;
  }

  /** Something is in force or kept here that was not before. `config`: what is in force; null: nobody looked. A node that has left a pair, or joined one, tells nothing of that to the one before. */
  settled(config: GatewayConfig | null): void {
    if (config !== null && pairIdOf(config) !== (this.#mates?.id ?? null)) return void this.configure(config);
    this.#deps.line.settle(this.term);
    this.#feed({ type: 'news' });
  }

  /** Null: the other node has what stands here, or there is none; else why not. */
  async reached(): Promise<string | null> {
    const { line } = this.#deps.line;
    return this.#mates === null || line === null ? null : await this.#mates.reached.wait(line.trail[0]!, this.#mates.peer);
  }

  /** BAD_REQUEST: we know nobody of this name. */
  tell(node: string, mark: string, held: string | null): PeerLine {
    const { line, revisions, audit, release } = this.#deps;
    const mates = this.#mates;
    if (mates === null || line.line === null || mates.peer !== node) throw new GatewayError('BAD_REQUEST', { node, why: 'this node belongs to no pair with it' });
    mates.reached.heard(mark, held);
    const { term, trail } = line.line;
    const stands = { node: mates.own, active: mates.role.active, release, current: revisions.current, auditSequence: audit.sequence };
    if (trail[0] === mark) line.meet();
    if (trail[0] === mark) return { ...stands, term, trail: trail.slice(0, 1), rows: null, pending: null };
    return { ...stands, term, trail, rows: line.rows(), pending: this.#pending() };
  }

  #pending(): PeerLine['pending'] {
    const { revisions, clock } = this.#deps;
    const { pending } = revisions;
    if (pending?.phase !== 'waiting') return null;
    const { revision, returnsTo, deadlineWallMs, author } = pending;
    return { revision, returnsTo, deadlineWallMs, author, leftMs: Math.max(0, msUntilReturn(pending, { wallMs: clock.wall(), ...bootTime() })) };
  }

  report(): PairReport | null {
    const mates = this.#mates;
    if (mates === null) return null;
    const { revisions, line, adoption } = this.#deps;
    const told = mates.link.up ? this.#told : null;
    return {
      revision: revisions.current,
      peer: { node: mates.peer, reached: told !== null, revision: told?.current ?? null, release: told?.release ?? null },
      inStep: told !== null && mates.following.found === 'same',
      held: mates.following.held ?? this.#deps.held.why,
      asides: openAsides(line.rows(), revisions.current),
      refusals: adoption.refusals,
    };
  }

  // --- following -------------------------------------------------------------------------------------------------------

  #lost(): void {
    this.#told = null;
    this.#mates?.reached.lost();
    this.#feed({ type: 'down' });
  }

  #own(): OwnLine {
    const { line } = this.#deps;
    return { ...line.line!, rows: line.rows(), active: this.#mates!.role.active };
  }

  #feed(input: FollowInput): void {
    const mates = this.#mates;
    if (mates === null || this.#closed) return;
    const outputs = mates.following.handle(input, this.#own(), this.#deps.clock.now());
    this.#alarm.arm(mates.following.deadline);
    for (const output of outputs) void this.#carryOut(mates, output).then(result => (this.#mates === mates ? this.#feed(result) : undefined));
  }

  async #carryOut(mates: Mates, output: FollowOutput): Promise<FollowInput> {
    try {
      switch (output.type) {
        case 'ask':
          this.#deps.adoption.begin();
          return { type: 'told', line: await this.#ask(mates) };
        case 'fetch': return await this.#fetch(mates, output);
        case 'take':
          if (!(await this.#deps.adoption.take(output.takeover, mates))) return { type: 'moved' };
          this.#deps.held.drop();
          return { type: 'taken' };
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#deps.log[output.type === 'ask' ? 'debug' : 'warn']({ step: output.type, why: error.message }, 'config.follow-failed');
      return { type: 'failed', why: error.message };
    }
  }

  async #ask({ own, peer, link, following, role }: Mates): Promise<ToldLine | null> {
    const mark = this.#deps.line.line!.trail[0]!;
    const told = await link.call('line', { node: own, mark, held: following.held }, { timeoutMs: ASK_MS });
    this.#told = told;
    this.#deps.audit.follow(peer, told.auditSequence, link);
    // Who is active decides where both changed: as it is now, not half a second ago.
    if (told.rows !== null) await role.ask();
    else {
      this.#deps.line.meet();
      this.#deps.held.drop();
    }
    return told.rows === null ? null : { ...told, rows: told.rows };
  }

  /** What waited for `confirm` went on waiting. */
  #asOfNow(told: ToldLine): ToldLine {
    const { pending } = told;
    return pending === null ? told : { ...told, pending: { ...pending, leftMs: Math.max(1, Math.min(pending.leftMs, pending.deadlineWallMs - this.#deps.clock.wall())) } };
  }

  async #fetch({ link, peer }: Mates, { row, told }: Extract<FollowOutput, { readonly type: 'fetch' }>): Promise<FollowInput> {
    const { text } = await link.call('revisionText', { revision: row.revision }, { timeoutMs: TEXT_MS });
    const why = await this.#deps.adoption.keep(row, text, told);
    if (why === null) return { type: 'fetched', revision: row.revision };
    this.#deps.log.error({ from: peer, why }, 'config.held');
    await this.#keepHeld(link, told, why);
    return { type: 'held', why };
  }

  /** All of it that is not here. */
  async #keepHeld(link: PeerLink, told: ToldLine, why: string): Promise<void> {
    const { line, held } = this.#deps;
    const texts: { revision: number; text: string }[] = [];
    for (const { revision } of missingRows(line.rows(), told.rows)) texts.push({ revision, text: (await link.call('revisionText', { revision }, { timeoutMs: TEXT_MS })).text });
    held.keep({ told, why, texts });
  }

  /** What an older release could not read: this one may. */
  async #tryHeld(mates: Mates): Promise<void> {
    const { held, adoption, line, revisions, log } = this.#deps;
    const kept = held.read();
    if (kept === null) return;
    const { texts } = kept;
    const told = this.#asOfNow(kept.told);
    const own = { ...line.line!, active: false, rows: line.rows() };
    const found = precedence(own, { ...told, active: true });
    if (found !== 'theirs' && found !== 'yield') return held.drop();
    adoption.begin();
    for (const row of missingRows(own.rows, told.rows)) {
      const text = texts.find(({ revision }) => revision === row.revision)?.text;
      const why = text === undefined ? 'it is not all here' : await adoption.keep(row, text, told);
      if (why !== null) return void log.error({ why }, 'config.still-held');
    }
    log.warn({ revision: told.current }, 'config.held-taken');
    await adoption.take(takeoverOf(own, told, found), mates);
    if (revisions.current === told.current) held.drop();
  }
}

/** Which pair a configuration makes this node one of: both have the same key and names. Null: none. */
function pairIdOf(config: GatewayConfig): string | null {
  const { key = '', nodes } = config.cluster;
  return pairOf(config) === undefined ? null : textHash(JSON.stringify([key, ...nodes.map(({ name }) => name).sort()])).slice(0, 32);
}
