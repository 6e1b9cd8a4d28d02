/**
 * What two nodes say to each other while they are paired: one line of JSON each, over TLS to the certificate that the code names.
 *
 *   new node                                   node with the code
 *   hello: proof, its key, its clock  ------>  knows the code? clocks, releases, names fit?
 *                                     <------  welcome: proof, certificates, configuration; or refused
 *   ready: it could be in force here  ------>  keeps the trust
 *          or refused                 <------  ready
 */
import { z } from 'zod';
import { formatGbTime } from '../gb/gb-time.ts';
import { type Result, fail, ok } from '../result.ts';
import { type WallMs, wallMs } from '../units.ts';

export const MAX_HELLO = 4096;
/** A whole configuration, with its secrets. */
export const MAX_WELCOME = 8 * 1024 * 1024;
const MAX_PEM = 8192;
const MAX_WHY = 2000;
const FORMAT = 1;
/** More, and certificates, logs and heartbeats of the two would not fit together. */
const MAX_CLOCK_DIFFERENCE_MS = 300_000;

const name = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/);
const address = z.string().max(64);
const proof = z.string().regex(/^[0-9a-f]{64}$/);
const base64 = z.string().regex(/^[A-Za-z0-9+/]{1,1024}={0,2}$/);
const pem = z.string().max(MAX_PEM);

/** Null: whatever the other node says. */
export const wishesSchema = z.strictObject({ name: name.nullable(), link: address.nullable(), lan: address.nullable(), media: address.nullable() });
export type PairingWishes = z.infer<typeof wishesSchema>;

export const helloSchema = z.strictObject({ format: z.literal(FORMAT), proof, publicKey: base64, wallMs: z.int().min(0), release: z.string().max(32), schemaVersion: z.int().min(0), localAddress: address, wishes: wishesSchema });
export type PairingHello = z.infer<typeof helloSchema>;

export const welcomeSchema = z.strictObject({ proof, own: name, peer: name, authority: pem, certificate: pem, text: z.string().max(MAX_WELCOME) });
export type PairingWelcome = z.infer<typeof welcomeSchema>;

export const refusedSchema = z.strictObject({ refused: z.string().max(MAX_WHY) });
export const readySchema = z.strictObject({ ready: z.literal(true) });

export const PAIRING_FORMAT = FORMAT;

export const formatLine = (message: object): string => `${JSON.stringify(message)}\n`;
export const refusedLine = (why: string): string => formatLine({ refused: why.slice(0, MAX_WHY) });

/** One line without its end. Total. */
export function parseLine<Message>(schema: z.ZodType<Message>, line: string): Result<Message> {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    return fail(0, 'no JSON');
  }
  const checked = schema.safeParse(read);
  return checked.success ? ok(checked.data) : fail(0, checked.error.issues[0]?.path.join('.') ?? 'not what was expected');
}

/** What HMAC-SHA256 under the secret is taken of: who says it, in this one TLS session and no other. */
export const proofText = (says: 'new node' | 'node with the code', exporter: string): string => `viewlink pairing: ${says} ${exporter}`;

/** Why these two do not fit together; null: they do */
export function misfit(theirs: Pick<PairingHello, 'wallMs' | 'schemaVersion' | 'release'>, ours: { readonly wallMs: WallMs; readonly schemaVersion: number; readonly release: string }): string | null {
  const apartMs = Math.abs(theirs.wallMs - ours.wallMs);
  if (apartMs > MAX_CLOCK_DIFFERENCE_MS) return `the clocks differ by ${spell(apartMs)}: it is ${formatGbTime(wallMs(theirs.wallMs))} on the new node and ${formatGbTime(ours.wallMs)} on the other one; set the wrong one, then join again with the same code`;
  if (theirs.schemaVersion < ours.schemaVersion) return `release ${theirs.release} of the new node cannot read the configuration of release ${ours.release}: update it first`;
  return null;
}

function spell(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60)];
  return days > 730 ? `${Math.round(days / 365)} years` : days > 2 ? `${days} days` : hours > 2 ? `${hours} hours` : `${minutes} minutes`;
}
