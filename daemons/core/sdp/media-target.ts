/** Where media may go or come from (faults.md 28-30 and 4): the reflection rule. */
import { type IpAddress, contains, isBroadcast, isLinkLocal, isLoopback, isMulticast, isUnspecified, parseIp, parseNetwork } from '../ip.ts';

export const FIRST_MEDIA_PORT = 1024;

export interface MediaTargetRule {
  /** Addresses and networks of this peer: where it registered from or is configured, and its mediaNetworks. */
  readonly allowed: readonly string[];
  /** Our own addresses, the virtual one and those of the peer node: refused unless `allowed` names that very address. */
  readonly own: readonly string[];
  readonly transport: 'udp' | 'tcp';
}

/**
 * Null when media may go to `address:port`, else the reason in words. `port` null: the peer connects to us, only the address
 * counts. Odd ports are refused over UDP only (RFC 3550 11: RTP takes the even one); TCP has no RTCP beside it.
 */
export function checkMediaTarget(address: string, port: number | null, rule: MediaTargetRule): string | null {
  const ip = parseIp(address);
  if (ip === undefined) return `${address} is not an address`;
  const byClass = checkClass(address, ip, rule);
  if (byClass !== null) return byClass;
  if (!rule.allowed.some(entry => covers(entry, ip))) return `${address} is not an address of this peer`;
  return port === null ? null : checkPort(port, rule.transport);
}

function checkClass(address: string, ip: IpAddress, rule: MediaTargetRule): string | null {
  if (isUnspecified(ip)) return `${address} is unspecified`;
  if (isMulticast(ip)) return `${address} is multicast`;
  if (isBroadcast(ip)) return `${address} is broadcast`;
  if (isLinkLocal(ip)) return `${address} is link-local`;
  if (isLoopback(ip)) return rule.allowed.some(entry => isLoopbackNetwork(entry) && covers(entry, ip)) ? null : `${address} is loopback`;
  const ours = rule.own.some(entry => covers(entry, ip));
  return ours && !rule.allowed.some(entry => isHost(entry) && covers(entry, ip)) ? `${address} is our own address` : null;
}

function checkPort(port: number, transport: 'udp' | 'tcp'): string | null {
  if (!Number.isInteger(port) || port < FIRST_MEDIA_PORT || port > 65535) return `port ${port} is not a media port`;
  return transport === 'udp' && port % 2 === 1 ? `port ${port} is odd` : null;
}

function covers(entry: string, ip: IpAddress): boolean {
  const network = parseNetwork(entry);
  return network !== undefined && contains(network, ip);
}

function isHost(entry: string): boolean {
  const network = parseNetwork(entry);
  return network !== undefined && network.prefixBits === network.address.octets.length * 8;
}

/** A network that lies inside loopback: `0.0.0.0/0` does not open it. */
function isLoopbackNetwork(entry: string): boolean {
  const network = parseNetwork(entry);
  return network !== undefined && isLoopback(entry.split('/')[0]!) && network.prefixBits >= (network.address.family === 4 ? 8 : 128);
}
