/** What a node leaves to the other one, and wants back: the media process answers as it is told. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { MediadRequests } from '#contracts/mediad.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, serveRpc } from '#kit/rpc.ts';
import { Farewell } from '../../daemons/sipd/farewell.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
const directory = mkdtempSync(join(tmpdir(), 'vl-farewell-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const socket = join(directory, 'mediad-1.sock');

await t.test('what is left ends a moment later; what is wanted back in between does not, and who asks knows what is there', async t => {
  const asked: string[] = [];
  const answer = Promise.withResolvers<void>();
  const handlers = {
    closeBridge: async ({ bridgeId }: { bridgeId: string }) => {
      asked.push(bridgeId);
      if (bridgeId === 'b2') await answer.promise;
      return null;
    },
  } as unknown as RpcHandlers<MediadRequests>;
  await using _server = await serveRpc<MediadRequests>(socket, handlers, { validate: mediadRequestSchemas, log });
  const clock = new ManualClock();
  const farewell = new Farewell(clock, log);
  farewell.begin(new Map([[socket, ['b1', 'b2', 'b3']]]));
  clock.advance(999);
  t.same(asked, []);
  clock.advance(1);
  await until('it is at the second', () => asked.length === 2);
  let isKnown = false;
  const recalled = farewell.recall().then(() => (isKnown = true));
  await new Promise(resolve => setImmediate(resolve));
  t.equal(isKnown, false, 'the second is on its way out');
  answer.resolve();
  await recalled;
  t.same(asked, ['b1', 'b2'], 'the third stays');
  farewell.begin(new Map([[socket, ['b4']]]));
  await farewell.recall();
  clock.advance(5000);
  await farewell.now();
  t.same(asked, ['b1', 'b2']);
  farewell.begin(new Map([[socket, ['b5']]]));
  await farewell.now();
  t.same(asked, ['b1', 'b2', 'b5'], 'and ends with this daemon');
});

await t.test('what a sipd left that ended before its node lost the role is closed before somebody takes over again; what was left a moment ago is not', async t => {
  const there = new Set(['old-1', 'old-2', 'b1']);
  const handlers = {
    closeBridge: async ({ bridgeId }: { bridgeId: string }) => {
      await new Promise(resolve => setImmediate(resolve));
      return there.delete(bridgeId), null;
    },
    listBridges: () => ({ bridges: [...there].map(bridgeId => ({ bridgeId })), strays: [] }),
  } as unknown as RpcHandlers<MediadRequests>;
  await using _server = await serveRpc<MediadRequests>(socket, handlers, { validate: mediadRequestSchemas, log });
  const farewell = new Farewell(new ManualClock(), log);
  farewell.begin(new Map([[socket, ['b1']]]));
  await farewell.recall();
  t.equal(there.size, 3, 'nobody was active in between');
  await farewell.recall([socket, join(directory, 'mediad-2.sock')]);
  t.same([...there], ['b1'], 'one that is away holds up nobody');
  farewell.begin(new Map([[join(directory, 'mediad-2.sock'), ['b1']]]));
  await farewell.now();
  await farewell.recall([socket]);
  t.same([...there], [], 'what could not be closed in time is old too');
});
