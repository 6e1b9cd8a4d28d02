/**
 * apid: the HTTP API for integrators and monitoring (design.md 2). `apid/main.ts --config FILE`, `--openapi` prints the document.
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink and configd see us go
 *   2. the listeners: no new request, those under way are cut
 *   3. streams of events, leases (channels are given back), links to the daemons
 *   4. webhooks, then the file of what waits for them
 *   5. the file of users
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ApidRequests } from '#contracts/apid.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { answerReload } from '#kit/reload.ts';
import { apidAccess } from '#kit/request-access.ts';
import { apidRequestSchemas } from '#kit/request-schemas.ts';
import { serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { Gate } from './gate.ts';
import { openApi } from './openapi.ts';

export async function startApid(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const log = createLog('apid', store.current.log.level);
  await using opening = new Closer();
  const gate = new Gate(store.current, log, opening);
  await gate.start();
  const reload = async (): Promise<string | null> => {
    const { refused, changed } = await store.reload((next, sections) => gate.apply(next, sections));
    if (refused === null && changed.length === 0) await gate.renewTls();
    return refused;
  };
  const socket = join(store.current.rpc.directory, 'apid.sock');
  opening.use(await serveRpc<ApidRequests>(socket, gate.handlers(params => answerReload(params, () => store.check(next => gate.check(next)), reload, log)), { validate: apidRequestSchemas, access: apidAccess, log }));
  log.info({ socket }, 'apid.ready');
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, openapi: { type: 'boolean', default: false } } });
  if (values.openapi) process.stdout.write(`${JSON.stringify(openApi(), null, 2)}\n`);
  else await runService({ name: 'apid', start: () => startApid(values.config) });
}
