/**
 * Changes of the schema that a file of before must follow, one small file each, oldest first: `0001-name.ts` leads from version 1
 * to version 2. A migration is never changed once it was delivered. So far the schema has its first version.
 */
import type { Migration } from './migration.ts';

export const MIGRATIONS: readonly Migration[] = [];
