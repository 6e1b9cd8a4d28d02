import type { UpstreamRow, UpstreamTotals } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

function state({ state: word, reason, retryInMs }: UpstreamRow): string {
  const again = retryInMs === null ? '' : `, again in ${duration(retryInMs)}`;
  return reason === null ? `${word}${again}` : `${word}: ${reason}${again}`;
}

const total = ({ channels, shared, accessed, online, playing }: UpstreamTotals): string => `in all: ${channels} channels below, ${online} of them online; ${shared} shared, ${accessed} accessed, ${playing} playing`;

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
  { title: 'ACCESSED', value: row => row.accessedChannels, align: 'right' },
  { title: 'ONLINE', value: row => row.onlineChannels, align: 'right' },
  { title: 'PLAYING', value: row => row.playingChannels, align: 'right' },
  { title: 'SESSIONS', value: row => row.sessions, align: 'right' },
  { title: 'MBIT/S', value: row => (row.bitrateBps === null ? null : (row.bitrateBps / 1e6).toFixed(1)), align: 'right' },
];

export default defineCommand({
  path: 'show upstreams',
  access: 'read',
  help: 'platforms above: registered there or not, and why not',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const { upstreams, totals } = await context.sipd(async client => ({ upstreams: await client.call('listUpstreams', {}), totals: await client.call('totals', {}) }));
    context.print(upstreams, json, rows => [table(rows, COLUMNS, 'no upstreams'), total(totals)].join('\n'));
    return 0;
  },
});
