import { defineCommand, JSON_FLAG } from '../command.ts';

export default defineCommand({
  path: 'catalog refresh',
  access: 'operate',
  help: 'ask a device for its catalogue again',
  args: { device: { type: 'argument', help: 'device ID' }, json: JSON_FLAG },
  async run(context, { device, json }) {
    await context.sipd(client => client.call('refreshCatalog', { deviceId: device }));
    context.print({ asked: device }, json, () => `asked ${device} for its catalogue; see vlink show devices`);
    return 0;
  },
});
