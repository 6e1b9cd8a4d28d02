/** Who may use the API: for the security officer. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { reachOf } from '#core/access/appointment.ts';
import { GatewayError } from '#core/result.ts';
import type { Json } from '#contracts/configd.ts';
import type { Caller } from '../caller.ts';
import { API_TOKEN, oneTimePassword } from '../doorman.ts';
import type { By } from '../people.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { access, role, userName, wallMs, word } from '../schemas/common.ts';
import { apiToken, user as userSchema, waitingRoles } from '../schemas/operation.ts';
import type { UserRow } from '../user-store.ts';

const MAX_USERS = 1000;
const MAX_TOKENS = 20;
const MAX_CHANNELS = 1000;
const userPath = z.object({ user: userName });
const roles = z.array(role).max(5).refine(each => new Set(each).size === each.length, 'each role once');
const channels = z.array(z.string().regex(/^(\*|[0-9A-Za-z]{1,64})$/)).max(MAX_CHANNELS);
const oneTime = z.strictObject({ password: z.string().describe('shown once; it must be changed at the first log-in') }).meta({ id: 'OneTimePassword' });

type Told = z.output<typeof userSchema>;

const told = ({ passwordHash, roles: held, waiting, channels: seen, ...rest }: UserRow): Told => ({ ...rest, roles: [...held], waiting: waiting === null ? null : { ...waiting, roles: [...waiting.roles] }, channels: [...seen], hasPassword: passwordHash !== null });
const facts = (row: UserRow): Json => ({ kind: row.kind, roles: row.roles, waiting: row.waiting?.roles ?? [], channels: row.channels, disabled: row.disabled, certificateSha256: row.certificateSha256 });

const by = ({ user, roles: held }: Caller): By => ({ user, via: 'api', roles: held });

export const userRoutes: readonly Route[] = [
  defineRoute({ id: 'listUsers', method: 'GET', path: `${API_BASE}/users`, summary: 'Users of the API', access: 'security', scope: 'whole', answer: z.array(userSchema), handle: ({ services: { users } }) => users.users().map(told) }),
  defineRoute({
    id: 'createUser',
    method: 'POST',
    path: `${API_BASE}/users`,
    summary: 'A person, who gets a password that must be changed at the first log-in, or a platform, which has a certificate or tokens; roles beyond your own wait for an admin',
    access: 'security',
    scope: 'whole',
    audit: 'user.create',
    body: z.strictObject({ name: userName, kind: z.enum(['person', 'platform']), roles, channels: channels.default(['*']) }),
    answer: z.strictObject({ user: userSchema, password: z.string().nullable() }).meta({ id: 'NewUser' }),
    async handle({ services, caller, body, note }) {
      const { users, people, passwords, clock, random } = services;
      people.judge({ ...body, waiting: null });
      if (users.user(body.name) !== undefined) throw new GatewayError('CONFLICT', { name: body.name, why: 'there is a user of this name' });
      if (users.users().length >= MAX_USERS) throw new GatewayError('CAPACITY_EXHAUSTED', { limit: MAX_USERS });
      const password = body.kind === 'person' ? oneTimePassword(random) : null;
      const passwordHash = password === null ? null : await passwords.hash(password);
      const bare: UserRow = { ...body, roles: [], waiting: null, passwordHash, mustChangePassword: password !== null, disabled: false, certificateSha256: null, createdAtWallMs: clock.wall(), lastLoginWallMs: null };
      const row = people.appointed(bare, body.roles, by(caller));
      users.put(row);
      note({ target: body.name, after: facts(row) });
      return { user: told(row), password };
    },
  }),
  defineRoute({
    id: 'updateUser',
    method: 'PATCH',
    path: `${API_BASE}/users/{user}`,
    summary: 'Other roles or channels, or shut out for a while; its log-ins end; roles beyond your own wait for an admin',
    access: 'security',
    scope: 'whole',
    audit: 'user.update',
    params: userPath,
    body: z.strictObject({ roles: roles.optional(), channels: channels.optional(), disabled: z.boolean().optional() }),
    answer: userSchema,
    handle({ services, caller, params, body, note }) {
      const { people } = services;
      const before = people.found(params.user);
      const rest: UserRow = { ...before, channels: body.channels ?? before.channels, disabled: body.disabled ?? before.disabled };
      const after = body.roles === undefined ? rest : people.appointed(rest, body.roles, by(caller));
      people.judge(after);
      people.keepsSecurity(after, after.name);
      if (caller.user === before.name && body.roles !== undefined) throw new GatewayError('NOT_PERMITTED', { field: 'roles', why: 'nobody changes his own roles' });
      note({ before: facts(before), after: facts(after) });
      // Who says nothing new throws nobody out.
      if (isDeepStrictEqual(facts(before), facts(after))) return told(before);
      services.users.put(after);
      services.doorman.end(after.name);
      return told(after);
    },
  }),
  defineRoute({
    id: 'deleteUser',
    method: 'DELETE',
    path: `${API_BASE}/users/{user}`,
    summary: 'A user goes, with its tokens',
    access: 'security',
    scope: 'whole',
    audit: 'user.delete',
    params: userPath,
    answer: null,
    handle({ services, params, note }) {
      const before = services.people.found(params.user);
      services.people.keepsSecurity(undefined, before.name);
      services.users.delete(before.name);
      services.doorman.end(before.name);
      note({ before: facts(before) });
    },
  }),
  defineRoute({
    id: 'resetPassword',
    method: 'POST',
    path: `${API_BASE}/users/{user}/password`,
    summary: 'A password that must be changed at the first log-in; the old one and every log-in end; roles beyond your own wait for an admin',
    access: 'security',
    scope: 'whole',
    audit: 'password.reset',
    params: userPath,
    answer: oneTime,
    handle: async ({ services, caller, params }) => ({ password: await services.people.resetPassword(params.user, by(caller)) }),
  }),
  defineRoute({
    id: 'setCertificate',
    method: 'PUT',
    path: `${API_BASE}/users/{user}/certificate`,
    summary: 'The client certificate by which it is known; null: none',
    access: 'security',
    scope: 'whole',
    audit: 'user.certificate',
    params: userPath,
    body: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/).nullable().describe('of the certificate in DER, lower-case hex') }),
    answer: userSchema,
    handle({ services, caller, params, body, note }) {
      const before = services.people.found(params.user);
      const holder = body.sha256 === null ? undefined : services.users.byCertificate(body.sha256);
      if (holder !== undefined && holder.name !== before.name) throw new GatewayError('CONFLICT', { why: 'another user has this certificate' });
      const bare = { ...before, certificateSha256: body.sha256 };
      const after = body.sha256 === null ? bare : services.people.withLogin(bare, by(caller));
      services.people.keepsSecurity(after, after.name);
      services.users.put(after);
      services.streams.lookAgain(after.name);
      note({ before: facts(before), after: facts(after) });
      return told(after);
    },
  }),
  defineRoute({ id: 'listTokens', method: 'GET', path: `${API_BASE}/users/{user}/tokens`, summary: 'API tokens of a user', access: 'security', scope: 'whole', params: userPath, answer: z.array(apiToken), handle: ({ services, params }) => services.users.tokensOf(services.people.found(params.user).name).map(({ label, accesses, createdAtWallMs, expiresAtWallMs }) => ({ name: label, accesses: accesses === null ? null : [...accesses], createdAtWallMs, expiresAtWallMs })) }),
  defineRoute({
    id: 'createToken',
    method: 'POST',
    path: `${API_BASE}/users/{user}/tokens`,
    summary: 'A token for a program; it is shown once, and never may more than operator, viewer and your own roles',
    access: 'security',
    scope: 'whole',
    audit: 'token.create',
    params: userPath,
    body: z.strictObject({ name: word, accesses: z.array(access).min(1).max(7).nullable().default(null), expiresAtWallMs: wallMs.nullable().default(null) }),
    answer: z.strictObject({ token: z.string() }).meta({ id: 'NewToken' }),
    handle({ services: { users, people, doorman, clock }, caller, params, body, note }) {
      const row = people.found(params.user);
      const own = users.tokensOf(row.name);
      if (own.some(({ label }) => label === body.name)) throw new GatewayError('CONFLICT', { name: body.name, why: 'there is a token of this name' });
      if (own.length >= MAX_TOKENS) throw new GatewayError('CAPACITY_EXHAUSTED', { limit: MAX_TOKENS });
      const token = doorman.newToken(API_TOKEN);
      users.putToken({ hash: doorman.hashOf(token), kind: 'api', user: row.name, label: body.name, accesses: body.accesses, reach: reachOf(caller.roles), used: false, createdAtWallMs: clock.wall(), expiresAtWallMs: body.expiresAtWallMs }, clock.wall());
      note({ target: `${row.name} ${body.name}`, after: { accesses: body.accesses, expiresAtWallMs: body.expiresAtWallMs } });
      return { token };
    },
  }),
  defineRoute({
    id: 'deleteToken',
    method: 'DELETE',
    path: `${API_BASE}/users/{user}/tokens/{token}`,
    summary: 'A token of a program ends',
    access: 'security',
    scope: 'whole',
    audit: 'token.delete',
    params: z.object({ user: userName, token: word }),
    answer: null,
    handle({ services: { users, people, streams }, params }) {
      const kept = users.tokensOf(people.found(params.user).name).find(({ label }) => label === params.token);
      if (kept === undefined) throw new GatewayError('PEER_UNKNOWN', { name: params.token });
      users.deleteToken(kept.hash);
      streams.lookAgain(params.user);
    },
  }),
  defineRoute({
    id: 'unlockUser',
    method: 'POST',
    path: `${API_BASE}/users/{user}/unlock`,
    summary: 'Who was locked out after wrong passwords may try again, and so may the addresses they came from',
    access: 'security',
    scope: 'whole',
    audit: 'user.unlock',
    params: userPath,
    answer: z.strictObject({ locks: z.int().describe('how many there were') }).meta({ id: 'Unlocked' }),
    handle: ({ services: { people, doorman }, params }) => ({ locks: doorman.unlock(people.found(params.user).name) }),
  }),
  defineRoute({ id: 'listWaitingRoles', method: 'GET', path: `${API_BASE}/approvals`, summary: 'Roles that a security officer gave and that wait for an admin', access: 'configure', scope: 'whole', answer: z.array(waitingRoles), handle: ({ services }) => services.people.waiting() }),
  defineRoute({
    id: 'approveRoles',
    method: 'POST',
    path: `${API_BASE}/approvals/{user}`,
    summary: 'The roles that wait come into force; not by who gave them, and once their holder has a password of his own',
    access: 'configure',
    scope: 'whole',
    audit: 'user.approve',
    params: userPath,
    body: z.strictObject({ sinceWallMs: wallMs.describe('of what you looked at') }),
    answer: z.strictObject({ name: z.string(), roles: z.array(role) }).meta({ id: 'Approved' }),
    handle({ services: { people }, caller, params, body, note }) {
      const before = people.found(params.user);
      const after = people.approve(params.user, body.sinceWallMs, by(caller));
      note({ before: facts(before), after: facts(after) });
      return { name: after.name, roles: [...after.roles] };
    },
  }),
];
