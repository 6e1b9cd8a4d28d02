/**
 * sipd: SIP and GB/T 28181 signalling (design.md 2). `sipd/main.ts --config FILE`
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink sees us go
 *   2. controls: what moves is stopped; alarms, subscriptions and upstreams: timers stop; what waits, subscriptions and bindings stay, the next start takes them up
 *   3. relay: timers stop; sessions, bridges and their rows stay, the next start takes them up
 *   4. links to mediad
 *   5. catalogues and devices: timers stop
 *   6. the SIP endpoint: sockets close
 *   7. the state store: everything is flushed
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SipdEvent, SipdRequests } from '#contracts/sipd.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { answerReload } from '#kit/reload.ts';
import { sipdAccess } from '#kit/request-access.ts';
import { sipdRequestSchemas } from '#kit/request-schemas.ts';
import { serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { Gateway } from './gateway.ts';

export async function startSipd(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const log = createLog('sipd', store.current.log.level);
  await using opening = new Closer();
  const gateway = await Gateway.open(store.current, log, opening);
  await gateway.start();
  const reload = async (): Promise<string | null> => (await store.reload((next, changed) => gateway.apply(next, changed))).refused;
  const socket = join(store.current.rpc.directory, 'sipd.sock');
  const server = opening.use(await serveRpc<SipdRequests, SipdEvent>(socket, gateway.handlers(params => answerReload(params, () => store.check(next => gateway.refusalOf(next)), reload, log)), { validate: sipdRequestSchemas, access: sipdAccess, log }));
  gateway.events.open(server);
  log.info({ socket, listen: gateway.endpoint.bound }, 'sipd.ready');
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH } } });
  await runService({ name: 'sipd', start: () => startSipd(values.config) });
}
