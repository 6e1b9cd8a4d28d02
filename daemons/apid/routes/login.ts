/** Logging in and out. These routes write their own lines of the audit log: before them nobody is known. */
import { z } from 'zod';
import { DoorError } from '../failure.ts';
import { API_BASE, type Call, type Route, defineRoute } from '../route.ts';
import { access, password, role } from '../schemas/common.ts';
import { tokens } from '../schemas/operation.ts';

const MAX_NAME = 64;
const refreshToken = z.string().regex(/^vlr_[\w-]{43}$/);

const self = z
  .strictObject({ user: z.string(), roles: z.array(role), accesses: z.array(access), channels: z.array(z.string()), how: z.enum(['password', 'token', 'certificate']), mustChangePassword: z.boolean() })
  .meta({ id: 'Self' });

type AnyCall = Pick<Call<unknown, unknown, unknown>, 'services' | 'caller'>;

/** Writes down how it ended, whichever way that was. */
async function audited<T>({ services, caller: { address } }: AnyCall, user: string, action: string, attempt: () => T | Promise<T>): Promise<T> {
  const who = { user: user.slice(0, MAX_NAME), address };
  try {
    const done = await attempt();
    await services.audit.write(who, { action, target: user, result: 'done' });
    return done;
  } catch (error) {
    if (!(error instanceof DoorError)) throw error;
    const facts = { action, target: user, result: 'refused', detail: error.message } as const;
    await (error.code === 'UNAUTHENTICATED' ? services.audit.write(who, facts) : services.audit.writeRepeated(who, facts, services.clock.now()));
    throw error;
  }
}

export const loginRoutes: readonly Route[] = [
  defineRoute({
    id: 'logIn',
    method: 'POST',
    path: `${API_BASE}/login`,
    summary: 'Name and password for tokens',
    access: 'public',
    scope: 'none',
    audit: 'login',
    // Whatever the name looks like, it is only one that is not known.
    body: z.strictObject({ user: z.string().min(1).max(MAX_NAME), password }),
    answer: tokens,
    async handle(call) {
      const { user, password: said } = call.body;
      const made = await audited(call, user, 'login', () => call.services.doorman.login(user, said, call.caller.address));
      call.services.forgetFirstPassword();
      return made;
    },
  }),
  defineRoute({
    id: 'refreshTokens',
    method: 'POST',
    path: `${API_BASE}/login/refresh`,
    summary: 'A refresh token for new tokens; each is used once',
    access: 'public',
    scope: 'none',
    audit: 'login.refresh',
    body: z.strictObject({ refreshToken }),
    answer: tokens,
    async handle({ services, caller, body }) {
      const { user, ...made } = services.doorman.refresh(body.refreshToken);
      await services.audit.write({ user, address: caller.address }, { action: 'login.refresh', target: user, result: 'done' });
      return made;
    },
  }),
  defineRoute({
    id: 'logOut',
    method: 'POST',
    path: `${API_BASE}/logout`,
    summary: 'The tokens of this log-in end',
    access: 'self',
    scope: 'none',
    audit: 'logout',
    answer: null,
    handle({ services, caller, note }) {
      note({ target: caller.user });
      services.doorman.logout(caller);
    },
  }),
  defineRoute({
    id: 'getSelf',
    method: 'GET',
    path: `${API_BASE}/self`,
    summary: 'Who you are and what you may',
    access: 'self',
    scope: 'none',
    answer: self,
    handle: ({ caller: { user, roles, accesses, channels, how, mustChangePassword } }) => ({ user, roles: [...roles], accesses: [...accesses], channels: [...channels], how, mustChangePassword }),
  }),
  defineRoute({
    id: 'changePassword',
    method: 'POST',
    path: `${API_BASE}/self/password`,
    summary: 'Another password; every log-in with the old one ends',
    access: 'self',
    scope: 'none',
    audit: 'password.change',
    body: z.strictObject({ password, newPassword: password }),
    answer: tokens,
    async handle({ services, caller, body, note }) {
      note({ target: caller.user });
      return await services.doorman.changePassword(caller.user, body.password, body.newPassword);
    },
  }),
];
