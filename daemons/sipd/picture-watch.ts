/** IO around core/gb/picture-faults: what the relay and mediad see of channels goes into the catalogue, and from there to subscribers. */
import type { MediadEvent } from '#contracts/mediad.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { type FaultChange, PictureFaults } from '#core/gb/picture-faults.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';

/** So long without a whole picture, although key pictures were asked for. */
const DEFECT_MS = 20_000;
/** Signs of freezing come every second. */
const HEAL_MS = 5000;

export interface PictureWatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  config(): GatewayConfig;
  /** What a bridge plays now; undefined: nothing live. */
  channelOf(bridgeId: string): ChannelRef | undefined;
}

export class PictureWatch implements Disposable {
  readonly #deps: PictureWatchDeps;
  readonly #faults: PictureFaults;
  readonly #alarm: Alarm;

  constructor(deps: PictureWatchDeps) {
    this.#deps = deps;
    this.#faults = new PictureFaults({ defectMs: DEFECT_MS, healMs: HEAL_MS, forgetMs: deps.config().devices.media.faultS * 1000 });
    this.#alarm = new Alarm(deps.clock, () => this.#apply(this.#faults.tick(deps.clock.now())));
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  /** Its camera answered, and nothing comes of it. */
  lost(channel: ChannelRef): void {
    if (this.#isOn) this.#apply(this.#faults.lost(keyOf(channel), this.#deps.clock.now()));
  }

  flows(channel: ChannelRef): void {
    this.#apply(this.#faults.flows(keyOf(channel)));
    // Said before a restart, or by its device: we see better.
    if (this.#deps.catalogs.channels(channel.deviceId).get(channel.channelId)?.fault === 'VLOST') this.#tell(channel, undefined);
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type !== 'key-picture-wanted' || event.why !== 'loss' || !this.#isOn) return;
    const channel = this.#deps.channelOf(event.bridgeId);
    if (channel !== undefined) this.#apply(this.#faults.frozen(keyOf(channel), this.#deps.clock.now()));
  }

  get #isOn(): boolean {
    return this.#deps.config().devices.media.faultS > 0;
  }

  #apply(changes: readonly FaultChange[]): void {
    for (const { key, fault } of changes) {
      const [deviceId = '', channelId = ''] = key.split('\n');
      this.#tell({ deviceId, channelId }, fault);
    }
    this.#alarm.arm(this.#faults.deadline);
  }

  #tell(channel: ChannelRef, fault: FaultChange['fault']): void {
    const { catalogs, counters, log } = this.#deps;
    counters.add(`picture.${(fault ?? 'fine').toLowerCase()}`);
    log.warn({ ...channel, fault: fault ?? null }, 'picture.fault');
    catalogs.observed(channel, fault);
  }
}

const keyOf = ({ deviceId, channelId }: ChannelRef): string => `${deviceId}\n${channelId}`;
