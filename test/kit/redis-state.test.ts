import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type GatewayError } from '#core/result.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { RedisFollower } from '#kit/redis-follower.ts';
import { openRedis, type RedisLink, type RedisPlace } from '#kit/redis-link.ts';
import { systemRandom as random } from '#kit/random.ts';
import { RedisMirror } from '#kit/redis-mirror.ts';
import { readTable, writeState } from '#kit/redis-state.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { TABLE_NAMES } from '#kit/sqlite-tables.ts';
import type { ChannelStateRow, StateStore } from '#kit/state-store.ts';
import { Replication } from '../../daemons/clusterd/replication.ts';
import { type RedisServer, startRedis } from '../rig/redis-server.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
const a = await startRedis();
const b = await startRedis();
t.teardown(async () => {
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
});

async function asked(place: RedisPlace): Promise<RedisLink> {
  const link = openRedis(place, { log });
  await until('redis lets us in', () => link.up);
  return link;
}

const order = async (server: RedisServer, ...words: string[]): Promise<void> => {
  await using link = await asked(server.place);
  await link.command(words);
};
/** A and B forget everything, and B copies A. */
async function begin(): Promise<void> {
  for (const server of [a, b]) {
    await order(server, 'REPLICAOF', 'NO', 'ONE');
    await order(server, 'FLUSHALL');
  }
  await order(b, 'REPLICAOF', a.place.host, String(a.place.port));
}

function storeIn(test: Test): SqliteStore {
  const path = mkdtempSync(join(tmpdir(), 'vl-redis-state-'));
  const store = new SqliteStore(path, { log });
  test.teardown(() => {
    store[Symbol.dispose]();
    rmSync(path, { recursive: true, force: true });
  });
  return store;
}

const mirrorOf = (store: SqliteStore, server: RedisServer, term: number, onRefused: () => void = () => undefined): RedisMirror => new RedisMirror({ store, place: server.place, term, clock, random, log, onRefused });
const followerOf = (store: SqliteStore, server: RedisServer): RedisFollower => new RedisFollower({ store, place: server.place, clock, log });
const contents = (store: SqliteStore): unknown => Object.fromEntries(TABLE_NAMES.map(table => [table, [...store.rows.all(table)].sort()]));
/** As its owner reads it. */
const read = (store: StateStore): unknown => [store.loadDevices(), store.loadBindings(), store.loadChannels(), store.loadMappings(), store.loadSessions(), store.loadTold('s1'), store.loadOutbox(), store.loadHeard(), store.lastSerial('city'), store.getMeta('m')];
const sameSoon = (what: string, from: SqliteStore, to: SqliteStore, limitMs?: number): Promise<true | undefined> => until(what, () => JSON.stringify(contents(from)) === JSON.stringify(contents(to)), limitMs);

const channel = (n: number, name = `摄像机 ${n}`): ChannelStateRow => ({ deviceId: `d${n % 7}`, channelId: `3402000000131${String(n).padStart(7, '0')}`, ordinal: n, name, status: 'ON', civilCode: '340200', parentId: null, manufacturer: 'Maker', itemJson: JSON.stringify({ n, address: 'x'.repeat(300) }) });

/** Everything that the port can be told. */
const small = fc.nat({ max: 5 });
const writes = fc.oneof(
  small.map(n => (store: StateStore): void => store.putDevice({ id: `d${n}`, name: `n"${n}'`, manufacturer: null, model: 'M', firmware: null, channelCount: n, infoJson: '{"视":1}' })),
  small.map(n => (store: StateStore): void => store.deleteDevice(`d${n}`)),
  fc.tuple(small, fc.nat()).map(([n, cseq]) => (store: StateStore): void => store.putBinding({ deviceId: `d${n}`, contactUri: 'sip:1@h', transport: 'UDP', address: '192.0.2.1', port: 5060, callId: 'c', cseq, expiresAtWallMs: 1.7e12 + cseq, savedAtWallMs: 1.6e12, lastKeepaliveWallMs: null })),
  small.map(n => (store: StateStore): void => store.touchBinding(`d${n}`, 1.65e12 + n)),
  small.map(n => (store: StateStore): void => store.deleteBinding(`d${n}`)),
  fc.tuple(small, fc.boolean()).map(([n, replace]) => (store: StateStore): void => store.putChannels(`d${n}`, [channel(n), channel(n + 7)], { replace })),
  small.map(n => (store: StateStore): void => store.deleteChannels(`d${n}`, [channel(n).channelId])),
  small.map(n => (store: StateStore): void => store.putMappings([{ upstream: 'city', mappedId: `m${n}`, deviceId: 'd1', channelId: `c${n}`, serial: n + 1 }])),
  small.map(n => (store: StateStore): void => store.deleteMappings([{ upstream: 'city', deviceId: 'd1', channelId: `c${n}` }])),
  fc.tuple(small, fc.string()).map(([n, text]) => (store: StateStore): void => store.putSession({ sessionId: `s${n}`, kind: 'source', json: JSON.stringify(text) })),
  small.map(n => (store: StateStore): void => store.deleteSession(`s${n}`)),
  fc.tuple(small, fc.option(fc.maxSafeNat())).map(([n, mark]) => (store: StateStore): void => store.putTold('s1', [[`i${n}`, mark]])),
  fc.constant((store: StateStore): void => store.deleteTold('s1')),
  small.map(n => (store: StateStore): void => store.putOutbox([{ id: n, upstream: 'city', priority: 1, json: '{}' }])),
  fc.tuple(small, fc.nat()).map(([n, at]) => (store: StateStore): void => store.putOutbox([{ id: n, upstream: 'city', priority: 1, json: '{}' }], { slot: n, mark: `d${at}`, atWallMs: at })),
  small.map(n => (store: StateStore): void => store.deleteOutbox([n])),
  small.map(n => (store: StateStore): void => store.putMeta('m', String(n))),
);

t.test('whatever the active node writes stands in the file of the other one, as its owner would read it', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  // What was known before somebody listened, and what the other one knew and should not.
  ours.putSession({ sessionId: 'before', kind: 'source', json: '{}' });
  theirs.putSession({ sessionId: 'outdated', kind: 'source', json: '{}' });
  theirs.putMeta('m', 'outdated');
  await using mirror = mirrorOf(ours, a, 1);
  await using follower = followerOf(theirs, b);
  await until('the standby follows', () => follower.following);
  t.same(theirs.loadSessions().map(({ sessionId }) => sessionId), ['before']);
  await fc.assert(
    fc.asyncProperty(fc.array(writes, { minLength: 1, maxLength: 60 }), async course => {
      for (const write of course) write(ours);
      await mirror.settle();
      await sameSoon('the same rows', ours, theirs);
      t.same(read(theirs), read(ours));
    }),
    { numRuns: 25, seed: 28181 },
  );
  t.equal(mirror.state, 'in-step');
});

t.test('a takeover: the standby has it all, and whoever was active before can write no more', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  let refused = 0;
  await using mirror = mirrorOf(ours, a, 1, () => (refused += 1));
  const follower = followerOf(theirs, b);
  await until('the standby follows', () => follower.following);
  for (let i = 0; i < 50; i++) ours.putSession({ sessionId: `s${i}`, kind: 'viewer', json: '{}' });
  await mirror.settle();
  await using late = await asked(b.place);
  await until('replicated', async () => (await readTable(late, 'sessions')).size === 50);
  await order(b, 'REPLICAOF', 'NO', 'ONE');
  t.equal(await follower.drain(), true);
  t.equal(theirs.loadSessions().length, 50);
  await follower[Symbol.asyncDispose]();
  await using next = mirrorOf(theirs, b, 2);
  await until('the new one is in step', () => next.state === 'in-step');

  const refusal = await writeState(late, 1, [{ table: 'sessions', key: '["s1"]', row: null }]).then(() => 'taken', (error: unknown) => (error as GatewayError).code);
  t.equal(refusal, 'NOT_PERMITTED', 'a stale term is refused');
  t.equal((await readTable(late, 'sessions')).size, 50);

  // It comes back, is made a copy, and learns of its mistake with its next write.
  ours.putSession({ sessionId: 'orphan', kind: 'viewer', json: '{}' });
  await mirror.settle();
  await order(a, 'REPLICAOF', b.place.host, String(b.place.port));
  theirs.putSession({ sessionId: 'new', kind: 'viewer', json: '{}' });
  ours.putSession({ sessionId: 'late', kind: 'viewer', json: '{}' });
  await until('it is refused', () => mirror.state === 'refused');
  t.equal(refused, 1);
  await using back = followerOf(ours, a);
  await until('it follows', () => back.following && back.term === 2);
  await next.settle();
  await sameSoon('what nobody took over is gone', theirs, ours);
  t.notOk(ours.loadSessions().some(({ sessionId }) => sessionId === 'orphan' || sessionId === 'late'));
  t.ok(ours.loadSessions().some(({ sessionId }) => sessionId === 'new'));
});

t.test('a Redis that is still a copy when the takeover begins is written to as soon as it is none', async t => {
  await begin();
  const theirs = storeIn(t);
  let refused = 0;
  theirs.putSession({ sessionId: 's', kind: 'viewer', json: '{}' });
  await using mirror = mirrorOf(theirs, b, 2, () => (refused += 1));
  await using link = await asked(b.place);
  await until('a try has failed', async () => String(await link.command(['INFO', 'errorstats'])).includes('errorstat_READONLY'));
  await order(b, 'REPLICAOF', 'NO', 'ONE');
  await until('in step', () => mirror.state === 'in-step');
  t.equal(refused, 0);
  t.equal((await readTable(link, 'sessions')).size, 1);
});

t.test('a Redis that dies blocks nothing and loses nothing; one that is being filled deletes nothing', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  await using mirror = mirrorOf(ours, a, 1);
  await using follower = followerOf(theirs, b);
  ours.putChannels('d1', [channel(1), channel(8)], { replace: true });
  await until('the standby follows', () => follower.following);
  await mirror.settle();
  await sameSoon('the same rows', ours, theirs);
  await a.kill();
  await until('it is away', () => mirror.state === 'away');
  ours.putSession({ sessionId: 'meanwhile', kind: 'viewer', json: '{}' });
  ours.deleteChannels('d1', [channel(8).channelId]);
  t.equal(ours.loadSessions().length, 1);
  t.same(theirs.loadChannels().length, 2, 'the standby keeps what it has');
  await a.start();
  await until('in step again', () => mirror.state === 'in-step');
  await sameSoon('what was missed came after', ours, theirs);
});

t.test('a Redis that hangs holds up no takeover', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  await using mirror = mirrorOf(ours, a, 1);
  await using follower = followerOf(theirs, b);
  await until('the standby follows', () => follower.following);
  ours.putSession({ sessionId: 's', kind: 'viewer', json: '{}' });
  await mirror.settle();
  await sameSoon('the same rows', ours, theirs);
  b.hang(true);
  const beganAt = clock.now();
  t.equal(await follower.drain(), false);
  t.ok(clock.now() - beganAt < 5000, `given up after ${Math.round(clock.now() - beganAt)} ms`);
  t.equal(theirs.loadSessions().length, 1, 'what it has it has');
  b.hang(false);
});

t.test('fault 108: a standby whose disk failed until writes were given up has everything again when it works', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  await using _mirror = mirrorOf(ours, a, 1);
  await using follower = followerOf(theirs, b);
  ours.putSession({ sessionId: 'before', kind: 'source', json: '{}' });
  await until('the standby follows', () => follower.following && theirs.loadSessions().length === 1);
  theirs.limitBytes(96 * 1024);
  for (let n = 0; theirs.health.queued === 0; n++) theirs.putSession({ sessionId: `fat${n}`, kind: 'source', json: 'x'.repeat(4000) });
  for (let n = 0; theirs.health.refused === 0; n++) theirs.putOutbox([{ id: n, upstream: 'city', priority: 1, json: '{}' }]);
  const { refused } = theirs.health;
  ours.putSession({ sessionId: 'while', kind: 'source', json: '{}' });
  await until('it cannot take what comes', () => theirs.health.refused > refused);
  theirs.limitBytes(64 * 1024 * 1024);
  await sameSoon('the same rows, and no others', ours, theirs, 20_000);
  t.same(theirs.loadSessions().map(({ sessionId }) => sessionId), ['before', 'while']);
  t.ok(theirs.lost > 0 && theirs.health.state === 'ok', `${theirs.lost} were given up`);
});

t.test('10,000 channels anew, and how long a dialog is on its way', async t => {
  await begin();
  const ours = storeIn(t);
  const theirs = storeIn(t);
  ours.putChannels('d0', Array.from({ length: 10_000 }, (_, n) => ({ ...channel(n), deviceId: 'd0' })), { replace: true });
  const beganAt = performance.now();
  await using mirror = mirrorOf(ours, a, 1);
  await using follower = followerOf(theirs, b);
  await until('the standby follows', () => follower.following && theirs.loadChannels().length === 10_000, 30_000);
  const resyncMs = performance.now() - beganAt;
  t.ok(resyncMs < 10_000, `${Math.round(resyncMs)} ms for 10,000 channels`);

  const arrivals = new Map<string, number>();
  using _watch = theirs.rows.watch((_table, key) => void arrivals.set(key, performance.now()));
  const lags: number[] = [];
  for (let i = 0; i < 200; i++) {
    const key = `["x${i}"]`;
    const wroteAt = performance.now();
    ours.putSession({ sessionId: `x${i}`, kind: 'viewer', json: 'x'.repeat(2000) });
    lags.push((await until('it arrives', () => arrivals.get(key))) - wroteAt);
  }
  lags.sort((x, y) => x - y);
  t.ok(lags[197]! <= 100, `lag p50 ${lags[100]!.toFixed(1)} ms, p99 ${lags[197]!.toFixed(1)} ms`);
  t.comment(`resync ${Math.round(resyncMs)} ms; lag p50 ${lags[100]!.toFixed(1)} ms, p99 ${lags[197]!.toFixed(1)} ms, max ${lags[199]!.toFixed(1)} ms`);
  t.equal(mirror.waiting, 0);
});

t.test('what must not be lost is confirmed by the other node, or is known not to be', async t => {
  await begin();
  const ours = storeIn(t);
  await using mirror = mirrorOf(ours, a, 1);
  await until('in step', () => mirror.state === 'in-step');
  await until('the other one is connected', () => mirror.confirm());
  ours.putSession({ sessionId: 's1', kind: 'x', json: '{}' });
  const first = mirror.confirm();
  ours.putSession({ sessionId: 's2', kind: 'x', json: '{}' });
  const [second, third] = [mirror.confirm(), mirror.confirm()];
  t.equal(second, third, 'who comes meanwhile shares the next round');
  t.same(await Promise.all([first, second]), [true, true]);
  await using link = await asked(b.place);
  t.equal((await readTable(link, 'sessions')).size, 2, 'it is there, not only promised');
  await order(b, 'REPLICAOF', 'NO', 'ONE');
  t.equal(await mirror.confirm(), false);
  const before = clock.now();
  t.equal(await mirror.confirm(), false);
  t.ok(clock.now() - before < 90, 'and it is not waited for each time');
});

t.test('another key of the pair: both are taken until clusterd has started anew with it, then whoever has the old one is put out', async t => {
  await using server = await startRedis();
  const [before, after] = [server.place, { ...server.place, password: 'password-of-another-key' }];
  const node = (place: RedisPlace): Replication => new Replication({ place, own: '127.0.0.1', peer: { host: '127.0.0.1', port: b.place.port }, clock, log }, 'primary');
  await using old = await asked(before);
  {
    await using replication = node(before);
    await until('it is up', () => replication.role === 'primary');
    await replication.alsoTakes(after.password);
    await using _new = await asked(after);
    t.ok(old.up, 'and nobody was put out for it');
    await using _again = await asked(before);
  }
  await using _anew = node(after);
  await until('the old one is put out', () => !old.up);
  await using _new = await asked(after);
  await using refused = openRedis(before, { log });
  await t.rejects(refused.command(['PING']));
  await using link = await asked(after);
  t.match(await link.command(['CONFIG', 'GET', 'masterauth']), ['masterauth', after.password]);
  t.notOk(old.up || refused.up, 'and does not come in again');
});
