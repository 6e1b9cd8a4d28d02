/**
 * Asks cameras for key pictures when mediad wants one: pictures are frozen, or somebody waits for the first one (faults.md 2.1).
 *
 *   media-pool (key-picture-wanted) -> channel of the bridge -> DeviceControl IFameCmd or IFrameCmd, by edition -> device
 *
 * A camera makes key pictures at the cost of everybody who watches it: a channel is asked once a second, whoever wants it.
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import { formatDeviceControl } from '#core/gb/device-control.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import type { Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';

const ASK_EVERY_MS = 1000;
const LOG_EVERY_MS = 1000;
const MAX_FIRST_SN = 1_000_000_000;
/** More than can be asked in a second; the one asked longest ago is forgotten. */
const MAX_REMEMBERED = 1024;

export interface KeyPicturesDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  reach(deviceId: string): DeviceReach | null;
  /** What a bridge plays now. */
  channelOf(bridgeId: string): ChannelRef | undefined;
}

export class KeyPictures {
  readonly #deps: KeyPicturesDeps;
  readonly #log: CountedLog;
  /** By device and channel, oldest first. */
  readonly #askedAt = new Map<string, number>();
  #sn: number;

  constructor(deps: KeyPicturesDeps) {
    this.#deps = deps;
    this.#sn = deps.random.int(MAX_FIRST_SN);
    this.#log = new CountedLog(deps.log, deps.clock, 'key-picture.asked', LOG_EVERY_MS, 'debug');
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type !== 'key-picture-wanted') return;
    const channel = this.#deps.channelOf(event.bridgeId);
    if (channel !== undefined) this.#ask(channel, event.why);
  }

  #ask({ deviceId, channelId }: ChannelRef, why: 'loss' | 'join'): void {
    const { clock, counters, catalogs } = this.#deps;
    const reach = this.#deps.reach(deviceId);
    if (reach === null || !this.#mayAsk(`${deviceId}\n${channelId}`, clock.now())) return counters.add('key-picture.not-asked');
    counters.add(`key-picture.${why}`);
    this.#log.count({ deviceId, channelId, why });
    void catalogs.ask(deviceId, buildManscdp('Control', 'DeviceControl', { sn: (this.#sn += 1), deviceId: channelId }, formatDeviceControl({ kind: 'i-frame' }, reach.version)));
  }

  #mayAsk(key: string, now: number): boolean {
    const askedAt = this.#askedAt.get(key);
    if (askedAt !== undefined && now - askedAt < ASK_EVERY_MS) return false;
    this.#askedAt.delete(key);
    this.#askedAt.set(key, now);
    if (this.#askedAt.size > MAX_REMEMBERED) this.#askedAt.delete(this.#askedAt.keys().next().value!);
    return true;
  }
}
