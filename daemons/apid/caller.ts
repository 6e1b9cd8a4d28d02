/** Who calls, and what he may. */
import type { Author } from '#contracts/configd.ts';
import { ACCESS_OF, type Access, type Role } from '#core/access/roles.ts';
import { ShareRule } from '#core/gb/share-rule.ts';
import type { Ms } from '#core/units.ts';

export interface Caller {
  readonly user: string;
  readonly roles: readonly Role[];
  /** What its roles allow, and its token leaves of it. */
  readonly accesses: readonly Access[];
  /** Device or channel IDs or prefixes that it may see; `*`: all. */
  readonly channels: readonly string[];
  readonly how: 'password' | 'token' | 'certificate';
  readonly mustChangePassword: boolean;
  /** Of the access token; null: a certificate. */
  readonly tokenHash: string | null;
  /** Of the certificate by which he is known; null: a token. */
  readonly certificateSha256: string | null;
  /** When the token ends; null: it is looked at again with each request. */
  readonly until: Ms | null;
  readonly address: string;
}

export const accessesOf = (roles: readonly Role[], limit?: readonly Access[] | null): Access[] => [...new Set(roles.flatMap(role => ACCESS_OF[role]))].filter(access => limit?.includes(access) ?? true);

export const seesAll = ({ channels }: Pick<Caller, 'channels'>): boolean => channels.includes('*');

export const maySee = (caller: Pick<Caller, 'channels'>, deviceId: string, channelId: string): boolean => seesAll(caller) || new ShareRule(caller.channels).covers({ deviceId, channelId });

/** As the audit log and the other daemons name him. */
export const authorOf = ({ user, address }: Pick<Caller, 'user' | 'address'>): Author => ({ user, via: 'api', address });
