/**
 * What a data partition holds after a power cut: every database is checked, and configd starts on it as it would in the machine. One
 * line of JSON. Runs in a mount namespace whose /run is empty (`lookAt`), because the daemons have their sockets there.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ConfigdRequests } from '#contracts/configd.ts';
import { connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from '../lab/daemon-process.ts';

export interface Found {
  readonly databases: number;
  readonly broken: readonly string[];
  readonly revision: number;
  /** Of the audit log; null: it is whole. */
  readonly audit: string | null;
  /** Alarms of healthd that somebody has seen. */
  readonly seen: readonly number[];
  /** Descriptions of the alarms that wait for a platform. */
  readonly waiting: readonly string[];
}

/** `data`: where the partition is mounted. */
export function lookAt(data: string): Found {
  const script = 'mount -t tmpfs run /run && exec "$0" "$1" "$2"';
  const said = execFileSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, import.meta.filename, data], { encoding: 'utf8', timeout: 240_000 });
  return JSON.parse(said.trim().split('\n').at(-1)!) as Found;
}

async function look(data: string): Promise<Found> {
  const state = join(data, 'var/lib/viewlink');
  const databases = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter(name => /\.(sqlite3|db)$/.test(name));
  const broken = databases.flatMap(name => query(join(state, name), 'PRAGMA integrity_check').flatMap(row => (row['integrity_check'] === 'ok' ? [] : [`${name}: ${String(row['integrity_check'])}`])));
  const rowsOf = (file: string, sql: string): Row[] => databases.filter(name => name.endsWith(file)).flatMap(name => query(join(state, name), sql));
  const waiting = rowsOf('sipd.sqlite3', 'SELECT json FROM outbox').map(({ json }) => (JSON.parse(String(json)) as { alarm: { description: string } }).alarm.description);
  const seen = rowsOf('alarms.sqlite3', 'SELECT alarmId FROM alarms WHERE ackUser IS NOT NULL').map(({ alarmId }) => Number(alarmId));
  await using _configd = await DaemonProcess.start({ name: 'configd', entry: 'daemons/configd/main.ts', args: ['--config', join(data, 'etc/viewlink/gateway.yaml'), '--state', join(state, 'configd')], readyEvent: 'configd.ready', logPath: join(data, 'configd.log') });
  await using rpc = await connectRpc<ConfigdRequests>('/run/viewlink/configd.sock');
  const { revision } = await rpc.call('status', {});
  const { brokenAt, why } = await rpc.call('auditVerify', {}, { timeoutMs: 60_000 });
  return { databases: databases.length, broken, revision, audit: brokenAt === null ? null : `entry ${brokenAt}: ${why ?? ''}`, seen, waiting };
}

type Row = Readonly<Record<string, unknown>>;

function query(path: string, sql: string): Row[] {
  const database = new Database(path);
  try {
    return database.prepare<[], Row>(sql).all();
  } finally {
    database.close();
  }
}

if (process.argv[1] === import.meta.filename) process.stdout.write(`${JSON.stringify(await look(process.argv[2]!))}\n`);
