import type { TranscoderRow } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

interface Row extends TranscoderRow {
  readonly instance: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'INSTANCE', value: row => row.instance },
  { title: 'JOB', value: row => row.jobId },
  { title: 'OF', value: row => row.label },
  { title: 'INTO', value: row => row.rendition },
  { title: 'STATE', value: row => row.state },
  { title: 'ENCODER', value: row => row.encoder },
  { title: 'VIEWERS', value: row => row.viewers },
  { title: 'CORES', value: row => row.cores },
  { title: 'PICTURES', value: row => row.pictures },
  { title: 'STARTS', value: row => row.starts },
  { title: 'BEHIND', value: row => row.droppedIn },
];

export default defineCommand({
  path: 'show transcoders',
  access: 'read',
  help: 'streams that are turned into renditions, and what that costs',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const rows: Row[] = [];
    let code = 0;
    for (const instance of await context.mediadInstances()) {
      try {
        const found = await context.mediad(instance, client => client.call('listTranscoders', {}));
        rows.push(...found.map(row => ({ instance, ...row })));
      } catch (error) {
        if (!(error instanceof GatewayError) || error.code !== 'DAEMON_UNREACHABLE') throw error;
        context.err(`viewlink-mediad@${instance} is not reachable`);
        code = 69;
      }
    }
    context.print(rows, json, all => table(all, COLUMNS, 'nothing is transcoded'));
    return code;
  },
});
