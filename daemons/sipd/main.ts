/**
 * sipd: SIP and GB/T 28181 signalling (design.md 2). `sipd/main.ts --config FILE`
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink sees us go
 *   2. upstream links: timers stop; bindings stay, the next start refreshes them
 *   3. relay: timers stop; sessions, bridges and their rows stay, the next start takes them up
 *   4. links to mediad
 *   5. catalogues and devices: timers stop
 *   6. the SIP endpoint: sockets close
 *   7. the state store: everything is flushed
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SipdRequests } from '#contracts/sipd.ts';
import type { ConfigSection, GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { createLog, type Log } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { sipdRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { openSipEndpoint, type SipEndpoint } from '#kit/sip-endpoint.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { AttemptLog } from './attempts.ts';
import { Catalogs } from './catalogs.ts';
import { Counters } from './counters.ts';
import { Devices } from './devices.ts';
import { MediaPool } from './media-pool.ts';
import { Relay } from './relay.ts';
import { Routes } from './routes.ts';
import { Rows } from './rows.ts';
import { SessionStore } from './session-store.ts';
import { Upstreams } from './upstreams.ts';

/** Everything that runs, so that the RPC handlers and a reload can reach it. */
interface Gateway {
  readonly endpoint: SipEndpoint;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly relay: Relay;
  readonly media: MediaPool;
  readonly counters: Counters;
  readonly rows: Rows;
}

/** The configuration in force, seen by all parts through `config()`. */
class LiveConfig {
  current: GatewayConfig;

  constructor(current: GatewayConfig) {
    this.current = current;
  }
}

async function assemble(live: LiveConfig, log: Log, opening: Closer): Promise<Gateway> {
  const config = (): GatewayConfig => live.current;
  const { sip, state, rpc, media: mediaConfig } = config();
  const store = opening.use(new SqliteStore(state.directory, { log, clock }));
  const counters = new Counters();
  // eslint-disable-next-line prefer-const -- the parts know each other through this one
  let gateway: Gateway;
  const endpoint = opening.use(
    await openSipEndpoint({
      listen: sip.listen,
      userAgent: sip.userAgent,
      tcpMaxConnections: sip.tcpMaxConnections,
      tcpMaxPerPeer: sip.tcpMaxPerPeer,
      unknownRequestsPerS: sip.unknownRequestsPerS,
      isTrusted: address => gateway.devices.isRegisteredAt(address) || gateway.upstreams.isAddress(address),
      clock,
      random,
      hashes,
      log,
    }),
  );
  const devices = opening.use(
    new Devices({
      clock,
      random,
      hashes,
      log,
      store,
      counters,
      config,
      onOnline: (deviceId, fresh) => {
        if (fresh) gateway.relay.deviceOffline(deviceId, 'it registered anew');
        gateway.catalogs.deviceOnline(deviceId, fresh);
      },
      onOffline: (deviceId, reason) => {
        gateway.catalogs.deviceOffline(deviceId);
        gateway.relay.deviceOffline(deviceId, reason);
      },
    }),
  );
  const reach = (deviceId: string): ReturnType<Devices['reach']> => devices.reach(deviceId);
  const catalogs = opening.use(new Catalogs({ endpoint, clock, log, store, counters, config, reach, onChanged: () => gateway.upstreams.assignAll() }));
  const media = opening.use(
    new MediaPool({
      directory: rpc.directory,
      instances: mediaConfig.instances,
      clock,
      log,
      onEvent: event => gateway.relay.onMediaEvent(event),
      onLost: bridgeIds => gateway.relay.onMediaLost(bridgeIds),
    }),
  );
  const attempts = new AttemptLog(media, clock);
  const relay = opening.use(
    new Relay({
      media,
      endpoint,
      clock,
      random,
      log,
      store: new SessionStore(store),
      counters,
      attempts,
      config,
      reach,
      resolve: (upstream, requestedId) => gateway.upstreams.resolve(upstream, requestedId),
    }),
  );
  const upstreams = opening.use(
    new Upstreams({
      endpoint,
      clock,
      random,
      hashes,
      log,
      store,
      counters,
      catalogs,
      config,
      isOnline: deviceId => devices.binding(deviceId)?.online === true,
      onRemoved: name => relay.stopUpstream(name, 'this upstream is no longer configured'),
    }),
  );
  const rows = new Rows({ clock, devices, catalogs, upstreams, relay, media, attempts, config });
  gateway = { endpoint, devices, catalogs, upstreams, relay, media, counters, rows };
  return gateway;
}

function connect({ endpoint, devices, catalogs, upstreams, relay, counters }: Gateway, log: Log): void {
  const routes = new Routes({ clock, log, counters, devices, catalogs, upstreams, relay });
  endpoint.onRequest = incoming => routes.request(incoming);
  endpoint.onInvite = incoming => routes.invite(incoming);
  endpoint.onFlowClosed = flow => {
    devices.flowClosed(flow);
    upstreams.flowClosed(flow);
  };
}

/** What cannot change under a running daemon, as a sentence. */
function needsRestart(before: GatewayConfig, after: GatewayConfig): string | null {
  const differs = (pick: (config: GatewayConfig) => unknown): boolean => JSON.stringify(pick(before)) !== JSON.stringify(pick(after));
  if (differs(config => config.sip)) return 'sip: a change here needs a restart of viewlink-sipd (sessions go on)';
  if (differs(config => config.state)) return 'state.directory: needs a restart of viewlink-sipd';
  if (differs(config => config.rpc)) return 'rpc.directory: needs a restart of viewlink.target';
  if (differs(config => config.media.instances)) return 'media.instances: needs a restart of viewlink.target';
  return null;
}

function apply(gateway: Gateway, live: LiveConfig, next: GatewayConfig, changed: readonly ConfigSection[], log: Log): string | null {
  const refused = needsRestart(live.current, next);
  if (refused !== null) return refused;
  live.current = next;
  log.level = next.log.level;
  if (changed.includes('devices')) gateway.devices.configure();
  if (changed.includes('upstreams') || changed.includes('devices')) gateway.upstreams.configure();
  log.info({ changed }, 'config.reloaded');
  return null;
}

function handlersOf(gateway: Gateway, reload: () => Promise<string | null>): RpcHandlers<SipdRequests> {
  const { rows, catalogs, devices, counters, endpoint } = gateway;
  return {
    listDevices: () => rows.devices(),
    listChannels: params => rows.channels(params),
    listUpstreams: () => rows.upstreams(),
    listSessions: () => rows.sessions(),
    counters: () => ({ ...counters.snapshot(), ...endpoint.counters }),
    why: params => rows.why(params),
    refreshCatalog: ({ deviceId }) => {
      if (devices.reach(deviceId) === null) throw new GatewayError(devices.binding(deviceId) === undefined ? 'PEER_UNKNOWN' : 'PEER_OFFLINE', { deviceId });
      catalogs.refresh(deviceId);
      return null;
    },
    reload: async () => ({ refused: await reload() }),
  };
}

export async function startSipd(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const live = new LiveConfig(store.current);
  const log = createLog('sipd', live.current.log.level);
  await using opening = new Closer();
  const gateway = await assemble(live, log, opening);
  await gateway.media.start();
  await gateway.relay.restore();
  connect(gateway, log);
  gateway.upstreams.configure();
  const reload = async (): Promise<string | null> => (await store.reload((next, changed) => apply(gateway, live, next, changed, log))).refused;
  const socket = join(live.current.rpc.directory, 'sipd.sock');
  opening.use(await serveRpc<SipdRequests>(socket, handlersOf(gateway, reload), { validate: sipdRequestSchemas, log }));
  log.info({ socket, listen: gateway.endpoint.bound }, 'sipd.ready');
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH } } });
  await runService({ name: 'sipd', start: () => startSipd(values.config) });
}
