/** A redis-server of our own on loopback, as the units start it: no file, a password. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisPlace } from '#kit/redis-link.ts';
import { freePort } from '../wire/free-port.ts';
import { until } from './until.ts';

export interface RedisServer extends AsyncDisposable {
  readonly place: RedisPlace;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** It stands still and keeps its connections, or goes on. */
  hang(on: boolean): void;
}

const answers = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)).once('connect', () => socket.destroy());
  });

export async function startRedis(): Promise<RedisServer> {
  const place = { host: '127.0.0.1', port: await freePort(), password: 'password-of-a-test' };
  const directory = mkdtempSync(join(tmpdir(), 'vl-redis-'));
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn('redis-server', ['--port', String(place.port), '--bind', place.host, '--requirepass', place.password, '--masterauth', place.password, '--save', '', '--appendonly', 'no', '--dir', directory, '--repl-diskless-sync-delay', '0', '--repl-diskless-load', 'swapdb', '--rdb-del-sync-files', 'yes'], { stdio: 'ignore' });
    await until('redis-server listens', () => answers(place.port));
  };
  const kill = async (): Promise<void> => {
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    child = undefined;
    await gone;
  };
  await start();
  return {
    place,
    start,
    kill,
    hang: on => void child?.kill(on ? 'SIGSTOP' : 'SIGCONT'),
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
