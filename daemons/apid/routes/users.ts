/** Who may use the API: for the security officer. */
import { z } from 'zod';
import { roleConflict } from '#core/access/roles.ts';
import { GatewayError } from '#core/result.ts';
import type { Json } from '#contracts/configd.ts';
import { accessesOf } from '../caller.ts';
import { API_TOKEN, oneTimePassword } from '../doorman.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { access, role, userName, wallMs, word } from '../schemas/common.ts';
import { apiToken, user as userSchema } from '../schemas/operation.ts';
import type { Services } from '../services.ts';
import type { UserRow } from '../user-store.ts';

const MAX_USERS = 1000;
const MAX_TOKENS = 20;
const MAX_CHANNELS = 1000;
const userPath = z.object({ user: userName });
const roles = z.array(role).max(5);
const channels = z.array(z.string().regex(/^(\*|[0-9A-Za-z]{1,64})$/)).max(MAX_CHANNELS);
const oneTime = z.strictObject({ password: z.string().describe('shown once; it must be changed at the first log-in') }).meta({ id: 'OneTimePassword' });

type Told = z.output<typeof userSchema>;

const told = ({ passwordHash, roles: held, channels: seen, ...rest }: UserRow): Told => ({ ...rest, roles: [...held], channels: [...seen], hasPassword: passwordHash !== null });
const facts = (row: UserRow): Json => ({ kind: row.kind, roles: row.roles, channels: row.channels, disabled: row.disabled, certificateSha256: row.certificateSha256 });

function found({ users }: Services, name: string): UserRow {
  const row = users.user(name);
  if (row === undefined) throw new GatewayError('PEER_UNKNOWN', { name });
  return row;
}

/** Roles that exclude each other, what is for people only, and rights over everything for who may not see everything. */
function judge({ kind, roles: held, channels: seen }: Pick<UserRow, 'kind' | 'roles' | 'channels'>): void {
  const conflict = roleConflict(held);
  if (conflict !== null) throw new GatewayError('BAD_REQUEST', { field: 'roles', why: conflict });
  const isMore = held.some(each => each === 'admin' || each === 'security' || each === 'auditor');
  if (kind === 'platform' && isMore) throw new GatewayError('BAD_REQUEST', { field: 'roles', why: 'a platform can be viewer or operator only' });
  if (!seen.includes('*') && isMore) throw new GatewayError('BAD_REQUEST', { field: 'channels', why: 'who may not see every channel can be viewer or operator only' });
}

/** Somebody must be left who can make users. */
function keepsSecurity({ users }: Services, next: UserRow | undefined, name: string): void {
  const left = users.users().filter(row => row.name !== name);
  const all = next === undefined ? left : [...left, next];
  if (!all.some(row => !row.disabled && row.kind === 'person' && accessesOf(row.roles).includes('security'))) throw new GatewayError('CONFLICT', { why: 'nobody would be left with the role security' });
}

export const userRoutes: readonly Route[] = [
  defineRoute({ id: 'listUsers', method: 'GET', path: `${API_BASE}/users`, summary: 'Users of the API', access: 'security', scope: 'whole', answer: z.array(userSchema), handle: ({ services: { users } }) => users.users().map(told) }),
  defineRoute({
    id: 'createUser',
    method: 'POST',
    path: `${API_BASE}/users`,
    summary: 'A person, who gets a password that must be changed at the first log-in, or a platform, which has a certificate or tokens',
    access: 'security',
    scope: 'whole',
    audit: 'user.create',
    body: z.strictObject({ name: userName, kind: z.enum(['person', 'platform']), roles, channels: channels.default(['*']) }),
    answer: z.strictObject({ user: userSchema, password: z.string().nullable() }).meta({ id: 'NewUser' }),
    async handle({ services, body, note }) {
      const { users, passwords, clock, random } = services;
      judge(body);
      if (users.user(body.name) !== undefined) throw new GatewayError('CONFLICT', { name: body.name, why: 'there is a user of this name' });
      if (users.users().length >= MAX_USERS) throw new GatewayError('CAPACITY_EXHAUSTED', { limit: MAX_USERS });
      const password = body.kind === 'person' ? oneTimePassword(random) : null;
      const row: UserRow = { ...body, passwordHash: password === null ? null : await passwords.hash(password), mustChangePassword: password !== null, disabled: false, certificateSha256: null, createdAtWallMs: clock.wall(), lastLoginWallMs: null };
      users.put(row);
      note({ target: body.name, after: facts(row) });
      return { user: told(row), password };
    },
  }),
  defineRoute({
    id: 'updateUser',
    method: 'PATCH',
    path: `${API_BASE}/users/{user}`,
    summary: 'Other roles or channels, or shut out for a while; its log-ins end',
    access: 'security',
    scope: 'whole',
    audit: 'user.update',
    params: userPath,
    body: z.strictObject({ roles: roles.optional(), channels: channels.optional(), disabled: z.boolean().optional() }),
    answer: userSchema,
    handle({ services, caller, params, body, note }) {
      const before = found(services, params.user);
      const after: UserRow = { ...before, roles: body.roles ?? before.roles, channels: body.channels ?? before.channels, disabled: body.disabled ?? before.disabled };
      judge(after);
      keepsSecurity(services, after, after.name);
      if (caller.user === before.name && body.roles !== undefined) throw new GatewayError('NOT_PERMITTED', { field: 'roles', why: 'nobody changes his own roles' });
      services.users.put(after);
      services.doorman.end(after.name);
      note({ before: facts(before), after: facts(after) });
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
      const before = found(services, params.user);
      keepsSecurity(services, undefined, before.name);
      services.users.delete(before.name);
      services.doorman.end(before.name);
      note({ before: facts(before) });
    },
  }),
  defineRoute({
    id: 'resetPassword',
    method: 'POST',
    path: `${API_BASE}/users/{user}/password`,
    summary: 'A password that must be changed at the first log-in; the old one and every log-in end',
    access: 'security',
    scope: 'whole',
    audit: 'password.reset',
    params: userPath,
    answer: oneTime,
    async handle({ services, params }) {
      const row = found(services, params.user);
      if (row.kind !== 'person') throw new GatewayError('BAD_REQUEST', { why: 'a platform has no password' });
      const password = oneTimePassword(services.random);
      services.users.put({ ...row, passwordHash: await services.passwords.hash(password), mustChangePassword: true });
      services.doorman.end(row.name);
      return { password };
    },
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
    handle({ services, params, body, note }) {
      const before = found(services, params.user);
      const holder = body.sha256 === null ? undefined : services.users.byCertificate(body.sha256);
      if (holder !== undefined && holder.name !== before.name) throw new GatewayError('CONFLICT', { why: 'another user has this certificate' });
      const after = { ...before, certificateSha256: body.sha256 };
      services.users.put(after);
      services.streams.lookAgain(after.name);
      note({ before: facts(before), after: facts(after) });
      return told(after);
    },
  }),
  defineRoute({ id: 'listTokens', method: 'GET', path: `${API_BASE}/users/{user}/tokens`, summary: 'API tokens of a user', access: 'security', scope: 'whole', params: userPath, answer: z.array(apiToken), handle: ({ services, params }) => services.users.tokensOf(found(services, params.user).name).map(({ label, accesses, createdAtWallMs, expiresAtWallMs }) => ({ name: label, accesses: accesses === null ? null : [...accesses], createdAtWallMs, expiresAtWallMs })) }),
  defineRoute({
    id: 'createToken',
    method: 'POST',
    path: `${API_BASE}/users/{user}/tokens`,
    summary: 'A token for a program; it is shown once',
    access: 'security',
    scope: 'whole',
    audit: 'token.create',
    params: userPath,
    body: z.strictObject({ name: word, accesses: z.array(access).min(1).max(7).nullable().default(null), expiresAtWallMs: wallMs.nullable().default(null) }),
    answer: z.strictObject({ token: z.string() }).meta({ id: 'NewToken' }),
    handle({ services: { users, doorman, clock }, services, params, body, note }) {
      const row = found(services, params.user);
      const own = users.tokensOf(row.name);
      if (own.some(({ label }) => label === body.name)) throw new GatewayError('CONFLICT', { name: body.name, why: 'there is a token of this name' });
      if (own.length >= MAX_TOKENS) throw new GatewayError('CAPACITY_EXHAUSTED', { limit: MAX_TOKENS });
      const token = doorman.newToken(API_TOKEN);
      users.putToken({ hash: doorman.hashOf(token), kind: 'api', user: row.name, label: body.name, accesses: body.accesses, used: false, createdAtWallMs: clock.wall(), expiresAtWallMs: body.expiresAtWallMs }, clock.wall());
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
    handle({ services: { users, streams }, services, params }) {
      const kept = users.tokensOf(found(services, params.user).name).find(({ label }) => label === params.token);
      if (kept === undefined) throw new GatewayError('PEER_UNKNOWN', { name: params.token });
      users.deleteToken(kept.hash);
      streams.lookAgain(params.user);
    },
  }),
];
