/**
 * firewall: hands the packet filter of the configuration to the kernel, and ends. `firewall/main.ts --config FILE [--bans | --print]`
 *
 * Started by systemd when the configuration or the list of bans changes, with CAP_NET_ADMIN and nothing else. It opens nothing that
 * it must close. A text that nft would not take is not applied: what was in force stays in force. Exit codes as everywhere.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { GatewayConfig } from '#core/config/schema.ts';
import { BAN_FILE, parseBanFile, type ShutOut, shutOutOf } from '#core/host/ban-file.ts';
import { banText, FIREWALL_TABLE, firewallText } from '#core/host/firewall.ts';
import { spared } from '#core/host/reach.ts';
import { parseNetwork } from '#core/ip.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { DEFAULT_CONFIG_PATH, loadConfigOrThrow } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { applyRules, hasTable } from '#kit/nft.ts';

const log = createLog('firewall', 'info');

/** What sipd says, believed as far as it may be. */
async function shutOut(config: GatewayConfig): Promise<readonly ShutOut[]> {
  const text = await readFile(join(config.rpc.directory, BAN_FILE), 'utf8').catch(() => '');
  return shutOutOf(parseBanFile(text), spared(config).flatMap(cidr => parseNetwork(cidr) ?? []), systemClock.wall());
}

async function apply(config: GatewayConfig, bansOnly: boolean): Promise<void> {
  const banned = await shutOut(config);
  const on = config.host.firewall;
  if (bansOnly && !on) return;
  // Somebody may have taken the table away.
  const whole = !bansOnly || !(await hasTable(FIREWALL_TABLE));
  await applyRules(whole ? firewallText(config, banned) : banText(banned));
  log.info({ on, shutOut: banned.length, whole }, 'firewall.applied');
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, bans: { type: 'boolean', default: false }, print: { type: 'boolean', default: false } } });
  try {
    const config = await loadConfigOrThrow(values.config);
    if (values.print) process.stdout.write(firewallText(config, await shutOut(config)));
    else await apply(config, values.bans);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ code: error.code, ...error.detail }, 'firewall.not-applied');
    process.exitCode = EXIT_CODE[error.code];
  }
}
