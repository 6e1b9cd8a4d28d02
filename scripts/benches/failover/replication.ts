/** How far the other node is behind: two Redis of our own as the units start them, the copy of one file into another by the code of sipd. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { RedisFollower } from '#kit/redis-follower.ts';
import { type RedisPlace, openRedis } from '#kit/redis-link.ts';
import { RedisMirror } from '#kit/redis-mirror.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { DaemonProcess } from '../../lab/daemon-process.ts';
import { pause } from '../../simulators/common/names.ts';
import { type Figure, percentile } from '../common/figures.ts';

const CHANNELS = 10_000;
const DIALOGS = 500;
const DIALOG_BYTES = 2000;
const WRITE_EVERY_MS = 10;
const LIMIT_MS = 60_000;
const LOOK_MS = 5;
const PASSWORD = 'password-of-the-bench';
const log = createLog('bench', 'silent');

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const limit = clock.now() + LIMIT_MS; !holds(); await pause(clock, LOOK_MS)) if (clock.now() > limit) throw new Error(`${what}: not within ${LIMIT_MS} ms`);
}

/** In a namespace of our own every port is free. */
async function startRedis(port: number, directory: string, closer: Closer, of?: RedisPlace): Promise<RedisPlace> {
  const place = { host: '127.0.0.1', port, password: PASSWORD };
  const copies = of === undefined ? [] : ['--replicaof', of.host, String(of.port)];
  const args = ['--port', String(port), '--bind', place.host, '--requirepass', PASSWORD, '--masterauth', PASSWORD, '--save', '', '--appendonly', 'no', '--dir', directory, '--repl-diskless-sync', 'yes', '--repl-diskless-sync-delay', '0', '--repl-diskless-load', 'swapdb', ...copies];
  closer.use(await DaemonProcess.start({ name: `redis ${port}`, entry: 'redis-server', args, readyEvent: '', isProgram: true, logPath: join(directory, `${port}.log`) }));
  const link = closer.use(openRedis(place, { log }));
  await until(`redis ${port}`, () => link.up);
  return place;
}

export async function replicationFigures(): Promise<readonly Figure[]> {
  await using closer = new Closer();
  const directory = mkdtempSync(join(tmpdir(), 'viewlink-replication-'));
  closer.defer(() => rmSync(directory, { recursive: true, force: true }));
  const primary = await startRedis(7611, directory, closer);
  const replica = await startRedis(7612, directory, closer, primary);
  const ours = closer.use(new SqliteStore(join(directory, 'ours'), { log }));
  const theirs = closer.use(new SqliteStore(join(directory, 'theirs'), { log }));
  ours.putChannels('nvr', Array.from({ length: CHANNELS }, (_, n) => ({ deviceId: 'nvr', channelId: `3402000000131${String(n).padStart(7, '0')}`, ordinal: n, name: `camera ${n}`, status: 'ON' as const, civilCode: '340200', parentId: null, manufacturer: 'Maker', itemJson: JSON.stringify({ n, address: 'x'.repeat(300) }) })), { replace: true });
  const beganAt = clock.now();
  const mirror = closer.use(new RedisMirror({ store: ours, place: primary, term: 1, clock, random, log, onRefused: () => undefined }));
  const follower = closer.use(new RedisFollower({ store: theirs, place: replica, clock, log }));
  await until('everything is there', () => follower.following && theirs.rows.all('channels').size === CHANNELS);
  const resyncMs = clock.now() - beganAt;
  const lags = await dialogLags(ours, theirs);
  return [
    { name: 'replication of a dialog, p99', value: percentile(lags, 0.99), unit: 'ms', limit: { most: 100 }, method: `${DIALOGS} sessions of ${DIALOG_BYTES} bytes, from the write to the file of the other node; ${mirror.waiting} waited at the end`, beside: { p50: Math.round(percentile(lags, 0.5)), max: Math.round(Math.max(...lags)) } },
    { name: `resync of ${CHANNELS.toLocaleString('en-US')} channels`, value: resyncMs / 1000, unit: 's', limit: { most: 10 }, method: 'both ends empty-handed, until every row is in the other file' },
  ];
}

async function dialogLags(ours: SqliteStore, theirs: SqliteStore): Promise<readonly number[]> {
  const writtenAt = new Map<string, number>();
  const lags: number[] = [];
  using _watch = theirs.rows.watch((_table, key) => {
    const at = writtenAt.get(key);
    if (at !== undefined) lags.push(clock.now() - at);
    writtenAt.delete(key);
  });
  for (let i = 0; i < DIALOGS; i++) {
    writtenAt.set(JSON.stringify([`dialog${i}`]), clock.now());
    ours.putSession({ sessionId: `dialog${i}`, kind: 'viewer', json: 'x'.repeat(DIALOG_BYTES) });
    await pause(clock, WRITE_EVERY_MS);
  }
  await until('the last dialog', () => lags.length >= DIALOGS);
  return lags;
}
