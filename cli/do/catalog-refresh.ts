import { defineCommand } from '../command.ts';

export default defineCommand({
  path: 'catalog refresh',
  access: 'operate',
  help: 'ask a device for its catalogue again',
  args: { device: { type: 'argument', help: 'device ID' } },
  async run(context, { device }) {
    await context.sipd(client => client.call('refreshCatalog', { deviceId: device }));
    context.out(`asked ${device} for its catalogue; see vlink show devices`);
    return 0;
  },
});
