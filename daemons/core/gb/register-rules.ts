/** What can be said of a REGISTER without knowing the device's state: who may, with what contact, for how long (gb28181.md 2.3). */
import type { Admission } from './admission.ts';
import type { ContactAddress, OfflineReason, Source } from './binding.ts';
import { isIp, normalizeHost } from '../ip.ts';
import { versionOf } from './dialect.ts';
import type { HeaderField } from '../sip/message.ts';
import { formatUri, sipUri } from '../sip/uri.ts';

/** Default of the standard when the device asks for nothing. */
const DEFAULT_EXPIRES_S = 86_400;

export interface RegistrarOptions {
  /** Our 20-digit ID: what some devices put into To. */
  readonly ownId: string;
  readonly minExpiresS: number;
  readonly maxExpiresS: number;
  readonly keepaliveS: number;
  readonly keepaliveMisses: number;
  readonly keepaliveRevives: boolean;
  readonly redirects: readonly Redirect[];
}

/** Where devices whose IDs begin with `prefix` shall register (2022 9.1.2.3). */
export interface Redirect {
  readonly prefix: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly expiresS: number;
}

/** Verdict on the Authorization of this REGISTER; `headers` are the challenge fields. */
export type AuthVerdict =
  | { readonly type: 'accepted'; readonly username: string }
  | { readonly type: 'challenge'; readonly headers: readonly HeaderField[] }
  | { readonly type: 'refused' }
  | { readonly type: 'malformed' }
  | { readonly type: 'locked' };

export interface RegisterFacts {
  /** User of From. */
  readonly deviceId: string;
  /** User of To. */
  readonly toUser: string;
  readonly source: Source;
  /** First Contact; `*` as it stood; undefined when absent. */
  readonly contact: ContactAddress | '*' | undefined;
  readonly callId: string;
  readonly cseq: number;
  /** Contact's expires, else the Expires header, in seconds. */
  readonly expiresS: number | undefined;
  /** X-GB-Ver as it stood. */
  readonly gbVersion?: string | undefined;
  readonly admission: Admission;
  /** Undefined when the admission is open or denied: nothing was checked. */
  readonly verdict: AuthVerdict | undefined;
  /** Whether the digest user is another device that we know by name. */
  readonly usernameIsOther?: boolean;
}

export interface RegisterAnswer {
  /** Null: no answer at all. */
  readonly status: number | null;
  /** For the log. */
  readonly why: string;
  /** Granted, in a 200; goes into Expires and Contact. */
  readonly expiresS?: number;
  readonly headers: readonly HeaderField[];
}

export type RegistrarEvent =
  | { readonly type: 'online'; readonly deviceId: string; readonly how: 'registered' | 'revived' }
  | { readonly type: 'refreshed'; readonly deviceId: string }
  /** New Call-ID. When a refresh was due anyway it may be a device that takes a new one each time: do not end its sessions. */
  | { readonly type: 'rebooted'; readonly deviceId: string; readonly refreshWasDue: boolean }
  | { readonly type: 'moved'; readonly deviceId: string; readonly from: Source; readonly to: Source }
  | { readonly type: 'offline'; readonly deviceId: string; readonly reason: OfflineReason }
  /** Alarm. `refused`: moves too often; the registration that stands was kept. */
  | { readonly type: 'duplicate-id'; readonly deviceId: string; readonly from: string; readonly to: string; readonly refused: boolean };

export interface Registered {
  readonly answer: RegisterAnswer;
  readonly events: readonly RegistrarEvent[];
}

/** Every stateless reason to say no, in the order in which a stranger may learn of it. */
export function judgeFacts(facts: RegisterFacts, { ownId, minExpiresS }: RegistrarOptions): Registered | undefined {
  const { deviceId, toUser, admission, verdict, contact, source, expiresS } = facts;
  if (toUser !== deviceId && toUser !== '' && toUser !== ownId) return refuse(403, 'From and To are different devices');
  if (admission.how === 'denied') return refuse(403, admission.why);
  if (admission.how === 'digest' && verdict?.type !== 'accepted') return refuseVerdict(verdict);
  if (facts.usernameIsOther === true) return refuse(403, 'digest user is another device');
  if (expiresS !== undefined && !(expiresS >= 0)) return refuse(400, 'Expires is negative');
  if (contact === '*' && expiresS !== 0) return refuse(400, 'Contact * without Expires: 0');
  if (expiresS !== undefined && expiresS > 0 && expiresS < minExpiresS) return refuse(423, `Expires ${expiresS} is too brief`, [{ name: 'Min-Expires', value: String(minExpiresS) }]);
  const named = usableContact(facts);
  const elsewhere = named !== undefined && normalizeHost(named.address) !== normalizeHost(source.address);
  return elsewhere && !admission.policy.contactElsewhere ? refuse(403, `Contact at ${named.address}, sent from ${source.address}`) : undefined;
}

/** A Contact with an address; names are never resolved, requests then go where the REGISTER came from. */
export const usableContact = ({ contact }: RegisterFacts): ContactAddress | undefined => (contact === '*' || contact === undefined || !isIp(contact.address) ? undefined : contact);

/** Seconds granted; 0 unregisters. */
export const grantExpires = (askedS: number | undefined, { minExpiresS, maxExpiresS }: RegistrarOptions): number => (askedS === 0 ? 0 : Math.max(minExpiresS, Math.min(askedS ?? DEFAULT_EXPIRES_S, maxExpiresS)));

export const refuse = (status: number | null, why: string, headers: readonly HeaderField[] = []): Registered => ({ answer: { status, why, headers }, events: [] });

function refuseVerdict(verdict: AuthVerdict | undefined): Registered {
  switch (verdict?.type) {
    case 'challenge':
      return refuse(401, 'challenged', verdict.headers);
    case 'malformed':
      return refuse(400, 'Authorization cannot be read');
    case 'locked':
      return refuse(null, 'locked out after wrong passwords');
    default:
      return refuse(403, 'wrong password');
  }
}

/** The version is echoed in every answer to a device that knows the header (2022 Annex I). */
export function withVersion({ answer, events }: Registered, { gbVersion }: RegisterFacts): Registered {
  return gbVersion === undefined ? { answer, events } : { answer: { ...answer, headers: [...answer.headers, { name: 'X-GB-Ver', value: '3.0' }] }, events };
}

/** 302 to a device that asks to be registered and knows what it means: 2016 has no such answer. */
export function redirectFor({ deviceId, gbVersion }: RegisterFacts, { redirects }: RegistrarOptions): Registered | undefined {
  const redirect = versionOf(gbVersion) === '2022' ? redirects.find(({ prefix }) => deviceId.startsWith(prefix)) : undefined;
  if (redirect === undefined) return undefined;
  const { id, address, port, expiresS } = redirect;
  const contact = `<${formatUri(sipUri(id, address, port))}>`;
  return refuse(302, `redirected to ${id}`, [{ name: 'Contact', value: contact }, { name: 'Expires', value: String(expiresS) }]);
}
