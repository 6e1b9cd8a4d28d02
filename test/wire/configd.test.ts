/** configd with real daemons: what a commit does to them, and that nothing locks anybody out. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { MediadRequests } from '#contracts/mediad.ts';
import { type GatewayError } from '#core/result.ts';
import { bootTime } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, serveRpc } from '#kit/rpc.ts';
import { revertOverdue } from '../../daemons/configd/revert.ts';
import { Standing } from '../../cli/shell/standing.ts';
import { ConfigureMode } from '../../cli/configure/mode.ts';
import { createContext } from '../../cli/context.ts';
import { identityOf } from '../../cli/identity.ts';
import { GRAMMAR } from '../../cli/program.ts';
import { main } from '../../cli/vlink.ts';
import { LabGateway } from '../../scripts/lab/gateway.ts';
import { authorCalled, ConfigdProcess, remove, set } from '../rig/configd-rig.ts';
import { until } from '../rig/until.ts';

const CANARY = 'CANARY-7d1f93';
const lab = await LabGateway.open({ config: { log: { level: 'debug' } } });
t.teardown(() => lab[Symbol.asyncDispose]());
const stateDirectory = join(lab.directory, 'configd');
const silent = createLog('test', 'silent');
appendFileSync(lab.configPath, '# kept by hand\nupstreams: []   # platforms above us\n');
const configd = await ConfigdProcess.start({ configPath: lab.configPath, stateDirectory, socket: join(lab.directory, 'run/configd.sock') });
t.teardown(() => configd[Symbol.asyncDispose]());

const upstream = (name: string, serial: number) => [set(`upstreams[${name}].id`, `3402000000200001${serial}`), set(`upstreams[${name}].address`, '127.0.0.9'), set(`upstreams[${name}].localId`, `3402000000200002${serial}`), set(`upstreams[${name}].password`, `${CANARY}-${name}`)];
const names = async (): Promise<string[]> => {
  await using rpc = await lab.rpc();
  return (await rpc.call('listUpstreams', {})).map(row => row.name).sort();
};
const file = (): string => readFileSync(lab.configPath, 'utf8');
const revision = async (): Promise<number> => (await configd.call('status', {})).revision;
const refusal = (call: Promise<unknown>): Promise<string> => call.then(() => 'done', (error: unknown) => (error as GatewayError).message);

t.test('the first start takes the file up, its secrets sealed, its comments kept', async t => {
  t.equal(await revision(), 1);
  t.notMatch(file(), /lab-device-secret/);
  t.match(file(), /password: "?enc:v1:[0-9a-f]{8}:/);
  t.match(file(), /# kept by hand\nupstreams: \[\] {3}# platforms above us\n/);
  await using rpc = await lab.rpc();
  t.same(await rpc.call('reload', { sections: [] }), { refused: null }, 'the daemons open them');
});

t.test('edit, compare, commit: every daemon applies it alive', async t => {
  t.match(await refusal(configd.edit('wang', set('upstreams[city].prot', 5061))), /no such key.*port/);
  t.match(await refusal(configd.edit('wang', set('media.instances', 99))), /media\.instances.*32/);
  const report = await configd.edit('wang', ...upstream('city', 3001));
  t.same(report.issues, []);
  t.match(report.changes, [{ path: 'upstreams[city]', kind: 'added', before: null, after: { name: 'city', password: '***' } }]);
  t.same(await configd.call('check', { author: authorCalled('wang') }), { revision: null, issues: [], refusals: [], warnings: [], confirmByWallMs: null });
  t.same(await names(), [], 'nothing happened yet');
  t.match(await configd.commit('wang'), { revision: 2, issues: [], refusals: [], warnings: [] });
  t.same(await names(), ['city']);
  t.match(file(), /upstreams: {3}# platforms above us\n {2}- name: city\n {4}id: "34020000002000013001"\n/);
  t.match(await configd.commit('wang').then(() => '', (error: unknown) => (error as Error).message), /no candidate/);
  t.same(await configd.call('candidate', { author: authorCalled('wang') }), null);
  t.match(configd.events.at(-1), { type: 'committed', revision: 2, pending: false });
});

t.test('one refusal leaves everything as it was; where a commit says so the daemon starts anew', async t => {
  const before = file();
  await configd.edit('wang', set('sip.userAgent', 'Other'), set('upstreams[city].keepaliveS', 30));
  const refused = await configd.commit('wang');
  t.match(refused, { revision: null, refusals: [{ daemon: 'sipd', why: /needs a restart of viewlink-sipd/ }] });
  t.equal(file(), before);
  t.notOk(existsSync(`${lab.configPath}.next`));
  const { restarts } = lab.sipd;
  t.match(await configd.commit('wang', { restart: true }), { revision: 3, refusals: [] });
  t.equal(lab.sipd.restarts, restarts + 1);
  t.equal(lab.mediads[0]!.restarts, 0, 'only the one that must');
  t.same(await names(), ['city']);
});

t.test('a stale candidate: what does not overlap goes on top, what does is told who', async t => {
  await configd.edit('li', set('upstreams[city].keepaliveS', 40));
  await configd.edit('zhao', set('upstreams[city].keepaliveS', 50));
  await configd.edit('chen', set('node.name', 'gw7'));
  t.match(await configd.commit('li', { reason: 'slow link' }), { revision: 4 });
  t.match(await configd.commit('chen'), { revision: 5, issues: [] }, 'rebased');
  t.match(file(), /keepaliveS: 40/);
  t.match(await configd.commit('zhao'), { revision: null, issues: [{ path: 'upstreams[city].keepaliveS', why: 'revision 4 of li (slow link) changed upstreams[city].keepaliveS meanwhile: compare, then discard and edit anew' }] });
  await configd.call('discard', { author: authorCalled('zhao') });
});

t.test('commit confirm: confirmed in time it stays, else it returns everywhere', async t => {
  await configd.edit('wang', ...upstream('county', 3002));
  const waiting = await configd.commit('wang', { confirmMinutes: 1 });
  t.equal(waiting.revision, 6);
  t.ok(waiting.confirmByWallMs! > Date.now());
  t.ok(existsSync(join(stateDirectory, 'revisions/pending.json')));
  t.match((await configd.call('status', {})).pending, { revision: 6, returnsTo: 5 });
  await configd.edit('li', set('node.name', 'gw8'));
  t.match(await refusal(configd.commit('li')), /revision 6 of wang waits for confirm/);
  await configd.call('discard', { author: authorCalled('li') });
  t.same(await configd.call('confirm', { author: authorCalled('wang') }), { revision: 6 });
  t.notOk(existsSync(join(stateDirectory, 'revisions/pending.json')));
  t.same(await names(), ['city', 'county']);

  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang', { confirmMinutes: 0.02 }), { revision: 7 });
  t.same(await names(), ['city']);
  await until('it returns', () => configd.events.some(event => event.type === 'returned' && event.revision === 6));
  t.same(await names(), ['city', 'county']);
  t.match((await configd.call('history', { limit: 3 })).map(({ revision: n, state }) => [n, state]), [[7, 'returned'], [6, 'current'], [5, 'past']]);

  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang', { confirmMinutes: 60 }), { revision: 8 });
  t.match(await refusal(configd.call('rollback', { author: authorCalled('wang'), revision: 2, reason: '', confirmMinutes: null })), /revision 6 only/);
  t.match(await configd.call('rollback', { author: authorCalled('wang'), revision: 6, reason: '', confirmMinutes: null }), { revision: 6 }, 'at once');
  t.same(await names(), ['city', 'county']);
});

t.test('kill -9 of configd while it waits: the return comes without it, and with it', async t => {
  const old = file();
  const past = (): { wallMs: number; bootMs: number; bootId: string } => ({ wallMs: Date.now() + 3_600_000, bootMs: bootTime().bootMs + 3_600_000, bootId: bootTime().bootId });
  const revert = (now = past()): Promise<string> => revertOverdue({ configPath: lab.configPath, stateDirectory, now, log: silent });
  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang', { confirmMinutes: 10 }), { revision: 9 });
  await configd.end('SIGKILL');
  t.same(await names(), ['city']);
  t.equal(await revert({ wallMs: Date.now(), ...bootTime() }), 'not due');
  t.equal(await revert(), 'returned');
  t.equal(file(), old);
  t.same(await names(), ['city', 'county'], 'in force in the daemons too');
  t.equal(await revert(), 'nothing pending');

  await configd.start();
  t.match(await configd.call('status', {}), { revision: 6, pending: null, changedOutside: false });
  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang', { confirmMinutes: 10 }), { revision: 10 });
  await configd.end('SIGKILL');
  await configd.start();
  t.match((await configd.call('status', {})).pending, { revision: 10 }, 'before the deadline it goes on waiting');
  t.equal(await revert(), 'returned by configd', 'it is asked where it is there');
  t.equal(file(), old);

  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang', { confirmMinutes: 0.02 }), { revision: 11 });
  await configd.end('SIGKILL');
  await configd.start();
  await until('its own timer, or at its start', async () => (await revision()) === 6);
  t.same(await names(), ['city', 'county']);
  t.match(await configd.call('auditVerify', {}), { brokenAt: null }, 'two writers, one after the other, one chain');
});

t.test('a daemon that dies when it is told: back everywhere', async t => {
  const old = file();
  const last = { die: () => undefined as unknown };
  const handlers = { reload: ({ checkOnly }: { checkOnly?: boolean | undefined }) => (checkOnly === true ? { refused: null } : (last.die(), new Promise(() => undefined))) } as unknown as RpcHandlers<MediadRequests>;
  const server = await serveRpc<MediadRequests>(join(lab.directory, 'run/zzz.sock'), handlers, { validate: mediadRequestSchemas, log: silent });
  const gone = Promise.withResolvers<void>();
  last.die = () => server[Symbol.asyncDispose]().then(gone.resolve);
  await configd.edit('wang', remove('upstreams[county]'));
  t.match(await configd.commit('wang'), { revision: null, refusals: [{ daemon: 'zzz', why: 'ended while it was told' }] });
  await gone.promise;
  t.equal(file(), old);
  t.same(await names(), ['city', 'county']);
  await configd.call('discard', { author: authorCalled('wang') });
});

t.test('changed past configd: seen, not overwritten, taken over or undone', async t => {
  writeFileSync(lab.configPath, file().replace('name: gw7', 'name: by-hand').replace('keepaliveS: 40', 'keepaliveS: 41'));
  appendFileSync(lab.configPath, `inlets: [{id: "34020000001320000077", name: x, kind: rtsp, url: "rtsp://127.0.0.1/x", password: ${CANARY}-hand}]\n`);
  t.equal((await configd.call('status', {})).changedOutside, true);
  await configd.edit('wang', set('node.name', 'gw9'));
  const before = await revision();
  t.match(await configd.commit('wang'), { revision: null, issues: [{ why: new RegExp(`changed past vlink.*config rollback ${before}\``) }] });
  t.match(await configd.call('adopt', { author: authorCalled('wang'), reason: 'vi' }), { issues: [], refusals: [], revision: /\d+/ });
  t.not(await revision(), before);
  t.notMatch(file(), /CANARY/, 'sealed now');
  const adopted = file();
  writeFileSync(lab.configPath, adopted.replace('by-hand', 'for-a-while'));
  let said = '';
  const speak = { out: (text: string) => (said += text), err: (text: string) => (said += text), terminal: null };
  t.equal(await main(['config', 'reload', '--confirm', '5', '--reason', 'vi again'], { VLINK_CONFIG: lab.configPath }, speak), 0);
  t.match(said, /^revision \d+ is in force until/, 'a revision of its own, for every daemon');
  t.match(await configd.call('status', {}), { changedOutside: false, pending: { revision: /\d+/ } });
  t.match((await configd.call('auditLog', { fromSequence: -2, limit: 1 })), [{ action: 'config.adopt', after: { 'node.name': 'for-a-while' }, detail: /vi again.*waits for confirm/ }]);
  const { returnsTo } = (await configd.call('status', {})).pending!;
  await configd.call('rollback', { author: authorCalled('wang'), revision: returnsTo, reason: '', confirmMinutes: null });
  t.equal(file(), adopted);
  writeFileSync(lab.configPath, 'broken: [\n');
  t.match(await configd.call('adopt', { author: authorCalled('wang'), reason: '' }), { revision: null, issues: [{ line: 2 }] });
  t.match(await configd.call('rollback', { author: authorCalled('wang'), revision: await revision(), reason: 'undo', confirmMinutes: null }), { issues: [] });
  t.equal((await configd.call('status', {})).changedOutside, false);
  await configd.call('discard', { author: authorCalled('wang') });
});

t.test('a text loaded with masks keeps the secrets; a new key for all', async t => {
  const { text } = await configd.call('show', { path: '', of: 'current', author: authorCalled('wang') });
  t.match(text, /password: "\*\*\*"/);
  const report = await configd.call('load', { author: authorCalled('wang'), text: text.replace('by-hand', 'loaded') });
  t.match(report.changes.map(({ path }) => path), ['node.name'], 'and nothing else is a change');
  t.match(await configd.commit('wang'), { issues: [], refusals: [] });
  const [, key] = /enc:v1:([0-9a-f]{8})/.exec(file())!;
  t.match(await configd.call('rotateSecrets', { author: authorCalled('officer'), reason: '' }), { issues: [], refusals: [] });
  t.notMatch(file(), key!);
  for (const name of readdirSync(join(stateDirectory, 'revisions'))) t.notMatch(readFileSync(join(stateDirectory, 'revisions', name), 'utf8'), key!, name);
  t.equal(readFileSync(join(lab.directory, 'secrets.key'), 'utf8').split('\n').filter(line => /^[0-9a-f]{8} /.test(line)).length, 1);
  await using rpc = await lab.rpc();
  t.same(await rpc.call('reload', { sections: [] }), { refused: null });
});

const elsewhere = join(lab.directory, 'elsewhere');
const passphrase = 'correct horse battery';

t.test('backup, and another machine made of it; factory settings, and back', async t => {
  const { fileBase64 } = await configd.call('backup', { author: authorCalled('wang'), passphrase });
  const bytes = Buffer.from(fileBase64, 'base64');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'gateway.yaml'), `rpc: {directory: ${lab.directory}/run2}\n`);
  await using other = await ConfigdProcess.start({ configPath: join(elsewhere, 'gateway.yaml'), stateDirectory: join(elsewhere, 'state'), socket: join(lab.directory, 'run2/configd.sock') });
  const restore = (content: Buffer, words = passphrase) => other.call('restore', { author: authorCalled('officer'), passphrase: words, fileBase64: content.toString('base64') });
  t.match(await refusal(restore(bytes, 'another passphrase')), /passphrase is wrong/);
  t.match(await refusal(restore(bytes.subarray(0, bytes.length - 40))), /cut off/);
  t.match(await refusal(restore(bytes.subarray(0, 20))), /cut off/);
  t.match(await refusal(restore(Buffer.from('PK\x03\x04'.repeat(100)))), /no backup/);
  const changed = Buffer.from(bytes);
  changed[200]! ^= 1;
  t.match(await refusal(restore(changed)), /changed/);
  t.match(await restore(bytes), { issues: [], revision: /\d+/ });
  const restored = readFileSync(join(elsewhere, 'gateway.yaml'), 'utf8');
  t.match(restored, /loaded/);
  t.not(/enc:v1:([0-9a-f]{8})/.exec(restored)![1], /enc:v1:([0-9a-f]{8})/.exec(file())![1], 'sealed with a key of its own');
  t.ok((await other.call('history', { limit: 100 })).some(({ reason }) => reason === 'backup: slow link'), 'with its history');
  const { revision: last } = await other.call('status', {});
  t.match(await other.call('factoryReset', { author: authorCalled('officer'), reason: '', confirmMinutes: 5 }), { revision: last + 1, confirmByWallMs: /\d+/ });
  await other.call('confirm', { author: authorCalled('officer') });
  t.match((await other.call('show', { path: 'upstreams', of: 'current', author: authorCalled('officer') })).value, []);
  t.match(await other.call('rollback', { author: authorCalled('officer'), revision: last, reason: '', confirmMinutes: null }), { revision: last + 2 });
  t.equal(readFileSync(join(elsewhere, 'gateway.yaml'), 'utf8'), restored);
});

t.test('no secret anywhere but where it belongs', async t => {
  const by = authorCalled('wang');
  const spoken = [
    await configd.call('show', { path: '', of: 'current', author: by }),
    await configd.call('edit', { author: by, steps: [set('upstreams[city].password', `${CANARY}-new`), set('outlets.tokenKey', `${CANARY}-0123456789-0123456789-0123456789`)] }),
    await refusal(configd.edit('wang', set('upstreams[city].ha1', `${CANARY}-no-hash`))),
    await refusal(configd.edit('wang', set('outlets.tokenKey', CANARY))),
    await refusal(configd.call('load', { author: by, text: `upstreams: [{password: "${CANARY}\n` })),
    await configd.call('load', { author: by, text: `sip: {listen: 5}\nupstreams: [{password: [${CANARY}]}]\n` }).catch((error: unknown) => (error as Error).message),
    await configd.commit('wang'),
    await configd.call('compare', { from: 1, to: await revision() }),
    await configd.call('history', { limit: 1000 }),
    await configd.call('auditLog', { fromSequence: 1, limit: 10_000 }),
    await configd.call('status', {}),
  ];
  t.notMatch(JSON.stringify(spoken), CANARY);
  t.notMatch(configd.log, CANARY);
  const found = execFileSync('sh', ['-c', `grep -rlaF -e ${CANARY} -e lab-device-secret "${lab.directory}" || true`], { encoding: 'utf8' });
  t.equal(found, '', 'no log, no revision, no candidate, no audit log');
});

t.test('the audit log says who did what, and that nobody changed it', async t => {
  const entries = await configd.call('auditLog', { fromSequence: 1, limit: 10_000 });
  t.match(entries.map(({ action }) => action), ['config.commit']);
  for (const action of ['config.commit', 'config.confirm', 'config.return', 'config.rollback', 'config.adopt', 'config.secrets.rotate', 'config.backup']) t.ok(entries.some(entry => entry.action === action), action);
  const slow = entries.find(({ detail }) => detail.startsWith('slow link'));
  t.match(slow, { author: { user: 'li', address: '192.0.2.7' }, result: 'done', before: { 'upstreams[city].keepaliveS': 30 }, after: { 'upstreams[city].keepaliveS': 40 } });
  const { sequence } = await configd.call('audit', { author: authorCalled('wang'), action: 'ptz', target: '北门', before: null, after: { speed: 5 }, result: 'done', detail: '向左' });
  t.same((await configd.call('auditLog', { fromSequence: -1, limit: 1 })).map(entry => [entry.sequence, entry.target, entry.detail]), [[sequence, '北门', '向左']]);
  t.same(await configd.call('auditVerify', {}), { entries: sequence, brokenAt: null, why: null });
  const [name] = readdirSync(join(stateDirectory, 'audit'));
  const path = join(stateDirectory, 'audit', name!);
  const whole = readFileSync(path, 'utf8');
  writeFileSync(path, whole.replace('"user":"li"', '"user":"ll"'));
  t.match(await configd.call('auditVerify', {}), { brokenAt: slow!.sequence, why: /hash/ });
  writeFileSync(path, whole);
});

t.test('by vlink: one command after the other, and line by line', async t => {
  const environment = { VLINK_CONFIG: lab.configPath };
  const vlink = async (...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> => {
    let [out, err] = ['', ''];
    const code = await main(argv, environment, { out: text => (out += text), err: text => (err += text), terminal: null });
    return { code, out, err };
  };
  t.match(await vlink('config', 'set', 'upstreams', 'city', 'keepaliveS', '55'), { code: 0, out: /~ upstreams\[city\]\.keepaliveS: 41 -> 55\n/ });
  t.match(await vlink('config', 'set', 'upstreams[city].password', `${CANARY}-argv`), { code: 64, err: /not typed where others see it/ });
  t.match(await vlink('config', 'set', 'upstreams[city].keepaliveS', '1'), { code: 64, err: /5/ });
  t.match(await vlink('config', 'set', 'log', 'level'), { code: 64, err: /a value is missing/ });
  t.match(await vlink('config', 'rollback'), { code: 64, err: /to which revision\? config history/ });
  t.match(await vlink('config', 'delete', 'upstreams', 'nowhere'), { code: 64, err: /is not set/ });
  t.match(await vlink('config', 'commit', '--check'), { code: 0, out: /it can be committed/ });
  t.match(await vlink('config', 'commit', '--reason', 'by hand', '--confirm', '5'), { code: 0, out: /is in force until .* unless you confirm/ });
  t.match(await vlink('config', 'history', '--limit', '2'), { code: 0, out: /pending .* by hand\n.*\nrevision \d+ of root waits for config confirm/ });
  t.match(await vlink('config', 'confirm'), { code: 0, out: /stays/ });
  t.match(await vlink('config', 'show', 'upstreams', 'city', 'password'), { code: 0, out: /\*\*\*/ });
  t.match(await vlink('config', 'show', 'upstreams[city].port'), { code: 0, out: /default\n5060/ });
  t.match(await vlink('config', 'compare', '-1'), { code: 0, out: /keepaliveS: 41 -> 55/ });
  t.match(await vlink('config', 'save', join(lab.directory, 'saved.yaml')), { code: 0 });
  t.match(await vlink('config', 'save', join(lab.directory, 'saved.yaml')), { code: 64, err: /is there already/ });
  t.match(JSON.parse((await vlink('config', 'discard', '--json')).out), { discarded: true });
  t.match(await vlink('config', 'check', join(lab.directory, 'saved.yaml')), { code: 0 });
  t.match(await vlink('config', 'load', join(lab.directory, 'saved.yaml')), { code: 0, out: /nothing is changed/ });
  t.match(await vlink('config', 'commit'), { code: 2, err: /nothing is changed/ });
  t.match(await vlink('config', 'commit', 'confirm'), { code: 64, err: /confirm within how many minutes/ });
  t.match(await vlink('config', 'commit', 'confirm', '5', 'comment', 'as', 'in', 'configure'), { code: 2, err: /nothing is changed/ });
  for (const [lang, words] of [['en', /devices\.ptzHoldS: expected a whole number from \d+ to \d+/], ['zh', /devices\.ptzHoldS: 应为 \d+ 到 \d+ 的整数/]] as const) t.match(await vlink('--lang', lang, 'config', 'set', 'devices.ptzHoldS', 'long'), { code: 64, err: words });
  await vlink('--lang', 'en', 'show', 'version');
  t.match(await vlink('config', 'discard'), { code: 0 });
  t.match(await vlink('config', 'rollback', '-1', '--reason', 'again'), { code: 0, out: /is in force/ });
  t.match(await vlink('audit', 'show', '--last', '3'), { code: 0, out: /config\.rollback/ });
  t.match(await vlink('audit', 'verify'), { code: 0, out: /^whole/ });
  t.match(await vlink('configure'), { code: 64, err: /needs a terminal/ });

  let said = '';
  const output = { out: (text: string) => (said += text), err: (text: string) => (said += text), terminal: null };
  const context = createContext({ options: {}, environment, output, identity: identityOf({}), signal: new AbortController().signal, grammar: GRAMMAR });
  const mode = await new ConfigureMode(context).begin(context);
  const line = async (text: string): Promise<string> => {
    said = '';
    const step = await mode.run(text, context);
    return `${said}${step === 'leave' ? 'left' : ''}`;
  };
  t.match((await mode.complete('set upstreams ci')).candidates.map(({ word }) => word), ['city']);
  t.match((await mode.complete('set upstreams city transport ')).candidates.map(({ word }) => word), ['udp', 'tcp']);
  t.match((await mode.complete('com')).candidates.map(({ word }) => word), ['compare', 'commit']);
  t.equal(await line('set upstreams city keepaliveS 33'), '');
  t.match(mode.prompt('node-a'), /^root@node-a\*# $/);
  const standing = new Standing(() => context, 'a-machine');
  await standing.look();
  t.match(standing, { node: String, mark: '', sentence: null });
  t.same(await mode.run('run show devices | count', context), { atTop: 'show devices | count' });
  t.match(await line('run'), /run which command/);
  t.match(await line('compare'), /~ upstreams\[city\]\.keepaliveS: 41 -> 33/);
  t.match(await line('exit'), /were not committed/);
  t.match(await line('frobnicate'), /no command frobnicate/);
  t.match(await line('commit confirm'), /how many minutes/);
  t.match(await line('commit confirm 5 comment so as to see'), /is in force until/);
  await standing.look();
  t.match(standing, { mark: '[!confirm 5 min] ', sentence: /^revision \d+ waits: unless you give config confirm, revision \d+ comes back in 5 min$/ });
  t.match(await line('rollback -1'), /is in force/);
  await standing.look();
  t.equal(standing.mark, '');
  t.match(await line('del upstreams city keepaliveS'), /^$/);
  t.equal(await line('exit discard'), 'left');
  t.match(file(), /keepaliveS: 41/);
});

t.test('the end of the audit log cut off while configd was killed is told', async t => {
  const { entries } = await configd.call('auditVerify', {});
  await configd.end('SIGKILL');
  const [name] = readdirSync(join(stateDirectory, 'audit'));
  const path = join(stateDirectory, 'audit', name!);
  writeFileSync(path, `${readFileSync(path, 'utf8').split('\n').slice(0, 11).join('\n')}\n`);
  await configd.start();
  t.match(await configd.call('auditVerify', {}), { entries: 10, brokenAt: 11, why: `entries 11 to ${entries} are missing` });
  t.match(await configd.call('auditLog', { fromSequence: -1, limit: 1 }), [{ sequence: entries + 1, action: 'audit.missing', author: { via: 'system' } }]);
  t.match(configd.log, /"audit\.missing"/);
  t.match(await configd.call('counters', {}), { 'audit.missing': 1 });
});

t.test('a full disk: refused, nothing half-done, and on with the next one', async t => {
  const small = join(lab.directory, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]);
  t.teardown(() => execFileSync('umount', ['-l', small]));
  writeFileSync(join(small, 'gateway.yaml'), `rpc: {directory: ${lab.directory}/run3}\n`);
  await using tight = await ConfigdProcess.start({ configPath: join(small, 'gateway.yaml'), stateDirectory: join(small, 'state'), socket: join(lab.directory, 'run3/configd.sock') });
  await tight.edit('wang', set('node.name', 'first'));
  t.match(await tight.commit('wang', { confirmMinutes: 30 }), { revision: 2 });
  const before = readFileSync(join(small, 'gateway.yaml'), 'utf8');
  const fill = (): void => {
    try {
      for (;;) appendFileSync(join(small, 'ballast'), Buffer.alloc(4096));
    } catch (error) {
      t.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  };
  fill();
  t.match(await tight.call('rollback', { author: authorCalled('wang'), revision: 1, reason: '', confirmMinutes: null }), { revision: 1 }, 'the way back needs no room');
  t.not(readFileSync(join(small, 'gateway.yaml'), 'utf8'), before);
  fill();
  t.match(await refusal(tight.edit('wang', set('node.name', 'second'))), /STORE_FAILED.*ENOSPC/);
  t.match(await refusal(tight.call('rollback', { author: authorCalled('wang'), revision: 2, reason: '', confirmMinutes: null })), /STORE_FAILED.*ENOSPC/);
  t.match(await tight.call('status', {}), { revision: 1, pending: null, changedOutside: false });
  writeFileSync(join(small, 'ballast'), '');
  t.match(await tight.call('rollback', { author: authorCalled('wang'), revision: 2, reason: '', confirmMinutes: null }), { revision: 3 });
  t.match(await tight.call('auditLog', { fromSequence: 1, limit: 100 }), [{ result: 'done' }, { action: 'config.return' }, { action: 'config.rollback', result: 'done' }, { action: 'config.rollback', result: 'failed', detail: /ENOSPC/ }, { action: 'config.rollback', target: 'revision 3' }]);
  t.match(await tight.call('auditVerify', {}), { brokenAt: null }, 'what waited in memory is written down');
});
