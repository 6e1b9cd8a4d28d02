import type { DeviceRow } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

const catalogue = ({ catalog }: DeviceRow): string => (catalog.state === 'none' ? 'none' : catalog.state === 'complete' ? `complete, ${catalog.received}` : `${catalog.state}, ${catalog.received} of ${catalog.expected}`);

const COLUMNS: readonly Column<DeviceRow>[] = [
  { title: 'DEVICE', value: row => row.id },
  { title: 'NAME', value: row => row.name },
  { title: 'STATE', value: row => (row.state === 'online' || row.reason === null ? row.state : `${row.state}: ${row.reason}`) },
  { title: 'OVER', value: row => row.transport },
  { title: 'ADDRESS', value: row => row.address },
  { title: 'EXPIRES', value: row => duration(row.expiresInMs), align: 'right' },
  { title: 'KEEPALIVE', value: row => duration(row.lastKeepaliveAgeMs), align: 'right' },
  { title: 'SPEAKS', value: row => `${row.edition} ${row.dialect}` },
  { title: 'CHANNELS', value: row => row.channels, align: 'right' },
  { title: 'CATALOGUE', value: catalogue },
];

export default defineCommand({
  path: 'show devices',
  access: 'read',
  help: 'cameras, NVRs and platforms below: registered or not, and why not',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const rows = await context.sipd(client => client.call('listDevices', {}));
    context.print(rows, json, devices => table(devices, COLUMNS, 'no devices'));
    return 0;
  },
});
