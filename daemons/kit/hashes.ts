import { type KeyObject, createHash, createHmac, createSecretKey } from 'node:crypto';

/** Hash functions that core takes as arguments. Input is a byte string (one character an octet), output lower-case hex. */
export interface Hashes {
  md5(text: string): string;
  sha256(text: string): string;
  /** `key` must not change after its first use. */
  hmacSha256(key: Uint8Array, text: string): string;
}

/** Of the bytes as they were first seen. Making one for every MAC costs ten times the MAC. */
const keys = new WeakMap<Uint8Array, KeyObject>();

function keyOf(bytes: Uint8Array): KeyObject {
  let key = keys.get(bytes);
  if (key === undefined) keys.set(bytes, (key = createSecretKey(bytes)));
  return key;
}

export const systemHashes: Hashes = {
  md5: text => createHash('md5').update(text, 'latin1').digest('hex'),
  sha256: text => createHash('sha256').update(text, 'latin1').digest('hex'),
  hmacSha256: (key, text) => createHmac('sha256', keyOf(key)).update(text, 'latin1').digest('hex'),
};
