import { defineCommand } from '../command.ts';

export default defineCommand({
  path: 'ban remove',
  access: 'security',
  help: 'let an address in again that was shut out',
  args: { address: { type: 'argument', help: 'as vlink show bans has it' } },
  async run(context, { address }) {
    const { removed } = await context.sipd(client => client.call('removeBan', { address: address.replace(/\/64$/, '') }));
    context.out(removed ? `${address} is let in again` : `${address} was not shut out; see vlink show bans`);
    return removed ? 0 : 1;
  },
});
