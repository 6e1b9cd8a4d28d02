/** What is made of the one secret of a pair: nothing that travels shows it, nor one of them another. */
import { systemHashes } from './hashes.ts';

const keyOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** Password of the Redis of both nodes. */
export const redisPassword = (pairKey: string): string => systemHashes.hmacSha256(keyOf(pairKey), 'viewlink redis');

/** Key of the nonces that devices are given: what one node gave out, the other one believes. */
export const nonceSecret = (pairKey: string): Uint8Array => keyOf(systemHashes.hmacSha256(keyOf(pairKey), 'viewlink nonce'));

/** HMAC-SHA256 of heartbeats. */
export function heartbeatMac(pairKey: string): (text: string) => string {
  const key = keyOf(systemHashes.hmacSha256(keyOf(pairKey), 'viewlink heartbeat'));
  return text => systemHashes.hmacSha256(key, text);
}
