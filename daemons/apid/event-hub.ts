/** Events of all daemons, for those who listen over HTTP and for webhooks: the last ones are kept for who comes back. */
import type { ConfigdEvent } from '#contracts/configd.ts';
import type { HealthdEvent } from '#contracts/healthd.ts';
import type { SipdEvent } from '#contracts/sipd.ts';
import { EventRing, type Kept, type Replay } from '#core/api/event-ring.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';

const KEPT = 2000;

type Inner = SipdEvent | HealthdEvent | ConfigdEvent | { readonly type: 'daemon-lost' | 'daemon-back'; readonly daemon: string };

/** `data`: what belongs to this type; where it has a deviceId, only who may see that device gets it. */
export interface ApiEvent {
  readonly type: string;
  readonly atWallMs: number;
  readonly data: Readonly<Record<string, unknown>>;
}

export type KeptEvent = Kept<ApiEvent>;

/** What events of ConfigdEvent are called outside. */
const NAMES: Readonly<Record<string, string>> = { committed: 'config-committed', returned: 'config-returned' };

export class EventHub {
  readonly #clock: Clock;
  readonly #ring: EventRing<ApiEvent>;
  readonly #listeners = new Set<(event: KeptEvent) => void>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#ring = new EventRing(random.hex(4), KEPT);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  put({ type, ...data }: Inner): void {
    const kept = this.#ring.put({ type: NAMES[type] ?? type, atWallMs: this.#clock.wall(), data });
    for (const listener of [...this.#listeners]) listener(kept);
  }

  since(lastId: string | undefined): Replay<ApiEvent> {
    return this.#ring.since(lastId);
  }

  listen(listener: (event: KeptEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
