/**
 * Channels that outlets of mediad hold open: each lease is a viewer of a source without a SIP dialog.
 *
 *   mediad outlet -> RPC openOutlet -> relay.hold (join or start the source) ... first packet -> its bridge
 *   runs in another instance -> cascades: a bridge in the asked one, fed over loopback
 *   source ends   -> the lease is gone; mediad sees its bridge close
 *   sipd restarts -> mediad claims its leases again by their ids while the sources linger
 */
import type { OpenOutletParams } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { Cascades } from './cascades.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { MediaNodes } from './media-nodes.ts';
import type { Relay } from './relay.ts';
import type { HeldSource } from './relay-holders.ts';

export interface OutletsDeps {
  readonly relay: Relay;
  readonly catalogs: Catalogs;
  readonly counters: Counters;
  readonly log: Log;
  readonly cascades: Cascades;
  readonly nodes: MediaNodes;
}

interface Lease {
  readonly held: HeldSource;
  /** Where the asking instance finds it, once that is known. */
  cascade: ({ readonly bridgeId: string } & Disposable) | undefined;
  isOver: boolean;
}

export class Outlets implements Disposable {
  readonly #deps: OutletsDeps;
  readonly #leases = new Map<string, Lease>();

  constructor(deps: OutletsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#leases.size;
  }

  async open({ leaseId, instance: number, deviceId, channelId, streamNumber, label }: OpenOutletParams): Promise<{ readonly bridgeId: string }> {
    const { relay, counters, log, nodes } = this.#deps;
    const instance = nodes.named(number);
    const known = this.#leases.get(leaseId);
    if (known !== undefined) return { bridgeId: known.cascade?.bridgeId ?? known.held.bridgeId };
    const channel = this.#find(deviceId, channelId);
    const held = relay.hold(channel.deviceId, channel.channelId, streamNumber === 0 ? undefined : streamNumber, { holderId: leaseId, instance, onEnd: () => this.close(leaseId) });
    const lease: Lease = { held, cascade: undefined, isOver: false };
    this.#leases.set(leaseId, lease);
    counters.add('outlet.leases');
    log.info({ leaseId, label, ...channel, bridgeId: held.bridgeId }, 'outlet.opened');
    await held.flowing;
    return { bridgeId: await this.#bridgeFor(lease, leaseId, instance) };
  }

  async #bridgeFor(lease: Lease, leaseId: string, instance: string): Promise<string> {
    const { held } = lease;
    if (held.instance === instance) return held.bridgeId;
    this.#deps.counters.add('outlet.cascades');
    const cascade = await this.#deps.cascades.join(held, instance, () => this.close(leaseId));
    if (lease.isOver) {
      cascade[Symbol.dispose]();
      throw new GatewayError('MEDIA_UNAVAILABLE', { leaseId, why: 'closed while it opened' });
    }
    lease.cascade = cascade;
    return cascade.bridgeId;
  }

  close(leaseId: string): null {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return null;
    this.#leases.delete(leaseId);
    lease.isOver = true;
    lease.cascade?.[Symbol.dispose]();
    lease.held[Symbol.dispose]();
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
