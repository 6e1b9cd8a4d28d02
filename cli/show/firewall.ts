import { firewallText } from '#core/host/firewall.ts';
import { loadConfigOrThrow } from '#kit/config-store.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';

export default defineCommand({
  path: 'show firewall',
  access: 'diagnose',
  help: 'the packet filter as the configuration makes it; nft list table inet viewlink: as it is in the kernel',
  args: { candidate: { type: 'option', help: 'of this configuration file instead' }, json: JSON_FLAG },
  async run(context, { candidate, json }) {
    const config = await loadConfigOrThrow(candidate ?? context.configPath);
    if (!config.host.firewall && !json) context.err('host.firewall is off: nothing is dropped');
    context.print({ enabled: config.host.firewall, rules: firewallText(config, []) }, json, ({ rules }) => rules.trimEnd());
    return 0;
  },
});
