/** Where events may be posted to: never to what answers only because it is us who ask (faults.md 83). */
import { classOf, isBroadcast, isIp, isLinkLocal, isLoopback, isMulticast, isUnspecified } from '../ip.ts';

/** ASCII only: full-width digits, escapes and dots of other scripts become addresses on their way. */
const HOST = /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?(?:[/?]|$)/;
/** Clouds tell secrets of the machine to whoever asks from it: besides the link-local ones, which none may have. */
const isMetadata = classOf('100.100.100.200/32', 'fd00:ec2::254/128', '192.0.0.192/32');
/** IPv6 addresses that stand for IPv4 ones: translated (RFC 6052), 6to4, Teredo, and the form that was given up (RFC 4291 2.5.5.1). */
const isEmbedding = classOf('64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32', '::/96');
const LOCAL_NAME = /^(localhost|.*\.localhost|localhost\.localdomain)\.?$/i;

/** Of an address that a name led to, or that stands in the URL. `local`: loopback is meant. */
export function isForbiddenTarget(address: string, local: boolean): boolean {
  if (!isIp(address)) return true;
  if (isLoopback(address)) return !local;
  return local || isMetadata(address) || isEmbedding(address) || isLinkLocal(address) || isMulticast(address) || isBroadcast(address) || isUnspecified(address);
}

/** Why nothing is posted to this URL; null: it may be. What a name leads to is looked at when it is called. */
export function webhookHostProblem(url: string, local: boolean): string | null {
  const host = HOST.exec(url)?.[1];
  if (host === undefined) return 'expected http(s)://HOST[:PORT]/PATH';
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (!isIp(bare)) {
    // What ends in a number is read as an address by some: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
    if (/(^|\.)(\d+|0x[\da-f]*)\.?$/i.test(bare) || bare.includes(':')) return `${host} is neither a name nor an address`;
    return LOCAL_NAME.test(bare) && !local ? 'this machine: say local: true' : null;
  }
  if (isLoopback(bare) && !local) return 'this machine: say local: true';
  if (!isLoopback(bare) && local) return 'local: true is for loopback addresses';
  return isForbiddenTarget(bare, local) ? `nothing is posted to ${bare}` : null;
}
