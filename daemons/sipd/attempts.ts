/** The last attempt to play each channel, kept for `vlink why` after everything is closed. Bounded: the oldest goes first. */
import type { BridgeStats, StrayReport } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { udpNoPorts } from '#kit/udp-proc.ts';
import type { LegMemory } from './leg-memory.ts';
import type { MediaPool } from './media-pool.ts';
import type { Source } from './source.ts';
import type { SourceLeg } from './source-leg.ts';
import type { Attempt } from './why.ts';

const MAX_CHANNELS = 10_000;

interface Entry {
  readonly leg: SourceLeg;
  readonly source: Source;
  noPortsBefore: number | null;
  ended: { readonly bridge: BridgeStats | null; readonly strays: readonly StrayReport[]; readonly noPorts: number | null } | undefined;
}

export class AttemptLog {
  readonly #media: MediaPool;
  readonly #legMemory: LegMemory;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(media: MediaPool, legMemory: LegMemory, clock: Clock) {
    this.#media = media;
    this.#legMemory = legMemory;
    this.#clock = clock;
  }

  began(leg: SourceLeg, source: Source): void {
    const key = keyOf(leg.plan.deviceId, leg.plan.channelId);
    this.#entries.delete(key);
    const entry: Entry = { leg, source, noPortsBefore: null, ended: undefined };
    this.#entries.set(key, entry);
    // Reading it takes its time, and the camera waits for its INVITE.
    setImmediate(() => (entry.noPortsBefore = udpNoPorts()));
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_CHANNELS) break;
      this.#entries.delete(oldest);
    }
  }

  /** Before a leg that never flowed is closed: what came instead. */
  async closing(leg: SourceLeg): Promise<void> {
    const entry = this.#entries.get(keyOf(leg.plan.deviceId, leg.plan.channelId));
    if (entry?.leg !== leg) return;
    entry.ended = { ...(await this.#look(entry)), noPorts: udpNoPorts() };
  }

  async last(deviceId: string, channelId: string): Promise<Attempt | null> {
    const entry = this.#entries.get(keyOf(deviceId, channelId));
    if (entry === undefined) return null;
    const { leg, source, noPortsBefore } = entry;
    const { bridge, strays, noPorts } = entry.ended ?? (leg.phase === 'ended' ? { bridge: null, strays: [], noPorts: null } : { ...(await this.#look(entry)), noPorts: udpNoPorts() });
    return {
      ageMs: this.#clock.now() - leg.history.startedAtMs,
      phase: leg.phase,
      feeds: leg === source.leg && leg.phase !== 'ended' ? source.phase : null,
      failure: leg.history.failure,
      cameraAnswered: leg.history.cameraAnswered,
      flowed: leg.history.flowed,
      bridge,
      strays,
      noPortDatagrams: noPorts === null || noPortsBefore === null ? null : noPorts - noPortsBefore,
      localMedia: leg.local === undefined ? null : `${leg.local.address}:${leg.local.port} ${leg.plan.transport}`,
      transport: leg.plan.transport,
      learnt: this.#legMemory.of(leg.plan)?.why ?? null,
    };
  }

  /** The bridge as this leg sees it: with itself as the source. */
  async #look({ leg, source }: Entry): Promise<{ bridge: BridgeStats | null; strays: readonly StrayReport[] }> {
    try {
      const { bridges, strays } = await this.#media.call(source.instance, 'listBridges', {});
      const { bridgeId } = source;
      const bridge = bridges.find(each => each.bridgeId === bridgeId);
      const own = [bridge?.source, bridge?.replacement].find(each => each?.legId === leg.plan.legId);
      return { bridge: bridge === undefined || own === undefined || own === null ? null : { ...bridge, source: own }, strays: strays.filter(stray => stray.bridgeId === bridgeId || stray.bridgeId === null) };
    } catch (error) {
      if (error instanceof GatewayError) return { bridge: null, strays: [] };
      throw error;
    }
  }
}

const keyOf = (deviceId: string, channelId: string): string => `${deviceId}/${channelId}`;
