import type { ResourceRow } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

const sourceText = ({ deviceId, channelId, known, status }: ResourceRow['sources'][number]): string => `${deviceId}/${channelId} ${known ? status : 'unknown'}`;

const COLUMNS: readonly Column<ResourceRow>[] = [
  { title: 'RESOURCE', value: row => row.id },
  { title: 'NAME', value: row => row.name },
  { title: 'STATUS', value: row => row.status },
  { title: 'RULE', value: row => row.rule },
  { title: 'SOURCES, BEST FIRST', value: row => row.sources.map(sourceText).join(', ') },
];

export default defineCommand({
  path: 'show resources',
  access: 'read',
  help: 'cameras with more than one way to them, why they are taken for one, and the order of their sources',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const rows = await context.sipd(client => client.call('listResources', {}));
    context.print(rows, json, resources => table(resources, COLUMNS, 'no resources: every channel stands for itself'));
    return 0;
  },
});
