import type { ChannelRow } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

const PAGE_ROWS = 1000;

const COLUMNS: readonly Column<ChannelRow>[] = [
  { title: 'CHANNEL', value: row => row.channelId },
  { title: 'NAME', value: row => row.name },
  { title: 'STATUS', value: row => row.status },
  { title: 'PLAYING', value: row => (row.playing ? 'yes' : 'no') },
  { title: 'CIVIL CODE', value: row => row.civilCode },
  { title: 'DEVICE', value: row => row.deviceId },
  { title: 'KNOWN ABOVE AS', value: row => row.mapped.map(({ upstream, id }) => `${upstream} ${id}`).join(', ') || null },
];

export default defineCommand({
  path: 'show channels',
  access: 'read',
  help: 'channels of the devices, and the IDs that upstreams know them by',
  args: { json: JSON_FLAG, device: { type: 'option', help: 'only channels of this device ID' } },
  async run(context, { json, device }) {
    const rows = await context.sipd(async client => {
      const all: ChannelRow[] = [];
      for (;;) {
        const page = await client.call('listChannels', { ...(device !== undefined && { deviceId: device }), offset: all.length, limit: PAGE_ROWS });
        all.push(...page.rows);
        if (page.rows.length === 0 || all.length >= page.total) return all;
      }
    });
    context.print(rows, json, channels => table(channels, COLUMNS, 'no channels'));
    return 0;
  },
});
