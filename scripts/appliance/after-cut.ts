/**
 * What a disk holds after a power cut: every database is checked, and configd starts on it as it would on the machine. One line of
 * JSON. Runs in a mount namespace where the disk is at its place and /run is empty (`lookAt`), because daemons have their sockets there.
 */
import { execFileSync, spawnSync } from 'node:child_process';
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

export interface Place {
  /** The file system, in a file. */
  readonly image: string;
  /** Where it goes. */
  readonly at: string;
  /** Behind that: the configuration, the state of the daemons, and that of configd. */
  readonly config: string;
  readonly state: string;
  readonly configd: string;
  /** Of configd, as its configuration says. */
  readonly socket: string;
}

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** `image` is repaired as at a start (e2fsck -p), and changed by that. */
export function lookAt(place: Place): Found {
  const { status, stdout } = spawnSync('e2fsck', ['-p', place.image], { encoding: 'utf8' });
  // Below 4 everything was repaired.
  if (status === null || status >= 4) throw new Error(`e2fsck: ${stdout}`);
  const script = 'mount -t tmpfs run /run && mount -o loop "$2" "$3" && exec "$0" "$1" "$4"';
  const said = execFileSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, import.meta.filename, place.image, place.at, JSON.stringify(place)], { encoding: 'utf8', timeout: 240_000, maxBuffer: MAX_ANSWER_BYTES });
  return JSON.parse(said.trim().split('\n').at(-1)!) as Found;
}

async function look({ at, config, state: stateIn, configd, socket }: Place): Promise<Found> {
  const state = join(at, stateIn);
  const databases = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter(name => /\.(sqlite3|db)$/.test(name));
  const broken = databases.flatMap(name => query(join(state, name), 'PRAGMA integrity_check').flatMap(row => (row['integrity_check'] === 'ok' ? [] : [`${name}: ${String(row['integrity_check'])}`])));
  const rowsOf = (file: string, sql: string): Row[] => databases.filter(name => name.endsWith(file)).flatMap(name => query(join(state, name), sql));
  const waiting = rowsOf('sipd.sqlite3', 'SELECT json FROM outbox').map(({ json }) => (JSON.parse(String(json)) as { alarm: { description: string } }).alarm.description);
  const seen = rowsOf('alarms.sqlite3', 'SELECT alarmId FROM alarms WHERE ackUser IS NOT NULL').map(({ alarmId }) => Number(alarmId));
  await using _configd = await DaemonProcess.start({ name: 'configd', entry: 'daemons/configd/main.ts', args: ['--config', join(at, config), '--state', join(at, configd)], readyEvent: 'configd.ready', logPath: join(at, 'configd-after.log') });
  await using rpc = await connectRpc<ConfigdRequests>(socket);
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

if (process.argv[1] === import.meta.filename) process.stdout.write(`${JSON.stringify(await look(JSON.parse(process.argv[2]!) as Place))}\n`);
