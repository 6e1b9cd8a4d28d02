import type { UserSummary } from '#contracts/apid.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { type Column, table } from '../render.ts';

const stateOf = ({ disabled, lockedForS, lockedSites, mustChangePassword, kind }: UserSummary): string => {
  if (disabled) return 'shut out';
  if (lockedForS > 0) return `locked for ${lockedForS} s`;
  if (lockedSites.length > 0) return `locked from ${lockedSites.join(', ')}`;
  return mustChangePassword && kind === 'person' ? 'has not chosen a password' : 'good';
};

const COLUMNS: readonly Column<UserSummary>[] = [
  { title: 'USER', value: row => row.name },
  { title: 'KIND', value: row => row.kind },
  { title: 'ROLES', value: row => row.roles.join(', ') },
  { title: 'WAITS FOR', value: row => row.waiting.join(', ') },
  { title: 'STATE', value: stateOf },
  { title: 'LAST', value: row => (row.lastLoginWallMs === null ? null : new Date(row.lastLoginWallMs).toISOString()) },
];

export default defineCommand({
  path: 'show users',
  access: 'security',
  help: 'users of the HTTP API: roles, those that wait for an admin, and who is locked out',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    context.print(await context.apid(client => client.call('users', {})), json, rows => table(rows, COLUMNS, 'there are none: set api.listen'));
    return 0;
  },
});
