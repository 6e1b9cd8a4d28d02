/** The other daemons as a commit meets them: who is there, what each says, and that one that starts anew comes back. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import { CONFIG_SECTIONS } from '#core/config/diff.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';

const ANSWER_MS = 30_000;
/** A daemon that starts anew is back within a second, one that takes up many sessions later. */
const BACK_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 100;
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

export class Peers {
  readonly #directory: string;
  readonly #clock: Clock;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** `config`: what is in force, which says how many there should be; null when nobody knows. */
  async there(config: GatewayConfig | null): Promise<PeersThere> {
    const names = (await readdir(this.#directory).catch(() => [])).flatMap(file => SOCKET.exec(file)?.[1] ?? []).filter(name => name !== OURSELVES);
    const answering = await Promise.all(names.map(async name => ((await this.#answers(name)) ? [name] : [])));
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
    const { refused, restarting } = await this.#say(name, false, restart);
    if (refused !== null || restarting !== true) return refused;
    return (await this.#comesBack(name)) ? null : `did not come back within ${BACK_WITHIN_MS / 1000} s after its restart`;
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
    using _limit = this.#clock.schedule(addMs(this.#clock.now(), BACK_WITHIN_MS), late.resolve);
    await Promise.race([gone, late.promise]);
  }

  async #comesBack(name: string): Promise<boolean> {
    for (const limit = addMs(this.#clock.now(), BACK_WITHIN_MS); this.#clock.now() < limit; ) {
      if (await this.#answers(name)) return true;
      const pause = Promise.withResolvers<void>();
      this.#clock.schedule(addMs(this.#clock.now(), LOOK_EVERY_MS), pause.resolve);
      await pause.promise;
    }
    return false;
  }

  async #answers(name: string): Promise<boolean> {
    try {
      await using _client: RpcClient<ReloadRequests> = await connectRpc<ReloadRequests>(this.#socket(name), { clock: this.#clock });
      return true;
    } catch {
      return false;
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
