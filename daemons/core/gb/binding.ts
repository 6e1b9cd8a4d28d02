/** One registration of a device below us, and its row on disk. */
import { normalizeHost } from '../ip.ts';
import { isSipUri } from '../sip/message.ts';
import { formatUri, parseUri, sipUri } from '../sip/uri.ts';
import { type Ms, type WallMs, addMs, ms, wallMs } from '../units.ts';

/** Where none is named (RFC 3261 19.1.2). */
export const DEFAULT_SIP_PORT = 5060;

/** Where a message came from. */
export interface Source {
  readonly transport: 'UDP' | 'TCP';
  readonly address: string;
  readonly port: number;
  /** TCP: the connection. */
  readonly connectionId?: number | undefined;
}

export interface ContactAddress {
  readonly address: string;
  readonly port: number;
}

export type OfflineReason = 'unregistered' | 'expired' | 'keepalive-lost' | 'connection-lost';

/** State of one device that registered at least once. */
export interface Binding {
  readonly deviceId: string;
  readonly online: boolean;
  /** Why it is offline. */
  readonly reason: OfflineReason | undefined;
  readonly source: Source;
  /** As it named itself; undefined without Contact. */
  readonly contact: ContactAddress | undefined;
  /** Where requests to it go. */
  readonly target: Source;
  readonly callId: string;
  readonly cseq: number;
  readonly grantedS: number;
  readonly registeredAt: Ms;
  /** End of the registration; it may be offline before. */
  readonly expiresAt: Ms;
  /** Last REGISTER, keepalive or other message. */
  readonly lastSeenAt: Ms;
  /** Last keepalive; undefined before the first. */
  readonly keepaliveAt: Ms | undefined;
}

/** What survives a restart. Wall times, because monotonic ones begin anew with every process. */
export interface BindingRow {
  readonly deviceId: string;
  readonly transport: 'UDP' | 'TCP';
  readonly address: string;
  readonly port: number;
  readonly contactAddress: string | null;
  readonly contactPort: number | null;
  readonly callId: string;
  readonly cseq: number;
  readonly grantedS: number;
  readonly savedAtWallMs: number;
  readonly expiresAtWallMs: number;
}

/** The same as the store has it. */
export interface StoredBinding extends Omit<BindingRow, 'contactAddress' | 'contactPort' | 'grantedS'> {
  /** Empty: it named none. */
  readonly contactUri: string;
}

/**
 * Requests follow the Contact when it is at the address that the device sends from (its source port may be another one each
 * time, quirk 11), else the observed source: a Contact from behind NAT cannot be reached (gb28181.md 2.1).
 */
export function targetOf(source: Source, contact: ContactAddress | undefined): Source {
  const direct = contact !== undefined && normalizeHost(contact.address) === normalizeHost(source.address);
  return direct ? { ...source, port: contact.port } : source;
}

export const sameTarget = (a: Source, b: Source): boolean => a.transport === b.transport && a.address === b.address && a.port === b.port && a.connectionId === b.connectionId;

export function bindingRow(binding: Binding, now: Ms, wall: WallMs): BindingRow {
  const { deviceId, source, contact, callId, cseq, grantedS, expiresAt } = binding;
  return {
    deviceId,
    transport: source.transport,
    address: source.address,
    port: source.port,
    contactAddress: contact?.address ?? null,
    contactPort: contact?.port ?? null,
    callId,
    cseq,
    grantedS,
    savedAtWallMs: wall,
    expiresAtWallMs: wallMs(wall + (expiresAt - now)),
  };
}

export function storedBinding({ contactAddress, contactPort, grantedS: _, ...row }: BindingRow): StoredBinding {
  return { ...row, contactUri: contactAddress === null ? '' : formatUri(sipUri(row.deviceId, contactAddress, contactPort ?? undefined)) };
}

/** Granted time is the distance between the two wall times: the row is written when it is granted, and not again before the next. */
export function rowOfStored({ contactUri, ...row }: StoredBinding): BindingRow {
  const uri = parseUri(contactUri);
  const contact = uri.ok && isSipUri(uri.value) ? uri.value : undefined;
  const grantedS = Math.max(0, Math.round((row.expiresAtWallMs - row.savedAtWallMs) / 1000));
  return { ...row, contactAddress: contact?.host ?? null, contactPort: contact === undefined ? null : (contact.port ?? DEFAULT_SIP_PORT), grantedS };
}

/**
 * A binding back from disk. The wall clock may have jumped while we were away, in either direction (faults.md 110): what it says
 * is kept between `graceMs` and the granted time, so that no jump expires every device at once. A connection does not survive.
 */
export function restoreBinding(row: BindingRow, now: Ms, wall: WallMs, graceMs: number): Binding {
  const grantedMs = row.grantedS * 1000;
  const steppedBack = wall < row.savedAtWallMs;
  const leftMs = steppedBack ? grantedMs : Math.min(grantedMs, Math.max(Math.min(graceMs, grantedMs), row.expiresAtWallMs - wall));
  const source: Source = { transport: row.transport, address: row.address, port: row.port };
  const contact = row.contactAddress === null || row.contactPort === null ? undefined : { address: row.contactAddress, port: row.contactPort };
  const { deviceId, callId, cseq, grantedS } = row;
  const registeredAt = ms(now - (grantedMs - leftMs));
  return { deviceId, online: true, reason: undefined, source, contact, target: targetOf(source, contact), callId, cseq, grantedS, registeredAt, expiresAt: addMs(now, leftMs), lastSeenAt: now, keepaliveAt: undefined };
}
