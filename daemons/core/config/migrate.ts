/** Brings a configuration that was written for an older schema to the one of today, step by step, so that its comments can follow. */
import { isObject, valueAt, type Json } from './json.ts';
import { MIGRATIONS } from './migrations/index.ts';
import type { Migration, MigrationStep } from './migrations/migration.ts';
import { patched } from './patch.ts';

/** A file without `version` is of the first one. */
export const FIRST_VERSION = 1;
export const SCHEMA_VERSION = FIRST_VERSION + MIGRATIONS.length;

export interface Migrated {
  readonly value: Json;
  /** All that was done, in order; empty: it was of today. */
  readonly steps: readonly MigrationStep[];
}

/** The configuration as the newest of `migrations` has it, or a sentence. */
export function migrate(value: Json, migrations: readonly Migration[] = MIGRATIONS): Migrated | string {
  const newest = FIRST_VERSION + migrations.length;
  const version = isObject(value) ? (value['version'] ?? FIRST_VERSION) : FIRST_VERSION;
  if (typeof version !== 'number' || !Number.isInteger(version) || version < FIRST_VERSION) return 'version: expected a whole number from 1 on';
  if (version > newest) return `version: this file is written for version ${version} of the schema; this software knows versions up to ${newest}: update it first`;
  const done: MigrationStep[] = [];
  let current = value;
  for (const migration of migrations.slice(version - FIRST_VERSION)) {
    const steps: readonly MigrationStep[] = [...migration.steps(current), { op: 'set', place: ['version'], value: migration.to }];
    current = steps.reduce(applyMigrationStep, current);
    done.push(...steps);
  }
  return { value: current, steps: done };
}

function applyMigrationStep(value: Json, step: MigrationStep): Json {
  if (step.op === 'set') return patched(value, { place: step.place, value: step.value });
  if (step.op === 'delete') return valueAt(value, step.place) === undefined ? value : patched(value, { place: step.place, value: undefined });
  const above = step.place.slice(0, -1);
  const holder = valueAt(value, above);
  const from = String(step.place.at(-1));
  if (!isObject(holder) || !Object.hasOwn(holder, from)) return value;
  const renamed = Object.fromEntries(Object.entries(holder).map(([key, one]) => [key === from ? step.to : key, one]));
  return above.length === 0 ? renamed : patched(value, { place: above, value: renamed });
}
