/**
 * The one code by which a new node is let into a pair: thirty characters in groups of five, digits and letters without I, L, O and U.
 *
 *   20 secret (100 bits): what both prove to each other to know | 9 of the fingerprint (45 bits): whom the new node may tell it to |
 *   1 check: over GF(32), so that one wrong character and any two that changed places are found before anything is dialled
 */
import { type Result, fail, ok } from '../result.ts';

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const ALIKE: Readonly<Record<string, string>> = { I: '1', L: '1', O: '0' };
const SECRET = 20;
const FINGERPRINT = 9;
const LENGTH = SECRET + FINGERPRINT + 1;
const GROUP = 5;
const MAX_TYPED = 64;
/** x^5 + x^2 + 1. */
const POLYNOMIAL = 0b100101;

export const SECRET_DIGITS = SECRET;

export interface PairingCode {
  /** Twenty digits as they stand in the code. */
  readonly secret: string;
  /** Of the certificate over there, as `fingerprintDigits` makes it. */
  readonly fingerprint: string;
}

/** `numbers`: random, 0 to 31 each. */
export const secretDigits = (numbers: readonly number[]): string => numbers.map(number => DIGITS[number & 31]!).join('');

/** The first bits of a SHA-256, in hex. */
export function fingerprintDigits(sha256: string): string {
  const bits = Array.from(sha256.slice(0, 12), digit => parseInt(digit, 16).toString(2).padStart(4, '0')).join('');
  return Array.from({ length: FINGERPRINT }, (_, i) => DIGITS[parseInt(bits.slice(5 * i, 5 * i + 5), 2)]!).join('');
}

const times2 = (value: number): number => ((value << 1) ^ (value & 16 ? POLYNOMIAL : 0)) & 31;
/** Zero over a whole code. */
const remainder = (text: string): number => Array.from(text).reduce((sum, digit) => times2(sum) ^ DIGITS.indexOf(digit), 0);

export function formatPairingCode({ secret, fingerprint }: PairingCode): string {
  const body = secret + fingerprint;
  const text = body + DIGITS[times2(remainder(body))]!;
  return Array.from({ length: LENGTH / GROUP }, (_, i) => text.slice(GROUP * i, GROUP * (i + 1))).join('-');
}

/** As people type it: small letters, blanks and dashes as they come. */
export function parsePairingCode(typed: string): Result<PairingCode> {
  if (typed.length > MAX_TYPED) return fail(MAX_TYPED, 'too long for a code');
  let text = '';
  for (const [at, character] of Array.from(typed).entries()) {
    if (/[\s-]/.test(character)) continue;
    const digit = ALIKE[character.toUpperCase()] ?? character.toUpperCase();
    if (digit.length !== 1 || !DIGITS.includes(digit)) return fail(at, 'no character of a code');
    text += digit;
  }
  if (text.length !== LENGTH) return fail(typed.length, `a code has ${LENGTH} characters, these are ${text.length}`);
  if (remainder(text) !== 0) return fail(0, 'mistyped: the characters do not belong together');
  return ok({ secret: text.slice(0, SECRET), fingerprint: text.slice(SECRET, SECRET + FINGERPRINT) });
}
