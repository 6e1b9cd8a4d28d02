import { isIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';

export default defineCommand({
  path: 'ban remove',
  access: 'security',
  help: 'let an address in again that was shut out',
  args: { address: { type: 'argument', help: 'as vlink show bans has it' }, json: JSON_FLAG },
  async run(context, { address, json }) {
    const plain = address.replace(/\/64$/, '');
    if (!isIp(plain)) throw new GatewayError('BAD_REQUEST', { address, why: 'is no IP address' });
    const { removed } = await context.sipd(client => client.call('removeBan', { address: plain }));
    context.print({ address, removed }, json, () => (removed ? `${address} is let in again` : `${address} was not shut out; see vlink show bans`));
    return removed ? 0 : 1;
  },
});
