/** Fault 107: the state of two nodes of which one runs the next release: it goes both ways, as far as both know what it says. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { systemClock as clock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { RedisFollower } from '#kit/redis-follower.ts';
import { openRedis, type RedisPlace } from '#kit/redis-link.ts';
import { RedisMirror } from '#kit/redis-mirror.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { TABLE_NAMES } from '#kit/sqlite-tables.ts';
import type { StateStore } from '#kit/state-store.ts';
import { STATE_VERSION } from '#kit/store-rows.ts';
import { NEXT_RELEASE } from '../rig/next-release.ts';
import { startRedis } from '../rig/redis-server.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
await using a = await startRedis();
await using b = await startRedis();

async function order(place: RedisPlace, ...words: string[]): Promise<void> {
  await using link = openRedis(place, { log });
  await until('redis lets us in', () => link.up);
  await link.command(words);
}

/** Both forget everything, and B copies A. */
async function begin(): Promise<void> {
  for (const { place } of [a, b]) {
    await order(place, 'REPLICAOF', 'NO', 'ONE');
    await order(place, 'FLUSHALL');
  }
  await order(b.place, 'REPLICAOF', a.place.host, String(a.place.port));
}

/** What an active node knows, under this number. */
const WRITES = (n: number): string => `
  store.putDevice({ id: 'd${n}', name: '北门', manufacturer: 'Maker', model: null, firmware: null, channelCount: 2, infoJson: null });
  store.putBinding({ deviceId: 'd${n}', contactUri: 'sip:d${n}@h', transport: 'UDP', address: '192.0.2.${n}', port: 5060, callId: 'c', cseq: ${n}, expiresAtWallMs: 1.8e12, savedAtWallMs: 1.7e12, lastKeepaliveWallMs: null });
  store.putChannels('d${n}', [1, 2].map(i => ({ deviceId: 'd${n}', channelId: 'd${n}c' + i, ordinal: i, name: 'n', status: 'ON', civilCode: null, parentId: null, manufacturer: null, itemJson: '{}' })), { replace: true });
  store.putMappings([{ upstream: 'city', mappedId: 'm${n}', deviceId: 'd${n}', channelId: 'd${n}c1', serial: ${n} }]);
  store.putSession({ sessionId: 's${n}', kind: 'source', json: '{"of":${n}}' });
  store.putTold('t', [['i${n}', ${n}]]);
  store.putOutbox([{ id: ${n}, upstream: 'city', priority: 1, json: '{}' }]);`;
const write = (store: StateStore, n: number): void => (new Function('store', WRITES(n)) as (store: StateStore) => void)(store);
/** Per table, how many rows. */
const counts = (store: SqliteStore): Readonly<Record<string, number>> => Object.fromEntries(TABLE_NAMES.filter(table => table !== 'meta').map(table => [table, store.rows.all(table).size]));
const each = (count: number): Readonly<Record<string, number>> => ({ devices: count, bindings: count, channels: 2 * count, mappings: count, serials: 1, sessions: count, told: count, outbox: count, heard: 0 });

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'vl-releases-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** sipd of the next release, as far as its state goes: runs each line it is given, and answers with a line. */
class Tomorrow implements Disposable {
  readonly #child;
  readonly #answers: AsyncIterator<string>;

  constructor(path: string) {
    const script = `
      import { createInterface } from 'node:readline';
      import { systemClock as clock } from '#kit/clock.ts';
      import { createLog } from '#kit/log.ts';
      import { systemRandom as random } from '#kit/random.ts';
      import { RedisFollower } from '#kit/redis-follower.ts';
      import { RedisMirror } from '#kit/redis-mirror.ts';
      import { SqliteStore } from '#kit/sqlite-store.ts';
      import { STATE_VERSION } from '#kit/store-rows.ts';
      const log = createLog('tomorrow', 'silent');
      const store = new SqliteStore(${JSON.stringify(path)}, { log });
      const run = text => new (Object.getPrototypeOf(async () => {}).constructor)('k', text)({ store, clock, log, random, RedisFollower, RedisMirror, STATE_VERSION });
      for await (const line of createInterface(process.stdin)) console.log(JSON.stringify((await run(JSON.parse(line))) ?? null));`;
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...NEXT_RELEASE } });
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  async run(text: string): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(text)}\n`);
    const { done, value } = (await this.#answers.next()) as { readonly done?: boolean; readonly value: string };
    if (done === true) throw new Error(`it ended over ${text}`);
    return JSON.parse(value);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

await t.test('fault 107: the active node is of this release, the standby of the next one: it has everything, and what it keeps besides has its default', async t => {
  await begin();
  using ours = new SqliteStore(directory(t), { log });
  write(ours, 1);
  await using _mirror = new RedisMirror({ store: ours, place: a.place, term: 1, clock, random, log, onRefused: () => undefined });
  const path = directory(t);
  using tomorrow = new Tomorrow(path);
  t.equal(await tomorrow.run('return k.STATE_VERSION'), STATE_VERSION + 1);
  await tomorrow.run(`k.follower = new k.RedisFollower({ store: k.store, place: ${JSON.stringify(b.place)}, clock: k.clock, log: k.log }); globalThis.follower = k.follower;`);
  await until('it follows', () => tomorrow.run('return globalThis.follower.following') as Promise<boolean>, 30_000);
  for (let n = 2; n <= 5; n++) write(ours, n);
  ours.flush();
  await until('it has what came since', async () => ((await tomorrow.run('return k.store.loadBindings().length')) as number) === 5, 10_000);
  t.same(await tomorrow.run(`return ${JSON.stringify(TABLE_NAMES.filter(table => table !== 'meta'))}.map(table => k.store.rows.all(table).size)`), Object.values(counts(ours)));
  t.match(await tomorrow.run('return k.store.loadBindings()'), [1, 2, 3, 4, 5].map(n => ({ deviceId: `d${n}`, address: `192.0.2.${n}`, region: 'of old' })));
  t.match(await tomorrow.run('return k.store.loadDevices()'), [1, 2, 3, 4, 5].map(n => ({ id: `d${n}`, name: '北门', note: null })));
  await tomorrow.run('await globalThis.follower[Symbol.asyncDispose](); k.store[Symbol.dispose]();');
  const file = new Database(join(path, 'sipd.sqlite3'), { readonly: true });
  t.equal(file.pragma('integrity_check', { simple: true }), 'ok');
  file.close();
});

await t.test('fault 107: the active node is of the next release, the standby of this one: it has all that it knows of, before and after', async t => {
  await begin();
  using tomorrow = new Tomorrow(directory(t));
  await tomorrow.run(`${WRITES(1).replaceAll('store.', 'k.store.')} k.store.rows.apply([{ table: 'keepers', key: '["wang"]', row: '["wang","d1"]' }]);`);
  await tomorrow.run(`globalThis.mirror = new k.RedisMirror({ store: k.store, place: ${JSON.stringify(a.place)}, term: 1, clock: k.clock, random: k.random, log: k.log, onRefused: () => undefined });`);
  using ours = new SqliteStore(directory(t), { log });
  // Of before: it must go.
  ours.putSession({ sessionId: 'outdated', kind: 'source', json: '{}' });
  await using follower = new RedisFollower({ store: ours, place: b.place, clock, log });
  await until('we follow', () => follower.following, 30_000);
  t.same(counts(ours), each(1));
  for (let n = 2; n <= 5; n++) await tomorrow.run(`${WRITES(n).replaceAll('store.', 'k.store.')} k.store.rows.apply([{ table: 'keepers', key: '["li"]', row: '["li","d${n}"]' }]); k.store.flush();`);
  await until('what came since', () => ours.loadBindings().length === 5 && ours.loadOutbox().length === 5, 10_000);
  t.same(counts(ours), each(5));
  t.match(ours.loadBindings(), [1, 2, 3, 4, 5].map(n => ({ deviceId: `d${n}`, address: `192.0.2.${n}`, cseq: n })));
  await tomorrow.run("k.store.deleteDevice('d1'); k.store.deleteSession('s1'); k.store.flush();");
  await until('what went', () => ours.loadDevices().length === 4 && ours.loadSessions().length === 4, 10_000);
  t.ok(follower.following);
  t.equal(ours.health.state, 'ok');
});
