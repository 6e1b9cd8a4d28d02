/**
 * configd: the configuration with its revisions, its secrets and the audit log (design.md 9). It alone writes gateway.yaml.
 * `configd/main.ts --config FILE --state DIRECTORY`
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink and apid see us go
 *   2. commits: the timer stops; one that waits for `confirm` goes on waiting on the disk, for the next start or for viewlink-revert
 *   3. the audit log
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ConfigdEvent, ConfigdRequests } from '#contracts/configd.ts';
import { SCHEMA_VERSION } from '#core/config/migrate.ts';
import { systemClock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigFile } from '#kit/config-file.ts';
import { ConfigRevisions } from '#kit/config-revisions.ts';
import { DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { configdAccess } from '#kit/request-access.ts';
import { CONFIGD_REQUEST_BYTES, configdRequestSchemas } from '#kit/request-schemas-configd.ts';
import { type RpcServer, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { Backups } from './backups.ts';
import { Candidates } from './candidates.ts';
import { Changes } from './changes.ts';
import { Commits } from './commits.ts';
import { Editor } from './editor.ts';
import { takeUp } from './first-start.ts';
import { handlersOf } from './handlers.ts';
import { Peers } from './peers.ts';
import { candidatesIn, configInForce, DEFAULT_STATE_DIRECTORY, openAudit, revisionsIn, runDirectory } from './place.ts';
import { Secrets } from './secrets.ts';

export async function startConfigd(configPath: string, stateDirectory: string): Promise<RunningService> {
  const log = createLog('configd', (await configInForce(configPath))?.log.level ?? 'info');
  await using opening = new Closer();
  const file = new ConfigFile(configPath);
  const secrets = await Secrets.open(configPath, systemRandom);
  const revisions = new ConfigRevisions(revisionsIn(stateDirectory), file.read(), log);
  await takeUp(file, revisions, secrets, systemClock.wall(), log);
  const audit = opening.use(openAudit(stateDirectory, () => secrets.ring, log));
  const candidates = new Candidates(candidatesIn(stateDirectory));
  const editor = new Editor({ revisions, candidates, secrets });
  const directory = await runDirectory(configPath);
  let server: RpcServer<ConfigdEvent> | undefined;
  const onEvent = (event: ConfigdEvent): void => {
    log.info(event, `config.${event.type}`);
    server?.notifyAll(event);
  };
  const onReturned = (revision: number, returnsTo: number, why: string): void =>
    audit.record({ author: { user: 'configd', via: 'system', address: null }, action: 'config.return', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: `revision ${returnsTo} is in force again: ${why}` });
  const commits = opening.use(new Commits({ file, revisions, peers: new Peers(directory, systemClock), clock: systemClock, log, onEvent, onReturned, inForce: () => configInForce(configPath) }));
  const changes = new Changes({ file, revisions, candidates, secrets, editor, commits, audit });
  const backups = new Backups({ revisions, secrets, editor, changes, random: systemRandom, wallMs: () => systemClock.wall() });
  await commits.resume();
  const socket = join(directory, 'configd.sock');
  const handlers = handlersOf({ revisions, candidates, editor, changes, commits, backups, audit, schemaVersion: SCHEMA_VERSION });
  server = opening.use(await serveRpc<ConfigdRequests, ConfigdEvent>(socket, handlers, { validate: configdRequestSchemas, access: configdAccess, maxRequestBytes: CONFIGD_REQUEST_BYTES, log }));
  log.info({ socket, revision: revisions.current, changedOutside: changes.changedOutside }, 'configd.ready');
  const closer = opening.release();
  return { [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, state: { type: 'string', default: DEFAULT_STATE_DIRECTORY } } });
  await runService({ name: 'configd', start: () => startConfigd(values.config, values.state) });
}
