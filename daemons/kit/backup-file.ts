/** One encrypted file: scrypt of the passphrase, AES-256-GCM over the compressed content, the header bound to it. */
import { createCipheriv, createDecipheriv, scrypt } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { GatewayError } from '#core/result.ts';
import type { Random } from './random.ts';

const MAGIC = Buffer.from('VIEWLINK-BACKUP-1\n');
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const HEADER_BYTES = MAGIC.length + SALT_BYTES + NONCE_BYTES;
const CIPHER = 'aes-256-gcm';
/** 64 MiB and a fifth of a second a guess. */
const SCRYPT = { N: 2 ** 16, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };
const MAX_CONTENT = 512 * 1024 * 1024;

const bad = (why: string): GatewayError => new GatewayError('BAD_REQUEST', { why });

function keyOf(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => scrypt(passphrase.normalize('NFC'), salt, KEY_BYTES, SCRYPT, (error, key) => (error === null ? resolve(key) : reject(error))));
}

export async function sealBackup(content: string, passphrase: string, random: Random): Promise<Uint8Array> {
  const salt = random.bytes(SALT_BYTES);
  const nonce = random.bytes(NONCE_BYTES);
  const header = Buffer.concat([MAGIC, salt, nonce]);
  const cipher = createCipheriv(CIPHER, await keyOf(passphrase, salt), nonce).setAAD(header);
  const body = Buffer.concat([cipher.update(gzipSync(content)), cipher.final()]);
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}

/** BAD_REQUEST with a sentence: no backup, cut off, another passphrase or a changed byte. */
export async function openBackup(file: Uint8Array, passphrase: string): Promise<string> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw bad(bytes.length < MAGIC.length && MAGIC.subarray(0, bytes.length).equals(bytes) ? 'the file is cut off' : 'this is no backup of a ViewLink gateway');
  if (bytes.length < HEADER_BYTES + TAG_BYTES) throw bad('the file is cut off');
  const salt = bytes.subarray(MAGIC.length, MAGIC.length + SALT_BYTES);
  const opening = createDecipheriv(CIPHER, await keyOf(passphrase, salt), bytes.subarray(MAGIC.length + SALT_BYTES, HEADER_BYTES)).setAAD(bytes.subarray(0, HEADER_BYTES)).setAuthTag(bytes.subarray(-TAG_BYTES));
  let packed: Buffer;
  try {
    packed = Buffer.concat([opening.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)), opening.final()]);
  } catch {
    throw bad('the passphrase is wrong, or the file was changed or cut off');
  }
  try {
    return gunzipSync(packed, { maxOutputLength: MAX_CONTENT }).toString('utf8');
  } catch {
    throw bad('the backup is larger than can be read');
  }
}
