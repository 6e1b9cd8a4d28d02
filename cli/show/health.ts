import type { HealthReport } from '#contracts/healthd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

const COLUMNS: readonly Column<HealthReport['checks'][number]>[] = [
  { title: 'STATE', value: ({ state }) => (state === 'broken' || state === 'degraded' ? state.toUpperCase() : state) },
  { title: 'SUBJECT', value: ({ subject }) => subject },
  { title: 'WHAT', value: ({ says }) => says, whole: true },
];

function text({ node, state, checks }: HealthReport): string {
  const bad = checks.filter(check => check.state === 'broken' || check.state === 'degraded').length;
  return [`${node} is ${state}${bad === 0 ? '' : `: ${bad} of ${checks.length}`}`, table(checks, COLUMNS, 'nothing is measured yet')].join('\n');
}

export default defineCommand({
  path: 'show health',
  access: 'read',
  help: 'the node, its disks and links, the daemons, devices and upstreams: worst first; exit code 1 when something is not good',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const report = await context.healthd(client => client.call('report', {}));
    context.print(report, json, text);
    return report.state === 'good' ? 0 : 1;
  },
});
