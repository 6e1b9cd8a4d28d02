import { createHash, createHmac } from 'node:crypto';

/** Hash functions that core takes as arguments. Input is a byte string (one character an octet), output lower-case hex. */
export interface Hashes {
  md5(text: string): string;
  sha256(text: string): string;
  hmacSha256(key: Uint8Array, text: string): string;
}

export const systemHashes: Hashes = {
  md5: text => createHash('md5').update(text, 'latin1').digest('hex'),
  sha256: text => createHash('sha256').update(text, 'latin1').digest('hex'),
  hmacSha256: (key, text) => createHmac('sha256', key).update(text, 'latin1').digest('hex'),
};
