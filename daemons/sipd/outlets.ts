/**
 * Channels that outlets of mediad hold open: each lease is a viewer of a source without a SIP dialog.
 *
 *   mediad outlet -> RPC openOutlet -> relay.hold (join or start the source) ... first packet -> its bridge
 *   source ends   -> the lease is gone; mediad sees its bridge close
 *   sipd restarts -> mediad claims its leases again by their ids while the sources linger
 */
import type { OpenOutletParams } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from './counters.ts';
import type { HeldSource, Relay } from './relay.ts';

export interface OutletsDeps {
  readonly relay: Relay;
  readonly catalogs: Catalogs;
  readonly counters: Counters;
  readonly log: Log;
}

export class Outlets implements Disposable {
  readonly #deps: OutletsDeps;
  readonly #leases = new Map<string, HeldSource>();

  constructor(deps: OutletsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#leases.size;
  }

  async open({ leaseId, instance, deviceId, channelId, streamNumber, label }: OpenOutletParams): Promise<{ readonly bridgeId: string }> {
    const { relay, counters, log } = this.#deps;
    const known = this.#leases.get(leaseId);
    if (known !== undefined) return { bridgeId: known.bridgeId };
    const channel = this.#find(deviceId, channelId);
    const held = relay.hold(channel.deviceId, channel.channelId, streamNumber === 0 ? undefined : streamNumber, { holderId: leaseId, instance, onEnd: () => this.#leases.delete(leaseId) });
    this.#leases.set(leaseId, held);
    counters.add('outlet.leases');
    log.info({ leaseId, label, ...channel, bridgeId: held.bridgeId }, 'outlet.opened');
    await held.flowing;
    return { bridgeId: held.bridgeId };
  }

  close(leaseId: string): null {
    const held = this.#leases.get(leaseId);
    this.#leases.delete(leaseId);
    held?.[Symbol.dispose]();
    return null;
  }

  [Symbol.dispose](): void {
    this.#leases.clear();
  }

  #find(deviceId: string | null, channelId: string): { readonly deviceId: string; readonly channelId: string } {
    const fitting = [...this.#deps.catalogs.allChannels()].filter(channel => channel.channelId === channelId && (deviceId === null || channel.deviceId === deviceId));
    if (fitting.length > 1) throw new GatewayError('BAD_REQUEST', { channelId, why: 'more than one device has this channel; name the device' });
    const [channel] = fitting;
    if (channel === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { channelId });
    return { deviceId: channel.deviceId, channelId: channel.channelId };
  }
}
