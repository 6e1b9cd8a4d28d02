/**
 * Returns a commit that was not confirmed in time when configd is not there to do it. `configd/revert.ts --config FILE --state DIRECTORY`
 * Started by viewlink-revert.timer (viewlink-revert@late), and once at boot before the daemons; where pending.json is not, systemd does not even start it.
 *
 *   due? --no--> done      configd answers --> it is asked to return it; what is under way there is left to it
 *     | yes                configd does not --> the file is put back, the kept state follows, every daemon that runs is told
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Author, ConfigdRequests } from '#contracts/configd.ts';
import { type BothClocks, msUntilReturn } from '#core/config/pending.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { bootTime, systemClock } from '#kit/clock.ts';
import { ConfigFile } from '#kit/config-file.ts';
import { ConfigRevisions, type PendingFile } from '#kit/config-revisions.ts';
import { DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { createLog, type Log } from '#kit/log.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';
import { loadKeyRing } from '#kit/secret-box.ts';
import { Peers } from './peers.ts';
import { configInForce, DEFAULT_STATE_DIRECTORY, openAudit, revisionsIn, runDirectory } from './place.ts';

const ANSWER_MS = 10_000;
/** Then it is on its way: daemons that start anew wait for us to end (systemd), and it waits for them. */
const RETURN_MS = 20_000;
const WE: Author = { user: 'viewlink-revert', via: 'system', address: null };

export interface RevertOptions {
  readonly configPath: string;
  readonly stateDirectory: string;
  readonly now: BothClocks;
  readonly log: Log;
}

export type RevertResult = 'nothing pending' | 'not due' | 'left to configd' | 'returned by configd' | 'returned';

/** STORE_FAILED: the old configuration cannot be put back now; the next run tries again. */
export async function revertOverdue({ configPath, stateDirectory, now, log }: RevertOptions): Promise<RevertResult> {
  const file = new ConfigFile(configPath);
  const revisions = new ConfigRevisions(revisionsIn(stateDirectory), file.read(), log);
  const { pending } = revisions;
  if (pending === null) return 'nothing pending';
  if (msUntilReturn(pending, now) > 0) return 'not due';
  const directory = await runDirectory(configPath);
  const configd = await askConfigd(join(directory, 'configd.sock'), pending);
  if (configd === 'returned') return 'returned by configd';
  if (configd === 'busy') return 'left to configd';
  const why = pending.phase === 'applying' ? 'configd ended in the middle of it' : 'it was not confirmed in time, and configd was not there';
  putBack(file, revisions, pending);
  log.warn({ revision: pending.revision, returnsTo: pending.returnsTo, why }, 'config.returned');
  // A configd that hangs may still write to its log: two writers would break the chain.
  if (configd === 'gone') await writeDown({ configPath, stateDirectory }, pending, why, log);
  await tellDaemons(new Peers(directory, systemClock, { waitsForStart: false }), configPath, log);
  return 'returned';
}

function putBack(file: ConfigFile, revisions: ConfigRevisions, { revision, returnsTo }: PendingFile): void {
  const text = revisions.text(returnsTo);
  if (text === undefined) throw new GatewayError('STORE_FAILED', { revision: returnsTo, why: 'this revision cannot be read' });
  file.unstage();
  file.putBack(text);
  revisions.markReturned(revision);
  revisions.setCurrent(returnsTo);
  revisions.setPending(null);
  file.settle();
}

async function writeDown({ configPath, stateDirectory }: Pick<RevertOptions, 'configPath' | 'stateDirectory'>, { revision, returnsTo }: PendingFile, why: string, log: Log): Promise<void> {
  const { ring } = await loadKeyRing(configPath);
  if (ring.length === 0) return log.error({ revision, why: 'the keys are not here' }, 'audit.not-written');
  using audit = openAudit(stateDirectory, () => ring, log);
  audit.record({ author: WE, action: 'config.return', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: `revision ${returnsTo} is in force again: ${why}` });
}

async function askConfigd(socket: string, pending: PendingFile): Promise<'returned' | 'busy' | 'hangs' | 'gone'> {
  try {
    await using configd = await connectRpc<ConfigdRequests>(socket);
    const status = await configd.call('status', {}, { timeoutMs: ANSWER_MS });
    if (pending.phase === 'applying' || status.pending === null) return 'busy';
    return await returned(configd, pending);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    // It may just have done it by itself; in a pair it is left to the active node, where that answers.
    if (error.code === 'BAD_REQUEST' || error.code === 'CONFLICT' || error.code === 'NODE_STANDBY') return 'busy';
    return isLate(error) ? 'hangs' : 'gone';
  }
}

async function returned(configd: RpcClient<ConfigdRequests>, { returnsTo }: PendingFile): Promise<'returned' | 'busy'> {
  try {
    await configd.call('rollback', { author: WE, revision: returnsTo, reason: 'not confirmed in time', confirmMinutes: null, where: 'local' }, { timeoutMs: RETURN_MS });
    return 'returned';
  } catch (error) {
    if (!isLate(error)) throw error;
    // Whoever hangs does not say this either.
    await configd.call('status', {}, { timeoutMs: ANSWER_MS });
    return 'busy';
  }
}

const isLate = (error: unknown): boolean => error instanceof GatewayError && error.detail['timeoutMs'] !== undefined;

async function tellDaemons(peers: Peers, configPath: string, log: Log): Promise<void> {
  const { up } = await peers.there(await configInForce(configPath));
  for (const daemon of up) {
    const refused = await peers.apply(daemon, true);
    if (refused !== null) log.error({ daemon, refused }, 'config.return-refused');
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, state: { type: 'string', default: DEFAULT_STATE_DIRECTORY } } });
  const log = createLog('revert', 'info');
  try {
    const result = await revertOverdue({ configPath: values.config, stateDirectory: values.state, now: { wallMs: systemClock.wall(), ...bootTime() }, log });
    log.info({ result }, 'revert.done');
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.fatal({ code: error.code, ...error.detail }, 'revert.failed');
    process.exitCode = EXIT_CODE[error.code];
  }
}
