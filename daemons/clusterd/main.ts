/**
 * clusterd: which of two nodes is active (design.md 8), and how a second one comes to be. `clusterd/main.ts --config FILE`
 *
 * Closing order, newest first; roles and addresses stay as they are, so that it can be started anew under a working pair:
 *   1. the RPC server: vlink sees us go; then the window in which another node is paired
 *   2. the beat: nothing is decided any more
 *   3. the witness, then the way to the daemons of the other node, then the sockets of heartbeats
 *   4. links to sipd and mediad, then to Redis
 *   5. the pipe of keepalived
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { processFigures } from '#kit/process-figures.ts';
import { systemRandom as random } from '#kit/random.ts';
import { answerReload } from '#kit/reload.ts';
import { clusterdAccess } from '#kit/request-access.ts';
import { clusterdRequestSchemas } from '#kit/request-schemas-cluster.ts';
import { type RpcHandlers, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { ClusterNode, type NodeHandlers } from './node.ts';
import { Pairing } from './pairing.ts';

const release = (): string => (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }).version;

/** Who the pair is cannot change under it. */
function refusalOf(before: GatewayConfig, after: GatewayConfig): string | null {
  const relevant = ({ node, cluster, rpc, state, media }: GatewayConfig): string => JSON.stringify([node, cluster, rpc, state, media.instances]);
  return relevant(before) === relevant(after) ? null : 'cluster: a change here needs a restart of viewlink-clusterd, and of viewlink-pair-addresses on the node that is not active';
}

/** Nothing is decided by a gateway that stands alone; it can be asked to pair. */
function refusalAlone(before: GatewayConfig, after: GatewayConfig): string | null {
  const relevant = ({ rpc, state }: GatewayConfig): string => JSON.stringify([rpc, state]);
  return pairOf(after) === undefined && relevant(before) === relevant(after) ? null : 'cluster: a change here needs a restart of viewlink-clusterd';
}

function aloneHandlers(): NodeHandlers {
  const alone = (): never => {
    throw new GatewayError('NODE_STANDBY', { why: 'this gateway stands alone: it is in no pair (vlink cluster pair, vlink cluster join)' });
  };
  return { report: alone, switchOver: alone, maintenance: alone, counters: () => processFigures() };
}

export async function startClusterd(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const log = createLog('clusterd', store.current.log.level);
  await using opening = new Closer();
  const alone = pairOf(store.current) === undefined;
  const node = alone ? undefined : new ClusterNode({ config: store.current, release: release(), clock, random, log }, opening);
  await node?.start();
  const pairing = opening.use(new Pairing({ configPath, config: () => store.current, release: release(), clock, random, log, onTrust: async trust => await node?.trust(trust), peerAlive: () => node?.peerAlive ?? false }));
  const refusal = alone ? refusalAlone : refusalOf;
  const check = (): Promise<string | null> => store.check(next => refusal(store.current, next));
  const reload = async (): Promise<string | null> => {
    let key: string | undefined;
    const { refused } = await store.reload(next => ((key = next.cluster.key), refusal(store.current, next)));
    // Refused for now: with it we start anew, and sipd has done so before us.
    if (key !== undefined && key !== store.current.cluster.key) await node?.rekey(key);
    return refused;
  };
  const socket = join(store.current.rpc.directory, 'clusterd.sock');
  const own = node?.handlers() ?? aloneHandlers();
  const handlers: RpcHandlers<ClusterdRequests> = { ...own, ...pairing.handlers(), counters: params => ({ ...own.counters(params), ...pairing.counters.snapshot() }), reload: params => answerReload(params, check, reload, log) };
  opening.use(await serveRpc<ClusterdRequests>(socket, handlers, { validate: clusterdRequestSchemas, access: clusterdAccess, log }));
  log.info({ socket, alone }, 'clusterd.ready');
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH } } });
  await runService({ name: 'clusterd', start: () => startClusterd(values.config) });
}
