/**
 * healthd: what the node and everything on it is like, its history, and alarms (design.md 2). `healthd/main.ts --config FILE [--sysroot DIR]`
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink and apid see us go
 *   2. the sampler: no new reading
 *   3. links to the daemons
 *   4. the watch: the minute that runs goes to the history
 *   5. collectors of syslog: what waits for them is lost
 *   6. the databases of history and alarms
 */
import './lean.ts';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { HealthdEvent, HealthdRequests } from '#contracts/healthd.ts';
import { healthDirectory, thresholdsOf } from '#core/config/health-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { systemClock, type Clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { processFigures } from '#kit/process-figures.ts';
import { answerReload } from '#kit/reload.ts';
import { healthdAccess } from '#kit/request-access.ts';
import { healthdRequestSchemas } from '#kit/request-schemas-health.ts';
import { type RpcHandlers, type RpcServer, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { AlarmBook } from './alarm-book.ts';
import { AlarmPost } from './alarm-post.ts';
import { beginLight } from './begin-light.ts';
import { DaemonCollector } from './collect-daemons.ts';
import { InventoryCollector } from './collect-inventory.ts';
import { NodeCollector } from './collect-node.ts';
import { HistoryStore } from './history-store.ts';
import { Sampler } from './sampler.ts';
import { Sysroot } from './sysroot.ts';
import { Watch } from './watch.ts';

const MIB = 1024 * 1024;

export interface HealthdOptions {
  readonly configPath: string;
  /** Empty: the machine itself. */
  readonly sysroot?: string;
  readonly clock?: Clock;
}

/** A sentence for what needs a restart. */
function needsRestart(before: GatewayConfig, after: GatewayConfig): string | null {
  if (before.rpc.directory !== after.rpc.directory) return 'rpc.directory: needs a restart of viewlink.target';
  if (healthDirectory(before) !== healthDirectory(after)) return 'health.directory: needs a restart of viewlink-healthd';
  if (before.health.enabled !== after.health.enabled) return 'health.enabled: needs a restart of viewlink-healthd';
  return before.media.instances === after.media.instances ? null : 'media.instances: needs a restart of viewlink-healthd';
}

export async function startHealthd({ configPath, sysroot: root = '', clock = systemClock }: HealthdOptions): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const config = (): GatewayConfig => store.current;
  const log = createLog('healthd', config().log.level);
  await using opening = new Closer();
  const directory = healthDirectory(config());
  const history = opening.use(new HistoryStore(directory, { clock, log, maxBytes: config().health.historyMiB * MIB }));
  const alarms = opening.use(new AlarmBook(directory, { clock, log }));
  let server: RpcServer<HealthdEvent> | undefined;
  const post = opening.use(new AlarmPost({ clock, log, alarms, config, notify: event => server?.notifyAll(event) }));
  const watch = opening.use(new Watch({ clock, history, alarms, node: () => config().node.name, thresholds: thresholdsOf(config().health), onAlarm: (type, alarm) => post.take(type, alarm) }));
  const sysroot = new Sysroot(root);
  const daemons = opening.use(new DaemonCollector({ clock, log, sysroot, watch, config, onSipd: () => void post.tellUpstreams(params => daemons.raiseAlarm(params)) }));
  const inventory = new InventoryCollector({ sysroot, clock, certificates: () => config().health.certificates });
  const sampler = opening.use(new Sampler({ clock, watch, history, alarms, node: new NodeCollector(sysroot), daemons, inventory, inventoryS: () => config().health.inventoryS }));
  const apply = (next: GatewayConfig): string | null => {
    const refused = needsRestart(config(), next);
    if (refused !== null) return refused;
    log.level = next.log.level;
    history.limitBytes(next.health.historyMiB * MIB);
    watch.thresholds = thresholdsOf(next.health);
    post.configure(next);
    return null;
  };
  const reload = async (): Promise<string | null> => (await store.reload(apply)).refused;
  const handlers: RpcHandlers<HealthdRequests> = {
    report: () => watch.report(),
    samples: () => watch.samples(),
    history: params => watch.history(params),
    alarms: ({ activeOnly, limit }) => alarms.list(activeOnly, limit),
    acknowledge: ({ alarmId, author }) => {
      alarms.acknowledge(alarmId, author.user);
      return null;
    },
    counters: () => ({ ...post.counters, 'history.bytes': history.figures.bytes, 'history.lost-minutes': history.figures.lostMinutes, 'history.series': watch.seriesNow, ...processFigures() }),
    reload: params => answerReload(params, () => store.check(next => needsRestart(config(), next)), reload, log),
  };
  if (config().health.enabled) {
    await daemons.start();
    sampler.start();
  }
  const socket = join(config().rpc.directory, 'healthd.sock');
  server = opening.use(await serveRpc<HealthdRequests, HealthdEvent>(socket, handlers, { validate: healthdRequestSchemas, access: healthdAccess, log }));
  log.info({ socket, directory, sysroot: sysroot.root }, 'healthd.ready');
  const opened = opening.release();
  return { reload, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, sysroot: { type: 'string', default: '' } } });
  beginLight();
  await runService({ name: 'healthd', start: () => startHealthd({ configPath: values.config, sysroot: values.sysroot }) });
}
