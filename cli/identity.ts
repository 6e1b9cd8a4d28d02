/** Who sits at this vlink: the Unix user, the roles that its groups give, and where it came from. */
import { stat } from 'node:fs/promises';
import type { Author } from '#contracts/configd.ts';
import { groupOf, mayDo, neededOf, type Needs, type Role, ROLES } from '#core/access/roles.ts';
import { isIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { Accounts } from '#kit/accounts.ts';

const ROOT_UID = 0;
const MAX_NAME = 64;
/** Root at the console is who sets the gateway up, and who mends it. */
const ROOT_ROLES: readonly Role[] = ['admin', 'security', 'auditor'];

export interface Identity {
  readonly user: string;
  readonly uid: number;
  readonly roles: readonly Role[];
  /** Of the SSH client; null on the console. */
  readonly address: string | null;
}

/** The environment is believed where it cannot give anybody more than he has. */
export function identityOf(environment: NodeJS.ProcessEnv, accounts: Accounts = new Accounts()): Identity {
  const uid = process.getuid?.() ?? ROOT_UID;
  const name = (accounts.nameOf(uid) ?? String(uid)).slice(0, MAX_NAME);
  const behind = environment['SUDO_USER'];
  const isRoot = uid === ROOT_UID;
  return {
    user: isRoot && behind !== undefined && /^[\w.-]{1,64}$/.test(behind) ? behind : name,
    uid,
    roles: isRoot ? ROOT_ROLES : accounts.rolesOf(uid, process.getgroups?.() ?? []),
    address: clientAddress(environment['SSH_CONNECTION']),
  };
}

/** `SSH_CONNECTION`: client address, client port, server address, server port. */
function clientAddress(connection: string | undefined): string | null {
  const [address = ''] = (connection ?? '').split(' ');
  return isIp(address) ? address : null;
}

export const authorOf = ({ user, address }: Identity): Author => ({ user, via: 'cli', address });

/** Whoever runs the daemons himself, in a clone or on a bench, may do with them what he likes. */
async function runsTheDaemons({ uid }: Identity, runDir: string): Promise<boolean> {
  const owner = await stat(runDir).then(found => found.uid, () => null);
  return owner === uid;
}

/** Rejects with NOT_PERMITTED and the roles that would do. */
export async function assertPermitted(identity: Identity, needs: Needs, what: string, runDir: () => Promise<string>): Promise<void> {
  if (identity.uid === ROOT_UID || mayDo(identity.roles, needs)) return;
  if (await runsTheDaemons(identity, await runDir())) return;
  const wanted = neededOf(needs).map(access => ROLES.filter(role => mayDo([role], access)).map(groupOf).join(' or ')).join(' and ');
  throw new GatewayError('NOT_PERMITTED', { what, user: identity.user, has: identity.roles.join(', ') || 'no role', needs: wanted });
}
