/** The HTTP API of a whole gateway over TLS: the generated client from the first password to a commit, events, webhooks, metrics. */
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type IncomingMessage, createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { formatPtz, PTZ_STOP } from '#core/gb/ptz.ts';
import { type GatewayEvent, type ViewLinkClient as OurClient, ViewLinkClient, ViewLinkError } from '../../daemons/client/client.ts';
import { ROUTES } from '../../daemons/apid/routes/index.ts';
import { isSchema } from '../../daemons/apid/route.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { openApiRig } from '../rig/api-rig.ts';
import { tlsFetch } from '../rig/tls-fetch.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(170_000);
const ROOT = join(import.meta.dirname, '../..');
const SECRET = 'webhook-secret-canary-1';

/** A receiver that fails the first time. */
const posts: { readonly headers: IncomingMessage['headers']; readonly body: string; readonly taken: boolean }[] = [];
const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => void chunks.push(chunk)).on('end', () => {
    const taken = posts.length > 0;
    posts.push({ headers: request.headers, body: Buffer.concat(chunks).toString(), taken });
    response.writeHead(taken ? 204 : 503).end();
  });
});
receiver.listen(await freePort(), '127.0.0.1');
await once(receiver, 'listening');
t.teardown(() => receiver.close());
const hookPort = (receiver.address() as { port: number }).port;

await using api = await openApiRig({
  cameras: [{ channels: 2 }],
  platforms: 1,
  api: { metricsNetworks: [], webhooks: [{ name: 'ops', url: `http://127.0.0.1:${hookPort}/hook?x=1`, secret: SECRET, events: ['device-offline', 'device-online'], local: true }] },
});
const { rig, root } = api;
const { device } = rig.cameras[0]!;
const camera = device.channels[0]!.id;
const channel = `${device.id}-${camera}`;

let rootTokenText: string | undefined;
async function rootToken(): Promise<string> {
  rootTokenText ??= (await root.createToken('admin', { name: 'test' })).token;
  return rootTokenText;
}

await t.test('the first password: for root, once, changed at the first log-in', async t => {
  t.equal(await api.rpc.call('takeFirstPassword', {}), null, 'not twice');
  await t.rejects(api.client().logIn({ user: 'admin', password: api.firstPassword }), { code: 'UNAUTHENTICATED' }, 'and it is no password any more');
  t.match(await api.rpc.call('status', {}), { users: 1, firstPasswordWaits: false, selfSigned: true, listening: [{ address: '127.0.0.1', port: api.port, tls: true }] });
  const vlink = (...argv: string[]): ReturnType<typeof spawnSync> => spawnSync(join(ROOT, 'cli/vlink'), ['--config', rig.gateway.configPath, ...argv], { encoding: 'utf8' });
  t.match(vlink('show', 'api').stdout, new RegExp(`listens at +https://127.0.0.1:${api.port}\n.*vouches for itself\n.*\n.*\n\nWEBHOOK .*\nops +http://127.0.0.1:${hookPort} +idle`));
  t.match(vlink('api', 'first-password'), { status: 1, stdout: /shown or used already/ });
  const log = await readFile(join(rig.gateway.directory, 'apid.log'), 'utf8');
  t.notMatch(log, api.firstPassword, 'the log has never heard of it');
});

await t.test('the whole way with the generated client: inventory, live, ptz, presets, recordings, snapshot, why', async t => {
  const { client } = await api.person('chen', ['operator']);
  t.match(await client.getSelf(), { user: 'chen', roles: ['operator'], accesses: ['read', 'watch', 'operate', 'diagnose'], mustChangePassword: false });
  t.match(await client.listDevices({ state: 'online' }), [{ id: device.id, channels: 2 }]);
  t.equal((await client.getDevice(device.id)).edition, '2016');
  t.match(await client.listChannels({ status: 'ON', limit: 1, offset: 1 }), { total: 2, rows: [{ channelId: device.channels[1]!.id }] });
  t.match(await client.listChannels({ text: camera }), { total: 1, rows: [{ channelId: camera, mapped: [{ upstream: 'city0' }] }] });
  t.match(await client.getChannel(channel), { deviceId: device.id, channelId: camera, status: 'ON' });
  t.match(await client.listUpstreams(), [{ name: 'city0', state: 'online' }]);
  t.ok((await client.viewUpstream('city0', { hidden: true })).rows.some(({ channelId }) => channelId === camera));
  t.match(await client.getTotals(), { channels: 2 });
  t.same(await client.listResources(), []);
  const live = await client.openLive(channel, { minutes: 5, keepOpen: true });
  t.ok(live.leaseId);
  await until('the camera plays', async () => (await client.getChannel(channel)).playing);
  const flv = await fetch(live.urls.find(({ protocol }) => protocol === 'flv')!.url);
  const reader = flv.body!.getReader();
  t.equal(Buffer.from((await reader.read()).value!.subarray(0, 3)).toString(), 'FLV', 'the address is one that plays');
  await reader.cancel();
  await client.closeLive(live.leaseId!);
  await until('the camera rests', async () => !(await client.getChannel(channel)).playing);
  const jpeg = await client.takeSnapshot(channel, { width: 320 });
  t.same([...jpeg.subarray(0, 2)], [0xff, 0xd8]);
  t.equal((await client.whyChannel(channel)).verdict, 'playable');
  const left = { ...PTZ_STOP, pan: 'left', panSpeed: 90 } as const;
  await client.steerChannel(channel, { command: left, holdMs: 200 });
  await until('it turns', () => device.controls.some(({ value }) => value === formatPtz({ command: left, address: 1 })));
  await until('and stops by itself', () => device.frontEnd.of(camera).moving === undefined);
  await client.controlChannel(channel, { kind: 'guard', on: true });
  t.match((await client.listPresets(channel))[0], { preset: 1 });
  const records = await client.listRecords(channel, { fromWallMs: Date.parse('2026-03-10T00:00:00+08:00'), toWallMs: Date.parse('2026-03-10T02:00:00+08:00') });
  t.match(records, { complete: true, records: { length: 4 } });
  const audit = (await api.audit()).filter(({ author }) => author.user === 'chen');
  t.same(audit.map(({ action, result }) => `${action} ${result}`).slice(0, 10), ['login done', 'password.change done', 'live.open done', 'live.close done', 'snapshot done', 'ptz done', 'control done', 'records.list done']);
  t.match(audit.find(({ action }) => action === 'ptz'), { author: { via: 'api', address: '127.0.0.1' }, target: `${device.id}/${camera}`, after: { kind: 'move', pan: 'left', panSpeed: 90 } });
});

await t.test('configuration: edit, compare, check, commit, confirm, roll back, secrets masked', async t => {
  const { client } = await api.person('wang', ['admin']);
  const { value } = await client.showConfig({ path: 'api' });
  t.match(value, { webhooks: [{ secret: '***' }] });
  t.notMatch((await client.showConfig()).text, SECRET);
  const before = await client.getConfigStatus();
  t.match(await client.editCandidate({ steps: [{ op: 'set', path: 'devices.ptzHoldS', value: 33 }] }), { changes: [{ path: 'devices.ptzHoldS', after: 33 }], issues: [] });
  t.match(await client.checkCandidate(), { issues: [], refusals: [] });
  const { client: second } = await api.person('wu', ['admin']);
  await second.editCandidate({ steps: [{ op: 'set', path: 'devices.ptzHoldS', value: 44 }] });
  const done = await client.commitCandidate({ reason: 'longer turns', confirmMinutes: 5 });
  t.equal(done.revision, before.revision + 1, JSON.stringify(done));
  t.match(await client.getConfigStatus(), { pending: { revision: done.revision } });
  await t.rejects(client.rollbackConfig({ revision: done.revision!, reason: 'meanwhile' }), { status: 409, code: 'CONFLICT', detail: { why: /waits for confirm/ } });
  t.match(await client.confirmCommit(), { revision: done.revision });
  t.equal((await client.showConfig({ path: 'devices.ptzHoldS' })).value, 33);
  await t.rejects(second.commitCandidate({ reason: 'after him' }), { status: 409, code: 'CONFLICT', detail: { why: /revision \d+ of wang .* changed devices.ptzHoldS meanwhile/ } });
  await t.rejects(client.confirmCommit(), { code: 'CONFLICT' }, 'nothing waits');
  t.match(await client.compareRevisions({ from: before.revision, to: done.revision! }), [{ path: 'devices.ptzHoldS', after: 33 }]);
  t.match((await client.listRevisions({ limit: 1 }))[0], { revision: done.revision, author: { user: 'wang', via: 'api' }, reason: 'longer turns' });
  t.ok((await client.rollbackConfig({ revision: before.revision, reason: 'back' })).revision);
  await t.rejects(client.editCandidate({ steps: [{ op: 'set', path: 'devices.ptzHoldS', value: 'long' }] }), { status: 400, code: 'BAD_REQUEST' });
  t.equal(await client.getCandidate(), null);
  t.ok((await client.getConfigSchema() as { properties: object }).properties);
  const signed = await client.getConfigStatus();
  await client.editCandidate({ steps: [{ op: 'delete', path: 'outlets.tokenKey' }] });
  await client.commitCandidate({ reason: 'no tokens' });
  await t.rejects(client.openLive(channel, {}), { status: 503, code: 'MEDIA_UNAVAILABLE', detail: { why: /outlets.tokenKey is not set/ } });
  await client.rollbackConfig({ revision: signed.revision, reason: 'tokens again' });
  const { fileBase64 } = await client.backupConfig({ passphrase: 'a passphrase of length' });
  t.ok(fileBase64.length > 100);
  const actions = (await api.audit()).filter(({ author }) => author.user === 'wang').map(({ action }) => action);
  t.same(actions.filter(action => action === 'config.commit'), ['config.commit', 'config.commit', 'config.commit', 'config.commit'], 'that it begins, and once what came of it');
  t.match((await api.audit()).filter(({ action }) => action === 'config.commit').map(({ detail, result }) => `${detail} ${result}`).slice(0, 4), ['begins done', /longer turns.* done/, 'begins done', /after him.* refused/]);
});

await t.test('health, samples, history, alarms; metrics that promtool takes', async t => {
  const { client } = await api.person('zhao', ['viewer']);
  await until('a report', async () => (await client.getHealth()).checks.length > 0);
  await until('samples', async () => (await client.getSamples()).samples.some(({ metric }) => metric === 'viewlink_devices'));
  t.ok(Array.isArray((await client.getHistory({ metric: 'viewlink_cpu_busy_ratio', fromWallMs: Date.now() - 60_000, toWallMs: Date.now() })).series));
  t.ok(Array.isArray(await client.listAlarms({ activeOnly: true })));
  await t.rejects(client.acknowledgeAlarm(1), { code: 'NOT_PERMITTED' }, 'a viewer only looks');
  await t.rejects(api.client().getMetrics(), { code: 'UNAUTHENTICATED' });
  const { token } = await root.createToken('zhao', { name: 'prometheus', accesses: ['read'] });
  const text = await api.client(token).getMetrics();
  const judged = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  t.equal(judged.status, 0, judged.stderr);
  t.match(text, /^viewlink_devices\{state="online"\} 1$/m);
  t.match(text, /^viewlink_api_requests_total\{status="2xx"\} \d+$/m);
  t.match(text, /^viewlink_api_link_up\{daemon="sipd"\} 1$/m);
  for (const name of [...(await readFile(join(ROOT, 'etc/grafana/viewlink.json'), 'utf8')).matchAll(/\b(viewlink_\w+)/g)].map(([name]) => name)) t.ok((await knownMetrics(text)).has(name), `the dashboard shows ${name}`);
  t.equal(spawnSync('promtool', ['check', 'rules', join(ROOT, 'etc/prometheus/viewlink.rules.yaml')]).status, 0);
  for (const [name] of (await readFile(join(ROOT, 'etc/prometheus/viewlink.rules.yaml'), 'utf8')).matchAll(/\bviewlink_\w+/g)) t.ok((await knownMetrics(text)).has(name), `an alert watches ${name}`);
});

/** Those that are there now, and those that come when there is something of the kind. */
async function knownMetrics(text: string): Promise<ReadonlySet<string>> {
  const { METRICS } = await import('#core/health/metrics.ts');
  return new Set([...Object.keys(METRICS).map(name => name.replace('_bits_per_second', '_bytes_per_second')), ...[...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!)]);
}

await t.test('events: what happens, what was missed, and only what one may see; webhooks: signed, and again until they are taken', async t => {
  const { client } = await api.person('qian', ['viewer']);
  const { client: other } = await api.person('sun', ['viewer'], ['99']);
  const heard: GatewayEvent[] = [];
  const otherHeard: GatewayEvent[] = [];
  const stop = new AbortController();
  const listening = [listen(client, heard, stop.signal, ['device-offline', 'device-online', 'channel-states']), listen(other, otherHeard, stop.signal)];
  await until('both listen', async () => (await api.rpc.call('status', {})).listeners === 2);
  await device.stop(true);
  await until('it is told', () => heard.some(({ type, data }) => type === 'device-offline' && data['deviceId'] === device.id));
  await using _again = await CameraSimulator.open({ id: device.id, platform: { id: LAB_ID, address: rig.gateway.address, port: rig.gateway.sipPort }, password: LAB_PASSWORD });
  await until('and that it is back', () => heard.some(({ type }) => type === 'device-online'));
  stop.abort();
  await Promise.allSettled(listening);
  t.notOk(otherHeard.some(({ data }) => data['deviceId'] === device.id), 'nothing of devices of others');
  const offline = heard.find(({ type }) => type === 'device-offline')!;
  const again: GatewayEvent[] = [];
  const second = new AbortController();
  const replaying = listen(client, again, second.signal, ['device-online'], offline.id);
  await until('what was missed comes', () => again.length > 0);
  second.abort();
  await Promise.allSettled([replaying]);
  t.match(again[0], { type: 'device-online', data: { deviceId: device.id } });
  await until('the webhook took both', () => posts.filter(({ taken }) => taken).length === 2, 10_000);
  t.same(posts.map(({ headers }) => headers['x-viewlink-event']), ['device-offline', 'device-offline', 'device-online'], 'in order, the first one twice');
  for (const { headers, body } of posts) {
    t.equal(headers['x-viewlink-signature'], `v1=${createHmac('sha256', SECRET).update(`${String(headers['x-viewlink-timestamp'])}.${body}`).digest('hex')}`);
    t.match(JSON.parse(body), { id: headers['x-viewlink-delivery'], node: 'gateway', data: { deviceId: device.id } });
  }
  for (const change of [{ channels: ['*'] }, { roles: [] }, { disabled: true }] as const) {
    const { token } = await root.createToken('sun', { name: `of-${Object.keys(change)[0]!}` });
    const stream = listen(api.client(token), [], new AbortController().signal);
    await until('a program listens', async () => (await api.rpc.call('status', {})).listeners === 1);
    await root.updateUser('sun', change);
    await until(`and no more after ${JSON.stringify(change)}`, async () => (await api.rpc.call('status', {})).listeners === 0, 3000);
    await stream;
    await root.updateUser('sun', { roles: ['viewer'] });
  }
  t.match(await client.listWebhooks(), [{ name: 'ops', target: `http://127.0.0.1:${hookPort}`, state: 'idle', queued: 0, delivered: 2, dropped: 0, why: null }]);
});

async function listen(client: typeof root, into: GatewayEvent[], signal: AbortSignal, types?: readonly string[], lastEventId?: string): Promise<void> {
  for await (const event of client.streamEvents({ signal, ...(types !== undefined && { types }), ...(lastEventId !== undefined && { lastEventId }) })) into.push(event);
}

await t.test('tokens: renewed by themselves, used once, ended with the log-in; a clean answer is what its schema says', async t => {
  const { password } = await api.person('li', ['viewer']);
  const pair = await api.client().logIn({ user: 'li', password });
  const client = api.client();
  client.setTokens({ ...pair, accessToken: 'vla_old' });
  t.equal((await client.getSelf()).user, 'li', 'the client renews what is over');
  await t.rejects(api.client().refreshTokens({ refreshToken: pair.refreshToken }), { code: 'UNAUTHENTICATED' }, 'a second use is a theft');
  await t.rejects(client.getSelf(), { code: 'UNAUTHENTICATED' }, 'and ends the family');
  const again = await api.client().logIn({ user: 'li', password });
  const bearer = api.client(again.accessToken);
  await bearer.logOut();
  await t.rejects(bearer.getSelf(), { code: 'UNAUTHENTICATED' });
  await t.rejects(api.client().refreshTokens({ refreshToken: again.refreshToken }), { code: 'UNAUTHENTICATED' });
  for (const route of ROUTES.filter(({ method, path, access }) => method === 'GET' && !path.includes('{') && (access === 'read' || access === 'self' || access === 'security'))) {
    if (!isSchema(route.answer) || route.id === 'getHistory') continue;
    const query = route.id === 'compareRevisions' ? '?from=1&to=1' : '';
    const response = await api.fetch(`${api.baseUrl}${route.path}${query}`, { headers: { Authorization: `Bearer ${await rootToken()}` } });
    const said = await response.json();
    t.ok(response.status === 200 && route.answer.safeParse(said).success, `${route.id} ${response.status} ${JSON.stringify(route.answer.safeParse(said).error?.issues.slice(0, 3))}`);
  }
});

await t.test('the client is what the document says, stands alone, and is a module for others', async t => {
  const made = spawnSync(join(ROOT, 'scripts/api-client'), { encoding: 'utf8' });
  t.equal(made.stdout, await readFile(join(ROOT, 'daemons/client/client.ts'), 'utf8'), 'scripts/api-client > daemons/client/client.ts');
  const directory = join(rig.gateway.directory, 'client');
  const emitted = spawnSync(join(ROOT, 'scripts/api-client'), ['--emit', directory], { encoding: 'utf8' });
  t.equal(emitted.status, 0, emitted.stderr);
  const { ViewLinkClient } = (await import(join(directory, 'client.js'))) as { readonly ViewLinkClient: typeof OurClient };
  t.same(await new ViewLinkClient({ baseUrl: api.baseUrl, fetch: api.fetch }).getAlive(), { status: 'ok' });
  t.match(await new ViewLinkClient({ baseUrl: api.baseUrl, fetch: api.fetch, token: await rootToken() }).getOpenApi(), { openapi: '3.1.0' });
  await t.rejects(api.client().listDevices(), ViewLinkError);
});

await t.test('addresses of the API: what cannot be bound changes nothing; what is new is there before the old goes', async t => {
  const { client, accessToken } = await api.person('zhou', ['admin']);
  const status = () => api.rpc.call('status', {});
  const key = await readFile(join(rig.gateway.directory, 'state/apid/tls.key'), 'utf8');
  const before = await status();
  const { token } = await root.createToken('zhou', { name: 'other' });
  const heard: GatewayEvent[] = [];
  const stop = new AbortController();
  const listening = listen(client, heard, stop.signal, ['config-committed']);
  await until('somebody listens', async () => (await status()).listeners === 1);
  const set = (path: string, value: unknown) => client.editCandidate({ steps: [{ op: 'set', path, value: value as never }] });
  await set('api.listen.0.address', '10.255.255.1');
  t.match(await client.checkCandidate(), { refusals: [{ daemon: 'apid', why: /api.listen: 10.255.255.1 port \d+ cannot be bound: EADDRNOTAVAIL/ }] });
  await t.rejects(client.commitCandidate({ reason: 'where we are not' }), { status: 409, code: 'CONFLICT', detail: { why: /10.255.255.1/ } });
  t.same(await status(), { ...before, listeners: 1 }, 'nothing moved');
  await client.discardCandidate();
  await set('node.name', 'gateway-b');
  await client.commitCandidate({ reason: 'another name' });
  t.equal((await status()).certificateSha256, before.certificateSha256, 'the certificate stays');
  await until('who listened before listens still', () => heard.length === 1);
  await set('node.name', 'gateway');
  await set('api.listen', [{ address: '127.0.0.1', port: api.port }, { address: '127.0.0.77', port: api.port }]);
  await client.commitCandidate({ reason: 'a second address' });
  const wider = await status();
  t.not(wider.certificateSha256, before.certificateSha256);
  t.equal(await readFile(join(rig.gateway.directory, 'state/apid/tls.key'), 'utf8'), key, 'another certificate with the same key');
  await until('it hears of that over the old address', () => heard.length === 2);
  const ca = await readFile(join(rig.gateway.directory, 'state/apid/tls.crt'), 'utf8');
  using fetch = tlsFetch({ ca });
  const other = new ViewLinkClient({ baseUrl: `https://127.0.0.77:${api.port}`, fetch, token });
  await other.editCandidate({ steps: [{ op: 'set', path: 'api.listen', value: [{ address: '127.0.0.1', port: api.port }] }] });
  t.ok((await other.commitCandidate({ reason: 'and away' })).revision, 'who takes away his own door gets his answer');
  await t.rejects(other.getSelf(), { code: 'ECONNREFUSED' });
  t.equal((await status()).certificateSha256, wider.certificateSha256, 'which asks for no other certificate');
  await until('the first address was open all the time', () => heard.length === 3);
  t.equal((await status()).listeners, 1);
  await new ViewLinkClient({ baseUrl: api.baseUrl, fetch, token: accessToken }).logOut();
  await until('a log-in that ends hears no more, long before the next sign of life', async () => (await status()).listeners === 0, 3000);
  await listening;
});
