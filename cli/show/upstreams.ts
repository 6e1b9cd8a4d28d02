import type { UpstreamRow } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

function state({ state: word, reason, retryInMs }: UpstreamRow): string {
  const again = retryInMs === null ? '' : `, again in ${duration(retryInMs)}`;
  return reason === null ? `${word}${again}` : `${word}: ${reason}${again}`;
}

const COLUMNS: readonly Column<UpstreamRow>[] = [
  { title: 'UPSTREAM', value: row => row.name },
  { title: 'ID', value: row => row.id },
  { title: 'WE ARE', value: row => row.localId },
  { title: 'OVER', value: row => row.transport },
  { title: 'ADDRESS', value: row => row.address },
  { title: 'STATE', value: state },
  { title: 'EXPIRES', value: row => duration(row.expiresInMs), align: 'right' },
  { title: 'KEEPALIVE', value: row => duration(row.lastKeepaliveAgeMs), align: 'right' },
  { title: 'SHARED', value: row => row.sharedChannels, align: 'right' },
  { title: 'SESSIONS', value: row => row.sessions, align: 'right' },
];

export default defineCommand({
  path: 'show upstreams',
  help: 'platforms above: registered there or not, and why not',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const rows = await context.sipd(client => client.call('listUpstreams', {}));
    context.print(rows, json, upstreams => table(upstreams, COLUMNS, 'no upstreams'));
    return 0;
  },
});
