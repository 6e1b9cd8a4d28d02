/**
 * How a camera is asked for its media where experience knows better than the configuration: over TCP after UDP was lossy, over UDP
 * after TCP came to nothing. Kept over restarts, and forgotten in time: networks are mended.
 */
import type { LegTransport } from '#contracts/mediad.ts';
import type { Clock } from '#kit/clock.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { ChannelRef } from './catalogs.ts';

const KIND = 'leg-memory';
/** TCP that came to nothing is tried again after this at the earliest. */
export const TCP_REST_MS = 3_600_000;

export interface LegExperience extends ChannelRef {
  readonly transport: LegTransport;
  /** One sentence for `vlink why`. */
  readonly why: string;
  readonly untilWallMs: number;
}

const keyOf = ({ deviceId, channelId }: ChannelRef): string => `${KIND}/${deviceId}/${channelId}`;

export class LegMemory {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #known = new Map<string, LegExperience>();

  constructor(store: StateStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    for (const row of store.loadSessions()) if (row.kind === KIND) this.#known.set(row.sessionId, JSON.parse(row.json) as LegExperience);
  }

  of(channel: ChannelRef): LegExperience | undefined {
    const key = keyOf(channel);
    const known = this.#known.get(key);
    if (known === undefined || known.untilWallMs > this.#clock.wall()) return known;
    this.#known.delete(key);
    this.#store.deleteSession(key);
    return undefined;
  }

  learn({ deviceId, channelId }: ChannelRef, transport: LegTransport, forMs: number, why: string): void {
    const experience: LegExperience = { deviceId, channelId, transport, why, untilWallMs: this.#clock.wall() + forMs };
    this.#known.set(keyOf(experience), experience);
    this.#store.putSession({ sessionId: keyOf(experience), kind: KIND, json: JSON.stringify(experience) });
  }
}
