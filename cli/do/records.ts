import type { RecordRow } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { authorOf } from '../identity.ts';
import { duration, table, type Column } from '../render.ts';
import { wallText, wallTime } from '../values.ts';

/** A recorder with many files says them page by page. */
const TIMEOUT_MS = 60_000;
const INCOMPLETE = 1;

const length = ({ startWallMs, endWallMs }: RecordRow): string | null => (startWallMs === null || endWallMs === null ? null : duration(endWallMs - startWallMs));

const COLUMNS: readonly Column<RecordRow>[] = [
  { title: 'FROM', value: row => wallText(row.startWallMs) },
  { title: 'TO', value: row => wallText(row.endWallMs) },
  { title: 'LENGTH', value: length, align: 'right' },
  { title: 'TYPE', value: row => row.type },
  { title: 'SIZE', value: row => (row.bytes === null ? null : `${(row.bytes / 1e6).toFixed(1)} MB`), align: 'right' },
  { title: 'NAME', value: row => row.name },
];

export default defineCommand({
  path: 'records',
  access: 'watch',
  help: 'recordings that a camera or recorder has of a channel; exit code 1 when its list is not complete',
  args: {
    channel: { type: 'argument', help: 'channel ID, the ID that an upstream knows it by, or a part of its name' },
    from: { type: 'option', help: '"2026-11-22 08:30", 08:30 for today, or 2h for two hours ago; default 24h', values: [] },
    to: { type: 'option', help: 'likewise; default now', values: [] },
    json: JSON_FLAG,
  },
  async run(context, { channel, from = '24h', to = 'now', json }) {
    const span = { fromWallMs: wallTime('from', from), toWallMs: wallTime('to', to) };
    if (span.fromWallMs >= span.toWallMs) throw new GatewayError('BAD_REQUEST', { from, to, why: 'ends before it begins' });
    context.progress('the camera is asked');
    const report = await context.sipd(client => client.call('records', { channel, ...span, author: authorOf(context.identity) }, { timeoutMs: TIMEOUT_MS })).finally(() => context.progress(''));
    context.print(report, json, ({ records }) => table(records, COLUMNS, 'no recordings in that time'));
    if (!report.complete) context.err(`the list is not complete: ${report.missing} were announced and did not come`);
    return report.complete ? 0 : INCOMPLETE;
  },
});
