/**
 * What two nodes know each other by: an authority that signs for nobody else, a certificate and a key each. It is made when they
 * are paired, and its own key is gone when both have their certificates: nobody can ever sign a third.
 *
 * The certificates end with no date (RFC 5280 4.1.2.5) and begin before any clock of ours: what ends the trust is `forget` or
 * the next pairing, and a clock that is wrong by years must not part the nodes.
 */
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '#core/result.ts';
import { type WallMs, wallMs } from '#core/units.ts';
import { type CertificateParts, NO_END, certificate, toBeSigned } from '#core/x509/certificate.ts';
import { OWNER_ONLY, removeDurably, writeDurably } from './durable.ts';
import type { Random } from './random.ts';

const SERIAL_BYTES = 16;
const NAME_BYTES = 8;
const MAX_PEM = 8192;
/** 2000-01-01: where a clock without its battery begins. */
const EVER: WallMs = wallMs(946_684_800_000);

const pem = z.string().max(MAX_PEM);
const schema = z.strictObject({ own: z.string().max(32), peer: z.string().max(32), authority: pem, certificate: pem, key: pem });

/** Names of nodes; PEM. */
export type PairTrust = Readonly<z.infer<typeof schema>>;

export const trustPath = (stateDirectory: string): string => join(stateDirectory, 'cluster', 'trust.json');

export interface Authority {
  /** PEM. */
  readonly certificate: string;
  /** PEM, for the node `name` with this key. */
  issue(name: string, publicKey: KeyObject, life?: Life): string;
}

type Life = Pick<CertificateParts, 'notBefore' | 'notAfter'>;
const ALWAYS: Life = { notBefore: EVER, notAfter: NO_END };

/** PEM. Without an issuer the key signs for itself. */
function signed(name: string, publicKey: KeyObject, by: KeyObject, random: Random, issuer?: string, life: Life = ALWAYS): string {
  const text = toBeSigned({ name, addresses: [], serial: random.bytes(SERIAL_BYTES), ...life, publicKey: publicKey.export({ type: 'spki', format: 'der' }), ...(issuer !== undefined && { issuer }) });
  return new X509Certificate(certificate(text, sign('sha256', text, by))).toString();
}

/** Its key is in here and nowhere else. */
export function newAuthority(random: Random): Authority {
  const { privateKey, publicKey } = newKeys();
  const name = `viewlink-pair-${random.hex(NAME_BYTES)}`;
  return { certificate: signed(name, publicKey, privateKey, random), issue: (subject, key, life) => signed(subject, key, privateKey, random, name, life) };
}

/** Vouches for itself: whoever was told its fingerprint knows it. PEM. */
export function newOneself(name: string, random: Random): { readonly cert: string; readonly key: string } {
  const keys = newKeys();
  return { cert: signed(name, keys.publicKey, keys.privateKey, random), key: keyPem(keys) };
}

/** SHA-256 of a certificate, lower-case hex. */
export const fingerprintOf = (pem: string | Buffer): string => new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export const newKeys = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const keyPem = ({ privateKey }: KeyPair): string => privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

/** Both halves at once, for whoever has both nodes in hand. */
export function newPairTrust(names: readonly [string, string], random: Random): readonly [PairTrust, PairTrust] {
  const authority = newAuthority(random);
  const half = (own: string, peer: string): PairTrust => {
    const keys = newKeys();
    return { own, peer, authority: authority.certificate, certificate: authority.issue(own, keys.publicKey), key: keyPem(keys) };
  };
  return [half(names[0], names[1]), half(names[1], names[0])];
}

/** Undefined: this node is in no pair. STORE_FAILED: there is something that cannot be used. */
export function readTrust(path: string): PairTrust | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new GatewayError('STORE_FAILED', { file: path, why: (error as NodeJS.ErrnoException).code ?? 'unreadable' }, { cause: error });
  }
  const trust = usableTrust(text);
  if (typeof trust === 'string') throw new GatewayError('STORE_FAILED', { file: path, why: trust });
  return trust;
}

/** Or why it cannot be used. Nothing of it is repeated. */
export function usableTrust(text: string): PairTrust | string {
  try {
    const trust = schema.parse(JSON.parse(text));
    const [authority, own] = [new X509Certificate(trust.authority), new X509Certificate(trust.certificate)];
    if (!own.checkPrivateKey(createPrivateKey(trust.key))) return 'the key is not that of the certificate';
    if (!own.verify(createPublicKey(authority.publicKey.export({ type: 'spki', format: 'pem' })))) return 'the certificate is not of this authority';
    return own.subject === `CN=${trust.own}` ? trust : 'the certificate has another name';
  } catch {
    return 'not what was written';
  }
}

export function writeTrust(path: string, trust: PairTrust): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  writeDurably(path, `${JSON.stringify(trust)}\n`, OWNER_ONLY);
}

export const forgetTrust = (path: string): void => removeDurably(path);
