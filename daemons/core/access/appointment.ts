/**
 * Who makes whom what (faults.md 7). The security officer gives roles and log-ins: operator and viewer, and what he is himself, alone.
 * What reaches further than he does waits for an admin who is another person, so that nobody can make himself more than he is, nor
 * a user whose password he knows:
 *
 *     (role given, or a log-in given to who holds it) --within his reach--> HELD
 *               | beyond it                                                   ^
 *               v                                                             |
 *            WAITING --an admin agrees, and its holder has a password of his own
 *               +--taken back--> (none)
 */
import { ACCESSES, ACCESS_OF, ROLES, type Access, type Role } from './roles.ts';

/** What a security officer is there to give. */
const ORDINARY: readonly Role[] = ['operator', 'viewer'];

/** Root at the console, who could write the file of users as well. */
export const EVERY_ROLE: readonly Role[] = ROLES;

const isWithin = (own: readonly Role[], role: Role): boolean => ORDINARY.includes(role) || own.includes(role);

export interface Appointment {
  readonly roles: readonly Role[];
  readonly waiting: readonly Role[];
}

/** `given`: what he shall have; `held`: what he has; `own`: roles of who gives. */
export function appoint(given: readonly Role[], held: readonly Role[], own: readonly Role[]): Appointment {
  const isHeld = (role: Role): boolean => held.includes(role) || isWithin(own, role);
  return { roles: given.filter(isHeld), waiting: given.filter(role => !isHeld(role)) };
}

/** Whoever gives a log-in could use it himself: what reaches beyond him must be agreed to anew. */
export const withNewLogin = ({ roles, waiting }: Appointment, own: readonly Role[]): Appointment => appoint([...roles, ...waiting], [], own);

/** What a token may at most that is made by somebody with these roles, whatever its user becomes later. */
export const reachOf = (own: readonly Role[]): readonly Access[] => ACCESSES.filter(access => [...ORDINARY, ...own].some(role => ACCESS_OF[role].includes(access)));

/** The roles that come to no more than these rights: what somebody is who asks over RPC. */
export const rolesWithin = (rights: readonly Access[]): readonly Role[] => ROLES.filter(role => ACCESS_OF[role].every(access => rights.includes(access)));
