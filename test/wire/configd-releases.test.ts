/** Fault 107: the configuration of two nodes of which one runs the next release already, from its update to that of the other. */
import t from 'tap';
import { authorCalled, set } from '../rig/configd-rig.ts';
import { openConfigdPair } from '../rig/configd-pair-rig.ts';
import { NEXT_KEY, NEXT_RELEASE } from '../rig/next-release.ts';
import { until } from '../rig/until.ts';

t.setTimeout(60_000);
const pair = await openConfigdPair();
t.teardown(() => pair[Symbol.asyncDispose]());
const { a, b } = pair;
const wang = authorCalled('wang');
const OLD_NAME = /ptzHoldS:/;
const NEW_NAME = new RegExp(`${NEXT_KEY}:`);

await t.test('fault 107: the standby is updated first: it goes on following, in words of its own', async t => {
  await a.configd.edit('wang', set('devices.ptzHoldS', 21), set('log.level', 'debug'));
  t.match(await a.configd.commit('wang'), { revision: 2 });
  await pair.inStep();
  await b.configd.end('SIGTERM');
  await b.configd.start(NEXT_RELEASE);
  await pair.inStep();
  t.match(b.file, /version: 2/);
  t.match(b.file, new RegExp(`${NEXT_KEY}: 21`), 'brought up to date where it stands');
  t.match(a.file, /ptzHoldS: 21/, 'the active one is as it was');
  t.notMatch(a.file, /version: 2/);
  t.equal(await a.revision(), 2, 'and nothing was committed by it');
});

await t.test('fault 107: what the active one of before commits is in force at both', async t => {
  await a.configd.edit('wang', set('devices.ptzHoldS', 22), set('upstreams[city].id', '34020000002000013001'), set('upstreams[city].address', '127.0.0.9'), set('upstreams[city].localId', '34020000002000023001'), set('upstreams[city].password', 'city-secret'));
  t.match(await a.configd.commit('wang', { reason: 'by the old one' }), { revision: 3, issues: [] });
  await pair.inStep();
  t.match(b.file, new RegExp(`${NEXT_KEY}: 22`));
  t.notMatch(b.file, OLD_NAME);
  t.match(b.file, /password: "?enc:v1:/);
  t.match(await b.report(), { held: null, refusals: [] });
  t.match(await a.configd.call('rollback', { author: wang, revision: 2, reason: 'and back', confirmMinutes: null }), { revision: 4 });
  await pair.inStep();
  t.match(b.file, new RegExp(`${NEXT_KEY}: 21`));
  t.notMatch(b.file, /city/);
});

await t.test('fault 107: whoever sits at the new one has his commit made by the old one, in words that both know', async t => {
  await b.configd.edit('li', set('devices.keepaliveS', 45));
  t.match(await b.configd.commit('li', { reason: 'from the new one' }), { revision: 5, issues: [] });
  await pair.inStep();
  t.match(a.file, /keepaliveS: 45/);
  await b.configd.edit('li', set(`devices.${NEXT_KEY}`, 5));
  const refused = await b.configd.commit('li').then(({ issues }) => JSON.stringify(issues), (error: unknown) => (error as Error).message);
  t.match(refused, NEXT_KEY, 'a word that the active one does not know is named');
  t.equal(await a.revision(), 5);
  await b.configd.call('discard', { author: authorCalled('li') });
});

await t.test('fault 107: the new one becomes active: the old one keeps what it cannot read, says so, and has it after its own update', async t => {
  Object.assign(a, { role: 'standby' });
  Object.assign(b, { role: 'active', term: 2 });
  await b.configd.edit('li', set(`devices.${NEXT_KEY}`, 33));
  t.match(await b.configd.commit('li', { reason: 'of tomorrow' }), { revision: 6, warnings: [/./] });
  await until('the old one says so', async () => /newer release/.test((await a.report()).held ?? ''), 10_000);
  t.match(a.file, /ptzHoldS: 21/, 'and is as it was');
  t.equal(await a.revision(), 5);
  await b.configd.edit('li', set('log.level', 'info'));
  t.match(await b.configd.commit('li', { reason: 'and more' }), { revision: 7 });
  await a.configd.end('SIGTERM');
  await a.configd.start(NEXT_RELEASE);
  await pair.inStep();
  t.match(a.file, new RegExp(`level: info[^]*${NEXT_KEY}: 33|${NEXT_KEY}: 33[^]*level: info`));
  t.match(a.file, NEW_NAME);
  t.match(await a.report(), { revision: 7, held: null, asides: [] });
  t.match((await a.configd.call('history', { limit: 10 })).map(({ revision, author, reason }) => [revision, author.user, reason]), [[7, 'li', 'and more'], [6, 'li', 'of tomorrow'], [5, 'li', 'from the new one']]);
});
