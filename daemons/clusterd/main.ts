/**
 * clusterd: which of two nodes is active (design.md 8). `clusterd/main.ts --config FILE`
 *
 * Closing order, newest first; roles and addresses stay as they are, so that it can be started anew under a working pair:
 *   1. the RPC server: vlink sees us go
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
import { systemRandom as random } from '#kit/random.ts';
import { answerReload } from '#kit/reload.ts';
import { clusterdAccess } from '#kit/request-access.ts';
import { clusterdRequestSchemas } from '#kit/request-schemas-cluster.ts';
import { serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { ClusterNode } from './node.ts';

const release = (): string => (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }).version;

/** Who the pair is cannot change under it. */
function refusalOf(before: GatewayConfig, after: GatewayConfig): string | null {
  const relevant = ({ node, cluster, rpc, state, media }: GatewayConfig): string => JSON.stringify([node, cluster, rpc, state, media.instances]);
  return relevant(before) === relevant(after) ? null : 'cluster: a change here needs a restart of viewlink-clusterd, and of viewlink-pair-addresses on the node that is not active';
}

export async function startClusterd(configPath: string): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const log = createLog('clusterd', store.current.log.level);
  if (pairOf(store.current) === undefined) throw new GatewayError('CONFIG_INVALID', { why: 'cluster.nodes is empty: this gateway stands alone' });
  await using opening = new Closer();
  const node = new ClusterNode({ config: store.current, release: release(), clock, random, log }, opening);
  await node.start();
  const check = (): Promise<string | null> => store.check(next => refusalOf(store.current, next));
  const reload = async (): Promise<string | null> => (await store.reload(next => refusalOf(store.current, next))).refused;
  const socket = join(store.current.rpc.directory, 'clusterd.sock');
  opening.use(await serveRpc<ClusterdRequests>(socket, { ...node.handlers(), reload: params => answerReload(params, check, reload, log) }, { validate: clusterdRequestSchemas, access: clusterdAccess, log }));
  log.info({ socket }, 'clusterd.ready');
  const closer = opening.release();
  return { reload, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH } } });
  await runService({ name: 'clusterd', start: () => startClusterd(values.config) });
}
