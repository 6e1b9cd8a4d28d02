/**
 * Inside the appliance after a cut: every database of the daemons is whole, and what they keep, as one line of JSON. Goes in by stdin
 * of the Node of the package, as writes.ts.
 */
import { readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import { connectRpc } from '#kit/rpc.ts';

const STATE = '/var/lib/viewlink';
const PATIENCE = { timeoutMs: 120_000 };

const databases = readdirSync(STATE, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.db')).sort();
const broken = databases.flatMap(name => {
  const database = new Database(join(STATE, name), { readonly: true });
  const says = database.pragma('integrity_check', { simple: true });
  database.close();
  return says === 'ok' ? [] : [`${name}: ${String(says)}`];
});
await using configd = await connectRpc<ConfigdRequests>('/run/viewlink/configd.sock');
await using healthd = await connectRpc<HealthdRequests>('/run/viewlink/healthd.sock');
const { revision } = await configd.call('status', {}, PATIENCE);
const alarms = await healthd.call('alarms', { activeOnly: false, limit: 1000 }, PATIENCE);
const seen = alarms.flatMap(({ alarmId, acknowledged }) => (acknowledged === null ? [] : [alarmId]));
writeSync(1, `${JSON.stringify({ databases: databases.length, broken, revision, seen })}\n`);
