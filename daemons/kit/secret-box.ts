/**
 * Secrets of the configuration at rest: `enc:v1:KEY:...`, AES-256-GCM. The keys come from the credential `viewlink-secrets` of the
 * unit, else from secrets.key beside gateway.yaml, which every daemon of the group may read. The first key seals, all open.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Random } from './random.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_BYTES = 4;
const MAX_KEYS = 64;
const PREFIX = 'enc:v1:';
const SEALED = /^enc:v1:([0-9a-f]{8}):([A-Za-z0-9_-]{38,})$/;
const LINE = /^([0-9a-f]{8}) ([A-Za-z0-9+/]{43}=)$/;
export const CREDENTIAL = 'viewlink-secrets';

export interface SecretKey {
  /** 8 hex digits. */
  readonly id: string;
  readonly key: Uint8Array;
}
/** Newest first. Empty: nothing can be sealed or opened. */
export type KeyRing = readonly SecretKey[];

export const isSealed = (text: string): boolean => text.startsWith(PREFIX);

export function newKey(random: Random): SecretKey {
  return { id: random.hex(KEY_ID_BYTES), key: random.bytes(KEY_BYTES) };
}

/** With the first key of the ring, which must have one. */
export function sealSecret(ring: KeyRing, text: string, random: Random): string {
  const { id, key } = ring[0]!;
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(id));
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return `${PREFIX}${id}:${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`;
}

/** Undefined: not of these keys, or changed. */
export function openSecret(ring: KeyRing, sealed: string): string | undefined {
  const [, id, body = ''] = SEALED.exec(sealed) ?? [];
  const key = ring.find(one => one.id === id)?.key;
  if (id === undefined || key === undefined) return undefined;
  const bytes = Buffer.from(body, 'base64url');
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const opening = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(id)).setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  try {
    return Buffer.concat([opening.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), opening.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

export function formatKeyRing(ring: KeyRing): string {
  return ['# Keys of the secrets in gateway.yaml, newest first. Whoever has this file can read them.', ...ring.map(({ id, key }) => `${id} ${Buffer.from(key).toString('base64')}`), ''].join('\n');
}

/** Lines that are no keys are passed over. */
export function parseKeyRing(text: string): KeyRing {
  return text.split('\n').flatMap(line => {
    const [, id, key] = LINE.exec(line.trim()) ?? [];
    return id === undefined || key === undefined ? [] : [{ id, key: Uint8Array.from(Buffer.from(key, 'base64')) }];
  }).slice(0, MAX_KEYS);
}

export interface KeyPlace {
  readonly path: string;
  /** It is a credential of the unit: it is not ours to write. */
  readonly credential: boolean;
}

/** Where the keys of this configuration file are. */
export function keyPlace(configPath: string, environment: NodeJS.ProcessEnv = process.env): KeyPlace {
  const directory = environment['CREDENTIALS_DIRECTORY'];
  return directory === undefined ? { path: join(dirname(configPath), 'secrets.key'), credential: false } : { path: join(directory, CREDENTIAL), credential: true };
}

/** The keys of a configuration file; empty when there are none. A unit may have other credentials than this one. */
export async function loadKeyRing(configPath: string): Promise<{ readonly ring: KeyRing; readonly place: KeyPlace }> {
  const given = keyPlace(configPath);
  const places = given.credential ? [given, keyPlace(configPath, {})] : [given];
  for (const place of places) {
    const text = await readFile(place.path, 'utf8').catch(() => undefined);
    if (text !== undefined) return { ring: parseKeyRing(text), place };
  }
  return { ring: [], place: places.at(-1)! };
}
