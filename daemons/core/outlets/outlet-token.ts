/**
 * Access to one stream of one channel of the outlets for a limited time, as a word that fits a URL: `EXPIRES.MAC`, EXPIRES in seconds
 * since 1970, MAC the first 128 bits of HMAC-SHA-256 over the channel, its stream where that is not the main one, and EXPIRES. Nobody
 * else's channel, no other stream and no later time fits it.
 */
import { fail, ok, type Result } from '../result.ts';
import type { WallMs } from '../units.ts';

/** Longer tokens are nobody's. */
const MAX_TOKEN_CHARS = 64;
const MAC_CHARS = 32;
/** A year: a token that is meant to be kept is a user with a password. */
export const MAX_TOKEN_S = 366 * 86_400;

/** HMAC-SHA-256 under the key of the configuration, lower-case hex. */
export type TokenMac = (text: string) => string;

/** What a token is for. */
export interface TokenSubject {
  /** As written in the URL. */
  readonly channel: string;
  /** 0: main stream. */
  readonly streamNumber: number;
}

const macOf = ({ channel, streamNumber }: TokenSubject, expiresAtS: number, mac: TokenMac): string =>
  mac(`outlet\n${channel}\n${streamNumber === 0 ? '' : `stream ${streamNumber}\n`}${expiresAtS}`).slice(0, MAC_CHARS);

export function signToken(subject: TokenSubject, expiresAtS: number, mac: TokenMac): string {
  return `${expiresAtS}.${macOf(subject, expiresAtS, mac)}`;
}

/** Answers when it ends. `at` of a failure is 0: nobody is told which part was wrong. */
export function checkToken(token: string, subject: TokenSubject, now: WallMs, mac: TokenMac): Result<{ readonly expiresAtS: number }> {
  const form = token.length <= MAX_TOKEN_CHARS ? /^(\d{1,11})\.([0-9a-f]{32})$/.exec(token) : null;
  if (form === null) return fail(0, 'not a token of ours');
  const expiresAtS = Number(form[1]);
  if (!sameText(macOf(subject, expiresAtS, mac), form[2]!)) return fail(0, 'not a token of ours');
  if (expiresAtS * 1000 <= now) return fail(0, 'the token has expired');
  if (expiresAtS * 1000 > now + MAX_TOKEN_S * 1000) return fail(0, 'not a token of ours');
  return ok({ expiresAtS });
}

/** Takes as long for the first wrong character as for the last. Both are of one length. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length && i < b.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
