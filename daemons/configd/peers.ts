/** The other daemons as a commit meets them: who is there, what each says, and that one that starts anew comes back. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { CommitWait } from '#contracts/configd.ts';
import { endedInstead, START_LIMIT_MS, type UnitFacts } from '#core/config/comeback.ts';
import { CONFIG_SECTIONS } from '#core/config/diff.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { addMs, type Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';
import { factsOfUnit, unitOf } from '#kit/unit-facts.ts';

const ANSWER_MS = 30_000;
/** Longer than systemd lets it end (TimeoutStopSec). */
const ENDS_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 100;
/** systemd is asked more rarely: each time is a process. */
const ASK_SYSTEMD_EVERY_MS = 1000;
const SOCKET = /^([a-z]+(?:-\w+)?)\.sock$/;
const OURSELVES = 'configd';
/** Media first, then signalling: sipd asks for nothing that mediad has not heard of. */
const ORDER = ['mediad', 'sipd'];

interface ReloadRequests {
  reload(params: ReloadParams): ReloadAnswer;
}

export interface PeersThere {
  /** In the order in which they are told. */
  readonly up: readonly string[];
  /** Those that belong to this configuration and do not answer. */
  readonly down: readonly string[];
}

export interface PeersOptions {
  /** Of systemd; null: it does not say. */
  readonly facts?: (unit: string) => Promise<UnitFacts | null>;
  /** False: for whoever is in the way of their start himself. */
  readonly waitsForStart?: boolean;
}

export class Peers {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #facts: (unit: string) => Promise<UnitFacts | null>;
  readonly #waitsForStart: boolean;
  #waiting: (Omit<CommitWait, 'forMs'> & { readonly since: Ms }) | null = null;

  constructor(directory: string, clock: Clock, { facts = factsOfUnit, waitsForStart = true }: PeersOptions = {}) {
    this.#directory = directory;
    this.#clock = clock;
    this.#facts = facts;
    this.#waitsForStart = waitsForStart;
  }

  /** Who is waited for at this moment. */
  get waiting(): CommitWait | null {
    if (this.#waiting === null) return null;
    const { since, ...wait } = this.#waiting;
    return { ...wait, forMs: Math.round(this.#clock.now() - since) };
  }

  /** `config`: what is in force, which says how many there should be; null when nobody knows. */
  async there(config: GatewayConfig | null): Promise<PeersThere> {
    const names = (await readdir(this.#directory).catch(() => [])).flatMap(file => SOCKET.exec(file)?.[1] ?? []).filter(name => name !== OURSELVES);
    const answering = await Promise.all(names.map(async name => ((await this.#knock(name)) === 'answers' ? [name] : [])));
    const up = answering.flat().sort((a, b) => rank(a) - rank(b) || a.localeCompare(b, 'en', { numeric: true }));
    const expected = config === null ? [] : ['sipd', ...Array.from({ length: config.media.instances }, (_, i) => `mediad-${i + 1}`)];
    return { up, down: expected.filter(name => !up.includes(name)) };
  }

  /** Why it would refuse; null when it would not, or has no say. */
  async check(name: string, restart: boolean): Promise<string | null> {
    return (await this.#say(name, true, restart)).refused;
  }

  /** Returns when it has the configuration that is in force now: null, or why it has not. */
  async apply(name: string, restart: boolean): Promise<string | null> {
    try {
      this.#waiting = { daemon: name, doing: 'told', since: this.#clock.now(), limitMs: ANSWER_MS };
      const before = restart ? await this.#facts(unitOf(name)) : null;
      const { refused, restarting } = await this.#say(name, false, restart);
      if (refused !== null || restarting !== true || !this.#waitsForStart) return refused;
      return await this.#comesBack(name, before);
    } finally {
      this.#waiting = null;
    }
  }

  /** A restart is asked of those only that cannot do without. */
  async #say(name: string, checkOnly: boolean, restart: boolean): Promise<ReloadAnswer> {
    try {
      const answer = await this.#ask(name, { checkOnly });
      return answer.refused === null || !restart ? answer : await this.#ask(name, { checkOnly, restart });
    } catch (error) {
      return { refused: hasNoSay(error) ? null : sentence(error) };
    }
  }

  async #ask(name: string, how: { readonly checkOnly: boolean; readonly restart?: boolean }): Promise<ReloadAnswer> {
    const gone = Promise.withResolvers<void>();
    const client = await connectRpc<ReloadRequests>(this.#socket(name), { clock: this.#clock, onClose: () => gone.resolve() });
    try {
      const answer = await client.call('reload', { sections: [...CONFIG_SECTIONS], ...how }, { timeoutMs: ANSWER_MS });
      if (answer.restarting === true && !how.checkOnly) await this.#within(gone.promise);
      return answer;
    } finally {
      await client[Symbol.asyncDispose]();
    }
  }

  /** It closes its socket as it ends. */
  async #within(gone: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<void>();
    using _limit = this.#clock.schedule(addMs(this.#clock.now(), ENDS_WITHIN_MS), late.resolve);
    await Promise.race([gone, late.promise]);
  }

  /** As long as its unit may take to start; one that ends instead is not waited for. Null: it is there. */
  async #comesBack(name: string, before: UnitFacts | null): Promise<string | null> {
    const limitMs = before === null ? START_LIMIT_MS : (before.startLimitMs ?? Infinity);
    const since = this.#clock.now();
    this.#waiting = { daemon: name, doing: 'starting', since, limitMs: Number.isFinite(limitMs) ? limitMs : null };
    let askAt = addMs(since, ASK_SYSTEMD_EVERY_MS);
    for (let wasGone = false; this.#clock.now() - since < limitMs; await this.#pause(LOOK_EVERY_MS)) {
      const found = await this.#knock(name);
      if (found === 'answers') return null;
      // The file of a socket comes complete and goes with its server: one that is there and refuses was left by somebody dead.
      if (found === 'refuses' && wasGone) return 'ended as soon as it had started';
      wasGone ||= found === 'gone';
      if (before === null || this.#clock.now() < askAt) continue;
      const now = await this.#facts(unitOf(name));
      const ended = now === null ? null : endedInstead(before, now);
      if (ended !== null) return ended;
      askAt = addMs(this.#clock.now(), ASK_SYSTEMD_EVERY_MS);
    }
    return `did not come back within ${limitMs / 1000} s after its restart`;
  }
  async #pause(delayMs: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    this.#clock.schedule(addMs(this.#clock.now(), delayMs), over.resolve);
    await over.promise;
  }

  async #knock(name: string): Promise<'answers' | 'refuses' | 'gone'> {
    try {
      await using _client: RpcClient<ReloadRequests> = await connectRpc<ReloadRequests>(this.#socket(name), { clock: this.#clock });
      return 'answers';
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return error.detail['why'] === 'ECONNREFUSED' ? 'refuses' : 'gone';
    }
  }

  #socket(name: string): string {
    return join(this.#directory, `${name}.sock`);
  }
}

function rank(name: string): number {
  const found = ORDER.findIndex(first => name.startsWith(first));
  return found < 0 ? ORDER.length : found;
}

/** A daemon that never reloads anything has nothing against anything. */
const hasNoSay = (error: unknown): boolean => error instanceof GatewayError && error.code === 'BAD_REQUEST' && String(error.detail['why']).includes('unknown method');

function sentence(error: unknown): string {
  if (!(error instanceof GatewayError)) throw error;
  if (error.code !== 'DAEMON_UNREACHABLE') return error.message;
  return error.detail['timeoutMs'] === undefined ? 'ended while it was told' : `did not answer within ${error.detail['timeoutMs']} ms`;
}
