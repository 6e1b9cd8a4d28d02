import type { ChannelRow } from '#contracts/sipd.ts';
import { allChannels } from '../all-channels.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

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
    const rows = await context.sipd(client => allChannels(client, { ...(device !== undefined && { deviceId: device }) }));
    context.print(rows, json, channels => table(channels, COLUMNS, 'no channels'));
    return 0;
  },
});
