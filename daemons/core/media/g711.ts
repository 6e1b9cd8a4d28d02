/** From one law of G.711 to the other (ITU-T G.711 tables 1a, 2a): each octet has one nearest neighbour, so a table does it. */
import type { Codec } from './codec.ts';

export type G711Law = 'g711a' | 'g711u';

/** 13 bits of A-law, at the scale of 16. */
function decodeA(octet: number): number {
  const value = octet ^ 0x55;
  const segment = (value >> 4) & 7;
  const low = ((value & 0x0f) << 4) | 8;
  const magnitude = segment === 0 ? low : (low + 0x100) << (segment - 1);
  return (value & 0x80) !== 0 ? magnitude : -magnitude;
}

const U_BIAS = 0x84;

/** 14 bits of mu-law, at the scale of 16. */
function decodeU(octet: number): number {
  const value = ~octet & 0xff;
  const magnitude = ((((value & 0x0f) << 3) + U_BIAS) << ((value >> 4) & 7)) - U_BIAS;
  return (value & 0x80) !== 0 ? -magnitude : magnitude;
}

/** Of every octet of the other law the one that sounds most like it; of two, the one nearer to silence, of two zeros the positive. */
function tableFrom(decode: (octet: number) => number, decodeTarget: (octet: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, octet) => {
    const wanted = decode(octet);
    let best = 0;
    for (let candidate = 1; candidate < 256; candidate++) {
      const [there, here] = [decodeTarget(candidate), decodeTarget(best)];
      const step = Math.abs(there - wanted) - Math.abs(here - wanted);
      const nearer = step === 0 && (Math.abs(there) < Math.abs(here) || (Math.abs(there) === Math.abs(here) && there > here));
      if (step < 0 || nearer) best = candidate;
    }
    return best;
  });
}

const A_TO_U = tableFrom(decodeA, decodeU);
const U_TO_A = tableFrom(decodeU, decodeA);

export const isG711 = (codec: Codec): codec is G711Law => codec === 'g711a' || codec === 'g711u';

/** Samples under another law; the same bytes when it is the same. */
export function toLaw(bytes: Uint8Array, from: G711Law, to: G711Law): Uint8Array {
  if (from === to) return bytes;
  const table = from === 'g711a' ? A_TO_U : U_TO_A;
  return bytes.map(octet => table[octet]!);
}
