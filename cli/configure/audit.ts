import type { AuditEntry, AuditVerdict } from '#contracts/configd.ts';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';
import { wallText } from '../values.ts';

const DEFAULT_ENTRIES = 50;
const VERIFY_MS = 600_000;
const BROKEN = 1;

const COLUMNS: readonly Column<AuditEntry>[] = [
  { title: 'NODE', value: row => row.node ?? '' },
  { title: 'NUMBER', value: row => row.sequence, align: 'right' },
  { title: 'WHEN', value: row => wallText(row.atWallMs) },
  { title: 'WHO', value: ({ author: { user, via, address } }) => `${user} ${via}${address === null ? '' : ` ${address}`}` },
  { title: 'WHAT', value: row => row.action },
  { title: 'TO', value: row => row.target },
  { title: 'RESULT', value: row => (row.action.startsWith('cli.') && row.detail === 'begins' ? 'begins' : row.result) },
  { title: 'DETAIL', value: row => row.detail },
];

export const show = defineCommand({
  path: 'audit show',
  access: 'audit',
  help: 'who did what, when, from where, and what came of it; newest last; --json: before and after too',
  args: { node: { type: 'option', help: 'in a pair: the log of this node alone, which its numbers belong to; default: of both, by time' }, last: { type: 'option', help: `so many; default ${DEFAULT_ENTRIES}` }, from: { type: 'option', help: 'from this number on' }, json: JSON_FLAG },
  async run(context, { node, last, from, json }) {
    const limit = Number(last ?? DEFAULT_ENTRIES);
    const first = from === undefined ? -limit : Number(from);
    if (!Number.isInteger(limit) || limit < 1 || limit > 10_000 || !Number.isInteger(first)) throw new GatewayError('BAD_REQUEST', { last: last ?? '', from: from ?? '', why: 'expected numbers, last up to 10000' });
    const of = node ?? (from === undefined ? 'all' : undefined);
    const entries = await context.configd(configd => configd.call('auditLog', { fromSequence: first, limit, ...(of !== undefined && { of }) }));
    const columns = entries.some(entry => entry.node !== undefined) ? COLUMNS : COLUMNS.slice(1);
    context.print(entries, json, rows => table(rows, columns, 'nothing is written down yet'));
    return 0;
  },
});

const verdictText = ({ entries, brokenAt, why }: AuditVerdict): string => (brokenAt === null ? `whole: ${entries} entries` : `broken at entry ${brokenAt}: ${why}; ${entries} entries before it are good`);

export const verify = defineCommand({
  path: 'audit verify',
  access: 'audit',
  help: 'walks the whole chain, in a pair that of the other node too: whether an entry was changed, taken out or put in; exit code 1 when one was',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const result = await context.configd(configd => configd.call('auditVerify', {}, { timeoutMs: VERIFY_MS }));
    const { copies = [] } = result;
    context.print(result, json, own => [verdictText(own), ...copies.map(copy => `copy of the log of ${copy.node}: ${verdictText(copy)}`)].join('\n'));
    return [result, ...copies].every(({ brokenAt }) => brokenAt === null) ? 0 : BROKEN;
  },
});
