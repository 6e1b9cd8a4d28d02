/** What happens, for whoever listens over RPC: made only while somebody does, and not faster than a listener can take. */
import type { SipdEvent } from '#contracts/sipd.ts';
import type { Clock } from '#kit/clock.ts';

/** On average, and as many at once. */
const EVENTS_PER_S = 500;
/** Channels named in one event. */
const MAX_NAMED = 100;

export interface EventSink {
  readonly clients: number;
  notifyAll(event: SipdEvent): void;
}

export class EventFeed {
  readonly #clock: Clock;
  #sink: EventSink | undefined;
  #tokens = EVENTS_PER_S;
  #at = 0;
  #dropped = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on: when the RPC server stands. */
  open(sink: EventSink): void {
    this.#sink = sink;
  }

  say(event: () => SipdEvent): void {
    const sink = this.#sink;
    if (sink === undefined || sink.clients === 0) return;
    const now = this.#clock.now();
    this.#tokens = Math.min(EVENTS_PER_S, this.#tokens + ((now - this.#at) * EVENTS_PER_S) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return void (this.#dropped += 1);
    this.#tokens -= 1;
    if (this.#dropped > 0) sink.notifyAll({ type: 'events-dropped', dropped: this.#dropped });
    this.#dropped = 0;
    sink.notifyAll(event());
  }

  channelStates(deviceId: string, channelIds: readonly string[], statusOf: (channelId: string) => 'ON' | 'OFF'): void {
    if (channelIds.length === 0) return;
    this.say(() => ({ type: 'channel-states', deviceId, channels: channelIds.slice(0, MAX_NAMED).map(channelId => ({ channelId, status: statusOf(channelId) })), more: Math.max(0, channelIds.length - MAX_NAMED) }));
  }
}
