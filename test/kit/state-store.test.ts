import fc from 'fast-check';
import Database from 'better-sqlite3';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { GatewayError } from '#core/result.ts';
import { createLog } from '#kit/log.ts';
import { openSqliteFile } from '#kit/sqlite-file.ts';
import { SqliteStore, type SqliteStoreOptions } from '#kit/sqlite-store.ts';
import type { BindingStateRow, ChannelStateRow, DeviceStateRow, MappingStateRow } from '#kit/state-store.ts';
import { TABLE_NAMES } from '#kit/sqlite-tables.ts';
import { WriteQueue } from '#kit/sqlite-writes.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
const DEVICE = '34020000001110000001';

const device: DeviceStateRow = { id: DEVICE, name: '北门 NVR', manufacturer: 'Maker', model: null, firmware: null, channelCount: 16, infoJson: '{"a":1}' };
const binding: BindingStateRow = { deviceId: DEVICE, contactUri: 'sip:1@127.0.0.1:5060', transport: 'UDP', address: '127.0.0.1', port: 5060, callId: 'c', cseq: 7, expiresAtWallMs: 1.7e12, savedAtWallMs: 1.6e12, lastKeepaliveWallMs: null };
const channel = (n: number, change: Partial<ChannelStateRow> = {}): ChannelStateRow => ({ deviceId: DEVICE, channelId: `3402000000131${String(n).padStart(7, '0')}`, ordinal: n, name: `摄像机 ${n}`, status: 'ON', civilCode: '340200', parentId: DEVICE, manufacturer: 'Maker', itemJson: JSON.stringify({ n, address: 'x'.repeat(200) }), ...change });
const mapping = (serial: number, change: Partial<MappingStateRow> = {}): MappingStateRow => ({ upstream: 'city', mappedId: `3401000000131${String(serial).padStart(7, '0')}`, deviceId: DEVICE, channelId: channel(serial).channelId, serial, ...change });

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'vl-state-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const open = (path: string, options: Partial<SqliteStoreOptions> = {}): SqliteStore => new SqliteStore(path, { log, ...options });

function refusal(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    return error instanceof GatewayError ? error.code : String(error);
  }
}

t.test('everything comes back after a restart', async t => {
  const path = directory(t);
  {
    using store = open(path);
    store.putDevice(device);
    store.putBinding(binding);
    store.touchBinding(DEVICE, 1.65e12);
    store.putChannels(DEVICE, [channel(2), channel(1)], { replace: true });
    store.putMappings([mapping(1), mapping(2)]);
    store.putSession({ sessionId: 's1', kind: 'source', json: '{"x":"视"}' });
    store.putMeta('secret', 'abc');
  }
  using store = open(path);
  t.same(store.loadDevices(), [device]);
  t.same(store.loadBindings(), [{ ...binding, lastKeepaliveWallMs: 1.65e12 }]);
  t.same(store.loadChannels(), [channel(1), channel(2)], 'in the order of the device');
  t.same(store.loadMappings(), [mapping(1), mapping(2)]);
  t.same(store.loadSessions(), [{ sessionId: 's1', kind: 'source', json: '{"x":"视"}' }]);
  t.equal(store.getMeta('secret'), 'abc');
  t.equal(store.getMeta('none'), undefined);
  t.match(store.health, { state: 'ok', queued: 0, refused: 0, lastError: null });

  store.putDevice({ ...device, name: 'new' });
  store.putSession({ sessionId: 's1', kind: 'source', json: '{}' });
  store.deleteSession('s2');
  t.equal(store.loadDevices()[0]?.name, 'new');
  t.equal(store.loadSessions()[0]?.json, '{}');
  store.deleteSession('s1');
  store.deleteDevice(DEVICE);
  t.same([store.loadDevices(), store.loadBindings(), store.loadChannels(), store.loadSessions()], [[], [], [], []]);
  t.equal(store.loadMappings().length, 2, 'mappings outlive the device');
});

t.test('what subscribers were told, and what nobody has accepted yet', async t => {
  const path = directory(t);
  {
    using store = open(path);
    store.putTold('s1', [['a', 1], ['b', -1], ['c', 2 ** 53 - 1]]);
    store.putTold('s2', [['a', 7]]);
    store.putTold('s1', [['a', 2], ['b', null], ['never', null]]);
    store.putOutbox([{ id: 2, upstream: 'city', priority: 4, json: '{}' }, { id: 1, upstream: 'city', priority: 1, json: '{"视":1}' }]);
    store.deleteOutbox([2, 99]);
    store.putOutbox([], { slot: 3, mark: 'd1 视', atWallMs: 1.7e12 });
    store.putOutbox([{ id: 3, upstream: 'city', priority: 2, json: '{}' }], { slot: 3, mark: 'd2', atWallMs: 1.8e12 });
    store.deleteOutbox([3]);
  }
  using store = open(path);
  t.same([...store.loadTold('s1')].sort(), [['a', 2], ['c', 2 ** 53 - 1]]);
  t.same(store.loadTold('s2'), [['a', 7]]);
  t.same(store.loadTold('s3'), []);
  t.same(store.loadOutbox(), [{ id: 1, upstream: 'city', priority: 1, json: '{"视":1}' }]);
  t.same(store.loadHeard(), [{ slot: 3, mark: 'd2', atWallMs: 1.8e12 }]);
  store.deleteTold('s1');
  t.same([store.loadTold('s1'), store.loadTold('s2')], [[], [['a', 7]]]);
});

t.test('catalogues: 10,000 channels, replaced and amended', async t => {
  using store = open(directory(t));
  const rows = Array.from({ length: 10_000 }, (_, n) => channel(n));
  const began = performance.now();
  store.putChannels(DEVICE, rows, { replace: true });
  const tookMs = performance.now() - began;
  t.ok(tookMs < 1000, `10,000 channels in ${tookMs.toFixed()} ms`);
  t.equal(store.loadChannels().length, 10_000);
  store.putChannels(DEVICE, [channel(5, { status: 'OFF' }), channel(10_000)], { replace: false });
  t.equal(store.loadChannels().length, 10_001);
  t.equal(store.loadChannels()[5]?.status, 'OFF');
  store.putChannels('other', [channel(1, { deviceId: 'other' })], { replace: true });
  store.putChannels(DEVICE, rows.slice(0, 7), { replace: true });
  store.deleteChannels(DEVICE, [channel(0).channelId]);
  t.same(store.loadChannels().map(row => [row.deviceId, row.ordinal]), [...[1, 2, 3, 4, 5, 6].map(n => [DEVICE, n]), ['other', 1]]);
});

t.test('serials are given once, mapped IDs belong to one channel', async t => {
  const path = directory(t);
  {
    using store = open(path);
    t.equal(store.lastSerial('city'), 0);
    store.putMappings([mapping(1), mapping(9), mapping(3, { upstream: 'county' })]);
    store.deleteMappings([mapping(9)]);
    t.equal(refusal(() => store.putMappings([mapping(4), mapping(5, { mappedId: mapping(1).mappedId })])), 'STORE_FAILED');
    t.same(store.loadMappings().map(row => [row.upstream, row.serial]), [['city', 1], ['county', 3]], 'all or nothing');
    store.putMappings([mapping(1, { mappedId: 'changed' })]);
  }
  using store = open(path);
  t.equal(store.lastSerial('city'), 9, 'deleted, but never again');
  t.equal(store.lastSerial('county'), 3);
  t.equal(store.loadMappings()[0]?.mappedId, 'changed');
});

t.test('keepalives and bindings wait at most 200 ms and cost one write', async t => {
  const clock = new ManualClock();
  const path = directory(t);
  const store = open(path, { clock });
  // The next backup.
  const idle = clock.scheduled;
  for (let n = 0; n < 1000; n++) store.putBinding({ ...binding, deviceId: `d${n}` });
  for (let round = 1; round <= 50; round++) for (let n = 0; n < 1000; n++) store.touchBinding(`d${n}`, round);
  store.touchBinding('nobody', 1);
  store.deleteBinding('d0');
  t.equal(clock.scheduled, idle + 1);
  clock.advance(200);
  t.equal(clock.scheduled, idle, 'nothing left to do');
  const rows = store.loadBindings();
  t.equal(rows.length, 999);
  t.ok(rows.every(row => row.lastKeepaliveWallMs === 50));
  store.touchBinding('d1', 51);
  clock.advance(4999);
  t.equal(clock.scheduled, idle + 1, 'a keepalive alone is in no hurry');
  clock.advance(1);
  t.equal(clock.scheduled, idle);
  store.touchBinding('d1', 52);
  store.putBinding({ ...binding, deviceId: 'd2' });
  clock.advance(200);
  t.equal(clock.scheduled, idle, 'and goes along with what is');
  store[Symbol.dispose]();
  store[Symbol.dispose]();
});

/** A queue of writes over a file of its own, and how many synchronous commits it has made. */
function openQueue(t: Test, clock: ManualClock, wal?: string): { writes: WriteQueue; write: () => void; syncs: () => number } {
  const { database, ...file } = openSqliteFile(join(directory(t), 'file'), clock, log);
  const writes = new WriteQueue({ database, ...file, ...(wal !== undefined && { wal }) }, { clock, log, onFlush: () => undefined, onRecovered: () => undefined });
  t.teardown(() => {
    writes[Symbol.dispose]();
    database.close();
  });
  return { writes, write: () => writes.write(() => database.exec("INSERT OR REPLACE INTO meta VALUES ('a', 'b')")), syncs: () => Number(database.prepare("SELECT value FROM meta WHERE key = 'syncs'").pluck().get() ?? 0) };
}

t.test('what has to be on the disk waits for it, the rest is taken there behind our back', async t => {
  const clock = new ManualClock();
  const { writes, write, syncs } = openQueue(t, clock);
  write();
  clock.advance(200);
  t.equal(syncs(), 0);
  writes.flush();
  t.equal(syncs(), 1, 'it is only under way: who asks now cannot rely on it');
  await until('it is there', () => {
    const before = syncs();
    writes.flush();
    return syncs() === before;
  });
  const before = syncs();
  write();
  clock.advance(200);
  write();
  clock.advance(200);
  t.equal(syncs(), before);
  t.match(writes.health, { state: 'ok', queued: 0 });
});

t.test('who answers for what was written hears when it is past a power cut; many share one sync', async t => {
  const clock = new ManualClock();
  const { writes, write } = openQueue(t, clock);
  const heard: string[] = [];
  const answered = (name: string): Promise<void> => new Promise(resolve => writes.whenSynced(() => resolve(void heard.push(name))));
  await answered('nothing was written');
  write();
  const first = answered('first');
  write();
  const others = [answered('second'), answered('third')];
  t.same(heard, ['nothing was written'], 'not before the disk has it');
  await first;
  t.same(heard.slice(1), ['first'], 'what came meanwhile waits for the next one');
  await Promise.all(others);
  t.equal(clock.scheduled, 0, 'without waiting for the clock');
  write();
  void answered('flushed');
  write();
  void answered('flushed too');
  writes.flush();
  t.same(heard.slice(4), ['flushed too'], 'a synchronous commit takes those along who wait for the next one');
});

t.test('where the log cannot be synchronised nobody waits for it', t => {
  const { writes, write } = openQueue(t, new ManualClock(), '/nowhere/log');
  let heard = 0;
  write();
  writes.whenSynced(() => (heard += 1));
  t.equal(heard, 1);
  t.end();
});

t.test('the log cannot be synchronised: a synchronous commit finds out what is wrong', async t => {
  const clock = new ManualClock();
  const { writes, write, syncs } = openQueue(t, clock, '/nowhere/log');
  write();
  t.equal(syncs(), 0);
  clock.advance(200);
  t.equal(syncs(), 1);
  t.match(writes.health, { state: 'ok', lastError: null });
});

t.test('fault 108: the disk is full, and then it is not', async t => {
  const clock = new ManualClock();
  const recovered: number[] = [];
  const path = directory(t);
  const store = open(path, { clock, maxBytes: 96 * 1024, onRecovered: refused => recovered.push(refused) });
  const fat = 'x'.repeat(4000);
  let written = 0;
  while (store.health.state === 'ok' && written < 100) store.putSession({ sessionId: `s${written++}`, kind: 'k', json: fat });
  t.match(store.health, { state: 'failing', queued: 1, lastError: /SQLITE_FULL/ });
  store.putMappings([mapping(12)]);
  t.equal(store.lastSerial('city'), 12, 'right while it waits');
  store.putBinding(binding);
  store.deleteSession('s0');
  clock.advance(5000);
  t.equal(store.health.state, 'failing');
  for (let n = 0; n < 10_100; n++) store.putSession({ sessionId: `q${n}`, kind: 'k', json: String(n) });
  t.equal(store.health.queued, 10_000);
  t.equal(store.health.refused, 103);
  t.same(recovered, []);

  store.limitBytes(64 * 1024 * 1024);
  clock.advance(1000);
  t.match(store.health, { state: 'ok', queued: 0, refused: 0, lastError: null });
  t.same(recovered, [103], 'the owner is told how much is missing');
  t.equal(store.loadBindings().length, 1);
  t.equal(store.loadMappings().length, 1);
  t.notOk(store.loadSessions().some(row => row.sessionId === 's0'), 'in order');
  store[Symbol.dispose]();
  using again = open(path);
  t.equal(again.loadMappings()[0]?.serial, 12);
});

/** With a write that waits, and others behind it, until `mend`. */
function failing(test: Test): { readonly store: SqliteStore; readonly mend: () => void } {
  const clock = new ManualClock();
  const store = open(directory(test), { clock, maxBytes: 96 * 1024 });
  for (let n = 0; store.health.state === 'ok'; n++) store.putSession({ sessionId: `fat${n}`, kind: 'k', json: 'x'.repeat(4000) });
  test.teardown(() => store[Symbol.dispose]());
  const mend = (): void => {
    store.limitBytes(64 * 1024 * 1024);
    clock.advance(1000);
  };
  return { store, mend };
}

t.test('fault 108: of what is written again and again while the disk fails the last one waits, for days if it must', async t => {
  const { store, mend } = failing(t);
  for (let n = 0; n < 20_000; n++) {
    store.putSession({ sessionId: `marks-${n % 4}`, kind: 'marks', json: String(n) });
    store.putMeta('next', String(n));
    store.putBinding({ ...binding, cseq: n });
    store.touchBinding(binding.deviceId, n);
    if (n % 1000 === 0) store.loadBindings();
  }
  t.match(store.health, { state: 'failing', refused: 0 });
  t.ok(store.health.queued < 20, `${store.health.queued} wait`);
  mend();
  t.match(store.health, { state: 'ok', queued: 0 });
  t.same(store.loadSessions().filter(({ kind }) => kind === 'marks').map(({ json }) => json), ['19996', '19997', '19998', '19999']);
  t.match([store.getMeta('next'), store.loadBindings()[0]], ['19999', { cseq: 19_999, lastKeepaliveWallMs: 19_999 }]);
  t.equal(store.lost, 0);
});

const few = fc.nat({ max: 2 });
const writes = fc.oneof(
  few.map(n => (store: SqliteStore): void => store.putDevice({ ...device, id: `d${n}`, channelCount: n })),
  few.map(n => (store: SqliteStore): void => store.deleteDevice(`d${n}`)),
  fc.tuple(few, fc.nat()).map(([n, cseq]) => (store: SqliteStore): void => store.putBinding({ ...binding, deviceId: `d${n}`, cseq })),
  fc.tuple(few, fc.nat()).map(([n, at]) => (store: SqliteStore): void => store.touchBinding(`d${n}`, at)),
  few.map(n => (store: SqliteStore): void => store.deleteBinding(`d${n}`)),
  fc.constant((store: SqliteStore): void => void store.loadBindings()),
  fc.tuple(few, fc.uniqueArray(few, { minLength: 1 }), fc.boolean(), fc.nat()).map(([n, which, replace, ordinal]) => (store: SqliteStore): void => store.putChannels(`d${n}`, which.map(i => ({ ...channel(i), deviceId: `d${n}`, ordinal })), { replace })),
  fc.tuple(few, fc.uniqueArray(few, { minLength: 1 })).map(([n, which]) => (store: SqliteStore): void => store.deleteChannels(`d${n}`, which.map(i => channel(i).channelId))),
  fc.tuple(few, fc.nat()).map(([n, json]) => (store: SqliteStore): void => store.putSession({ sessionId: `s${n}`, kind: 'k', json: String(json) })),
  few.map(n => (store: SqliteStore): void => store.deleteSession(`s${n}`)),
  fc.tuple(fc.uniqueArray(few, { minLength: 1 }), fc.option(fc.nat())).map(([which, mark]) => (store: SqliteStore): void => store.putTold('t', which.map(i => [`i${i}`, mark]))),
  fc.constant((store: SqliteStore): void => store.deleteTold('t')),
  fc.tuple(fc.uniqueArray(few, { minLength: 1 }), fc.nat()).map(([which, json]) => (store: SqliteStore): void => store.putOutbox(which.map(id => ({ id, upstream: 'u', priority: 1, json: String(json) })))),
  fc.tuple(few, few).map(([id, slot]) => (store: SqliteStore): void => store.putOutbox([{ id, upstream: 'u', priority: 1, json: '' }], { slot, mark: `m${id}`, atWallMs: id })),
  fc.uniqueArray(few, { minLength: 1 }).map(which => (store: SqliteStore): void => store.deleteOutbox(which)),
  fc.tuple(few, fc.nat()).map(([n, value]) => (store: SqliteStore): void => store.putMeta(`m${n}`, String(value))),
);

t.test('fault 108: whatever was written while the disk failed, the same stands there as if it had not', async t => {
  const rowsOf = (store: SqliteStore): unknown => TABLE_NAMES.map(table => [...store.rows.all(table)].filter(([key]) => !key.includes('fat')).sort());
  fc.assert(
    fc.property(fc.array(writes, { minLength: 1, maxLength: 40 }), course => {
      const { store, mend } = failing(t);
      using healthy = new SqliteStore(':memory:', { log });
      for (const write of course) for (const each of [store, healthy]) write(each);
      mend();
      t.equal(store.health.state, 'ok');
      t.same(rowsOf(store), rowsOf(healthy));
    }),
    { numRuns: 40 },
  );
});

t.test('fault 111: files that cannot be believed are moved aside', async t => {
  const path = directory(t);
  const file = join(path, 'sipd.sqlite3');
  const fill = (): void => {
    using store = open(path);
    store.putChannels(DEVICE, Array.from({ length: 500 }, (_, n) => channel(n)), { replace: true });
    store.putMappings([mapping(3)]);
  };
  const damages: readonly (readonly [string, () => void])[] = [
    ['not a database', () => writeFileSync(file, 'hello '.repeat(3000))],
    ['a page overwritten', () => writeFileSync(file, readFileSync(file).fill(0xff, 4096, 5 * 4096))],
    ['cut in half', () => truncateSync(file, 40_000)],
    ['header flipped', () => writeFileSync(file, readFileSync(file).fill(0, 0, 16))],
  ];
  for (const [name, damage] of damages) {
    fill();
    damage();
    using store = open(path);
    t.same(store.loadChannels(), [], `${name}: begun anew`);
    store.putDevice(device);
    t.equal(store.health.state, 'ok', name);
  }
  t.equal(readdirSync(path).filter(name => /corrupt-\d+$/.test(name)).length, 3, 'the last three are kept');
  t.equal(existsSync(`${file}.backup`), false);
});

t.test('fault 111: damaged, emptied, gone or without its log: the last verified backup is taken, and said', async t => {
  const path = directory(t);
  const file = join(path, 'sipd.sqlite3');
  const before = Array.from({ length: 500 }, (_, n) => channel(n));
  const damages: readonly (readonly [string, () => void])[] = [
    ['not a database', () => writeFileSync(file, 'hello '.repeat(3000))],
    ['pages overwritten', () => writeFileSync(file, readFileSync(file).fill(0xff, 4096, 5 * 4096))],
    ['zero length', () => truncateSync(file, 0)],
    ['gone altogether', () => unlinkSync(file)],
  ];
  for (const [name, damage] of damages) {
    {
      using store = open(path);
      store.putChannels(DEVICE, before, { replace: true });
      t.equal(await store.backup.make(), true, name);
      t.equal(await store.backup.make(), false, 'nothing was written since');
      store.putSession({ sessionId: 'later', kind: 'source', json: '{}' });
    }
    damage();
    using store = open(path);
    t.equal(store.health.origin, 'from-backup', name);
    t.same([store.loadChannels().length, store.loadSessions()], [500, []]);
    store.putDevice(device);
    t.equal(store.health.state, 'ok', name);
  }
  using whole = open(directory(t));
  t.equal(whole.health.origin, 'whole');
});

t.test('fault 111: the log is deleted under a file that was not closed: what stands in it is older than the backup', async t => {
  const path = directory(t);
  await killed(`${STORE_OF(path)}
    store.putSession({ sessionId: 'early', kind: 'k', json: '{}' });
    if (!(await store.backup.make())) throw new Error('no backup');
    store.putSession({ sessionId: 'late', kind: 'k', json: '{}' });`);
  unlinkSync(join(path, 'sipd.sqlite3-wal'));
  using store = open(path);
  t.equal(store.health.origin, 'from-backup');
  t.same(store.loadSessions().map(({ sessionId }) => sessionId), ['early']);
});

t.test('a backup that is damaged too is left alone: begun anew', async t => {
  const path = directory(t);
  {
    using store = open(path);
    store.putDevice(device);
    await store.backup.make();
  }
  for (const suffix of ['', '.backup']) writeFileSync(join(path, `sipd.sqlite3${suffix}`), 'hello '.repeat(3000));
  using store = open(path);
  t.same([store.health.origin, store.loadDevices()], ['anew', []]);
});

t.test('refused at the door: locked by another, written by a newer release', async t => {
  const path = directory(t);
  const first = open(path);
  t.equal(refusal(() => open(path)), 'STORE_FAILED');
  first[Symbol.dispose]();
  const raw = new Database(join(path, 'sipd.sqlite3'));
  raw.pragma('user_version = 999');
  raw.close();
  t.equal(refusal(() => open(path)), 'STORE_FAILED');
});

t.test('no directory to write in: it works, and says that nothing will stay', async t => {
  const path = directory(t);
  writeFileSync(join(path, 'file'), '');
  using store = open(join(path, 'file', 'below'));
  store.putDevice(device);
  t.same(store.loadDevices(), [device]);
  t.equal(store.health.state, 'volatile');
});

const STORE_OF = (path: string): string => `
  import { SqliteStore } from '#kit/sqlite-store.ts';
  import { createLog } from '#kit/log.ts';
  const store = new SqliteStore(${JSON.stringify(path)}, { log: createLog('child', 'silent') });`;

/** Runs it in a process of its own, which ends with SIGKILL. */
async function killed(script: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', `${script}\nprocess.kill(process.pid, 'SIGKILL');`], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [, signal] = await once(child, 'exit');
  if (signal !== 'SIGKILL') throw new Error(`it ended with ${String(signal)}`);
}

t.test('kill -9 loses no session and no catalogue', async t => {
  const path = directory(t);
  await killed(`${STORE_OF(path)}
    for (let n = 0; n < 50; n++) store.putSession({ sessionId: 's' + n, kind: 'k', json: '{}' });`);
  t.ok(existsSync(join(path, 'sipd.sqlite3-wal')), 'it was not closed');
  using store = open(path);
  t.equal(store.loadSessions().length, 50);
});

const KILLS = Number(process.env['VIEWLINK_KILLS'] ?? 8);

t.test(`fault 111: killed ${KILLS} times while it writes, at any moment: the file is whole, and all that it was told of is there`, async t => {
  const path = directory(t);
  const script = `${STORE_OF(path)}
    import { writeSync } from 'node:fs';
    const from = store.loadOutbox().at(-1)?.id ?? 0;
    setImmediate(function write(n = from + 1) {
      store.putOutbox([{ id: n, upstream: 'city', priority: 1, json: 'x'.repeat(n % 3000) }]);
      store.putChannels('d', [{ deviceId: 'd', channelId: 'c' + (n % 50), ordinal: n % 50, name: 'n' + n, status: 'ON', civilCode: null, parentId: null, manufacturer: null, itemJson: '{}' }], { replace: n % 40 === 0 });
      if (n % 25 === 0) store.flush();
      if (n % 100 === 0) void store.backup.make();
      writeSync(1, n + '\\n');
      setImmediate(write, n + 1);
    });`;
  for (let i = 0; i < KILLS; i++) {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let told = '';
    // So many lines more or less: another moment each time.
    child.stdout.on('data', (chunk: Buffer) => {
      told += chunk.toString();
      if (told.length > 40 + i * 97) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const last = Number(told.slice(0, told.lastIndexOf('\n')).split('\n').at(-1));
    using store = open(path);
    t.equal(store.health.origin, 'whole');
    t.ok(last > 0 && store.loadOutbox().some(({ id }) => id === last), `${i}: ${last}`);
    t.equal(store.loadOutbox().length, store.loadOutbox().at(-1)!.id, 'none between is missing');
  }
  const raw = new Database(join(path, 'sipd.sqlite3'));
  t.equal(raw.pragma('integrity_check', { simple: true }), 'ok');
  raw.close();
});
