/**
 * configd: the configuration with its revisions, its secrets and the audit log (design.md 9). It alone writes gateway.yaml.
 * `configd/main.ts --config FILE --state DIRECTORY`
 *
 * Closing order, newest first:
 *   1. the RPC server: vlink and apid see us go
 *   2. the pair: the links to clusterd and to the other configd; what is being taken over is finished by the next start
 *   3. commits: the timer stops; one that waits for `confirm` goes on waiting on the disk, for the next start or for viewlink-revert
 *   4. the copies of the other node's audit log, then our own
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ConfigdEvent, ConfigdRequests } from '#contracts/configd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import { SCHEMA_VERSION } from '#core/config/migrate.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigFile } from '#kit/config-file.ts';
import { ConfigRevisions } from '#kit/config-revisions.ts';
import { DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { configdAccess } from '#kit/request-access.ts';
import { CONFIGD_REQUEST_BYTES, configdRequestSchemas } from '#kit/request-schemas-configd.ts';
import { type RpcServer, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { Adoption } from './adoption.ts';
import { Backups } from './backups.ts';
import { Candidates } from './candidates.ts';
import { Changes } from './changes.ts';
import { Commits } from './commits.ts';
import { Editor } from './editor.ts';
import { takeUp } from './first-start.ts';
import { HeldLine } from './held-line.ts';
import { handlersOf } from './handlers.ts';
import { PairAudit } from './pair-audit.ts';
import { PairCommits } from './pair-commits.ts';
import { PairLine } from './pair-line.ts';
import { Pair } from './pair.ts';
import { Peers } from './peers.ts';
import { candidatesIn, configInForce, DEFAULT_STATE_DIRECTORY, heldIn, lineIn, openAudit, revisionsIn, runDirectory } from './place.ts';
import { Secrets } from './secrets.ts';

const release = (): string => (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }).version;

export async function startConfigd(configPath: string, stateDirectory: string): Promise<RunningService> {
  const inForce = (): Promise<GatewayConfig | null> => configInForce(configPath);
  const atStart = await inForce();
  const log = createLog('configd', atStart?.log.level ?? 'info');
  await using opening = new Closer();
  const file = new ConfigFile(configPath);
  const secrets = await Secrets.open(configPath, random);
  const revisions = new ConfigRevisions(revisionsIn(stateDirectory), file.read(), log);
  await takeUp({ file, revisions, secrets, wallMs: clock.wall(), log, inPair: atStart !== null && pairOf(atStart) !== undefined });
  const audit = opening.use(openAudit(stateDirectory, () => secrets.ring, log));
  const pairAudit = opening.use(new PairAudit({ stateDirectory, ring: () => secrets.ring, own: audit, log }));
  const candidates = new Candidates(candidatesIn(stateDirectory));
  const editor = new Editor({ revisions, candidates, secrets });
  const directory = await runDirectory(configPath);
  const peers = new Peers(directory, clock);
  let server: RpcServer<ConfigdEvent> | undefined;
  const onEvent = (event: ConfigdEvent): void => {
    log.info(event, `config.${event.type}`);
    server?.notifyAll(event);
  };
  const onReturned = (revision: number, returnsTo: number, why: string): void =>
    audit.record({ author: { user: 'configd', via: 'system', address: null }, action: 'config.return', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: `revision ${returnsTo} is in force again: ${why}` });
  const commits: Commits = opening.use(new Commits({ file, revisions, peers, clock, log, onEvent, onReturned, inForce, onSettled: config => pair.settled(config), term: () => pair.term }));
  const changes: Changes = new Changes({ file, revisions, candidates, secrets, editor, commits, audit, reached: () => pair.reached() });
  const backups = new Backups({ revisions, secrets, editor, changes, random, wallMs: () => clock.wall(), inPair: () => pair.role !== null });
  const line = new PairLine(revisions, lineIn(stateDirectory), log);
  const adoption: Adoption = new Adoption({ file, revisions, secrets, editor, commits, changes, line, peers, audit, clock, log, onTaken: () => void inForce().then(config => pair.configure(config)) });
  const held = new HeldLine(heldIn(stateDirectory), () => secrets.ring, random);
  const pair: Pair = opening.use(new Pair({ directory, revisions, line, held, adoption, audit: pairAudit, release: release(), clock, log }));
  const pairCommits = new PairCommits({ pair, changes, candidates, editor, secrets, revisions });
  await commits.resume();
  await pair.configure(await inForce());
  const socket = join(directory, 'configd.sock');
  const handlers = handlersOf({ held, revisions, candidates, editor, changes, commits, backups, audit, schemaVersion: SCHEMA_VERSION, secrets, pair, pairCommits, pairAudit });
  server = opening.use(await serveRpc<ConfigdRequests, ConfigdEvent>(socket, handlers, { validate: configdRequestSchemas, access: configdAccess, maxRequestBytes: CONFIGD_REQUEST_BYTES, log }));
  log.info({ socket, revision: revisions.current, changedOutside: changes.changedOutside }, 'configd.ready');
  const closer = opening.release();
  return { [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, state: { type: 'string', default: DEFAULT_STATE_DIRECTORY } } });
  await runService({ name: 'configd', start: () => startConfigd(values.config, values.state) });
}
