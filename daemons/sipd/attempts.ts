/** The last attempt to play each channel, kept for `vlink why` after everything is closed. Bounded: the oldest goes first. */
import type { BridgeStats, StrayReport } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { udpNoPorts } from '#kit/udp-no-ports.ts';
import type { MediaPool } from './media-pool.ts';
import type { Source } from './source.ts';
import type { Attempt } from './why.ts';

const MAX_CHANNELS = 10_000;

interface Entry {
  readonly source: Source;
  noPortsBefore: number | null;
  ended: { readonly bridge: BridgeStats | null; readonly strays: readonly StrayReport[]; readonly noPorts: number | null } | undefined;
}

export class AttemptLog {
  readonly #media: MediaPool;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(media: MediaPool, clock: Clock) {
    this.#media = media;
    this.#clock = clock;
  }

  began(source: Source): void {
    const key = keyOf(source.plan.deviceId, source.plan.channelId);
    this.#entries.delete(key);
    const entry: Entry = { source, noPortsBefore: null, ended: undefined };
    this.#entries.set(key, entry);
    // Reading it takes its time, and the camera waits for its INVITE.
    setImmediate(() => (entry.noPortsBefore = udpNoPorts()));
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_CHANNELS) break;
      this.#entries.delete(oldest);
    }
  }

  /** Before the bridge of a source that never flowed is closed: what came instead. */
  async closing(source: Source): Promise<void> {
    const entry = this.#entries.get(keyOf(source.plan.deviceId, source.plan.channelId));
    if (entry?.source !== source) return;
    entry.ended = { ...(await this.#look(source)), noPorts: udpNoPorts() };
  }

  async last(deviceId: string, channelId: string): Promise<Attempt | null> {
    const entry = this.#entries.get(keyOf(deviceId, channelId));
    if (entry === undefined) return null;
    const { source, noPortsBefore } = entry;
    const { bridge, strays, noPorts } = entry.ended ?? (source.phase === 'closed' ? { bridge: null, strays: [], noPorts: null } : { ...(await this.#look(source)), noPorts: udpNoPorts() });
    return {
      ageMs: this.#clock.now() - source.history.startedAtMs,
      phase: source.phase,
      failure: source.history.failure,
      cameraAnswered: source.history.cameraAnswered,
      flowed: source.history.flowed,
      bridge,
      strays,
      noPortDatagrams: noPorts === null || noPortsBefore === null ? null : noPorts - noPortsBefore,
      localMedia: source.local === undefined ? null : `${source.local.address}:${source.local.port} ${source.plan.transport}`,
    };
  }

  async #look(source: Source): Promise<{ bridge: BridgeStats | null; strays: readonly StrayReport[] }> {
    try {
      const { bridges, strays } = await this.#media.call(source.plan.instance, 'listBridges', {});
      const { bridgeId } = source.plan;
      return { bridge: bridges.find(bridge => bridge.bridgeId === bridgeId) ?? null, strays: strays.filter(stray => stray.bridgeId === bridgeId || stray.bridgeId === null) };
    } catch (error) {
      if (error instanceof GatewayError) return { bridge: null, strays: [] };
      throw error;
    }
  }
}

const keyOf = (deviceId: string, channelId: string): string => `${deviceId}/${channelId}`;
