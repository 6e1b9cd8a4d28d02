/** A site: what is shut out together. An IPv4 address, or the /64 that one IPv6 customer owns. */
import { formatIp, type IpAddress, type Network, parseIp, parseNetwork } from '../ip.ts';
import { networkText } from './nft-text.ts';

const IP6_SITE_BITS = 64;

/** What is shut out together with this address: itself, or its IPv6 site. Undefined for what is no address. */
export function siteOf(address: string): string | undefined {
  const ip = parseIp(address);
  if (ip === undefined) return undefined;
  return ip.family === 4 ? formatIp(ip) : networkText({ address: ip, prefixBits: IP6_SITE_BITS });
}

/** Whether a network of `networks` has a part of this site. */
export function meets(site: string, networks: readonly Network[]): boolean {
  const own = parseNetwork(site);
  if (own === undefined) return false;
  return networks.some(other => other.address.family === own.address.family && samePrefix(other.address, own.address, Math.min(other.prefixBits, own.prefixBits)));
}

function samePrefix(a: IpAddress, b: IpAddress, bits: number): boolean {
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = (0xff << Math.max(0, 8 - (bits - bit))) & 0xff;
    if (((a.octets[bit >> 3]! ^ b.octets[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}
