/** What is made of the one secret of a pair: nothing that travels shows it, nor one of them another. */
import { systemHashes } from './hashes.ts';
import type { Random } from './random.ts';

const keyOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** Password of the Redis of both nodes. */
export const redisPassword = (pairKey: string): string => systemHashes.hmacSha256(keyOf(pairKey), 'viewlink redis');

const KEY_BYTES = 32;
export const newPairKey = (random: Random): string => Buffer.from(random.bytes(KEY_BYTES)).toString('base64url');

/** Tells one key from another, and says nothing of either. */
export const pairKeyId = (pairKey: string): string => systemHashes.hmacSha256(keyOf(pairKey), 'viewlink key').slice(0, 8);

/** Key of the nonces that devices are given: what one node gave out, the other one believes. */
export const nonceSecret = (pairKey: string): Uint8Array => keyOf(systemHashes.hmacSha256(keyOf(pairKey), 'viewlink nonce'));

/** HMAC-SHA256 of heartbeats. */
export function heartbeatMac(pairKey: string): (text: string) => string {
  const key = keyOf(systemHashes.hmacSha256(keyOf(pairKey), 'viewlink heartbeat'));
  return text => systemHashes.hmacSha256(key, text);
}
