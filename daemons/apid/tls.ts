/** The certificate that the API shows: from files, or one that vouches for itself, made at the first start and kept. */
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { wallMs } from '#core/units.ts';
import { certificate, toBeSigned } from '#core/x509/certificate.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';

const DAY_MS = 86_400_000;
/** Browsers and libraries take no longer ones. */
const LIFE_DAYS = 825;
/** A self-signed one is made anew so long before its end. */
const RENEW_DAYS = 30;
const MAX_ADDRESSES = 16;

export interface TlsMaterial {
  /** PEM, the own certificate first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  readonly sha256: string;
  readonly selfSigned: boolean;
  readonly notAfterWallMs: number;
}

/** CONFIG_INVALID when the files cannot be read or do not belong together. */
export function loadTls(certificateFile: string, keyFile: string): TlsMaterial {
  try {
    const [cert, key] = [readFileSync(certificateFile, 'utf8'), readFileSync(keyFile, 'utf8')];
    const first = new X509Certificate(cert);
    if (!first.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate');
    return { ...factsOf(first), cert, key, selfSigned: false };
  } catch (error) {
    throw new GatewayError('CONFIG_INVALID', { field: 'api.certificateFile', why: `certificate and key cannot be used: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}` }, { cause: error });
  }
}

export interface OwnTlsParts {
  readonly directory: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
}

/** The kept one, unless it ends soon or an address is new; then another with the same key, which some clients have noted. Its name may be of before. */
export function ownTls(parts: OwnTlsParts): TlsMaterial {
  const [certPath, keyPath] = [join(parts.directory, 'tls.crt'), join(parts.directory, 'tls.key')];
  const kept = existsSync(certPath) && existsSync(keyPath) ? keptTls(certPath, keyPath) : undefined;
  if (kept !== undefined && !endsSoon(kept, parts.clock) && covers(kept.cert, parts)) return kept;
  const made = makeTls(kept === undefined ? parts : { ...parts, addresses: [...new Set([...parts.addresses, ...addressesOf(kept.cert)])].slice(0, MAX_ADDRESSES) }, kept?.key);
  mkdirSync(parts.directory, { recursive: true, mode: 0o750 });
  for (const [path, text] of [[keyPath, made.key], [certPath, made.cert]] as const) {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return made;
}

export const endsSoon = ({ notAfterWallMs }: TlsMaterial, clock: Clock): boolean => notAfterWallMs - clock.wall() <= RENEW_DAYS * DAY_MS;

function keptTls(certPath: string, keyPath: string): TlsMaterial | undefined {
  try {
    return { ...loadTls(certPath, keyPath), selfSigned: true };
  } catch {
    return undefined;
  }
}

const covers = (pem: string, { addresses }: OwnTlsParts): boolean => {
  const kept = new X509Certificate(pem);
  return addresses.every(address => kept.checkIP(address) !== undefined);
};

/** Those it was for stay in, so that an address that comes back needs no other certificate. */
const addressesOf = (pem: string): string[] => [...(new X509Certificate(pem).subjectAltName ?? '').matchAll(/IP Address:([^,]+)/g)].map(([, address]) => address!);

function makeTls({ name, addresses, clock, random }: OwnTlsParts, keptKey: string | undefined): TlsMaterial {
  const privateKey = keptKey === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : createPrivateKey(keptKey);
  const publicKey = createPublicKey(privateKey);
  const now = clock.wall();
  const signed = toBeSigned({
    name,
    addresses: addresses.flatMap(address => parseIp(address)?.octets ?? []),
    serial: random.bytes(16),
    // Clocks of others may be behind ours.
    notBefore: wallMs(now - DAY_MS),
    notAfter: wallMs(now + LIFE_DAYS * DAY_MS),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  });
  const made = new X509Certificate(certificate(signed, sign('sha256', signed, privateKey)));
  return { ...factsOf(made), cert: made.toString(), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, selfSigned: true };
}

const factsOf = (found: X509Certificate): Pick<TlsMaterial, 'sha256' | 'notAfterWallMs'> => ({ sha256: found.fingerprint256.replaceAll(':', '').toLowerCase(), notAfterWallMs: found.validToDate.getTime() });
