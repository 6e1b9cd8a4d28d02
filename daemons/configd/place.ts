/** Where everything of configd stands: shared by the daemon and by what returns a commit without it. */
import { join } from 'node:path';
import type { GatewayConfig } from '#core/config/schema.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { loadConfig } from '#kit/config-store.ts';

export const DEFAULT_STATE_DIRECTORY = '/var/lib/viewlink/configd';

export const revisionsIn = (stateDirectory: string): string => join(stateDirectory, 'revisions');
export const candidatesIn = (stateDirectory: string): string => join(stateDirectory, 'candidates');
export const auditIn = (stateDirectory: string): string => join(stateDirectory, 'audit');

/** What is in force; null when it cannot be read. */
export async function configInForce(configPath: string): Promise<GatewayConfig | null> {
  const result = await loadConfig(configPath);
  return result.ok ? result.config : null;
}

/** A configuration that cannot be read must not keep configd from mending it. */
export async function runDirectory(configPath: string): Promise<string> {
  return (await configInForce(configPath))?.rpc.directory ?? gatewaySchema.parse({}).rpc.directory;
}
