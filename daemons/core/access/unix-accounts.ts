/** Users and groups as passwd(5) and group(5) list them: what a uid is called, and the roles that its groups give. */
import { groupOf, ROLES, type Role } from './roles.ts';

/** Lines and members beyond these are not looked at. */
const MAX_LINES = 10_000;
const MAX_MEMBERS = 1000;
/** What the daemons run as (systemd/viewlink.sysusers.conf). */
const DAEMON_USERS: ReadonlySet<string> = new Set(['sipd', 'mediad', 'configd', 'healthd', 'apid', 'clusterd', 'diagd'].map(daemon => `viewlink-${daemon}`));

export interface UnixAccounts {
  readonly users: ReadonlyMap<number, { readonly name: string; readonly gid: number }>;
  readonly groups: readonly { readonly name: string; readonly gid: number; readonly members: readonly string[] }[];
}

const fieldsOf = (text: string): readonly (readonly string[])[] => text.split('\n', MAX_LINES).map(line => line.split(':'));
const numberIn = (field: string | undefined): number | null => (field !== undefined && /^\d{1,10}$/.test(field) ? Number(field) : null);

/** Lines that are none are passed over; of two users with one uid the first counts, as for getpwuid(3). */
export function unixAccounts(passwd: string, group: string): UnixAccounts {
  const users = new Map<number, { readonly name: string; readonly gid: number }>();
  for (const [name = '', , uidField, gidField] of fieldsOf(passwd)) {
    const uid = numberIn(uidField);
    const gid = numberIn(gidField);
    if (name !== '' && uid !== null && gid !== null && !users.has(uid)) users.set(uid, { name, gid });
  }
  const groups = fieldsOf(group).flatMap(([name = '', , gidField, members = '']) => {
    const gid = numberIn(gidField);
    return name === '' || gid === null ? [] : [{ name, gid, members: members.split(',', MAX_MEMBERS).filter(member => member !== '') }];
  });
  return { users, groups };
}

/** Of a user whose process has these groups too (its primary group, or all that getgroups(2) gives). */
export function rolesOfUser({ users, groups }: UnixAccounts, uid: number, gids: readonly number[]): readonly Role[] {
  const user = users.get(uid);
  const held = groups.filter(({ gid, members }) => gids.includes(gid) || gid === user?.gid || (user !== undefined && members.includes(user.name))).map(({ name }) => name);
  return ROLES.filter(role => held.includes(groupOf(role)));
}

export const isDaemonUser = ({ users }: UnixAccounts, uid: number): boolean => DAEMON_USERS.has(users.get(uid)?.name ?? '');
