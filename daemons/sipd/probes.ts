/**
 * What an engineer does to see how a device answers: plays a channel to nobody for some seconds, asks a question whose answer the
 * recorder shows. Each ends by itself.
 */
import type { OpenProbeParams, ProbeQuery } from '#contracts/sipd.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import type { Catalogs } from './catalogs.ts';
import type { DeviceReach } from './devices.ts';
import type { MediaPool } from './media-pool.ts';
import type { Relay } from './relay.ts';

const MAX_PROBES = 8;
const MAX_SN = 1_000_000_000;

export interface ProbesDeps {
  readonly relay: Relay;
  readonly catalogs: Catalogs;
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly random: Random;
  reach(deviceId: string): DeviceReach | null;
}

export class Probes implements Disposable {
  readonly #deps: ProbesDeps;
  readonly #open = new Map<string, { readonly held: Disposable; readonly limit: Disposable }>();

  constructor(deps: ProbesDeps) {
    this.#deps = deps;
  }

  /** Answers at once: whether pictures come is seen at the bridge. */
  open({ probeId, deviceId, channelId, seconds }: OpenProbeParams): { readonly bridgeId: string; readonly instance: string } {
    const { relay, catalogs, clock, media } = this.#deps;
    if (!catalogs.channels(deviceId).has(channelId)) throw new GatewayError('CHANNEL_UNKNOWN', { deviceId, channelId });
    if (this.#open.has(probeId) || this.#open.size >= MAX_PROBES) throw new GatewayError('CAPACITY_EXHAUSTED', { why: `${this.#open.size} probes run already` });
    const held = relay.hold(deviceId, channelId, undefined, { holderId: `probe-${probeId}`, instance: whereSeen(media), alone: true, onEnd: () => void this.close(probeId) });
    held.flowing.catch(() => undefined);
    this.#open.set(probeId, { held, limit: clock.schedule(addMs(clock.now(), seconds * 1000), () => void this.close(probeId)) });
    return { bridgeId: held.bridgeId, instance: media.nodes.shown(held.instance) };
  }

  /** Twice is once. */
  close(probeId: string): null {
    const probe = this.#open.get(probeId);
    this.#open.delete(probeId);
    probe?.limit[Symbol.dispose]();
    probe?.held[Symbol.dispose]();
    return null;
  }

  async ask({ deviceId, cmdType }: ProbeQuery): Promise<{ readonly sn: number; readonly accepted: boolean }> {
    if (this.#deps.reach(deviceId) === null) throw new GatewayError('PEER_OFFLINE', { deviceId });
    const sn = 1 + this.#deps.random.int(MAX_SN);
    return { sn, accepted: await this.#deps.catalogs.ask(deviceId, buildManscdp('Query', cmdType, { sn, deviceId }, '')) };
  }

  [Symbol.dispose](): void {
    for (const { limit } of this.#open.values()) limit[Symbol.dispose]();
    this.#open.clear();
  }
}

/** Who looks at it asks the media processes of this node; undefined: there are no others. */
const whereSeen = (media: MediaPool): string | undefined => (media.nodes.areTwo ? media.pick({ here: true }) : undefined);
