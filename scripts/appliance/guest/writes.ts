/**
 * Inside the appliance: one commit of the configuration after another, and every alarm that stands is seen by somebody. What was
 * acknowledged is said, a line each, when it was. Goes in by stdin of the Node of the package: its folder is the working directory.
 */
import { writeSync } from 'node:fs';
import type { Author, ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import { connectRpc } from '#kit/rpc.ts';

const AUTHOR: Author = { user: 'root', via: 'cli', address: null };
const PATIENCE = { timeoutMs: 120_000 };
const say = (text: string): void => void writeSync(1, `${text}\n`);

await using configd = await connectRpc<ConfigdRequests>('/run/viewlink/configd.sock');
await using healthd = await connectRpc<HealthdRequests>('/run/viewlink/healthd.sock');
for (let n = 1; ; n++) {
  await configd.call('edit', { author: AUTHOR, steps: [{ op: 'set', path: 'devices.ptzHoldS', value: n % 3600 }] }, PATIENCE);
  const { revision, refusals } = await configd.call('commit', { author: AUTHOR, reason: `write ${n}`, confirmMinutes: null }, PATIENCE);
  if (revision === null) throw new Error(JSON.stringify(refusals));
  say(`revision=${revision}.`);
  const [alarm] = (await healthd.call('alarms', { activeOnly: true, limit: 100 }, PATIENCE)).filter(({ acknowledged }) => acknowledged === null);
  if (alarm === undefined) continue;
  await healthd.call('acknowledge', { alarmId: alarm.alarmId, author: AUTHOR }, PATIENCE);
  say(`seen=${alarm.alarmId}.`);
}
