import { GatewayError } from '#core/result.ts';
import { defineCommand } from '../command.ts';

export const clusterSwitch = defineCommand({
  path: 'cluster switch',
  access: 'configure',
  help: 'give the active role to the other node; asked of the active one',
  args: {},
  async run(context) {
    await context.clusterd(client => client.call('switchOver', {}));
    context.out('the other node takes over; see vlink cluster show');
    return 0;
  },
});

export const clusterMaintenance = defineCommand({
  path: 'cluster maintenance',
  access: 'configure',
  help: 'take this node out of service, or back: a node in maintenance is never active',
  args: { state: { type: 'argument', help: 'on or off' } },
  async run(context, { state }) {
    if (state !== 'on' && state !== 'off') throw new GatewayError('BAD_REQUEST', { state, why: 'expected on or off' });
    await context.clusterd(client => client.call('maintenance', { on: state === 'on' }));
    context.out(state === 'on' ? 'this node goes into maintenance; see vlink cluster show' : 'this node is in service again');
    return 0;
  },
});
