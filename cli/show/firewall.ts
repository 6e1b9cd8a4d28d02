import { firewallText } from '#core/host/firewall.ts';
import { loadConfigOrThrow } from '#kit/config-store.ts';
import { defineCommand } from '../command.ts';

export default defineCommand({
  path: 'show firewall',
  access: 'diagnose',
  help: 'the packet filter as the configuration makes it; nft list table inet viewlink: as it is in the kernel',
  args: { candidate: { type: 'option', help: 'of this configuration file instead' } },
  async run(context, { candidate }) {
    const config = await loadConfigOrThrow(candidate ?? context.configPath);
    if (!config.host.firewall) context.err('host.firewall is off: nothing is dropped');
    context.out(firewallText(config, []).trimEnd());
    return 0;
  },
});
