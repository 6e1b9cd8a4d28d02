import { readFile } from 'node:fs/promises';
import type { ViewReport } from '#contracts/sipd.ts';
import type { ViewChange, ViewRow } from '#core/gb/view-rows.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

const TIMEOUT_MS = 60_000;
/** What travels to the daemon in one request. */
const MAX_CANDIDATE_BYTES = 3 * 1024 * 1024;

const KIND: Readonly<Record<ViewRow['kind'], string>> = { 'system': 'system', 'civil': 'region', 'business-group': 'group', 'virtual-org': 'organisation', 'device': 'device', 'channel': '' };

const permissions = ({ permitted, atTimes }: ViewRow): string | null => [...permitted, ...atTimes.map(what => `(${what})`)].join(' ') || null;

const COLUMNS: readonly Column<ViewRow>[] = [
  { title: 'ID', value: row => `${'  '.repeat(row.depth)}${row.id}` },
  { title: 'NAME', value: row => row.name },
  { title: 'STATUS', value: row => row.status },
  { title: 'KIND', value: row => KIND[row.kind] },
  { title: 'BELOW', value: row => (row.deviceId === null ? '' : row.channelId === row.id ? row.deviceId : `${row.deviceId}/${row.channelId ?? ''}`) },
  { title: 'NOW (AT TIMES)', value: row => (row.kind === 'channel' ? permissions(row) : '') },
];

const MARK: Readonly<Record<ViewChange['type'], string>> = { added: '+', removed: '-', changed: '~' };

function says({ type, before, after, fields }: ViewChange): string {
  const row = after ?? before!;
  const of = (side: ViewRow | null, field: string): string => String(side?.[field as keyof ViewRow] ?? 'none') || 'nothing';
  const detail = type === 'changed' ? `: ${fields.map(field => `${field} ${of(before, field)} -> ${of(after, field)}`).join(', ')}` : '';
  return `${MARK[type]} ${before?.id ?? row.id} ${before?.name ?? row.name}${detail}`;
}

function format({ upstream, rows, changes, problems }: ViewReport): string {
  const lines = problems.map(problem => `not a configuration that would be taken: ${problem}`);
  if (changes === null && problems.length > 0) return lines.join('\n');
  if (changes === null) return table(rows, COLUMNS, `${upstream} sees nothing`);
  const channels = rows.filter(({ kind }) => kind === 'channel').length;
  const count = (type: ViewChange['type']): number => changes.filter(change => change.type === type).length;
  const summary = changes.length === 0 ? `nothing would change for ${upstream}` : `${upstream} would see ${channels} channels: ${count('added')} items added, ${count('removed')} removed, ${count('changed')} changed`;
  return [...lines, ...changes.map(says), summary].join('\n');
}

const HIDDEN: readonly Column<ViewReport['hidden'][number]>[] = [
  { title: 'CHANNEL', value: row => row.channelId },
  { title: 'NAME', value: row => row.name },
  { title: 'DEVICE', value: row => row.deviceId },
  { title: 'WHY', value: row => row.why },
];

const formatHidden = ({ upstream, hidden }: ViewReport): string => table(hidden, HIDDEN, `${upstream} sees every channel`);

/** Text of a file, as far as the daemon takes it. */
async function candidateOf(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new GatewayError('CONFIG_INVALID', { file: path, why: error.code ?? 'cannot be read' });
  });
  if (bytes.length > MAX_CANDIDATE_BYTES) throw new GatewayError('CONFIG_INVALID', { file: path, why: `larger than ${MAX_CANDIDATE_BYTES} bytes` });
  return bytes.toString('utf8');
}

export default defineCommand({
  path: 'view',
  access: 'read',
  help: 'the catalogue that an upstream gets: tree, IDs, names, status, permissions; or what another configuration would change in it',
  args: {
    upstream: { type: 'argument', help: 'name of the upstream' },
    config: { type: 'option', help: 'a configuration file that is not applied yet: show the difference; exit code 2 when it would not be taken' },
    hidden: { type: 'flag', help: 'the channels that it does not see, and why' },
    json: JSON_FLAG,
  },
  async run(context, { upstream, config: path, hidden, json }) {
    const candidate = path === undefined ? undefined : await candidateOf(path);
    const report = await context.sipd(client => client.call('view', { upstream, ...(candidate !== undefined && { candidate }), hidden }, { timeoutMs: TIMEOUT_MS }));
    context.print(report, json, hidden && report.problems.length === 0 ? formatHidden : format);
    return report.problems.length === 0 ? 0 : EXIT_CODE.CONFIG_INVALID;
  },
});
