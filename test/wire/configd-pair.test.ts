/** Two configds of a pair: one configuration, whoever of the two is asked, killed or cut off. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import type { PeerLine } from '#contracts/configd.ts';
import type { GatewayError } from '#core/result.ts';
import { systemRandom } from '#kit/random.ts';
import { loadKeyRing } from '#kit/secret-box.ts';
import { HeldLine } from '../../daemons/configd/held-line.ts';
import { authorCalled, set } from '../rig/configd-rig.ts';
import { openConfigdPair } from '../rig/configd-pair-rig.ts';
import { until } from '../rig/until.ts';

const CANARY = 'CANARY-51b07c';
const pair = await openConfigdPair();
t.setTimeout(60_000);
t.teardown(() => pair[Symbol.asyncDispose]());
const { a, b } = pair;
const wang = authorCalled('wang');
const upstream = (name: string, serial: number) => [set(`upstreams[${name}].id`, `3402000000200001${serial}`), set(`upstreams[${name}].address`, '127.0.0.9'), set(`upstreams[${name}].localId`, `3402000000200002${serial}`), set(`upstreams[${name}].password`, `${CANARY}-${name}`)];
const refusal = (call: Promise<unknown>): Promise<string> => call.then(() => 'done', (error: unknown) => (error as GatewayError).message);
const rowsOf = async (node: typeof a): Promise<unknown[]> => (await node.configd.call('history', { limit: 50 })).map(({ revision, author, reason, atWallMs, state, changes }) => ({ revision, user: author.user, reason, atWallMs, state, changes }));

t.test('the active node is followed from the start; its machine is not', async t => {
  await pair.inStep();
  t.match(b.file, /^# a begins here\n/);
  t.match(b.file, /name: b\n/);
  t.match(b.file, new RegExp(`directory: ${b.directory}/run`));
  t.notMatch(b.file, /a-secret-of-the-pair/, 'sealed');
  const sealed = (text: string): string => /key: "?(enc:v1:\w+)/.exec(text)![1]!;
  t.not(sealed(b.file), sealed(a.file), 'by each with its own key');
  t.same(await rowsOf(a), await rowsOf(b));
});

t.test('a commit is answered when both have it, with who, when and why', async t => {
  const { reloads } = b;
  await a.configd.edit('wang', ...upstream('city', 3001));
  const begun = performance.now();
  t.match(await a.configd.commit('wang', { reason: 'new city' }), { issues: [], revision: 2, warnings: [/mediad-1/] });
  t.ok(performance.now() - begun < 2000);
  t.equal(await b.revision(), 2, 'when it was answered');
  t.same(await rowsOf(a), await rowsOf(b));
  t.match(await rowsOf(b), [{ revision: 2, user: 'wang', reason: 'new city', state: 'current' }]);
  await until('the daemons of the other node are told', () => b.reloads > reloads);
  t.notMatch(a.file + b.file, new RegExp(CANARY));
  t.match(b.file, /name: city/);
});

t.test('whoever sits at the other node: his commit is made by the active one, in his name', async t => {
  await b.configd.edit('li', ...upstream('county', 3002));
  t.match((await b.configd.call('candidate', { author: authorCalled('li') }))?.changes, [{ path: 'upstreams[county]', kind: 'added' }]);
  t.match(await b.configd.commit('li', { reason: 'new county' }), { revision: 3, issues: [] });
  t.equal(await b.revision(), 3);
  t.match(await rowsOf(a), [{ revision: 3, user: 'li', reason: 'new county' }]);
  t.same(await b.configd.call('candidate', { author: authorCalled('li') }), null);
  const log = await a.configd.call('auditLog', { fromSequence: -20, limit: 20 });
  t.match(log.find(({ action, target }) => action === 'config.commit' && target === 'revision 3'), { author: { user: 'li', address: '192.0.2.7' }, result: 'done' });
  t.match(await b.configd.call('rollback', { author: wang, revision: 2, reason: 'no county', confirmMinutes: null }), { revision: 4 });
  await pair.inStep();
  t.notMatch(b.file, /county/);
  await b.configd.edit('li', set('upstreams[city].port', 99999)).catch(() => undefined);
  await b.configd.call('discard', { author: authorCalled('li') });
});

t.test('what belongs to one machine is committed on it, without a revision', async t => {
  await b.configd.edit('wang', set('api.listen[0].address', '127.0.0.1'), set('log.level', 'debug'));
  t.match(await b.configd.commit('wang'), { revision: null, issues: [{ why: /a part of this belongs to this machine \(node, state, rpc, api\.listen/ }] });
  await b.configd.call('discard', { author: wang });
  await b.configd.edit('wang', set('api.listen[0].address', '127.0.0.1'));
  t.match(await b.configd.commit('wang'), { revision: 4, issues: [] });
  t.match(b.file, /address: 127\.0\.0\.1/);
  t.notMatch(a.file, /address: 127\.0\.0\.1/);
  await a.configd.edit('wang', set('log.level', 'debug'));
  t.match(await a.configd.commit('wang'), { revision: 5 });
  await pair.inStep();
  t.match(b.file, /address: 127\.0\.0\.1/, 'it stays under the next revision');
  t.match(b.file, /level: debug/);
});

t.test('audit: each node has the other one\'s log too, as a chain of its own', async t => {
  const { sequence } = await b.configd.call('audit', { author: wang, action: 'ptz', target: 'gate', before: null, after: null, result: 'done', detail: 'left' });
  const copied = await until('it is on the other node', async () => (await a.configd.call('auditLog', { fromSequence: -1, limit: 1, of: 'b' }).catch(() => [])).find(entry => entry.sequence === sequence));
  t.match(copied, { action: 'ptz', node: 'b', author: { user: 'wang' } });
  const both = await a.configd.call('auditLog', { fromSequence: -1000, limit: 1000, of: 'all' });
  t.same([...new Set(both.map(({ node }) => node))].sort(), ['a', 'b']);
  t.same(both.map(({ atWallMs }) => atWallMs), both.map(({ atWallMs }) => atWallMs).sort((x, y) => x - y));
  t.match(await a.configd.call('auditVerify', {}), { brokenAt: null, copies: [{ node: 'b', brokenAt: null, entries: sequence }] });
  t.match(await refusal(a.configd.call('auditLog', { fromSequence: 1, limit: 1, of: 'c' })), /no copy/);
});

const waits = async (node: typeof a): Promise<number | undefined> => (await node.configd.call('status', {})).pending?.revision;

t.test('commit confirm: both wait; confirmed or returned, it is so on both', async t => {
  await a.configd.edit('wang', ...upstream('town', 3003));
  t.match(await b.configd.call('edit', { author: wang, steps: [set('log.level', 'info')] }), { issues: [] });
  t.match(await b.configd.commit('wang', { confirmMinutes: 30 }), { revision: 6, issues: [] });
  t.same([await waits(a), await waits(b)], [6, 6]);
  t.match(await refusal(a.configd.commit('wang')), /revision 6 of wang waits for confirm/);
  t.same(await b.configd.call('confirm', { author: wang }), { revision: 6 });
  await until('both know', async () => (await waits(a)) === undefined && (await waits(b)) === undefined);
  t.match(await a.configd.commit('wang', { confirmMinutes: 0.03 }), { revision: 7, issues: [] });
  t.match(b.file, /name: town/);
  await until('it returns on both', async () => (await a.revision()) === 6 && (await b.revision()) === 6);
  await pair.inStep();
  t.notMatch(a.file + b.file, /name: town/);
  t.same(await rowsOf(a), await rowsOf(b));
});

t.test('the active node dies while a commit waits: the other one returns it at the same time', async t => {
  await a.configd.edit('wang', set('media.dscp', 10));
  t.match(await a.configd.commit('wang', { confirmMinutes: 0.05 }), { revision: 8, issues: [] });
  const deadline = (await b.configd.call('status', {})).pending!.deadlineWallMs;
  await a.configd.end('SIGKILL');
  Object.assign(a, { role: 'standby' });
  Object.assign(b, { role: 'active', term: 2 });
  await until('it returns', async () => (await b.revision()) === 6);
  t.ok(Math.abs(Date.now() - deadline) < 1500, `${Date.now() - deadline} ms after it`);
  t.notMatch(b.file, /dscp/);
});

t.test('the node that lives takes commits, says that the other one is away, and gives them to it when it is back', async t => {
  await b.configd.edit('li', ...upstream('hill', 3004));
  const result = await b.configd.commit('li', { reason: 'while a was dead' });
  t.match(result, { revision: 9, issues: [] });
  t.match(result.warnings.join(), /a is not reached/);
  await a.configd.start();
  await pair.inStep();
  t.match(a.file, /name: hill/);
  t.match(a.file, /name: a\n/);
  t.same(await rowsOf(a), await rowsOf(b));
});

t.test('nobody is active in reach: refused with what to do; --local is for whoever knows', async t => {
  pair.cut(true);
  a.role = 'isolated';
  await until('a knows that it is alone', async () => !(await a.report()).peer.reached);
  await a.configd.edit('chen', set('media.dscp', 34));
  t.match(await refusal(a.configd.commit('chen')), /NODE_STANDBY.*a is isolated, and b is not reached.*--local/);
  t.match(await a.configd.call('commit', { author: authorCalled('chen'), reason: 'by hand', confirmMinutes: null, where: 'local' }), { revision: 10 });
  await b.configd.edit('li', ...upstream('lake', 3005));
  t.match(await b.configd.commit('li', { reason: 'at the same time' }), { revision: 10 });
  a.role = 'standby';
  pair.cut(false);
  await pair.inStep();
  t.match(a.file, /name: lake/, 'the active one stays');
  t.notMatch(a.file, /dscp: 34/);
  t.same(await rowsOf(a), await rowsOf(b));
  t.match(await rowsOf(b), [{ revision: 11, user: 'chen', state: 'aside', reason: 'set aside, it was revision 10 of a: by hand' }, { revision: 10, user: 'li', state: 'current' }]);
  t.same((await b.report()).asides, [11]);
  for (const node of [a, b]) t.match(await node.configd.call('compare', { from: 10, to: 11 }), [{ path: 'upstreams[lake]', kind: 'removed' }, { path: 'media', after: { dscp: 34 } }]);
  t.match(await a.configd.call('rollback', { author: wang, revision: 11, reason: 'chen was right', confirmMinutes: null }), { revision: 12 });
  await pair.inStep();
  t.same((await a.report()).asides, []);
  t.match(await refusal(a.configd.call('commit', { author: wang, reason: '', confirmMinutes: null, where: 'local' })), /CONFLICT.*b is active and answers/);
});

t.test('a commit that the other one did not get is not lost with its node', async t => {
  pair.cut(true);
  await until('b knows that it is alone', async () => !(await b.report()).peer.reached);
  await b.configd.edit('li', set('log.level', 'debug'));
  t.match(await b.configd.commit('li', { reason: 'last words' }), { revision: 13 });
  Object.assign(b, { role: 'standby' });
  Object.assign(a, { role: 'active', term: 3 });
  pair.cut(false);
  await pair.inStep();
  t.equal(await a.revision(), 13, 'nobody changed anything meanwhile');
  t.match(a.file, /level: debug/);
});

t.test('each node has keys of its own, and new ones when it is told', async t => {
  const before = [a.file, b.file];
  t.match(await b.configd.call('rotateSecrets', { author: wang, reason: '' }), { revision: 13 });
  t.equal(a.file, before[0]);
  t.not(b.file, before[1]);
  t.match(await b.configd.call('auditVerify', {}), { brokenAt: null, copies: [{ node: 'a', brokenAt: null }] });
  await b.configd.end('SIGTERM');
  await b.configd.start();
  await pair.inStep();
  t.equal(await b.revision(), 13);
});

t.test('fault 107: a revision of a newer release is kept raw and sealed, and taken by the release that can read it', async t => {
  const before = await b.configd.call('line', { node: 'a', mark: '', held: null });
  const row = { revision: 14, id: 'e'.repeat(24), atWallMs: 1, author: wang, reason: 'by a newer one', changes: 1, term: 9, aside: null, returned: false };
  const told: PeerLine = { ...before, node: 'a', active: true, release: '99.0.0', term: 9, trail: ['f'.repeat(24), ...before.trail], rows: [row, ...before.rows!], current: 14 };
  await a.configd.end('SIGTERM');
  {
    await using _newer = await a.standIn(told, () => `version: 4000\nfrobnicate: ${CANARY}-newer\n`);
    await until('b says so', async () => (await b.report()).held !== null);
    t.match(await b.report(), { revision: 13, inStep: false, held: /revision 14: .*newer release/, peer: { revision: 14, release: '99.0.0' } });
    t.equal(await b.revision(), 13);
  }
  t.throws(() => execFileSync('grep', ['-r', CANARY, b.directory]), 'nowhere on the disk in the clear');
  await b.configd.end('SIGKILL');
  await b.configd.start();
  t.match((await b.report()).held, /newer release/, 'and after its next start');
  // A release that can read it, here of words that this one knows.
  await b.configd.end('SIGTERM');
  const text = b.file.replace('name: b', 'name: a').replace('level: debug', 'level: trace');
  const { ring } = await loadKeyRing(b.configPath);
  const held = new HeldLine(join(b.directory, 'configd/held'), () => ring, systemRandom);
  held.keep({ ...held.read()!, texts: [{ revision: 14, text }] });
  await b.configd.start();
  t.match(await b.report(), { revision: 14, held: null });
  t.match(b.file, /name: b\n[^]*level: trace/);
  t.match(await rowsOf(b), [{ revision: 14, user: 'wang', reason: 'by a newer one', state: 'current' }]);
});

t.test('nothing of a secret stands in the journals', async t => {
  t.notMatch(a.configd.log + b.configd.log, new RegExp(CANARY));
});
