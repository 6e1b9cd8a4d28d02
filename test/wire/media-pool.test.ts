/** The pool of media processes of a pair, both nodes of which carry media; the processes answer as they are told. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LegStats, MediadEvent, MediadRequests, OpenSourceParams, StrainReport } from '#contracts/mediad.ts';
import { type GatewayConfig, gatewaySchema } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { Closer } from '#kit/closer.ts';
import { systemClock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, type RpcServer, serveRpc } from '#kit/rpc.ts';
import { MediaNodes } from '../../daemons/sipd/media-nodes.ts';
import { MediaPool } from '../../daemons/sipd/media-pool.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
const A = '10.97.0.101';
const B = '10.97.0.102';
const HOME = { peerAlive: true, media: { a: 'a', b: 'b' } };

const configOf = (directory: string, pair: boolean): GatewayConfig => gatewaySchema.parse({
  node: { name: 'a' }, rpc: { directory }, media: { instances: 1 },
  ...(pair && { cluster: { nodes: [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1', mediaAddress: `${A}/24` }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2', mediaAddress: `${B}/24` }], key: 'k'.repeat(32), sipAddress: '10.97.0.100/24' } }),
});

class FakeMediad {
  readonly path: string;
  readonly bridges = new Map<string, OpenSourceParams>();
  /** Of the legs of these, in place of `connecting`. */
  readonly states = new Map<string, LegStats['state']>();
  hangs = false;
  strain: StrainReport = { level: 0, says: null, ended: { 'preview': 0, 'transcode': 0, 'pass-through': 0 } };
  loads = 0;
  #server: RpcServer<MediadEvent> | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async start(): Promise<this> {
    const handlers = {
      openSource: async (params: OpenSourceParams) => {
        if (this.hangs) await new Promise(() => undefined);
        this.bridges.set(params.bridgeId, params);
        return { local: { address: params.localAddress, port: 20_000 } };
      },
      closeBridge: ({ bridgeId }: { bridgeId: string }) => (this.bridges.delete(bridgeId), null),
      listBridges: () => ({ bridges: [...this.bridges.keys()].map(bridgeId => ({ bridgeId, source: { legId: 'l', state: this.states.get(bridgeId) ?? 'connecting', lastPacketAgeMs: 20_000 }, replacement: null, sinks: [] })), strays: [] }),
      load: () => {
        this.loads += 1;
        return { instance: '1', pid: 1, bridges: this.bridges.size, sinks: 0, bitrateInBps: 0, bitrateOutBps: 0, cpu: 0, portsFree: 9, refuses: this.strain.level === 3 ? this.strain.says : null, strain: this.strain };
      },
    } as unknown as RpcHandlers<MediadRequests>;
    this.#server = await serveRpc<MediadRequests, MediadEvent>(this.path, handlers, { validate: mediadRequestSchemas, log });
    return this;
  }

  says(event: MediadEvent): void {
    this.#server?.notifyAll(event);
  }

  /** As of now. */
  strained(level: StrainReport['level'], says: string | null): void {
    this.strain = { ...this.strain, level, says };
    this.#server?.notifyAll({ type: 'strain', level, says });
  }

  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }
}

interface Rig extends AsyncDisposable {
  readonly pool: MediaPool;
  readonly here: FakeMediad;
  readonly there: FakeMediad;
  readonly lost: string[];
  readonly moved: string[];
  /** Bridges that something was told of, and where. */
  readonly told: string[];
  /** What another instance can open. */
  readonly movable: Set<string>;
  /** Before a move is done. */
  interrupt: (() => Promise<void>) | undefined;
}

async function openRig(t: Test): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-pool-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, 'peer'));
  const closer = new Closer();
  const here = await new FakeMediad(join(directory, 'mediad-1.sock')).start();
  const there = await new FakeMediad(join(directory, 'peer/mediad-1.sock')).start();
  for (const mediad of [here, there]) closer.defer(() => mediad.stop());
  const lost: string[] = [];
  const moved: string[] = [];
  const told: string[] = [];
  const movable = new Set<string>();
  const byName: Record<string, FakeMediad> = { 'a/1': here, 'b/1': there };
  const pool = closer.use(new MediaPool({
    nodes: new MediaNodes(configOf(directory, true)), clock: systemClock, log, onAttached: () => undefined, onGone: () => undefined,
    onEvent: (event, instance) => void ('bridgeId' in event && told.push(`${event.type} ${event.bridgeId} at ${instance}`)),
    onLost: ids => void lost.push(...ids),
    onMoved: (all, to) => void moved.push(...all.map(({ bridgeId }) => `${bridgeId} to ${to}`)),
    move: async (ids, from, client) => {
      const standing = ids.filter(id => movable.has(id));
      for (const id of standing) await client.call('openSource', byName[from]!.bridges.get(id)!);
      const { interrupt } = rig;
      rig.interrupt = undefined;
      await interrupt?.();
      return standing.map(bridgeId => ({ bridgeId, revived: undefined }));
    },
  }));
  const rig: Rig = { pool, here, there, lost, moved, told, movable, interrupt: undefined, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
  await pool.start();
  pool.pairSaid(HOME);
  return rig;
}

const paramsOf = (pool: MediaPool, instance: string, bridgeId: string): OpenSourceParams => ({ bridgeId, transport: 'udp', localAddress: pool.nodes.addressOf(instance)!, ssrc: 1, peer: { allowed: ['10.0.0.1'], latch: 'strict' }, silenceMs: 1000, label: 'x' });

async function place(pool: MediaPool, bridgeId: string): Promise<string> {
  const instance = pool.pick();
  return (await pool.openBridge(instance, paramsOf(pool, instance, bridgeId), { elsewhere: true })).instance;
}

t.test('instances of both nodes, each with the address of its own, by load', async t => {
  await using rig = await openRig(t);
  const { pool, here, there } = rig;
  t.same([await place(pool, 'b1'), await place(pool, 'b2'), await place(pool, 'b3'), await place(pool, 'b4')], ['a/1', 'b/1', 'a/1', 'b/1'], 'the nearer one first');
  t.same([...here.bridges.values(), ...there.bridges.values()].map(({ bridgeId, localAddress }) => [bridgeId, localAddress]), [['b1', A], ['b3', A], ['b2', B], ['b4', B]]);
  t.equal(pool.pick({ here: true }), 'a/1');
  here.hangs = true;
  t.equal(await place(pool, 'b5'), 'b/1');
  t.equal(there.bridges.get('b5')?.localAddress, B, 'where it opens instead it has the address of that node');
  t.same([pool.nodes.shown('a/1'), pool.nodes.shown('b/1'), pool.nodes.named('1'), pool.nodes.named('b/1'), pool.nodes.nodeNamed('b/1')], ['1', 'b/1', 'a/1', 'b/1', 'b']);
  t.same(pool.nodes.between('a/1', 'b/1'), [A, B]);
  t.same(pool.nodes.between('a/1', 'a/1'), ['127.0.0.1', '127.0.0.1']);
});

t.test('one that is short of something gets what is new last; where all are, nothing new', async t => {
  await using rig = await openRig(t);
  const { pool, here, there } = rig;
  here.strained(1, 'no previews: memory');
  await until('it is known', () => pool.isShort('a/1'));
  t.same([await place(pool, 'b1'), await place(pool, 'b2'), await place(pool, 'b3')], ['b/1', 'b/1', 'b/1'], 'although that one has more to do');
  t.equal(pool.strainOf('a/1'), null, 'who shares a source there is let in');
  there.strained(1, 'no previews: time');
  await until('the other one too', () => pool.isShort('b/1'));
  t.equal(await place(pool, 'b4'), 'a/1', 'by load again');
  for (const mediad of [here, there]) mediad.strained(3, 'no previews, transcodes and new sessions: memory');
  await until('nothing new', () => tried(pool) === undefined);
  t.throws(() => pool.pick(), { code: 'CAPACITY_EXHAUSTED', message: /new sessions: memory/ });
  t.equal(pool.strainOf('b/1'), 'no previews, transcodes and new sessions: memory');
  t.equal(pool.strainOf('c/1'), null, 'none of ours');
  here.strained(0, null);
  await until('one takes something again', () => !pool.isShort('a/1'));
  await until('and is given it', () => tried(pool) === 'a/1');
});

/** Undefined: there is no room. */
function tried(pool: MediaPool): string | undefined {
  try {
    return pool.pick();
  } catch {
    return undefined;
  }
}

t.test('one that cannot be reached gets nothing new, and what it has is not lost', async t => {
  await using rig = await openRig(t);
  const { pool, there, lost } = rig;
  for (const id of ['b1', 'b2']) await place(pool, id);
  await there.stop();
  await until('its link is down', () => pool.instanceNames.some(({ name, up }) => name === 'b/1' && !up));
  pool.pairSaid({ peerAlive: false, media: { a: 'a', b: null } });
  t.equal(await place(pool, 'b3'), 'a/1');
  t.equal(await place(pool, 'b4'), 'a/1');
  await there.start();
  pool.pairSaid(HOME);
  await until('it is there again', () => pool.instanceNames.every(({ up }) => up));
  t.same([lost, [...there.bridges.keys()]], [[], ['b2']]);
  t.equal(await place(pool, 'b5'), 'b/1');
});

t.test('a node dies: its bridges go where its address goes, and home with it', async t => {
  await using rig = await openRig(t);
  const { pool, here, there, lost, moved, movable } = rig;
  for (const id of ['b1', 'b2', 'b3', 'b4', 'b5', 'b6']) await place(pool, id);
  t.same([...there.bridges.keys()], ['b2', 'b4', 'b6']);
  movable.add('b2').add('b6');
  await there.stop();
  const ended = pool.closeBridge('b/1', 'b6');
  pool.pairSaid({ peerAlive: false, media: { a: 'a', b: 'a' } });
  await until('all is decided', () => moved.length > 0 && lost.length > 0);
  await ended;
  t.same([moved, lost], [['b2 to a/1'], ['b4']], 'what cannot be opened is lost; what ended meanwhile is neither');
  await until('what ended is closed', () => !here.bridges.has('b6'));
  t.same([here.bridges.get('b2')?.localAddress, here.bridges.has('b4')], [B, false], 'with the address that it had');
  await there.start();
  pool.pairSaid({ peerAlive: true, media: { a: 'a', b: 'a' } });
  await until('what it had is closed', () => there.bridges.size === 0);
  t.same([await place(pool, 'b7'), await place(pool, 'b8')], ['a/1', 'a/1'], 'without its address it gets nothing');
  const back = Promise.withResolvers<void>();
  rig.interrupt = () => back.promise;
  pool.pairSaid(HOME);
  t.equal(await place(pool, 'b10'), 'a/1', 'nor before its own bridges have their ports again');
  back.resolve();
  await until('it went home', () => moved.length === 2);
  t.equal(moved[1], 'b2 to b/1');
  await until('and is closed here', () => !here.bridges.has('b2'));
  t.same([[...there.bridges.keys()], lost], [['b2'], ['b4']]);
  t.equal(await place(pool, 'b9'), 'b/1');
});

t.test('a node was cut off, and not dead: what it still has of bridges that went on elsewhere says nothing of them', async t => {
  await using rig = await openRig(t);
  const { pool, here, there, lost, moved, told, movable } = rig;
  for (const id of ['b1', 'b2', 'b3', 'b4']) await place(pool, id);
  for (const id of ['b2', 'b4']) movable.add(id);
  await there.stop();
  pool.pairSaid({ peerAlive: false, media: { a: 'a', b: 'a' } });
  await until('they went on here', () => moved.length === 2);
  for (const id of ['b2', 'b4']) there.states.set(id, 'silent');
  await there.start();
  pool.pairSaid({ peerAlive: true, media: { a: 'a', b: 'a' } });
  await until('what it had is closed', () => there.bridges.size === 0 && pool.instanceNames.every(({ up }) => up));
  t.same(told, []);
  const silent = (bridgeId: string): MediadEvent => ({ type: 'source-silent', bridgeId, legId: 'l', silentMs: 20_000 });
  there.says(silent('b4'));
  there.says(silent('x'));
  await until('it said something', () => told.length > 0);
  t.same(told, ['source-silent x at b/1'], 'what nobody knows is for whoever does');
  here.says(silent('b2'));
  await until('where it goes on is listened to', () => told.length > 1);
  t.same([told.slice(1), lost, [...here.bridges.keys()].sort()], [['source-silent b2 at a/1'], [], ['b1', 'b2', 'b3', 'b4']]);
});

t.test('a move that is cut short loses nothing: it is done again, or left to whoever comes next', async t => {
  await using rig = await openRig(t);
  const { pool, here, there, lost, moved, movable } = rig;
  for (const id of ['b1', 'b2']) await place(pool, id);
  movable.add('b2');
  await there.stop();
  const isUp = (): boolean => pool.instanceNames.some(({ name, up }) => name === 'a/1' && up);
  rig.interrupt = async () => {
    await here.stop();
    await until('its link is down', () => !isUp());
  };
  pool.pairSaid({ peerAlive: false, media: { a: 'a', b: 'a' } });
  await until('it was interrupted', () => rig.interrupt === undefined && !isUp());
  here.bridges.delete('b2');
  await here.start();
  await until('it is done again', () => moved.length > 0);
  t.same([moved, lost, here.bridges.has('b2')], [['b2 to a/1'], [], true]);
  await there.start();
  const began = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  rig.interrupt = () => (began.resolve(), rest.promise);
  pool.pairSaid(HOME);
  await began.promise;
  await pool[Symbol.asyncDispose]();
  rest.resolve();
  await new Promise(resolve => setImmediate(resolve));
  t.same([moved.length, lost], [1, []], 'who is not in charge any more decides nothing');
});

t.test('who stays away loses what it has: alone after a second, in a pair later, however often it is tried again', async t => {
  for (const [pair, limits] of [[false, { '1': 1000 }], [true, { 'a/1': 5000, 'b/1': 30_000 }]] as const) {
    const directory = mkdtempSync(join(tmpdir(), 'vl-pool-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const clock = new ManualClock();
    const gone: Record<string, number> = {};
    const nodes = new MediaNodes(configOf(directory, pair));
    const move = (): Promise<never> => Promise.reject(new GatewayError('MEDIA_UNAVAILABLE'));
    await using pool = new MediaPool({ nodes, clock, log, onEvent: () => undefined, onLost: () => undefined, onAttached: () => undefined, onMoved: () => undefined, move, onGone: name => void (gone[name] = clock.now()) });
    const started = pool.start();
    await started;
    t.throws(() => pool.pick(), { code: 'MEDIA_UNAVAILABLE' });
    for (let i = 0; i < 70; i++) {
      clock.advance(500);
      await new Promise(resolve => setImmediate(resolve));
    }
    t.same(gone, limits);
  }
});

t.test('what is opened anew after a takeover may take longer than one that is away is waited for; where it is cut short it is begun again', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-pool-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const clock = new ManualClock();
  const lost: string[] = [];
  const attached: string[] = [];
  const nodes = new MediaNodes(configOf(directory, false));
  const move = (): Promise<never> => Promise.reject(new GatewayError('MEDIA_UNAVAILABLE'));
  await using pool = new MediaPool({ nodes, clock, log, onEvent: () => undefined, onLost: ids => void lost.push(...ids), onAttached: name => void attached.push(name), onMoved: () => undefined, move, onGone: () => undefined });
  const opening: { readonly done: PromiseWithResolvers<void> }[] = [];
  const mediad = new FakeMediad(join(directory, 'mediad-1.sock'));
  pool.revival = async (_instance, client) => {
    const done = Promise.withResolvers<void>();
    opening.push({ done });
    await done.promise;
    await client.call('openSource', { ...paramsOf(pool, '1', 'b1'), localAddress: '127.0.0.1' });
  };
  pool.adopt('1', 'b1');
  // Nobody is there yet: its time begins to run.
  await pool.start();
  await mediad.start();
  const steps = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      clock.advance(100);
      await new Promise(resolve => setImmediate(resolve));
    }
  };
  await until('it is there', async () => {
    await steps(1);
    return opening.length === 1;
  });
  await steps(50);
  t.same(lost, [], 'five times as long as its time is');
  await mediad.stop();
  opening[0]!.done.resolve();
  await mediad.start();
  await until('it is begun again', async () => {
    await steps(1);
    return opening.length === 2 || lost.length > 0;
  });
  opening[1]?.done.resolve();
  await until('it stands', () => attached.length === 1);
  t.same([lost, [...mediad.bridges.keys()]], [[], ['b1']]);
  await mediad.stop();
});

t.test('a bridge that is gone without a word is lost, and one that is only being opened is not', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-pool-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const clock = new ManualClock();
  const lost: string[] = [];
  const nodes = new MediaNodes(configOf(directory, false));
  const move = (): Promise<never> => Promise.reject(new GatewayError('MEDIA_UNAVAILABLE'));
  const mediad = await new FakeMediad(join(directory, 'mediad-1.sock')).start();
  await using pool = new MediaPool({ nodes, clock, log, onEvent: () => undefined, onLost: ids => void lost.push(...ids), onAttached: () => undefined, onMoved: () => undefined, move, onGone: () => undefined });
  await pool.start();
  const open = (bridgeId: string): Promise<unknown> => pool.openBridge('1', { ...paramsOf(pool, '1', bridgeId), localAddress: '127.0.0.1' }, { elsewhere: false });
  for (const id of ['b1', 'b2', 'b3']) await open(id);
  /** Until it was asked `times` more. */
  const look = async (times: number): Promise<void> => {
    const before = mediad.loads;
    await until('it was asked', async () => {
      clock.advance(250);
      await new Promise(resolve => setTimeout(resolve, 5));
      return mediad.loads >= before + times;
    });
  };
  await look(3);
  t.same(lost, []);
  mediad.bridges.delete('b2');
  await look(1);
  pool.adopt('1', 'b4');
  await until('it is lost', async () => {
    await look(1);
    return lost.length > 0;
  });
  t.same(lost, ['b2']);
  mediad.bridges.set('b4', paramsOf(pool, '1', 'b4'));
  await look(4);
  t.same(lost, ['b2']);
  await mediad.stop();
});
