/** A daemon that starts anew for a commit: waited for as long as its unit may take to start, and not when it has ended instead. */
import { createServer } from 'node:net';
import { linkSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { z } from 'zod';
import type { CommitResult, CommitWait } from '#contracts/configd.ts';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import { START_LIMIT_MS, type UnitFacts } from '#core/config/comeback.ts';
import { createLog } from '#kit/log.ts';
import { reloadSchema } from '#kit/reload.ts';
import { type RpcServer, serveRpc } from '#kit/rpc.ts';
import { committing } from '../../cli/configure/commit-wait.ts';
import { createContext } from '../../cli/context.ts';
import { identityOf } from '../../cli/identity.ts';
import { GRAMMAR } from '../../cli/program.ts';
import { Peers } from '../../daemons/configd/peers.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

interface DaemonRequests {
  reload(params: ReloadParams): ReloadAnswer;
}

const log = createLog('test', 'silent');
/** Of the clock, each time that nothing has come of the step before. */
const STEP_MS = 1000;

function room(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'vl-restart-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Its clock goes on while the daemon is waited for; `onStep` sees every step of it. */
class Stage {
  readonly clock = new ManualClock();
  readonly socket: string;
  readonly directory: string;
  #server: RpcServer<never> | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.socket = join(directory, 'sipd.sock');
  }

  async serve(): Promise<void> {
    const reload = ({ restart }: ReloadParams): ReloadAnswer => {
      if (restart !== true) return { refused: 'sip.userAgent: needs a restart of viewlink-sipd' };
      setImmediate(() => void this.end());
      return { refused: null, restarting: true };
    };
    this.#server = await serveRpc<DaemonRequests>(this.socket, { reload }, { validate: { reload: reloadSchema }, log });
  }

  async end(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async applied(facts: () => UnitFacts | null, onStep: (peers: Peers) => Promise<void> | void = () => undefined): Promise<{ readonly said: string | null; readonly tookMs: number }> {
    await this.serve();
    const peers = new Peers(this.directory, this.clock, { facts: () => Promise.resolve(facts()) });
    const beganAt = this.clock.now();
    const result: { said?: string | null } = {};
    void peers.apply('sipd', true).then(said => (result.said = said));
    await until('the answer', async () => {
      if (peers.waiting?.doing === 'starting') this.clock.advance(STEP_MS);
      await onStep(peers);
      return 'said' in result;
    }, 60_000);
    t.equal(peers.waiting, null, 'nobody is waited for any more');
    return { said: result.said!, tookMs: this.clock.now() - beganAt };
  }
}

const facts = (change: Partial<UnitFacts> = {}): UnitFacts => ({ state: 'activating', result: 'success', hasJob: false, restarts: 0, startLimitMs: 120_000, ...change });

t.test('one that takes long is waited for, and it is said who that is', async t => {
  const stage = new Stage(room(t));
  t.teardown(() => stage.end());
  const waits: CommitWait[] = [];
  let isBack = false;
  const { said, tookMs } = await stage.applied(() => null, async peers => {
    if (peers.waiting?.doing === 'starting') waits.push(peers.waiting);
    if (stage.clock.now() < 90_000 || isBack) return;
    isBack = true;
    await stage.serve();
  });
  t.equal(said, null);
  t.ok(tookMs > 90_000 && tookMs < START_LIMIT_MS, String(tookMs));
  t.match(waits.at(-1), { daemon: 'sipd', doing: 'starting', limitMs: START_LIMIT_MS });
  t.ok(waits.at(-1)!.forMs > waits[0]!.forMs + 60_000);
});

t.test('the limit is that of its unit', async t => {
  for (const [startLimitMs, limit] of [[5000, 5], [200_000, 200]] as const) {
    const { said, tookMs } = await new Stage(room(t)).applied(() => facts({ startLimitMs }));
    t.equal(said, `did not come back within ${limit} s after its restart`);
    t.ok(tookMs >= startLimitMs, String(tookMs));
  }
});

t.test('one that has ended is not waited for', async t => {
  const ends: readonly (readonly [string, Partial<UnitFacts>, RegExp])[] = [
    ['its configuration is wrong', { state: 'failed', result: 'exit-code', restarts: 1 }, /^ended as it started \(exit-code\)$/],
    ['it dies again and again', { restarts: 2 }, /^ended as it started, and is tried again$/],
    ['stopped by somebody', { state: 'inactive' }, /^was stopped$/],
  ];
  for (const [name, change, why] of ends) {
    let asked = 0;
    const { said, tookMs } = await new Stage(room(t)).applied(() => facts(asked++ === 0 ? {} : change));
    t.match(said, why, name);
    t.ok(tookMs < START_LIMIT_MS / 4, `${name}: ${tookMs}`);
  }
});

t.test('nor one that has left its socket behind', async t => {
  const stage = new Stage(room(t));
  let left = false;
  const { said, tookMs } = await stage.applied(() => null, async () => {
    if (left || stage.clock.now() < 3000) return;
    left = true;
    const dead = createServer().listen(join(stage.directory, 'dead'));
    await until('it listens', () => dead.listening);
    linkSync(join(stage.directory, 'dead'), stage.socket);
    dead.close();
  });
  t.equal(said, 'ended as soon as it had started');
  t.ok(tookMs < START_LIMIT_MS / 4, String(tookMs));
});

t.test('whoever sits at a terminal sees whom his commit waits for', async t => {
  const directory = room(t);
  const wait: CommitWait = { daemon: 'sipd', doing: 'starting', forMs: 34_200, limitMs: 120_000 };
  const seen = Promise.withResolvers<void>();
  const done: CommitResult = { revision: 7, issues: [], refusals: [], warnings: [], confirmByWallMs: null };
  interface Requests {
    commit(params: Record<string, unknown>): CommitResult;
    waitsFor(params: Record<string, unknown>): CommitWait;
  }
  const anything = z.looseObject({});
  await using _configd = await serveRpc<Requests>(
    join(directory, 'configd.sock'),
    {
      commit: async () => {
        await seen.promise;
        return done;
      },
      waitsFor: () => wait,
    },
    { validate: { commit: anything, waitsFor: anything }, log },
  );
  let said = '';
  const terminal = { columns: 80, rows: 24, write: () => undefined, keys: () => ({ [Symbol.dispose]: () => undefined }), resized: () => ({ [Symbol.dispose]: () => undefined }) };
  const err = (text: string): void => {
    said += text;
    if (said.includes('sipd')) seen.resolve();
  };
  const context = createContext({ options: { runDir: directory }, environment: {}, output: { out: err, err, terminal }, identity: identityOf({}), signal: new AbortController().signal, grammar: GRAMMAR });
  const author = { user: 'wang', via: 'cli', address: null } as const;
  t.same(await committing(context, configd => configd.call('commit', { author, reason: '', confirmMinutes: null }, { timeoutMs: 60_000 })), done);
  t.match(said, /sipd: starts anew, 34 s \/ 120 s/);
  t.match(said, /\r\x1b\[K$/, 'and then it is gone from the screen');
});
