/** Where media may come from and go to, checked at the last door before the socket (faults.md 4, faults 28-30). */
import type { Endpoint, PeerRule } from '#contracts/mediad.ts';
import { contains, isBroadcast, isMulticast, isUnspecified, normalizeIp, parseIp, parseNetwork, type Network } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';

export class Peer {
  readonly latch: PeerRule['latch'];
  readonly #networks: readonly Network[];

  constructor(rule: PeerRule) {
    this.latch = rule.latch;
    this.#networks = rule.allowed.map(text => {
      const network = parseNetwork(text);
      if (network === undefined) throw new GatewayError('BAD_REQUEST', { allowed: text, why: 'neither address nor network' });
      return network;
    });
  }

  isAllowed = (address: string): boolean => {
    const ip = parseIp(address);
    return ip !== undefined && this.#networks.some(network => contains(network, ip));
  };

  /** The far end in the text that sockets report. MEDIA_TARGET_REFUSED when media must not go there. `port` 0 only where it does not matter. */
  target(remote: Endpoint, localAddress: string, portMatters: boolean): Endpoint {
    const address = normalizeIp(remote.address);
    const refuse = (why: string): never => {
      throw new GatewayError('MEDIA_TARGET_REFUSED', { address: remote.address, port: remote.port, why });
    };
    if (address === undefined) return refuse('not an address');
    if (isUnspecified(address) || isMulticast(address) || isBroadcast(address)) return refuse('not a host');
    if (address.includes(':') !== localAddress.includes(':')) return refuse('other address family than ours');
    if (!this.isAllowed(address)) return refuse('not among the peer\'s addresses');
    if (portMatters && remote.port === 0) return refuse('port 0');
    return { address, port: remote.port };
  }
}

/** Our own side of a leg, in the text that sockets report. BAD_REQUEST when it is no address: names are never looked up. */
export function localAddressOf(text: string): string {
  const address = normalizeIp(text);
  if (address === undefined) throw new GatewayError('BAD_REQUEST', { localAddress: text, why: 'not an address' });
  return address;
}
