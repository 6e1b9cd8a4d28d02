/** Whether a configuration would keep out the very person who commits it. */
import type { GatewayConfig } from '../config/schema.ts';
import { inNetwork, isLoopback } from '../ip.ts';

export interface Committer {
  readonly via: 'cli' | 'api' | 'system';
  /** Null: at the console. */
  readonly address: string | null;
}

/** Why he could not come back after this commit; null: he can. With `commit confirm` it returns by itself, so that is let through. */
export function lockOut({ host, api }: GatewayConfig, { via, address }: Committer): string | null {
  if (!host.firewall || via === 'system' || address === null || isLoopback(address)) return null;
  const [networks, key] = via === 'cli' ? [host.management, 'host.management'] : [[...host.api, ...api.metricsNetworks], 'host.api'];
  if (networks.some(network => inNetwork(address, network))) return null;
  return `with this packet filter you could not come back from ${address}: name its network in ${key}, or use commit confirm`;
}
