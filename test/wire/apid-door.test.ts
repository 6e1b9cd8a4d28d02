/** Who comes in at the HTTP API and who does not: every route with every role, and faults 81 to 90. */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request as requestPlain } from 'node:https';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import type { ApidRequests } from '#contracts/apid.ts';
import { mayDo, ROLES, type Role } from '#core/access/roles.ts';
import { formatPtz } from '#core/gb/ptz.ts';
import { wallMs } from '#core/units.ts';
import { certificate, toBeSigned } from '#core/x509/certificate.ts';
import { systemRandom } from '#kit/random.ts';
import { connectRpc } from '#kit/rpc.ts';
import { Passwords } from '../../daemons/apid/passwords.ts';
import type { Route } from '../../daemons/apid/route.ts';
import { ROUTES } from '../../daemons/apid/routes/index.ts';
import { openApi } from '../../daemons/apid/openapi.ts';
import { openApiRig } from '../rig/api-rig.ts';
import { tlsFetch } from '../rig/tls-fetch.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(170_000);
const CANARY = 'canary-of-a-password-7';
const ROOT = join(import.meta.dirname, '../..');
const NOBODY = '99999999999999999999';

await using api = await openApiRig({ cameras: [{ channels: 2 }, { channels: 1 }], platforms: 0, api: { metricsNetworks: ['127.0.0.20/32'], requestTimeoutS: 2, connectionsPerAddress: 32 } });
const { rig, root, baseUrl } = api;
const [own, others] = rig.cameras.map(({ device }) => device) as [(typeof rig.cameras)[0]['device'], (typeof rig.cameras)[0]['device']];
const tokens = new Map<Role, string>();
for (const role of ROLES) {
  const { accessToken } = await api.person(`the-${role}`, [role]);
  // A token for a program never gives more than who makes it has, and nobody has the rights of an auditor besides others.
  tokens.set(role, role === 'auditor' ? accessToken : (await root.createToken(`the-${role}`, { name: 'test' })).token);
}
const vlink = (...argv: string[]) => spawnSync(join(ROOT, 'cli/vlink'), ['--config', rig.gateway.configPath, ...argv], { encoding: 'utf8' });

/** Nothing that exists: what comes back says only whether it may be asked. */
const pathOf = ({ path }: Route): string => path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'alarmId' ? '1' : name === 'leaseId' ? 'apid-60' : name === 'channel' || name === 'deviceId' ? NOBODY : 'nobody'));

async function statusOf(route: Route, token: string | undefined): Promise<number> {
  const stop = new AbortController();
  const headers = { ...(token !== undefined && { Authorization: `Bearer ${token}` }), ...(route.body !== undefined && { 'Content-Type': 'application/json' }) };
  const response = await api.fetch(`${baseUrl}${pathOf(route)}`, { method: route.method, headers, signal: stop.signal, ...(route.body !== undefined && { body: '{}' }) });
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) stop.abort();
  else await response.arrayBuffer();
  return response.status;
}

await t.test('every route with every role, and with none: who may comes in, and nobody else', async t => {
  t.same(ROUTES.filter(({ access }) => access === 'public').map(({ id }) => id), ['getAlive', 'logIn', 'refreshTokens'], 'these are open to everybody');
  t.same(ROUTES.filter(({ method, audit }) => method !== 'GET' && audit === undefined).map(({ id }) => id), [], 'every write is written down');
  t.same(ROUTES.filter(({ access, audit }) => access === 'watch' && audit === undefined).map(({ id }) => id), [], 'and so is every look at a picture');
  t.same(ROUTES.filter(({ path, scope }) => path.includes('{channel}') && scope !== 'channel').map(({ id }) => id), [], 'who names a channel must be allowed to see it');
  t.equal(new Set(ROUTES.map(({ id }) => id)).size, ROUTES.length);
  const before = (await api.audit()).length;
  let refused = 0;
  for (const route of ROUTES) {
    const isPublic = route.access === 'public';
    const without = await statusOf(route, undefined);
    t.equal(without === 401, !isPublic, `${route.id} without a token: ${without}`);
    for (const role of ROLES) {
      const needs = route.access === 'metrics' ? 'read' : route.access;
      const may = needs === 'public' || needs === 'self' || mayDo([role], needs);
      const status = await statusOf(route, tokens.get(role));
      if (!may && route.audit !== undefined) refused += 1;
      // A log-in with nothing in it, and a password of a platform that has none, are no answer about rights.
      t.equal(status === 403, !may, `${route.id} as ${role}: ${status}`);
      t.notOk(status === 401 && route.id !== 'changePassword', `${route.id} as ${role} is known`);
      t.ok(status < 500 || status === 503 || status === 504, `${route.id} as ${role}: ${status}`);
      if (route.id === 'logOut' && role === 'auditor') tokens.set(role, (await api.client().logIn({ user: 'the-auditor', password: 'the-door-stays-shut-7' })).accessToken);
    }
  }
  const { accessToken: both } = await api.person('the-one-with-both', ['admin', 'security']);
  for (const id of ['restoreConfig', 'factoryReset']) t.equal(await statusOf(ROUTES.find(route => route.id === id)!, both), 400, `${id}: who may configure and is the security officer is asked what exactly`);
  await root.deleteUser('the-one-with-both');
  const denied = (await api.audit()).slice(before).filter(({ detail }) => detail.startsWith('needs '));
  t.equal(denied.length, refused, 'who tried what he may not is written down (fault 84)');
  t.match(denied[0], { result: 'refused', author: { via: 'api', address: '127.0.0.1' } });
});

await t.test('what is not in the table is not there; no cross-origin, and headers that say so', async t => {
  for (const [method, path] of [['GET', '/'], ['GET', '/api/v1'], ['GET', '/api/v1/nothing'], ['GET', '/documentation'], ['GET', '/swagger']] as const) {
    const response = await api.fetch(`${baseUrl}${path}`, { method, headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'GET' } });
    t.equal(response.status, 404, `${method} ${path}`);
    t.equal(response.headers.get('access-control-allow-origin'), null);
    await response.arrayBuffer();
  }
  for (const [method, path, allowed] of [['PUT', '/api/v1/devices', 'GET'], ['OPTIONS', '/api/v1/devices?x=1', 'GET'], ['HEAD', '/healthz', 'GET'], ['TRACE', '/healthz', 'GET'], ['GET', '/api/v1/login', 'POST'], ['POST', '/api/v1/users/li', 'PATCH, DELETE']] as const) {
    const response = await api.fetch(`${baseUrl}${path}`, { method, headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'GET' } });
    t.match({ status: response.status, allow: response.headers.get('allow'), cors: response.headers.get('access-control-allow-origin') }, { status: 405, allow: allowed, cors: null }, `${method} ${path}`);
    const text = await response.text();
    if (method !== 'HEAD') t.match(JSON.parse(text), { code: 'METHOD_UNKNOWN' });
  }
  const { headers } = await api.fetch(`${baseUrl}/healthz`, {});
  t.match(Object.fromEntries(headers), { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'strict-transport-security': /max-age/ });
  t.equal(headers.get('set-cookie'), null);
  t.equal(headers.get('server'), null);
});

const admin = tokens.get('admin')!;
const viewer = tokens.get('viewer')!;
const send = (path: string, init: RequestInit & { token?: string } = {}): Promise<Response> => api.fetch(`${baseUrl}${path}`, { ...init, headers: { Authorization: `Bearer ${init.token ?? admin}`, ...(init.body !== undefined && { 'Content-Type': 'application/json' }), ...(init.headers as Record<string, string> | undefined) } });

await t.test('fault 81: smuggling, bombs, too large, not what it says', async t => {
  const both = await raw(`POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
  t.match(both, /^HTTP\/1\.1 400 /);
  t.equal(both.split('HTTP/1.1').length, 2, 'one answer: the second request was never one');
  for (const broken of ['GET /healthz HTTP/9.9\r\n\r\n', 'GET /healthz\r\n\r\n', `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 'POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', '\x16\x03\x01'.repeat(50)]) t.match(await raw(broken), /^HTTP\/1\.1 4\d\d .*\r\n\r\n\{"code":"(BAD_REQUEST|HEADERS_TOO_LARGE)","message":/s, broken.slice(0, 40));
  t.match(await raw(`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const large = JSON.stringify({ user: 'x'.repeat(10 * 1024 * 1024), password: 'y' });
  t.equal((await send('/api/v1/login', { method: 'POST', body: large }).catch(() => ({ status: 413 }))).status, 413);
  t.equal((await send('/api/v1/config/candidate', { method: 'PATCH', body: `{"steps":[{"op":"set","path":"x","value":${'['.repeat(60_000)}${']'.repeat(60_000)}}]}` })).status, 400, 'a depth bomb');
  t.equal((await send('/api/v1/login', { method: 'POST', body: '{"user":"a","password":"b","__proto__":{"roles":["admin"]}}' })).status, 400);
  t.equal((await send('/api/v1/login', { method: 'POST', body: '{"user":' })).status, 400);
  t.equal((await send('/api/v1/login', { method: 'POST', body: '{"user":"a","password":"b","more":1}' })).status, 400);
  t.equal((await send('/api/v1/login', { method: 'POST', headers: { 'Content-Encoding': 'gzip' }, body: gzipSync('x'.repeat(1_000_000)).toString('latin1') })).status, 415);
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'multipart/form-data; boundary=x']) t.equal((await send('/api/v1/login', { method: 'POST', headers: { 'Content-Type': type }, body: 'x=1' })).status, 415, type);
  t.equal((await send('/api/v1/devices', { headers: { 'Content-Type': 'application/json' } })).status, 200, 'and whoever is right is served');
});

await t.test('fault 82: paths that climb', async t => {
  for (const id of ['..%2f..%2fetc%2fpasswd', '%2fetc%2fpasswd', '..%5c..', '%00', '34%00', '%252e%252e%252f', '....%2f%2f', '%c0%ae%c0%ae', 'a'.repeat(300), "'%20OR%201=1--", '%0d%0aX:1']) {
    for (const path of [`/api/v1/channels/${id}`, `/api/v1/channels/${id}/snapshot`, `/api/v1/devices/${id}`, `/api/v1/upstreams/${id}/view`, `/api/v1/users/${id}/tokens`]) {
      const status = (await send(path, { token: path.includes('/users/') ? tokens.get('security')! : admin })).status;
      t.ok(status === 400 || status === 404, `${path}: ${status}`);
    }
  }
  t.match(await raw('GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 4\d\d /);
});

await t.test('fault 83: nobody can make the gateway call somewhere', async t => {
  const document = openApi() as { paths: Record<string, Record<string, { parameters: { name: string }[]; requestBody?: unknown }>> };
  const inputs = Object.values(document.paths).flatMap(methods => Object.values(methods)).flatMap(({ parameters, requestBody }) => [...parameters.map(({ name }) => name), ...propertiesIn(requestBody)]);
  t.ok(inputs.includes('holdMs') && inputs.includes('streamNumber'));
  t.same(inputs.filter(name => /url|uri|host|target|callback|redirect|address$/i.test(name)), [], 'no parameter is a place to call');
  for (const url of ['http://169.254.169.254/latest', 'http://127.0.0.1:6379/', 'file:///etc/passwd', 'http://localhost/', 'http://[::1]/']) {
    const response = await send('/api/v1/config/candidate', { method: 'PATCH', body: JSON.stringify({ steps: [{ op: 'set', path: 'api.webhooks', value: [{ name: 'x', url, secret: 's'.repeat(20) }] }] }) });
    const said = (await response.json()) as { issues?: unknown[] };
    t.ok(response.status === 400 || (said.issues?.length ?? 0) > 0, `${url}: ${response.status}`);
  }
  t.equal(((await (await send('/api/v1/config/commit', { method: 'POST', body: '{"reason":"x"}' })).json()) as { revision: number | null }).revision ?? null, null);
  await send('/api/v1/config/candidate', { method: 'DELETE' });
});

await t.test('fault 84: tokens that are none', async t => {
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"admin","roles":["admin"]}').toString('base64url')}.`;
  for (const authorization of ['', 'Bearer', 'Bearer ', `Bearer ${none}`, `Bearer vla_${randomBytes(32).toString('base64url')}`, `Bearer vlt_${randomBytes(32).toString('base64url')}`, `Bearer ${admin} x`, `Bearer ${admin.slice(0, -1)}`, `Bearer ${'x'.repeat(5000)}`, `Basic ${Buffer.from('admin:admin').toString('base64')}`, admin])
    t.equal((await send('/api/v1/devices', { headers: { Authorization: authorization } })).status, 401, authorization.slice(0, 40));
  const past = await root.createToken('the-viewer', { name: 'past', expiresAtWallMs: Date.now() - 1 });
  t.equal((await send('/api/v1/devices', { token: past.token })).status, 401, 'one that is over');
  const narrow = await root.createToken('the-admin', { name: 'narrow', accesses: ['read'] });
  t.same([(await send('/api/v1/devices', { token: narrow.token })).status, (await send('/api/v1/config/check', { method: 'POST', token: narrow.token })).status], [200, 403], 'a token may do less than its user');
  await root.deleteToken('the-admin', 'narrow');
  t.equal((await send('/api/v1/devices', { token: narrow.token })).status, 401);
  await root.updateUser('the-viewer', { disabled: true });
  t.equal((await send('/api/v1/devices', { token: viewer })).status, 401, 'shut out');
  await root.updateUser('the-viewer', { disabled: false });
});

await t.test('fault 85: channels of others are as if they were not', async t => {
  await root.createUser({ name: 'group-a', kind: 'platform', roles: ['operator'], channels: [own.id] });
  const { token } = await root.createToken('group-a', { name: 'test' });
  const mine = `${own.id}-${own.channels[0]!.id}`;
  const foreign = `${others.id}-${others.channels[0]!.id}`;
  const unknown = `${NOBODY}-${NOBODY}`;
  t.equal((await send(`/api/v1/channels/${mine}`, { token })).status, 200);
  for (const [method, rest, body] of [['GET', '', undefined], ['GET', '/snapshot', undefined], ['GET', '/why', undefined], ['GET', '/records?fromWallMs=1&toWallMs=2', undefined], ['POST', '/live', '{}'], ['POST', '/ptz', '{"command":{"kind":"preset-call","preset":1}}']] as const) {
    const [theirs, nothing] = await Promise.all([foreign, unknown].map(async id => {
      const response = await send(`/api/v1/channels/${id}${rest}`, { method, token, ...(body !== undefined && { body }) });
      return { status: response.status, text: (await response.text()).replaceAll(id, 'ID') };
    }));
    t.same(theirs, nothing, `${method} ${rest}`);
    t.equal(theirs!.status, 404);
  }
  const list = async (path: string): Promise<string> => JSON.stringify(await (await send(path, { token })).json());
  for (const path of ['/api/v1/devices', '/api/v1/channels?limit=1000', '/api/v1/sessions', '/api/v1/resources']) t.notMatch(await list(path), others.id, path);
  t.match(await list('/api/v1/channels'), own.channels[1]!.id);
  t.equal((await send(`/api/v1/devices/${others.id}`, { token })).status, 404);
  t.equal((await send(`/api/v1/devices/${others.id}/catalog`, { method: 'POST', token })).status, 404);
  for (const path of ['/api/v1/config', '/api/v1/alarms', '/api/v1/health', '/api/v1/samples', '/api/v1/history?metric=viewlink_channels&fromWallMs=1&toWallMs=2', '/api/v1/upstreams/city0/view', '/metrics']) t.equal((await send(path, { token })).status, 403, `nor anything that shows all: ${path}`);
  await t.rejects(root.updateUser('group-a', { roles: ['admin'] }), { code: 'BAD_REQUEST' }, 'and he is made no admin');
});

await t.test('fault 86: passwords are not guessed, and users not found out', async t => {
  await api.person('victim', ['viewer']);
  const attempt = (user: string, from: string, password = CANARY): Promise<{ status: number; retryAfter: string | undefined }> =>
    new Promise((resolve, reject) => {
      const body = JSON.stringify({ user, password });
      const sent = requestPlain(`${baseUrl}/api/v1/login`, { method: 'POST', ca: api.ca, localAddress: from, headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } }, response => {
        response.resume();
        resolve({ status: response.statusCode!, retryAfter: response.headers['retry-after'] });
      });
      sent.once('error', reject);
      sent.end(body);
    });
  for (let i = 0; i < 5; i++) t.equal((await attempt('victim', '127.0.0.7')).status, 401);
  const locked = await attempt('victim', '127.0.0.7');
  t.equal(locked.status, 429);
  t.ok(Number(locked.retryAfter) > 590 && Number(locked.retryAfter) <= 600);
  t.equal((await attempt('victim', '127.0.0.7', 'the-door-stays-shut-7')).status, 429, 'the right password too');
  t.equal((await attempt('victim', '127.0.0.1', 'the-door-stays-shut-7')).status, 200, 'who is at home elsewhere is not locked out by strangers');
  t.same(await Promise.all(Array.from({ length: 5 }, async () => (await attempt('nobody-1', '127.0.0.9')).status)), [401, 401, 401, 401, 401]);
  t.equal((await attempt('nobody-1', '127.0.0.9')).status, 429, 'one who does not exist is locked just so');
  for (let i = 0; i < 30; i++) await attempt('victim', '127.0.0.7');
  t.match(vlink('show', 'users').stdout, /^victim +person +viewer +locked from 127\.0\.0\.7 /m);
  t.match(vlink('user', 'unlock', 'victim'), { status: 0, stdout: 'victim may try again\n' });
  t.same(await api.rpc.call('unlockUser', { author: { user: 'root', via: 'cli', address: null }, name: 'victim' }), { locks: 0 });
  t.equal((await attempt('victim', '127.0.0.7', 'the-door-stays-shut-7')).status, 200, 'nor are the addresses any more from which it was guessed');
  t.ok((await root.listUsers()).length > 5, 'whoever is in stays in');
  const audit = (await api.audit()).filter(({ action, target }) => action === 'login' && target === 'victim');
  t.equal(audit.filter(({ result }) => result === 'refused').length, 6, 'each one that was looked at, and the others once a minute');
  const passwords = new Passwords(systemRandom);
  const stored = await passwords.hash('a password that is right');
  const cpu = async (kept: string | null): Promise<number> => {
    const from = process.cpuUsage();
    for (let i = 0; i < 3; i++) await passwords.verify(`wrong ${i}`, kept);
    const { user, system } = process.cpuUsage(from);
    return user + system;
  };
  const [known, unknown] = [await cpu(stored), await cpu(null)];
  t.ok(known / unknown > 0.7 && known / unknown < 1.4, `who is known costs ${(known / 3000).toFixed(1)} ms, who is not ${(unknown / 3000).toFixed(1)} ms`);
  t.ok(await passwords.verify('a password that is right', stored));
  t.notOk(await passwords.verify('x', 'scrypt$99$1$1$AAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA'), 'parameters beyond reason are not computed');
});

await t.test('fault 87: platforms are known by their certificate, and by no other', async t => {
  const client = clientCertificate('platform-1');
  await root.createUser({ name: 'platform-1', kind: 'platform', roles: ['viewer'] });
  using right = tlsFetch({ ca: api.ca, ...client });
  const selfOf = async (fetch: typeof right): Promise<number | string> => {
    const response = await fetch(`${baseUrl}/api/v1/self`, {});
    const said = (await response.json()) as { user?: string };
    return said.user ?? response.status;
  };
  t.equal(await selfOf(right), 401, 'a certificate that nobody knows');
  await root.setCertificate('platform-1', { sha256: client.sha256 });
  t.equal(await selfOf(right), 'platform-1');
  const first = await openTls('127.0.0.2', { ca: api.ca, servername: '', ...client });
  const session = await new Promise<Buffer>(resolve => first.once('session', resolve));
  first.destroy();
  const resumed = await openTls('127.0.0.2', { ca: api.ca, servername: '', ...client, session });
  const self = textOf(resumed);
  resumed.write('GET /api/v1/self HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(await self, /"user":"platform-1"/, `over a session that is ${resumed.isSessionReused() ? '' : 'not '}resumed`);
  using stranger = tlsFetch({ ca: api.ca, ...clientCertificate('platform-1') });
  t.equal(await selfOf(stranger), 401, 'the same name is not the same key');
  const over = clientCertificate('platform-1', Date.now() - 1000);
  await root.setCertificate('platform-1', { sha256: over.sha256 });
  using late = tlsFetch({ ca: api.ca, ...over });
  t.equal(await selfOf(late), 401, 'one that is over');
  await t.rejects(root.setCertificate('the-admin', { sha256: over.sha256 }), { code: 'CONFLICT' });
});

await t.test('fault 88: idle connections and slow requests are cut, and others served', async t => {
  const idle = await Promise.all(Array.from({ length: 40 }, () => openTls().catch(() => undefined)));
  const slow = await openTls('127.0.0.3');
  const began = performance.now();
  slow.write('POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"us');
  const trickle = setInterval(() => slow.write('e'), 300);
  const answer = await textOf(slow);
  clearInterval(trickle);
  t.match(answer, /^HTTP\/1\.1 408 |^$/);
  t.ok(performance.now() - began < 6000, `cut after ${Math.round(performance.now() - began)} ms`);
  const response = await new Promise<number>((resolve, reject) => requestPlain(`${baseUrl}/healthz`, { ca: api.ca, localAddress: '127.0.0.4' }, ({ statusCode }) => resolve(statusCode!)).once('error', reject).end());
  t.equal(response, 200, 'another address is served meanwhile');
  t.ok(((await api.rpc.call('counters', {}))['connection.refused'] ?? 0) > 0, 'one address has so many and no more');
  for (const socket of idle) socket?.destroy();
});

await t.test('fault 89: no WebSocket, from wherever', async t => {
  t.notMatch(await raw(`GET /api/v1/events HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`), /101/);
});

await t.test('fault 90: a password in a URL is refused, and nobody writes it down', async t => {
  for (const query of [`user=admin&password=${CANARY}`, `passwd=${CANARY}`, `access_token=${CANARY}`, `api_key=${CANARY}`]) t.equal((await send(`/api/v1/login?${query}`)).status, 400, query);
  const logs = await Promise.all(['apid', 'configd', 'sipd'].map(name => readFile(join(rig.gateway.directory, `${name}.log`), 'utf8')));
  t.notMatch(logs.join(''), CANARY);
  t.notMatch(JSON.stringify(await api.audit()), CANARY);
  for (const secret of [admin, api.firstPassword, 'the-door-stays-shut-7']) t.notMatch(logs.join(''), secret);
  t.notMatch((await readFile(join(rig.gateway.directory, 'state/apid/users.db-wal'))).toString('latin1'), admin, 'nor does the file of users hold a token');
});

await t.test('metrics: with a token, or from where they may be read without', async t => {
  const from = (localAddress: string): Promise<number> => new Promise((resolve, reject) => requestPlain(`${baseUrl}/metrics`, { ca: api.ca, localAddress }, response => (response.resume(), resolve(response.statusCode!))).once('error', reject).end());
  t.same([await from('127.0.0.20'), await from('127.0.0.21')], [200, 401]);
});

await t.test('users: roles that exclude each other, and somebody is always left who can make others', async t => {
  await t.rejects(root.createUser({ name: 'both', kind: 'person', roles: ['admin', 'auditor'] }), { code: 'BAD_REQUEST' });
  await t.rejects(root.createUser({ name: 'twice', kind: 'person', roles: ['viewer', 'viewer'] }), { code: 'BAD_REQUEST', detail: { why: 'roles: each role once' } });
  await t.rejects(root.createUser({ name: 'the-admin', kind: 'person', roles: [] }), { code: 'CONFLICT' });
  await root.updateUser('admin', { channels: ['*'] });
  t.ok((await root.getSelf()).user, 'nothing new ends no log-in');
  await root.updateUser('the-security', { disabled: true });
  await t.rejects(root.deleteUser('admin'), { code: 'CONFLICT' });
  await t.rejects(root.updateUser('admin', { roles: ['admin'] }), { code: 'CONFLICT' });
  await t.rejects(root.updateUser('admin', { roles: ['admin', 'security', 'operator'] }), { code: 'NOT_PERMITTED' }, 'nobody gives himself more');
  await t.rejects(root.createUser({ name: 'machine', kind: 'platform', roles: ['security'] }), { code: 'BAD_REQUEST' }, 'nor is a machine anything but viewer and operator');
  await t.rejects(root.updateUser('platform-1', { roles: ['admin'] }), { code: 'BAD_REQUEST' });
  const { password } = await root.createUser({ name: 'officer', kind: 'person', roles: ['security'] });
  const officer = api.client();
  officer.setTokens(await officer.logIn({ user: 'officer', password: password! }));
  await t.rejects(officer.listUsers(), { code: 'PASSWORD_EXPIRED' }, 'the first password opens nothing but its change');
  for (const weak of ['short', 'officer-officer', 'aaaaaaaaaaaa', password!]) await t.rejects(officer.changePassword({ password: password!, newPassword: weak }), { code: 'BAD_REQUEST' }, weak);
  officer.setTokens(await officer.changePassword({ password: password!, newPassword: 'another-long-one-9' }));
  t.ok((await officer.listUsers()).every(row => !('passwordHash' in row)));
  t.match(await officer.resetPassword('officer'), { password: /^\w{4}(-\w{4}){3}$/ });
  await t.rejects(officer.listUsers(), { code: 'UNAUTHENTICATED' }, 'a reset ends every log-in');
});

await t.test('a role beyond his own, or a log-in to who has one, an officer gives only with an admin who is somebody else', async t => {
  const officer = (await api.person('wang', ['security'])).client;
  const admin = (await api.person('li', ['admin'])).client;
  const made = await officer.createUser({ name: 'puppet', kind: 'person', roles: ['viewer', 'admin'] });
  t.match(made.user, { roles: ['viewer'], waiting: { roles: ['admin'], by: 'wang' } });
  const puppet = api.client();
  puppet.setTokens(await puppet.logIn({ user: 'puppet', password: made.password! }));
  await t.rejects(admin.approveRoles('puppet', { sinceWallMs: made.user.waiting!.sinceWallMs }), { code: 'CONFLICT', detail: { why: /chosen a password/ } });
  puppet.setTokens(await puppet.changePassword({ password: made.password!, newPassword: 'not-what-he-was-told-1' }));
  t.same((await puppet.getSelf()).accesses, ['read', 'watch'], 'a viewer until then');
  await t.rejects(puppet.getCandidate(), { code: 'NOT_PERMITTED' });
  const { token } = await officer.createToken('puppet', { name: 'sleeper' });
  await t.rejects(officer.approveRoles('puppet', { sinceWallMs: made.user.waiting!.sinceWallMs }), { code: 'NOT_PERMITTED' }, 'an officer is no admin');
  await t.rejects(admin.updateUser('puppet', { roles: ['admin'] }), { code: 'NOT_PERMITTED' }, 'and an admin no officer');
  await t.rejects(admin.approveRoles('puppet', { sinceWallMs: 1 }), { code: 'CONFLICT' }, 'not what was looked at');
  const [waits] = await admin.listWaitingRoles();
  t.match(waits, { name: 'puppet', roles: ['admin'], by: 'wang', hasOwnPassword: true });
  t.same(await admin.approveRoles('puppet', { sinceWallMs: waits!.sinceWallMs }), { name: 'puppet', roles: ['viewer', 'admin'] });
  t.ok((await api.client(token).getSelf()).accesses.every(access => access !== 'configure'), 'a token of the officer sleeps on');
  puppet.setTokens(await puppet.logIn({ user: 'puppet', password: 'not-what-he-was-told-1' }));
  t.equal(await puppet.getCandidate(), null);
  await officer.resetPassword('puppet');
  t.match(await admin.listWaitingRoles(), [{ name: 'puppet', holds: ['viewer'], roles: ['admin'] }], 'a password of the officer is no password of an admin');
  await officer.setCertificate('li', { sha256: 'ab'.repeat(32) });
  await t.rejects(admin.getCandidate(), { code: 'NOT_PERMITTED' }, 'nor a certificate');
  t.match(vlink('user', 'approve', 'li'), { status: 0, stdout: 'li is now admin\n' }, 'root at the console agrees too');
  t.match(vlink('show', 'approvals').stdout, /^puppet +admin +viewer +wang +\S+Z +has not chosen a password/m);
  const reset = vlink('user', 'reset-password', 'li');
  t.match(reset.stdout, /^li (\w{4}-){3}\w{4}\nIt must be changed at the first log-in, and is not shown again\.\n$/, 'root takes nothing from whom he helps');
  const audit = await api.audit();
  t.ok(audit.some(({ action, target, result }) => action === 'user.approve' && target === 'puppet' && result === 'refused'));
  t.match(audit.findLast(({ action }) => action === 'cli.user.reset-password'), { target: 'li', result: 'done' });
  t.notMatch(JSON.stringify(audit), reset.stdout.split(/[ \n]/)[1]!, 'no password is written down');
});

await t.test('a user who is shut out is out at once: tokens, streams, channels that were kept open for him', async t => {
  const { client, accessToken } = await api.person('leaver', ['operator']);
  const channel = `${own.id}-${own.channels[1]!.id}`;
  t.ok((await client.openLive(channel, { keepOpen: true })).leaseId);
  const isPlaying = async (): Promise<boolean> => (await rig.rpc.call('channel', { channel: channel.replace('-', '/') })).playing;
  t.equal(await isPlaying(), true);
  const stream = await api.fetch(`${baseUrl}/api/v1/events`, { headers: { Authorization: `Bearer ${accessToken}` } });
  const ended = stream.text();
  const from = performance.now();
  await root.updateUser('leaver', { disabled: true });
  await ended;
  await until('the channel is given back', async () => !(await isPlaying()));
  t.ok(performance.now() - from < 1000, 'within a second');
  await t.rejects(client.getSelf(), { code: 'UNAUTHENTICATED' });
});

await t.test('what cannot be written down is not done; what was kept open by who died is given back', async t => {
  const channel = `${own.id}-${own.channels[0]!.id}`;
  const { leaseId } = (await (await send(`/api/v1/channels/${channel}/live`, { method: 'POST', body: '{"keepOpen":true}' })).json()) as { leaseId: string };
  t.ok(leaseId);
  const isPlaying = async (): Promise<boolean> => (await rig.rpc.call('channel', { channel: channel.replace('-', '/') })).playing;
  t.equal(await isPlaying(), true);
  await api.apid.crash();
  await until('it is given back', async () => !(await isPlaying()));
  const missed = api.apid.next(line => line.msg === 'rpc.link-down' && String(line['socket']).endsWith('configd.sock'));
  api.configd.signal('SIGKILL');
  await missed;
  const response = await send(`/api/v1/channels/${channel}/ptz`, { method: 'POST', body: '{"command":{"kind":"preset-call","preset":9}}', token: tokens.get('operator')! });
  t.equal(response.status, 503);
  const refused = await response.json();
  t.same(refused, { code: 'DAEMON_UNREACHABLE', message: 'a part of the gateway does not answer', detail: {} }, 'and nothing is told of the inside');
  t.notOk(own.controls.some(({ value }) => value === formatPtz({ command: { kind: 'preset-call', preset: 9 }, address: 1 })), 'nothing was done');
  t.equal((await send('/api/v1/devices')).status, 200, 'whoever only looks is served');
  await until('configd is back', async () => (await send('/api/v1/config/status')).status === 200, 10_000);
});

await t.test('a certificate is changed under those who are connected; plain HTTP and TLS 1.1 are not spoken', async t => {
  await using rpc = await connectRpc<ApidRequests>(join(rig.gateway.directory, 'run/apid.sock'));
  const before = (await rpc.call('status', {})).certificateSha256;
  const made = clientCertificate('gateway.example.net');
  const [certificateFile, keyFile] = ['gateway.crt', 'gateway.key'].map(name => join(rig.gateway.directory, name)) as [string, string];
  await writeFile(certificateFile, made.cert);
  await writeFile(keyFile, made.key);
  const candidate = { steps: [{ op: 'set', path: 'api.certificateFile', value: certificateFile }, { op: 'set', path: 'api.keyFile', value: keyFile }] };
  t.equal((await send('/api/v1/config/candidate', { method: 'PATCH', body: JSON.stringify(candidate) })).status, 200);
  const done = (await (await send('/api/v1/config/commit', { method: 'POST', body: '{"reason":"a certificate of ours"}' })).json()) as { revision: number; refusals: unknown[] };
  t.same(done.refusals, []);
  const after = await rpc.call('status', {});
  t.same([after.certificateSha256, after.selfSigned, before === after.certificateSha256], [made.sha256, false, false]);
  t.equal((await send('/api/v1/devices')).status, 200, 'over the connection of before');
  const shown = await openTls('127.0.0.5', { ca: made.cert, servername: 'gateway.example.net' });
  t.equal(shown.getPeerX509Certificate()!.fingerprint256.replaceAll(':', '').toLowerCase(), made.sha256);
  shown.destroy();
  await t.rejects(openTls('127.0.0.5', { ca: made.cert, servername: 'gateway.example.net', minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  await writeFile(keyFile, clientCertificate('other').key);
  t.match(await rpc.call('reload', { sections: [], checkOnly: true }), { refused: /certificate/ }, 'a key of another one is refused, with a sentence');
  await writeFile(keyFile, made.key);
  using trusting = tlsFetch({ ca: made.cert, servername: 'gateway.example.net' });
  const second = await freePort();
  const more = { steps: [{ op: 'set', path: 'api.listen', value: [{ address: '127.0.0.1', port: api.port }, { address: '127.0.0.1', port: second, tls: false }] }, { op: 'set', path: 'api.requestsPerS', value: 1 }] };
  for (const [method, path, body] of [['PATCH', 'candidate', JSON.stringify(more)], ['POST', 'commit', '{"reason":"a second door"}']] as const) {
    const response = await trusting(`${baseUrl}/api/v1/config/${path}`, { method, body, headers: { Authorization: `Bearer ${admin}`, 'Content-Type': 'application/json' } });
    t.equal(response.status, 200, `${path} ${await response.text()}`);
  }
  t.equal((await fetch(`http://127.0.0.1:${second}/healthz`)).status, 200, 'what is configured is listened on at once; plain on loopback');
  const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await fetch(`http://127.0.0.1:${second}/healthz`)).status));
  t.ok(statuses.includes(429), `so many a second and no more: ${statuses.join(' ')}`);
});

function propertiesIn(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) => [...(key === 'properties' ? Object.keys(value as object) : []), ...propertiesIn(value)]);
}

function openTls(localAddress = '127.0.0.2', options: object = { ca: api.ca, servername: '' }): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port: api.port, localAddress, ...options, checkServerIdentity: () => undefined } as never);
    socket.once('secureConnect', () => resolve(socket)).once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

function textOf(socket: TLSSocket): Promise<string> {
  return new Promise(resolve => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).on('error', () => undefined);
    socket.once('close', () => resolve(text));
  });
}

/** Octets as they are; the answer until the gateway closes or falls silent. */
async function raw(text: string): Promise<string> {
  const socket = await openTls('127.0.0.6');
  const answer = textOf(socket);
  socket.write(text, 'latin1');
  socket.setTimeout(700, () => socket.destroy());
  return await answer;
}

function clientCertificate(name: string, notAfter = Date.now() + 86_400_000): { readonly cert: string; readonly key: string; readonly sha256: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signed = toBeSigned({ name, addresses: [Uint8Array.of(127, 0, 0, 1)], serial: randomBytes(16), notBefore: wallMs(Date.now() - 86_400_000), notAfter: wallMs(notAfter), publicKey: publicKey.export({ type: 'spki', format: 'der' }) });
  const made = new X509Certificate(certificate(signed, sign('sha256', signed, privateKey)));
  return { cert: made.toString(), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, sha256: made.fingerprint256.replaceAll(':', '').toLowerCase() };
}
