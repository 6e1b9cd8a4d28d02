/** A text of an older schema as one of today, with its comments. */
import { isCollection, isMap, isScalar, stringify } from 'yaml';
import { sameValue } from '#core/config/diff.ts';
import { migrate } from '#core/config/migrate.ts';
import { MIGRATIONS } from '#core/config/migrations/index.ts';
import type { Migration, MigrationStep } from '#core/config/migrations/migration.ts';
import { readText } from './config-edit.ts';
import { written } from './config-splice.ts';
import type { ConfigDocument } from './config-text.ts';

/** The same text when it is of today; a sentence when it cannot be. */
export function migrateText(read: ConfigDocument, migrations: readonly Migration[] = MIGRATIONS): { readonly text: string } | { readonly why: string } {
  const migrated = migrate(read.value, migrations);
  if (typeof migrated === 'string') return { why: migrated };
  if (migrated.steps.length === 0) return { text: read.text };
  const again = readText(read.text);
  if (!again.ok) return { why: again.why };
  for (const step of migrated.steps) follow(again.read.document, step);
  const text = written(again.read);
  const result = readText(text);
  // Comments are worth less than what is configured.
  return result.ok && sameValue(result.read.value, migrated.value) ? { text } : { text: stringify(migrated.value, { lineWidth: 0, version: '1.2' }) };
}

function follow(document: ConfigDocument['document'], step: MigrationStep): void {
  const above = step.place.slice(0, -1);
  const holder = above.length === 0 ? document.contents : document.getIn(above, true);
  if (step.op === 'rename') {
    const pair = isMap(holder) ? holder.items.find(({ key }) => isScalar(key) && key.value === step.place.at(-1)) : undefined;
    if (isScalar(pair?.key)) pair.key.value = step.to;
  } else if (step.op === 'delete') {
    if (isCollection(holder)) document.deleteIn(step.place);
  } else document.setIn(step.place, document.createNode(step.value));
}
