/** Where events may be posted to: never to what answers only because it is us who ask (faults.md 83). */
import { isBroadcast, isIp, isLinkLocal, isLoopback, isMulticast, isUnspecified } from '../ip.ts';

const HOST = /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^/:?#@\s]+)(?::\d{1,5})?(?:[/?]|$)/;
const LOCAL_NAME = /^(localhost|.*\.localhost|localhost\.localdomain)\.?$/i;

/** Of an address that a name led to, or that stands in the URL. `local`: loopback is meant. */
export function isForbiddenTarget(address: string, local: boolean): boolean {
  if (!isIp(address)) return true;
  return isLinkLocal(address) || isMulticast(address) || isBroadcast(address) || isUnspecified(address) || isLoopback(address) !== local;
}

/** Why nothing is posted to this URL; null: it may be. What a name leads to is looked at when it is called. */
export function webhookHostProblem(url: string, local: boolean): string | null {
  const host = HOST.exec(url)?.[1];
  if (host === undefined) return 'expected http(s)://HOST[:PORT]/PATH';
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (!isIp(bare)) {
    // Numbers that some resolvers read as addresses: 2130706433, 0x7f.1, 127.1.
    if (/^[0-9.]+$|^0x/i.test(bare) || bare.includes(':')) return `${host} is neither a name nor an address`;
    return LOCAL_NAME.test(bare) && !local ? 'this machine: say local: true' : null;
  }
  if (isLoopback(bare) && !local) return 'this machine: say local: true';
  if (!isLoopback(bare) && local) return 'local: true is for loopback addresses';
  return isForbiddenTarget(bare, local) ? `nothing is posted to ${bare}` : null;
}
