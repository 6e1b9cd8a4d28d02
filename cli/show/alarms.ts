import type { AlarmRow } from '#contracts/healthd.ts';
import { systemClock } from '#kit/clock.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

const DEFAULT_ROWS = 200;

const ago = (atWallMs: number | null): string | null => (atWallMs === null ? null : duration(Math.max(0, systemClock.wall() - atWallMs)));

const COLUMNS: readonly Column<AlarmRow>[] = [
  { title: 'ID', value: row => row.alarmId, align: 'right' },
  { title: 'SEVERITY', value: row => (row.clearedAtWallMs === null ? row.severity : `(${row.severity})`) },
  { title: 'SINCE', value: row => ago(row.raisedAtWallMs), align: 'right' },
  { title: 'CLEARED', value: row => ago(row.clearedAtWallMs), align: 'right' },
  { title: 'SEEN BY', value: row => row.acknowledged?.user ?? null },
  { title: 'RULE', value: row => row.rule },
  { title: 'SUBJECT', value: row => row.subject },
  { title: 'WHAT', value: row => row.says, whole: true },
];

export default defineCommand({
  path: 'show alarms',
  access: 'read',
  help: 'alarms that stand, newest first',
  args: { all: { type: 'flag', help: 'those that are over too' }, json: JSON_FLAG },
  async run(context, { all, json }) {
    const rows = await context.healthd(client => client.call('alarms', { activeOnly: !all, limit: DEFAULT_ROWS }));
    context.print(rows, json, found => table(found, COLUMNS, 'no alarms'));
    return 0;
  },
});
