import { thresholdsOf } from '#core/config/health-schema.ts';
import { RULES, type RuleDefaults } from '#core/health/rule-table.ts';
import { loadConfigOrThrow } from '#kit/config-store.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { table, type Column } from '../render.ts';

type Row = RuleDefaults & { readonly rule: string; readonly enabled: boolean };

const limit = (value: number | null, { direction, unit }: Row): string | null => (value === null ? null : unit === '' && value === 1 ? 'yes' : `${direction === 'above' ? '>=' : '<='} ${value}${unit === '' ? '' : ` ${unit}`}`);

const COLUMNS: readonly Column<Row>[] = [
  { title: 'RULE', value: row => (row.enabled ? row.rule : `${row.rule} (off)`) },
  { title: 'WARNING', value: row => limit(row.warning, row), align: 'right' },
  { title: 'CRITICAL', value: row => limit(row.critical, row), align: 'right' },
  { title: 'LASTS', value: row => `${row.holdS} s`, align: 'right' },
  { title: 'BETTER FOR', value: row => `${row.clearS} s`, align: 'right' },
  { title: 'WHAT', value: row => row.help, whole: true },
];

export default defineCommand({
  path: 'show rules',
  access: 'read',
  help: 'what raises alarms, with the limits of this configuration (health.limits)',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const { health } = await loadConfigOrThrow(context.configPath);
    const inForce = thresholdsOf(health);
    const rows = Object.entries(RULES).map(([rule, defaults]): Row => ({ rule, ...defaults, ...inForce(rule, ''), enabled: inForce(rule, '') !== undefined }));
    context.print(rows, json, all => table(all, COLUMNS, ''));
    return 0;
  },
});
