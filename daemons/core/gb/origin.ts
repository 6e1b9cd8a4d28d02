/**
 * Where something came from and through whom, so that platforms in a ring, or two that are registered at each other, never hand it
 * round (gb28181.md 1.7 Annex H, 8.4): what came from a platform is not offered back to it, and what comes back to us is not taken
 * for something new. One form of the way in catalogue items and in X-RoutePath: IDs of platforms joined with -, the latest first.
 */
import { typeCode } from './device-id.ts';

/** A way through more platforms than this is a ring that nobody noticed. */
export const MAX_HOPS = 8;
const MAX_ID = 64;

/** The IDs of a way; undefined when it is none. Absent and empty: no way at all. */
export function parseRoute(text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text.trim() === '') return [];
  if (text.length > MAX_HOPS * 4 * (MAX_ID + 1)) return undefined;
  const ids = text.trim().split('-').map(id => id.trim());
  return ids.every(id => /^[0-9A-Za-z]{1,64}$/.test(id)) ? ids : undefined;
}

/** We stand in front of those who had it before us. */
export const formatRoute = (own: string, before: readonly string[]): string => [own, ...before].join('-');

/** It has been at one of ours, or it has been everywhere. */
export const isReturned = (route: readonly string[], own: ReadonlySet<string>): boolean => route.length >= MAX_HOPS || route.some(id => own.has(id));

/** Platforms and other servers: what they have may be somebody else's, perhaps ours. */
export function isPlatformId(id: string): boolean {
  const type = typeCode(id);
  return type !== undefined && type >= 200 && type <= 299;
}

/** A peer as both roles see it: our upstream, and what registers here. */
export interface PeerPlace {
  readonly id: string;
  /** Signalling address and port; undefined while it is not registered. */
  readonly at: { readonly address: string; readonly port: number } | undefined;
}

/** Whether a device below is the platform above: by ID, or from the same address and port, whatever ID it registers under. */
export function isSamePeer(upstream: PeerPlace, device: PeerPlace): boolean {
  if (upstream.id === device.id) return true;
  return isPlatformId(device.id) && upstream.at !== undefined && device.at !== undefined && upstream.at.address === device.at.address && upstream.at.port === device.at.port;
}

/** Whether an item may go to this platform: it is not the one that gave it to us, nor has it had it before. */
export const mayOffer = (upstreamId: string, via: { readonly fromThisPeer: boolean; readonly route: readonly string[] }): boolean => !via.fromThisPeer && !via.route.includes(upstreamId);
