/**
 * The 20-digit code (gb28181.md 1.1-1.7): centre 8, industry 2, type 3, network 1, serial 6. IDs stay opaque text; these
 * helpers answer undefined for what has another shape.
 */

export type IdKind = 'system' | 'civil' | 'business-group' | 'virtual-org' | 'device';

/** Type codes that are always a camera, and front-end devices that are one when they have no children (1.3). */
const CAMERA_TYPES: ReadonlySet<number> = new Set([131, 132]);
const SINGLE_CHANNEL_TYPES: ReadonlySet<number> = new Set([111, 112, 113, 118, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130]);

export const isGbId = (id: string): boolean => /^\d{20}$/.test(id);

/** Digits 11-13. */
export const typeCode = (id: string): number | undefined => (isGbId(id) ? Number(id.slice(10, 13)) : undefined);
/** Digits 1-8. */
export const centreOf = (id: string): string | undefined => (isGbId(id) ? id.slice(0, 8) : undefined);
/** Digits 9-10. */
export const industryOf = (id: string): string | undefined => (isGbId(id) ? id.slice(8, 10) : undefined);
/** Digit 14. */
export const networkOf = (id: string): string | undefined => (isGbId(id) ? id.charAt(13) : undefined);
/** SIP domain of a platform: its first ten digits (2.1). */
export const domainOf = (id: string): string => id.slice(0, 10);

/** Kind of a catalogue item by the shape of its ID (1.7). */
export function kindOf(id: string): IdKind {
  if (isCivilCode(id)) return 'civil';
  const type = typeCode(id);
  if (type === 215) return 'business-group';
  if (type === 216) return 'virtual-org';
  return type !== undefined && type >= 200 && type <= 299 ? 'system' : 'device';
}

/**
 * Whether an item can be played (1.3): cameras always; an encoder, DVR or NVR only when it has no children (it then uses its
 * own ID as its only channel). An ID of another shape is taken for a camera: old sites number them otherwise.
 */
export function isVideoChannel(id: string, hasChildren: boolean): boolean {
  const type = typeCode(id);
  if (type === undefined) return !isCivilCode(id) && id.length > 8;
  return CAMERA_TYPES.has(type) || (SINGLE_CHANNEL_TYPES.has(type) && !hasChildren);
}

/** A loudspeaker (1.3): listed like a camera, spoken to (9.1), and never played. */
export const isVoiceOutput = (id: string): boolean => typeCode(id) === 137;

export const isCivilCode = (code: string): boolean => /^(\d{2}){1,4}$/.test(code);

/** 2, 4, 6 or 8 digits without filling zeros: `330100` -> `3301`. Undefined when it is no civil code. */
export function normalizeCivilCode(code: string): string | undefined {
  if (!isCivilCode(code)) return undefined;
  const bare = code.replace(/(00)+$/, '');
  return bare === '' || bare.startsWith('00') ? undefined : bare;
}

/** Civil code in the centre code of a 20-digit ID: `33010600...` -> `330106`. */
export function civilCodeOf(id: string): string | undefined {
  const centre = centreOf(id);
  return centre === undefined ? undefined : normalizeCivilCode(centre);
}

/** The region above: the first n-2 digits (1.6). Undefined for a province. */
export const parentCivilCode = (code: string): string | undefined => (code.length > 2 ? code.slice(0, -2) : undefined);

/** The code and everything above it, from the province down. */
export function civilPath(code: string): string[] {
  const path: string[] = [];
  for (let length = 2; length <= code.length; length += 2) path.push(code.slice(0, length));
  return path;
}
