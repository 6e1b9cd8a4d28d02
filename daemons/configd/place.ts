/** Where everything of configd stands: shared by the daemon and by what returns a commit without it. */
import { join } from 'node:path';
import type { GatewayConfig } from '#core/config/schema.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { AuditLog } from '#kit/audit-log.ts';
import { bootTime, systemClock } from '#kit/clock.ts';
import { loadConfig } from '#kit/config-store.ts';
import type { Log } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import type { KeyRing } from '#kit/secret-box.ts';

export const DEFAULT_STATE_DIRECTORY = '/var/lib/viewlink/configd';

export const revisionsIn = (stateDirectory: string): string => join(stateDirectory, 'revisions');
export const candidatesIn = (stateDirectory: string): string => join(stateDirectory, 'candidates');
const auditIn = (stateDirectory: string): string => join(stateDirectory, 'audit');

/** Not in its directory: who empties that leaves this. */
const auditHeadIn = (stateDirectory: string): string => join(stateDirectory, 'audit-head');

const auditOptions = (log: Log) => ({ time: { wallMs: () => systemClock.wall(), bootMs: () => bootTime().bootMs }, log });

/** The audit log of this machine; `ring`: the keys of the secrets as they are now. */
export function openAudit(stateDirectory: string, ring: () => KeyRing, log: Log): AuditLog {
  return new AuditLog(auditIn(stateDirectory), { ...auditOptions(log), head: { path: auditHeadIn(stateDirectory), ring, random: systemRandom } });
}

/** Where the copies of the logs of other nodes are, a directory each. */
export const auditCopiesIn = (stateDirectory: string): string => join(stateDirectory, 'audit-copies');

/** As `openAudit`, of what was written by another node. `name`: of the copy. */
export function openAuditCopy(stateDirectory: string, name: string, ring: () => KeyRing, log: Log): AuditLog {
  return new AuditLog(join(auditCopiesIn(stateDirectory), name), { ...auditOptions(log), copy: true, head: { path: join(stateDirectory, `audit-copy-${name}-head`), ring, random: systemRandom } });
}

export const heldIn = (stateDirectory: string): string => join(stateDirectory, 'held');
export const lineIn = (stateDirectory: string): string => join(stateDirectory, 'line.json');

/** What is in force; null when it cannot be read. */
export async function configInForce(configPath: string): Promise<GatewayConfig | null> {
  const result = await loadConfig(configPath);
  return result.ok ? result.config : null;
}

/** A configuration that cannot be read must not keep configd from mending it. */
export async function runDirectory(configPath: string): Promise<string> {
  return (await configInForce(configPath))?.rpc.directory ?? gatewaySchema.parse({}).rpc.directory;
}
