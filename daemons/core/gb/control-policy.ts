/**
 * What an upstream's controls may do to a camera: how often (fault 22), and that a movement does not outlive the operator
 * (gb28181.md 4.5). For one channel and each of its two kinds of motion:
 *
 *     STILL --move--> MOVING(by upstream) --move of another--> MOVING(by that one)
 *       ^                |            |
 *       +-----stop-------+            +-- upstream is gone: stop is due --> STILL
 */
import { type PtzCommand, isStop } from './ptz.ts';
import { type Ms, ms } from '../units.ts';
import type { ChannelKey } from './id-mapping.ts';

/** Controls, and questions, of one upstream for one channel; as many at once. */
export const CONTROLS_PER_S = 10;
/** Buckets that are kept; the longest unused goes first, and is full again if it comes back. */
const MAX_BUCKETS = 20_000;

/** The two kinds of motion have a stop each (4.2, 4.3). */
export type Motion = 'move' | 'lens';

export interface DueStop {
  readonly channel: ChannelKey;
  readonly motion: Motion;
}

interface Moving {
  readonly channel: ChannelKey;
  readonly by: Partial<Record<Motion, string>>;
}

export class ControlPolicy {
  readonly #buckets = new Map<string, { tokens: number; at: Ms }>();
  readonly #moving = new Map<string, Moving>();

  /** Whether one more is within its rate: controls together, questions together. A stop always is. */
  admit(upstream: string, channel: ChannelKey, what: PtzCommand | 'control' | 'question', now: Ms): boolean {
    if (typeof what !== 'string' && isStop(what)) return true;
    const key = `${what === 'question' ? '?' : ''}${upstream}\n${keyOf(channel)}`;
    const bucket = this.#buckets.get(key) ?? { tokens: CONTROLS_PER_S, at: now };
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!);
    bucket.tokens = Math.min(CONTROLS_PER_S, bucket.tokens + (Math.max(0, now - bucket.at) * CONTROLS_PER_S) / 1000);
    bucket.at = ms(Math.max(bucket.at, now));
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Went out to the camera. */
  sent(upstream: string, channel: ChannelKey, { kind, ...rest }: PtzCommand): void {
    if (kind !== 'move' && kind !== 'lens') return;
    const moving = this.#moving.get(keyOf(channel)) ?? { channel, by: {} };
    if (isStop({ kind, ...rest } as PtzCommand)) delete moving.by[kind];
    else moving.by[kind] = upstream;
    if (moving.by.move === undefined && moving.by.lens === undefined) this.#moving.delete(keyOf(channel));
    else this.#moving.set(keyOf(channel), moving);
  }

  /** Nobody is there any more who could stop what this upstream moves; of all of them without a name. */
  upstreamGone(upstream?: string): DueStop[] {
    const due: DueStop[] = [];
    for (const [key, { channel, by }] of this.#moving) {
      for (const motion of ['move', 'lens'] as const) {
        if (by[motion] === undefined || (upstream !== undefined && by[motion] !== upstream)) continue;
        delete by[motion];
        due.push({ channel, motion });
      }
      if (by.move === undefined && by.lens === undefined) this.#moving.delete(key);
    }
    return due;
  }

  /** What this upstream moves; of all of them without a name. */
  movedBy(upstream: string): ChannelKey[] {
    return [...this.#moving.values()].filter(({ by }) => by.move === upstream || by.lens === upstream).map(({ channel }) => channel);
  }

  /** It may move this camera no longer; or not so. */
  withdraw(upstream: string, { deviceId, channelId }: ChannelKey, motions: readonly Motion[] = ['move', 'lens']): DueStop[] {
    const moving = this.#moving.get(keyOf({ deviceId, channelId }));
    const due = motions.filter(motion => moving?.by[motion] === upstream);
    for (const motion of due) delete moving!.by[motion];
    if (moving !== undefined && moving.by.move === undefined && moving.by.lens === undefined) this.#moving.delete(keyOf(moving.channel));
    return due.map(motion => ({ channel: moving!.channel, motion }));
  }

  /** A camera that went away moves no more, or cannot be told. */
  deviceGone(deviceId: string): void {
    for (const [key, { channel }] of this.#moving) if (channel.deviceId === deviceId) this.#moving.delete(key);
  }

  get moving(): number {
    return this.#moving.size;
  }

  /** Everything that moves. */
  get movements(): { readonly channel: ChannelKey; readonly motions: readonly Motion[] }[] {
    return [...this.#moving.values()].map(({ channel, by }) => ({ channel, motions: (['move', 'lens'] as const).filter(motion => by[motion] !== undefined) }));
  }
}

const keyOf = ({ deviceId, channelId }: ChannelKey): string => `${deviceId}\n${channelId}`;
