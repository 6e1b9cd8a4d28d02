/**
 * What is a secret in a recorded message, made unreadable with its length kept: the answers of a digest (from which a password can be
 * guessed at leisure), basic credentials, and passwords in XML bodies. Octets in, the same octets masked.
 */
import { toByteString } from '../bytes.ts';

const MASK = 0x2a;
/** Each with the secret as its second group. */
const SECRETS: readonly RegExp[] = [
  /(\bresponse\s*=\s*"?)([0-9A-Za-z+/=]{8,256})/gi,
  /(\bAuthorization\s*:\s*Basic\s+)([^\s]{1,1024})/gi,
  /(<\s*\w{0,32}passw(?:or)?d\w{0,32}\s*>)([^<]{1,256})/gi,
  /(:\/\/[^\s:@/<>"]{1,64}:)([^\s@/<>"]{1,128})(?=@)/g,
];

/** Masks in place. */
export function maskSecrets(bytes: Uint8Array): void {
  const text = toByteString(bytes);
  for (const pattern of SECRETS) {
    for (const match of text.matchAll(pattern)) bytes.fill(MASK, match.index + match[1]!.length, match.index + match[0].length);
  }
}
