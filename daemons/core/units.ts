/**
 * Numbers that carry their unit in the type. A plain number becomes one of these only here, at the door.
 */
declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]: Name };

/** Milliseconds on the monotonic clock: durations and deadlines. Never comparable with a wall time. */
export type Ms = Unit<'ms'>;
/** Milliseconds since 1970-01-01T00:00:00Z. For display, `Date` headers and rows on disk; never for deadlines. */
export type WallMs = Unit<'wall-ms'>;
/** Ticks of the 90 kHz media clock (ISO/IEC 13818-1, RFC 3550). */
export type Ticks90k = Unit<'90kHz'>;

export const ms = (value: number): Ms => value as Ms;
export const wallMs = (value: number): WallMs => value as WallMs;
export const ticks90k = (value: number): Ticks90k => value as Ticks90k;
export const seconds = (value: number): Ms => (value * 1000) as Ms;

/** "Not happening": later than every deadline, so that no timer and a timer compare with the same `<`. */
export const NEVER = Infinity as Ms;

export const addMs = (at: Ms, delay: number): Ms => (at + delay) as Ms;
export const earliest = (...deadlines: readonly Ms[]): Ms => deadlines.reduce((a, b) => (a < b ? a : b), NEVER);

/** Signed distance b - a on the 32-bit 90 kHz clock: positive when b is later. */
export const ticksBetween = (a: Ticks90k, b: Ticks90k): number => (b - a) | 0;
