import base from './0001-base.ts';
import subscriptions from './0002-subscriptions.ts';
import heard from './0003-heard.ts';
import type { Migration } from './migration.ts';

/** In order. */
export const MIGRATIONS: readonly Migration[] = [base, subscriptions, heard];
