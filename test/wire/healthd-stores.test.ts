/** The databases of healthd: what they keep, what they give up first, and what a bad file or disk does to them; and collectors of syslog that come and go. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { emptyChunk, STEPS } from '#core/health/history/points.ts';
import type { FullMinute } from '#core/health/history/minute.ts';
import type { RuleOutput } from '#core/health/rules.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { ownTls } from '../../daemons/apid/tls.ts';
import { AlarmBook } from '../../daemons/healthd/alarm-book.ts';
import { HistoryStore } from '../../daemons/healthd/history-store.ts';
import { openSyslog } from '../../daemons/healthd/syslog.ts';
import { FastClock } from '../rig/fast-clock.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
const START = Date.UTC(2026, 2, 1);
const HOUR_MS = 3_600_000;
const MIB = 1024 * 1024;

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'vl-health-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Values of a minute, the same for each second, of `count` series. */
function minute(startMs: number, value: number, count = 1): FullMinute {
  const series = Array.from({ length: count }, (_, i) => ({ key: `m${i}`, metric: 'viewlink_load1', labels: { of: String(i) }, values: emptyChunk(STEPS[0]).fill(value + i) }));
  return { startS: startMs / 1000, series };
}

const ask = (store: HistoryStore, clock: ManualClock, agoMs: number, maxPoints = 100_000) => store.query({ metric: 'viewlink_load1', labels: { of: '0' }, fromWallMs: clock.wall() - agoMs, toWallMs: clock.wall(), maxPoints }, null);

t.test('seconds, minutes and quarters of the same minutes; each as long as it is kept', async t => {
  const clock = new ManualClock(START);
  using store = new HistoryStore(directory(t), { clock, log, maxBytes: 64 * MIB });
  for (let i = 0; i < 10 * 24 * 60; i += 5) {
    store.write(minute(START + i * 60_000, i));
    clock.advance(5 * 60_000);
    store.followClock();
  }
  const hour = ask(store, clock, HOUR_MS);
  t.equal(hour.stepMs, 1000);
  t.equal(hour.series[0]!.points.length, 12 * 60);
  const day = ask(store, clock, 24 * HOUR_MS);
  t.equal(day.stepMs, 60_000);
  t.same(day.series[0]!.points.map(({ mean }) => mean).slice(0, 2), [9 * 1440, 9 * 1440 + 5]);
  const tenDays = ask(store, clock, 10 * 24 * HOUR_MS);
  t.equal(tenDays.stepMs, 900_000);
  t.match(tenDays.series[0]!.points[0], { atWallMs: START, mean: 5, min: 0, max: 10 });
  t.equal(tenDays.series[0]!.points.length, 960);
  t.equal(ask(store, clock, 10 * 24 * HOUR_MS, 10).series[0]!.points.length, 10);
  const oldest = store.query({ metric: 'viewlink_load1', labels: {}, fromWallMs: START, toWallMs: START + HOUR_MS, maxPoints: 100 }, null);
  t.equal(oldest.stepMs, 900_000, 'its minutes are gone');
  const begun = performance.now();
  for (const [fromWallMs, toWallMs] of [[0, 8.64e15], [clock.wall() + HOUR_MS, 8.64e15], [0, 1]] as const) store.query({ metric: 'viewlink_load1', labels: {}, fromWallMs, toWallMs, maxPoints: 100 }, null);
  t.ok(performance.now() - begun < 2000, 'a span without end is no work without end');
});

t.test('a minute that comes twice is put together', async t => {
  const clock = new ManualClock(START);
  using store = new HistoryStore(directory(t), { clock, log, maxBytes: 64 * MIB });
  const [first, second] = [emptyChunk(STEPS[0]), emptyChunk(STEPS[0])];
  first.fill(1, 0, 30);
  second.fill(3, 30);
  for (const values of [first, second]) store.write({ startS: START / 1000, series: [{ key: 'a', metric: 'viewlink_load1', labels: { of: '0' }, values }] });
  clock.advance(60_000);
  t.equal(ask(store, clock, 60_000).series[0]!.points.length, 60);
  clock.advance(3 * HOUR_MS);
  t.match(ask(store, clock, 4 * HOUR_MS).series[0]!.points, [{ mean: 2, min: 1, max: 3 }]);
});

t.test('bounded: the oldest goes, it is written on, the newest stays', async t => {
  const clock = new ManualClock(START);
  const path = directory(t);
  using store = new HistoryStore(path, { clock, log, maxBytes: MIB });
  for (let i = 0; i < 300; i++) {
    store.write(minute(START + i * 60_000, i, 40));
    clock.advance(60_000);
    store.followClock();
  }
  const size = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  t.ok(store.figures.bytes <= MIB && size < 8 * MIB, `${store.figures.bytes} bytes, ${size} with the log before it`);
  t.equal(store.figures.failing, null);
  t.equal(ask(store, clock, 60_000).series[0]!.points.length, 60, 'the last minute is there');
});

t.test('no room at all: minutes are lost and counted, nothing else; with room it goes on', async t => {
  const clock = new ManualClock(START);
  using store = new HistoryStore(directory(t), { clock, log, maxBytes: 64 * 4096 });
  store.write(minute(START, 1));
  store.write(minute(START + 60_000, 2, 2000));
  t.match(store.figures, { failing: 'SQLITE_FULL', lostMinutes: 1, durable: true });
  store.write(minute(START + 120_000, 3));
  t.match(store.figures, { failing: null, lostMinutes: 1 });
  clock.advance(180_000);
  t.ok(ask(store, clock, 180_000).series[0]!.points.length >= 60);
});

t.test('a clock twenty years ahead drops nothing; what it wrote goes when the clock is right', async t => {
  const clock = new ManualClock(START);
  using store = new HistoryStore(directory(t), { clock, log, maxBytes: 64 * MIB });
  const run = (minutes: number): void => {
    for (let i = 0; i < minutes; i++) {
      store.write(minute(Math.floor(clock.wall() / 60_000) * 60_000, 5));
      clock.advance(60_000);
      store.followClock();
    }
  };
  run(120);
  clock.stepWall(20 * 365 * 24 * HOUR_MS);
  run(30);
  clock.stepWall(-20 * 365 * 24 * HOUR_MS);
  run(10);
  const day = ask(store, clock, 24 * HOUR_MS).series[0]!.points;
  t.equal(day.length, 130, 'what was there, and what came since');
  run(120);
  const ahead = store.query({ metric: 'viewlink_load1', labels: {}, fromWallMs: clock.wall() + 365 * 24 * HOUR_MS, toWallMs: clock.wall() + 30 * 365 * 24 * HOUR_MS, maxPoints: 10 }, null);
  t.same(ahead.series, [], 'nothing of the future is left');
});

t.test('a file that is no database, a torn one, one cut to nothing: begun anew, and said', async t => {
  for (const spoil of [(file: string) => writeFileSync(file, 'not a database, and longer than the header of one'.repeat(100)), (file: string) => truncateSync(file, 5000), (file: string) => truncateSync(file, 0)]) {
    const clock = new ManualClock(START);
    const path = directory(t);
    {
      using store = new HistoryStore(path, { clock, log, maxBytes: 64 * MIB });
      for (let i = 0; i < 60; i++) store.write(minute(START + i * 60_000, i, 20));
    }
    spoil(join(path, 'history.sqlite3'));
    using store = new HistoryStore(path, { clock, log, maxBytes: 64 * MIB });
    store.write(minute(START, 1));
    t.match(store.figures, { failing: null, durable: true });
  }
});

t.test('killed while it writes: whole minutes, and a file that can be trusted', async t => {
  const path = directory(t);
  const script = `
    import { systemClock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts'; import { systemClock as clock } from '#kit/clock.ts';
    import { HistoryStore } from '${join(import.meta.dirname, '../../daemons/healthd/history-store.ts')}';
    const store = new HistoryStore(${JSON.stringify(path)}, { clock, log: createLog('x', 'silent'), maxBytes: 1e9 });
    const values = new Float32Array(60).fill(1);
    const begin = Math.floor(clock.wall() / 60_000) * 60;
    for (let i = 0; ; i++) {
      if (i === 20) process.stdout.write('twenty');
      store.write({ startS: begin + i * 60, series: Array.from({ length: 50 }, (_, n) => ({ key: String(n), metric: 'm', labels: { of: String(n) }, values })) });
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: join(import.meta.dirname, '../..'), stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const file = new Database(join(path, 'history.sqlite3'));
  t.equal(file.pragma('integrity_check', { simple: true }), 'ok');
  const counts = file.prepare('SELECT count(*) AS n FROM chunks WHERE step = 1 GROUP BY startS').pluck().all();
  file.close();
  t.ok(counts.length >= 20 && counts.every(n => n === 50), `${counts.length} minutes, each whole`);
});

const raise = (subject: string): RuleOutput => ({ type: 'raise', rule: 'disk.full', subject, severity: 'warning', value: 90, says: '90 %' });
const clear = (subject: string): RuleOutput => ({ type: 'clear', rule: 'disk.full', subject, why: 'better' });

t.test('alarms: numbered once, worse under the same number, seen once, there after a restart', async t => {
  const clock = new ManualClock(START);
  const path = directory(t);
  {
    using book = new AlarmBook(path, { clock, log });
    t.match(book.apply(raise('disk:/a')), { alarmId: 1, raisedAtWallMs: START });
    book.acknowledge(1, 'wang');
    book.acknowledge(1, 'li');
    t.equal(book.active[0]!.acknowledged?.user, 'wang');
    t.match(book.apply({ ...raise('disk:/a'), severity: 'critical' } as RuleOutput), { alarmId: 1, severity: 'critical', acknowledged: null }, 'nobody has seen that it became worse');
    book.apply(raise('disk:/b'));
    book.apply(clear('disk:/b'));
    t.equal(book.apply(clear('disk:/b')), null);
    t.throws(() => book.acknowledge(9, 'x'), GatewayError);
    t.same(book.untold.map(({ alarmId }) => alarmId), [1], 'what is over before anybody heard of it is not told');
    book.told(book.active[0]!);
    t.same(book.untold, []);
  }
  using book = new AlarmBook(path, { clock, log });
  t.same(book.raised, [{ rule: 'disk.full', subject: 'disk:/a', severity: 'critical' }]);
  t.same(book.list(false, 10).map(({ alarmId }) => alarmId), [2, 1]);
  t.match(book.apply(raise('disk:/b')), { alarmId: 3 }, 'no number twice');
  t.match(book.apply(clear('disk:/a')), { alarmId: 1, clearedAtWallMs: START });
  t.same(book.untold.map(({ alarmId }) => alarmId), [1, 3], 'its end is told, because its begin was');
});

t.test('alarms are bounded, and those that stand stay', async t => {
  using book = new AlarmBook(':memory:', { clock: new ManualClock(START), log });
  book.apply(raise('disk:/stands'));
  for (let i = 0; i < 6000; i++) {
    book.apply(raise('disk:/x'));
    book.apply(clear('disk:/x'));
  }
  t.equal(book.list(false, 100_000).length, 5000);
  t.equal(book.active[0]?.subject, 'disk:/stands');
});

const collector = (port: number, transport: 'tcp' | 'tls', ca = '') => ({ address: '127.0.0.1', port, transport, ca, name: '', least: 'info' }) as const;

t.test('a collector over TCP that is away: what waits goes when it is back, in order, the oldest given up first', async t => {
  const got: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer(socket => void sockets.push(socket.on('data', chunk => got.push(chunk.toString()))));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  using syslog = openSyslog(collector(port, 'tcp'), { clock: new FastClock(20), log });
  syslog.send('one');
  await until('it came', () => got.join('') === '3 one');
  server.close();
  for (const socket of sockets) socket.destroy();
  await once(server, 'close');
  await until('it is known to be gone', () => {
    const before = syslog.sent;
    syslog.send('x');
    return syslog.sent === before;
  });
  for (let i = 0; i < 1200; i++) syslog.send(`m${i}`);
  await until('some are given up', () => syslog.dropped > 0);
  server.listen(port, '127.0.0.1');
  await until('the last came', () => got.join('').endsWith('5 m1199'), 10_000);
  t.match(got.join(''), /4 m400|4 m500/, 'and those before it');
  t.notMatch(got.join(''), '2 m5', 'not the first ones');
  server.close();
  for (const socket of sockets) socket.destroy();
});

t.test('a collector over TLS: only one that it can trust', async t => {
  const path = directory(t);
  const { cert, key } = ownTls({ directory: path, name: 'collector', addresses: ['127.0.0.1'], clock: systemClock, random: systemRandom });
  const got: string[] = [];
  const server = createTlsServer({ cert, key }, socket => socket.on('data', chunk => got.push(chunk.toString())).on('error', () => undefined));
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  {
    using stranger = openSyslog(collector(port, 'tls'), { clock: systemClock, log });
    stranger.send('secret');
    await once(server, 'tlsClientError');
    t.equal(stranger.sent, 0, 'nothing goes to somebody that nobody vouches for');
  }
  using syslog = openSyslog(collector(port, 'tls', join(path, 'tls.crt')), { clock: systemClock, log });
  syslog.send('alarm');
  await until('it came', () => got.join('') === '5 alarm');
});
