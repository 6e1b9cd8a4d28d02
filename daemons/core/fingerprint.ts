/** Numbers that stand for texts where keeping the texts would cost too much. Not for anything that an enemy may choose. */

/** Multipliers of two independent 32-bit mixes (odd, from the fractional part of square roots). */
const LEFT = 0x9e3779b1;
const RIGHT = 0x85ebca77;

/** 1 to 2^50-1, the same for equal texts; two different ones meet once in 10^15. */
export function fingerprint(text: string): number {
  let left = 0x6a09e667;
  let right = 0x3c6ef372;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    left = Math.imul(left ^ unit, LEFT);
    right = Math.imul(right ^ unit, RIGHT);
  }
  left = Math.imul(left ^ (left >>> 15), RIGHT) ^ (right >>> 13);
  right = Math.imul(right ^ (right >>> 16), LEFT) ^ (left >>> 11);
  return ((left >>> 14) * 2 ** 32 + (right >>> 0)) || 1;
}
