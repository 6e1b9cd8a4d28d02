import type { InletRow, PushRow } from '#contracts/mediad.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { explain } from '../explain.ts';
import { duration, table, type Column } from '../render.ts';

type At<Row> = Row & { readonly instance: string };
type Both = { readonly inlets: readonly At<InletRow>[]; readonly pushes: readonly At<PushRow>[] };

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

const INLET_COLUMNS: readonly Column<At<InletRow>>[] = [
  { title: 'INLET', value: row => row.inletId },
  { title: 'FROM', value: row => `${row.remote.address}:${row.remote.port}` },
  { title: 'FOR', value: row => duration(row.ageMs), align: 'right' },
  { title: 'CODECS', value: row => row.codecs.join(' ') || null },
  { title: 'RECEIVED', value: row => megabytes(row.bytes), align: 'right' },
  { title: 'BRIDGES', value: row => row.bridges, align: 'right' },
  { title: 'MEDIAD', value: row => row.instance, align: 'right' },
];

const PUSH_COLUMNS: readonly Column<At<PushRow>>[] = [
  { title: 'PUSHED', value: row => row.channel },
  { title: 'STREAM', value: row => row.streamNumber, align: 'right' },
  { title: 'TO', value: row => row.server },
  { title: 'STATE', value: row => row.state },
  { title: 'FOR', value: row => duration(row.ageMs), align: 'right' },
  { title: 'SENT', value: row => megabytes(row.sentBytes), align: 'right' },
  { title: 'FAILURES', value: row => row.failures, align: 'right' },
  { title: 'LAST ONE', value: row => row.why },
  { title: 'MEDIAD', value: row => row.instance, align: 'right' },
];

export default defineCommand({
  path: 'show inlets',
  access: 'read',
  help: 'streams that are there to be had over RTSP and RTMP, and channels that are pushed to servers',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const inlets: At<InletRow>[] = [];
    const pushes: At<PushRow>[] = [];
    const unreachable: GatewayError[] = [];
    for (const instance of await context.mediadInstances()) {
      try {
        const found = await context.mediad(instance, async client => ({ inlets: await client.call('listInlets', {}), pushes: await client.call('listPushes', {}) }));
        inlets.push(...found.inlets.map(row => ({ ...row, instance })));
        pushes.push(...found.pushes.map(row => ({ ...row, instance })));
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        unreachable.push(error);
      }
    }
    const both: Both = { inlets, pushes };
    context.print(both, json, all => {
      const parts = [table(all.inlets, INLET_COLUMNS, 'no inlet is online')];
      if (all.pushes.length > 0) parts.push(table(all.pushes, PUSH_COLUMNS, ''));
      return parts.join('\n\n');
    });
    for (const error of unreachable) context.err(explain(error));
    return unreachable.length === 0 ? 0 : EXIT_CODE.DAEMON_UNREACHABLE;
  },
});
