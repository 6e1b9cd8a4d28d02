import { GatewayError } from '#core/result.ts';
import type { RevisionRow } from '#contracts/configd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';
import { wallText } from '../values.ts';
import { author, candidateText, changesText, PATIENCE, pathText, revisionBack } from './common.ts';

export const show = defineCommand({
  path: 'config show',
  access: 'read',
  help: 'the configuration or a part of it, secrets as ***; what is not set shows its default',
  args: {
    words: { type: 'rest', help: 'path', values: 'config-path' },
    candidate: { type: 'flag', help: 'as you are about to commit it' },
    revision: { type: 'option', help: 'a kept revision; -1: the one before the current one' },
    json: JSON_FLAG,
  },
  async run(context, { words, candidate, revision, json }) {
    const part = await context.configd(async configd => {
      const of = revision === undefined ? (candidate ? 'candidate' : 'current') : await revisionBack(configd, revision);
      return await configd.call('show', { path: pathText(words), of, author: author(context) }, PATIENCE);
    });
    context.print(part.value, json, () => part.text.trimEnd());
    return 0;
  },
});

export const compare = defineCommand({
  path: 'config compare',
  access: 'read',
  help: 'what your candidate changes; with one revision, what came after it; with two, what is between them',
  args: { from: { type: 'argument', help: 'revision; -1: the one before the current one', optional: true }, to: { type: 'argument', help: 'revision; default: the current one', optional: true }, json: JSON_FLAG },
  async run(context, { from, to, json }) {
    if (from === undefined) {
      const report = await context.configd(configd => configd.call('candidate', { author: author(context) }, PATIENCE));
      context.print(report, json, one => (one === null ? 'nothing is edited' : candidateText(one)));
      return 0;
    }
    const changes = await context.configd(async configd => {
      const last = to === undefined ? (await configd.call('status', {})).revision : await revisionBack(configd, to);
      return await configd.call('compare', { from: await revisionBack(configd, from), to: last }, PATIENCE);
    });
    context.print(changes, json, changesText);
    return 0;
  },
});

const COLUMNS: readonly Column<RevisionRow>[] = [
  { title: 'REVISION', value: row => row.revision, align: 'right' },
  { title: 'STATE', value: row => row.state },
  { title: 'WHEN', value: row => wallText(row.atWallMs) },
  { title: 'WHO', value: row => (row.author.address === null ? row.author.user : `${row.author.user} from ${row.author.address}`) },
  { title: 'CHANGES', value: row => row.changes, align: 'right' },
  { title: 'WHY', value: row => row.reason },
];
const DEFAULT_ROWS = 20;

export const history = defineCommand({
  path: 'config history',
  access: 'read',
  help: 'kept revisions, newest first: when, who, why',
  args: { limit: { type: 'option', help: `so many; default ${DEFAULT_ROWS}` }, json: JSON_FLAG },
  async run(context, { limit, json }) {
    const wanted = limit === undefined ? DEFAULT_ROWS : Number(limit);
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > 1000) throw new GatewayError('BAD_REQUEST', { limit: limit ?? '', why: 'expected a number from 1 to 1000' });
    const [rows, status] = await context.configd(async configd => [await configd.call('history', { limit: wanted }), await configd.call('status', {})] as const);
    const notes = [
      ...(status.pending === null ? [] : [`revision ${status.pending.revision} of ${status.pending.author.user} waits for config confirm until ${wallText(status.pending.deadlineWallMs)}; then revision ${status.pending.returnsTo} comes back`]),
      ...(status.changedOutside ? [`gateway.yaml was changed past vlink: config adopt takes that over, config rollback ${status.revision} undoes it`] : []),
    ];
    context.print(json ? { ...status, revisions: rows } : rows, json, () => [table(rows, COLUMNS, 'nothing is kept yet'), ...notes].join('\n'));
    return 0;
  },
});
