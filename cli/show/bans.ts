import type { BanReport } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { type Column, duration, table } from '../render.ts';

const REASONS: Readonly<Record<BanReport['reason'], string>> = { scanner: 'scans', password: 'wrong passwords', flood: 'floods', malformed: 'sends what is no SIP', stranger: 'asks for what is not here' };

const COLUMNS: readonly Column<BanReport>[] = [
  { title: 'ADDRESS', value: row => row.site },
  { title: 'WHY', value: row => REASONS[row.reason] },
  { title: 'EVIDENCE', value: row => row.count, align: 'right' },
  { title: 'TIMES', value: row => row.times, align: 'right' },
  { title: 'SINCE', value: row => new Date(row.lastWallMs).toISOString() },
  { title: 'FOR', value: row => duration(row.leftMs), align: 'right' },
  { title: 'FIRST', value: row => row.first },
  { title: 'LAST', value: row => row.last },
];

export default defineCommand({
  path: 'show bans',
  access: 'read',
  help: 'addresses that are shut out for a while, and what they did',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const rows = await context.sipd(client => client.call('listBans', {}));
    context.print(rows, json, bans => table(bans, COLUMNS, 'nobody is shut out'));
    return 0;
  },
});
