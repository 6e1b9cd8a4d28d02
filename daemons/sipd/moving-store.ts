/** What moves by order of an upstream, on disk: a camera does not go on turning because we died (gb28181.md 4.5). */
import type { DueStop, Motion } from '#core/gb/control-policy.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { ChannelRef } from './catalogs.ts';

const KIND = 'moving';

interface Row {
  readonly channel: ChannelRef;
  readonly motions: readonly Motion[];
}

const keyOf = ({ deviceId, channelId }: ChannelRef): string => `${KIND}/${deviceId}/${channelId}`;

export class MovingStore {
  readonly #store: StateStore;
  /** What is on disk, as text. */
  readonly #written = new Map<string, string>();
  /** Left by whoever was here before us. */
  #left: readonly Row[];

  constructor(store: StateStore) {
    this.#store = store;
    const rows = store.loadSessions().filter(({ kind }) => kind === KIND);
    for (const { sessionId, json } of rows) this.#written.set(sessionId, json);
    this.#left = rows.map(({ json }) => JSON.parse(json) as Row);
  }

  /** Takes out what was left moving at this device. */
  takeLeft(deviceId: string): DueStop[] {
    const here = this.#left.filter(({ channel }) => channel.deviceId === deviceId);
    this.#left = this.#left.filter(row => !here.includes(row));
    return here.flatMap(({ channel, motions }) => motions.map(motion => ({ channel, motion })));
  }

  get devicesLeft(): readonly string[] {
    return [...new Set(this.#left.map(({ channel }) => channel.deviceId))];
  }

  /** Everything that moves now; what was left and not taken stays. */
  write(moving: readonly Row[]): void {
    const wanted = new Map([...this.#left, ...moving].map(({ channel: { deviceId, channelId }, motions }) => [keyOf({ deviceId, channelId }), JSON.stringify({ channel: { deviceId, channelId }, motions })]));
    for (const key of this.#written.keys()) if (!wanted.has(key)) this.#store.deleteSession(key);
    for (const [key, json] of wanted) if (this.#written.get(key) !== json) this.#store.putSession({ sessionId: key, kind: KIND, json });
    this.#written.clear();
    for (const [key, json] of wanted) this.#written.set(key, json);
  }
}
