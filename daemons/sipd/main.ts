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
 * In a pair 2 to 6 are what Duty opened when it was promoted (duty.ts), with the way to Redis last.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SipdEvent, SipdRequests } from '#contracts/sipd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog, type Log } from '#kit/log.ts';
import { answerReload } from '#kit/reload.ts';
import { sipdAccess } from '#kit/request-access.ts';
import { sipdRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcServer, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { Duty } from './duty.ts';
import { Gateway } from './gateway.ts';

export async function startSipd(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const log = createLog('sipd', store.current.log.level);
  await using opening = new Closer();
  const state = opening.use(new SqliteStore(store.current.state.directory, { log, clock: systemClock }));
  const reload = await (pairOf(store.current) === undefined ? serveAlone(store, state, log, opening) : serveInPair(store, state, log, opening));
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

type Reload = () => Promise<string | null>;

const socketOf = (store: ConfigStore): string => join(store.current.rpc.directory, 'sipd.sock');

async function serveAlone(store: ConfigStore, state: SqliteStore, log: Log, opening: Closer): Promise<Reload> {
  const gateway = await Gateway.open(store.current, log, opening, state);
  await gateway.start();
  const reload = async (): Promise<string | null> => (await store.reload((next, changed) => gateway.apply(next, changed))).refused;
  const nobody = (): never => {
    throw new GatewayError('BAD_REQUEST', { why: 'this gateway stands alone' });
  };
  const handlers = { ...gateway.handlers(params => answerReload(params, () => store.check(next => gateway.refusalOf(next)), reload, log)), duty: () => ({ state: 'alone', term: null, replication: null, waiting: 0 }) as const, promote: nobody, demote: nobody, pair: nobody };
  const server = opening.use(await serveRpc<SipdRequests, SipdEvent>(socketOf(store), handlers, { validate: sipdRequestSchemas, access: sipdAccess, log }));
  gateway.events.open(server);
  log.info({ socket: socketOf(store), listen: gateway.endpoint.bound }, 'sipd.ready');
  return reload;
}

/** Until clusterd says otherwise the other node is active. */
async function serveInPair(store: ConfigStore, state: SqliteStore, log: Log, opening: Closer): Promise<Reload> {
  let server: RpcServer<SipdEvent> | undefined;
  const duty = opening.use(new Duty({ config: store, cluster: store.current.cluster, store: state, log, onActive: gateway => server && gateway.events.open(server) }));
  server = opening.use(await serveRpc<SipdRequests, SipdEvent>(socketOf(store), duty.handlers(), { validate: sipdRequestSchemas, access: sipdAccess, log }));
  log.info({ socket: socketOf(store) }, 'sipd.standby');
  return () => duty.reload();
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH } } });
  await runService({ name: 'sipd', start: () => startSipd(values.config) });
}
