/** Users of the HTTP API, for whoever is at the console: what cannot be done over the API when nobody can log in there. */
import type { WaitingRoles } from '#contracts/apid.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { authorOf } from '../identity.ts';
import { type Column, table } from '../render.ts';

const NAME = { type: 'argument', help: 'name of the user, as vlink show users has it' } as const;

export const unlock = defineCommand({
  path: 'user unlock',
  access: 'security',
  help: 'let a user of the HTTP API try again who was locked out after wrong passwords',
  args: { name: NAME, json: JSON_FLAG },
  async run(context, { name, json }) {
    const { locks } = await context.apid(client => client.call('unlockUser', { author: authorOf(context.identity), name }));
    context.print({ name, locks }, json, () => (locks > 0 ? `${name} may try again` : `${name} was not locked out`));
    return locks > 0 ? 0 : 1;
  },
});

export const resetPassword = defineCommand({
  path: 'user reset-password',
  access: 'security',
  help: 'a new password for a user of the HTTP API, for one log-in; every log-in of his ends',
  args: { name: NAME, json: JSON_FLAG },
  async run(context, { name, json }) {
    const { password, waiting } = await context.apid(client => client.call('resetPassword', { author: authorOf(context.identity), name }));
    const agreed = waiting.length === 0 ? '' : `\nAn admin must agree that ${name} stays ${waiting.join(' and ')}: vlink user approve ${name}`;
    context.print({ name, password, waiting }, json, () => `${name} ${password}\nIt must be changed at the first log-in, and is not shown again.${agreed}`);
    return 0;
  },
});

export const approve = defineCommand({
  path: 'user approve',
  access: 'configure',
  help: 'agree to the roles that a security officer gave to a user of the HTTP API',
  args: { name: NAME, json: JSON_FLAG },
  async run(context, { name, json }) {
    const { roles } = await context.apid(client => client.call('approveRoles', { author: authorOf(context.identity), name }));
    context.print({ name, roles }, json, () => `${name} is now ${roles.join(' and ')}`);
    return 0;
  },
});

const COLUMNS: readonly Column<WaitingRoles>[] = [
  { title: 'USER', value: row => row.name },
  { title: 'WAITS FOR', value: row => row.roles.join(', ') },
  { title: 'ROLES', value: row => row.holds.join(', ') },
  { title: 'BY', value: row => row.by },
  { title: 'SINCE', value: row => new Date(row.sinceWallMs).toISOString() },
  { title: 'READY', value: row => (row.hasOwnPassword ? 'yes' : 'has not chosen a password') },
];

export const approvals = defineCommand({
  path: 'show approvals',
  access: 'configure',
  help: 'roles of users of the HTTP API that wait for an admin',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    context.print(await context.apid(client => client.call('waitingRoles', {})), json, rows => table(rows, COLUMNS, 'nobody waits'));
    return 0;
  },
});
