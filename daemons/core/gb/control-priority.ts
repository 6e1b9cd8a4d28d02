/**
 * Who may steer a camera when several want to (configuration: upstreams[].priority, devices.ptzHoldS; ControlPriority of the command,
 * gb28181.md 3.3). For one channel:
 *
 *     FREE --command--> HELD(by operator, for holdMs) --command of at least this rank--> HELD(by that one, anew)
 *       ^                 |    |
 *       +---time is over--+    +-- command of a lower rank: refused, and nothing changes
 *
 * The priority of the upstream goes first, whatever its operators claim. A STOP always passes and holds nothing.
 */
import type { ChannelKey } from './id-mapping.ts';
import { type Ms, addMs } from '../units.ts';

/** Channels that are kept; the one that was steered longest ago is free again before its time. */
const MAX_HELD = 20_000;

export interface Operator {
  readonly upstream: string;
  /** Of the upstream, 0 to 255. */
  readonly priority: number;
  /** ControlPriority of the command; a command without one claims nothing, and is not below any other. The higher number is taken for the higher priority. */
  readonly commandPriority: number | undefined;
}

interface Hold extends Operator {
  readonly since: Ms;
}

export class ControlPriority {
  readonly #held = new Map<string, Hold>();

  /** Undefined: may steer, and holds it from now on. Otherwise who holds it. */
  steer(channel: ChannelKey, operator: Operator, holdMs: number, now: Ms): Operator | undefined {
    const key = keyOf(channel);
    const held = this.#held.get(key);
    if (held !== undefined && now < addMs(held.since, holdMs) && isBelow(operator, held)) return held;
    this.#held.delete(key);
    if (holdMs > 0) this.#held.set(key, { ...operator, since: now });
    if (this.#held.size > MAX_HELD) this.#held.delete(this.#held.keys().next().value!);
    return undefined;
  }

  /** Its registration ended: what it held is free. */
  upstreamGone(upstream: string): void {
    for (const [key, hold] of this.#held) if (hold.upstream === upstream) this.#held.delete(key);
  }

  get size(): number {
    return this.#held.size;
  }
}

function isBelow(one: Operator, other: Operator): boolean {
  if (one.priority !== other.priority) return one.priority < other.priority;
  return one.commandPriority !== undefined && other.commandPriority !== undefined && one.commandPriority < other.commandPriority;
}

const keyOf = ({ deviceId, channelId }: ChannelKey): string => `${deviceId}\n${channelId}`;
