/** How fit this node is, looked at again and again: its daemons, links and disk, and whether the state arrives. */
import { statfsSync } from 'node:fs';
import { loadavg, availableParallelism, networkInterfaces } from 'node:os';
import type { ConfigdRequests, PairReport } from '#contracts/configd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdDuty, SipdRequests } from '#contracts/sipd.ts';
import { type Fitness, fitnessOf } from '#core/cluster/fitness.ts';
import type { Guests } from '#core/cluster/media-places.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { RpcLink } from '#kit/rpc-link.ts';

const EVERY_MS = 500;
const PATIENCE_MS = 1500;

export interface SelfWatchOptions {
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly instances: number;
  /** Of this node, one on each network. */
  readonly addresses: readonly string[];
  /** Null: there is nothing to be in step with. */
  readonly inSync: () => boolean | null;
  readonly clock: Clock;
  readonly log: Log;
  /** sipd answers, first or again: it begins as standby. */
  readonly onSipd: () => void;
  readonly onFitness: (fitness: Fitness) => void;
}

export class SelfWatch implements AsyncDisposable {
  readonly #options: SelfWatchOptions;
  readonly sipd: RpcLink<SipdRequests>;
  readonly #configd: RpcLink<ConfigdRequests>;
  readonly #mediads: readonly RpcLink<MediadRequests>[];
  #timer: Disposable | undefined;
  #closed = false;
  fitness: Fitness = { value: 0, lacks: ['not looked at yet'] };
  duty: SipdDuty | null = null;
  /** Null: configd does not say. */
  configuration: PairReport | null = null;

  constructor(options: SelfWatchOptions) {
    this.#options = options;
    const { runDirectory, instances, clock, log, onSipd } = options;
    this.sipd = new RpcLink<SipdRequests>(`${runDirectory}/sipd.sock`, { clock, log, onUp: onSipd });
    this.#configd = new RpcLink<ConfigdRequests>(`${runDirectory}/configd.sock`, { clock, log });
    this.#mediads = Array.from({ length: instances }, (_, index) => new RpcLink<MediadRequests>(`${runDirectory}/mediad-${index + 1}.sock`, { clock, log }));
  }

  async start(): Promise<void> {
    await Promise.all([this.sipd.start(), this.#configd.start(), ...this.#mediads.map(link => link.start())]);
    await this.#look();
    this.#again();
  }

  get mediaLives(): boolean {
    return this.#mediads.some(link => link.up);
  }

  /** Bridges on an address of the other node. One that does not answer may have any. */
  async guestsOn(address: string): Promise<Guests> {
    const answers = await Promise.all(this.#mediads.filter(link => link.up).map(link => link.call('bridgesOn', { address }, { timeoutMs: PATIENCE_MS }).catch(() => undefined)));
    if (answers.some(answer => answer === undefined || answer.movable < answer.bridges)) return 'bound';
    return answers.every(answer => answer!.bridges === 0) ? 'none' : 'movable';
  }

  /** Percent of the processors. */
  get load(): number {
    return Math.min(100, Math.round((100 * loadavg()[0]!) / availableParallelism()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await Promise.all([this.sipd, this.#configd, ...this.#mediads].map(link => link[Symbol.asyncDispose]()));
  }

  #again(): void {
    const { clock } = this.#options;
    this.#timer = clock.schedule(addMs(clock.now(), EVERY_MS), () => void this.#look().then(() => this.#closed || this.#again()));
  }

  async #look(): Promise<void> {
    [this.duty, this.configuration] = await Promise.all([orNull(this.sipd.call('duty', {}, { timeoutMs: PATIENCE_MS })), orNull(this.#configd.call('pair', {}, { timeoutMs: PATIENCE_MS }))]);
    const { addresses, inSync, instances, onFitness } = this.#options;
    const present = new Set(Object.values(networkInterfaces()).flatMap(each => each!.map(({ address }) => address)));
    this.fitness = fitnessOf({
      sipd: this.duty !== null,
      mediad: { up: this.#mediads.filter(link => link.up).length, configured: instances },
      links: { up: addresses.filter(address => present.has(address)).length, known: addresses.length },
      diskFreePercent: this.#diskFreePercent(),
      inSync: inSync(),
      configurationHeld: this.configuration?.held ?? null,
    });
    onFitness(this.fitness);
  }

  #diskFreePercent(): number {
    try {
      const { blocks, bavail } = statfsSync(this.#options.stateDirectory);
      return blocks === 0 ? 100 : (100 * bavail) / blocks;
    } catch {
      return 0;
    }
  }
}

/** Null: it does not answer. */
async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof GatewayError) return null;
    throw error;
  }
}
