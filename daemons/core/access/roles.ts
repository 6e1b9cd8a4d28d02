/**
 * Who may do what: five roles, kept apart as the protection grades ask (faults.md 7), and one table that the command line,
 * the API and the daemons share. An auditor reads the log and changes nothing; the security officer keeps users and policy
 * and sees no pictures; nobody is everything.
 */
export const ROLES = ['admin', 'security', 'auditor', 'operator', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

/**
 * - `read`: state, inventory, health, alarms, why.
 * - `watch`: pictures: live, recordings, snapshots.
 * - `operate`: steering a camera, acknowledging alarms, asking for a catalogue.
 * - `diagnose`: traces, captures, probes, support bundles: they show addresses and signalling.
 * - `configure`: the configuration; backup.
 * - `security`: users, tokens, the keys of the secrets. With `configure`: restore and factory reset, which put everything in the place
 *   of everything, also what neither of the two roles may change alone.
 * - `audit`: the audit log.
 */
export const ACCESSES = ['read', 'watch', 'operate', 'diagnose', 'configure', 'security', 'audit'] as const;
export type Access = (typeof ACCESSES)[number];

/** All of them are needed. */
export type Needs = Access | readonly Access[];
export const neededOf = (needs: Needs): readonly Access[] => (typeof needs === 'string' ? [needs] : needs);
export const needsText = (needs: string | readonly string[]): string => (typeof needs === 'string' ? needs : needs.join(' and '));

export const ACCESS_OF: Readonly<Record<Role, readonly Access[]>> = {
  admin: ['read', 'watch', 'operate', 'diagnose', 'configure'],
  security: ['read', 'security'],
  auditor: ['read', 'audit'],
  operator: ['read', 'watch', 'operate', 'diagnose'],
  viewer: ['read', 'watch'],
};

/** One person may hold several roles, but nobody who audits may change. */
export function mayDo(roles: readonly Role[], needs: Needs): boolean {
  return neededOf(needs).every(access => roles.some(role => ACCESS_OF[role].includes(access)));
}

/** Why these roles may not be held together; null: they may. */
export function roleConflict(roles: readonly Role[]): string | null {
  if (roles.includes('auditor') && roles.some(role => role === 'admin' || role === 'security' || role === 'operator')) return 'an auditor cannot hold a role that changes something';
  return null;
}

/** The Unix group that gives a role: `viewlink-admin` and so on. */
export const groupOf = (role: Role): string => `viewlink-${role}`;
