/** Faults 98 to 107 on two whole nodes: what is lost, stands still, flaps or is of another release, with two viewers looking on all the time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { STATE_VERSION } from '#kit/store-rows.ts';
import { lossy } from '../../scripts/benches/failover/soak.ts';
import { Owners } from '../../scripts/lab/owners.ts';
import { type PairScene, openPairScene } from '../../scripts/lab/pair-scene.ts';
import { LINKS, PAIR_KEY, type PairLab, type PairNode, SEVERED, enterWorld } from '../../scripts/lab/pair.ts';
import type { Play } from '../../scripts/simulators/platform/play.ts';
import { type PeerDoubleOptions } from '../rig/peer-double.ts';
import { until } from '../rig/until.ts';

const HOLD_DOWN_S = 3;
const LIMIT_MS = 30_000;
const sleep = (forMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, forMs));

interface Case extends PairScene {
  readonly owners: Owners;
  readonly plays: readonly Play[];
}

const termOf = async (lab: PairLab): Promise<number> => Math.max(...(await Promise.all(lab.nodes.map(node => node.report()))).map(report => report?.term ?? 0));

/** Everybody sees pictures that are newer than now, on the session that he had. */
async function sees(test: Test, plays: readonly Play[]): Promise<void> {
  const now = performance.now();
  await Promise.all(plays.map((play, i) => until(`pictures of ${i}`, () => (play.markers.at(-1)?.atMs ?? 0) > now, LIMIT_MS)));
  for (const play of plays) test.equal(play.report.ended, undefined);
}

/** One is active and has the address, the other one stands by; nobody was asked to play again. */
async function settled(test: Test, { lab, plays, owners }: Case): Promise<PairNode> {
  const active = lab.other(await lab.ready(60_000));
  test.same([active.serves, lab.other(active).serves], [true, false]);
  await sees(test, plays);
  await owners.overlapMs();
  return active;
}

/** Nothing happens to the pair while that is so. */
async function nothing(test: Test, scene: Case, what: string, during: () => Promise<void>): Promise<void> {
  const active = await settled(test, scene);
  const term = await termOf(scene.lab);
  await during();
  test.match(await active.report(), { role: 'active', term }, what);
  test.equal(await scene.owners.overlapMs(), 0);
  await sees(test, scene.plays);
}

/** With SIGKILL, each as soon as the one before is there again. */
async function killed(node: PairNode, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const daemon = node.daemon(name);
    const before = daemon.restarts;
    daemon.signal('SIGKILL');
    await until(`${name} is started again`, () => daemon.restarts > before, LIMIT_MS);
  }
}

async function stands(test: Test, scene: Case): Promise<void> {
  const { lab } = scene;
  await test.test('fault 98: Redis of the active node is killed: nobody notices', t => nothing(t, scene, 'no switch', async () => {
    await killed(await lab.active(), ['redis']);
  }));

  await test.test('fault 98: every daemon of the standby is killed, one after another: nobody notices', t => nothing(t, scene, 'no switch', async () => {
    await killed(await lab.ready(), ['redis', 'mediad', 'sipd', 'clusterd', 'keepalived']);
    await lab.ready();
  }));

  await test.test('fault 99: the active node stands still: the other one takes over, and it finds out when it wakes', async t => {
    const active = await settled(t, scene);
    const term = await termOf(lab);
    active.freeze(true);
    await lab.taken(active, LIMIT_MS);
    await sees(t, scene.plays);
    t.equal(await termOf(lab), term + 1);
    active.freeze(false);
    await until('it gave the addresses up', () => !active.serves, 2000);
    t.ok((await scene.owners.overlapMs()) > 0, 'the kernel of a node that stands still keeps its addresses');
    t.equal(await settled(t, scene), lab.other(active));
    t.match((await active.report())?.changes[0], { role: 'standby' });
  });
}

async function isLost(test: Test, scene: Case): Promise<void> {
  const { lab } = scene;
  await test.test('fault 103: the standby reaches nobody: it stays what it is, and says so', t => nothing(t, scene, 'no takeover', async () => {
    const standby = await lab.ready();
    standby.filter(...SEVERED);
    await until('it knows', async () => (await standby.report())?.role === 'isolated', LIMIT_MS);
    await sleep(1500);
    standby.filter();
  }));

  await test.test('fault 104: the standby is not heard: nothing changes', t => nothing(t, scene, 'no switch', async () => {
    const standby = await lab.ready();
    standby.filter(...MUTE);
    await until('it is missed', async () => (await lab.active().then(node => node.report()))?.peer.alive === false, LIMIT_MS);
    await sleep(1500);
    standby.filter();
  }));

  await test.test('fault 104: the active one is not heard: it gives way at once', async t => {
    const active = await settled(t, scene);
    active.filter(...MUTE);
    await lab.taken(active, LIMIT_MS);
    await until('one owner', () => !active.serves, 2000);
    const both = await scene.owners.overlapMs();
    t.ok(both <= 1000, `${Math.round(both)} ms of two owners`);
    active.filter();
    t.equal(await settled(t, scene), lab.other(active));
  });

  // For an hour: test/core/cluster/role.test.ts in virtual time, scripts/bench failover --kinds '' --soak 60 --loss 30 in real time.
  await test.test('fault 105: 30 % of heartbeats and adverts are lost', t => nothing(t, scene, 'no switch', async () => {
    for (const node of lab.nodes) node.filter(...lossy(30));
    await sleep(6000);
    for (const node of lab.nodes) node.filter();
  }));

  await test.test('heartbeats and VRRP are filtered on both networks: they go over the stream', t => nothing(t, scene, 'no switch', async () => {
    for (const node of lab.nodes) node.filter('input udp dport 7600 drop', 'input meta l4proto 112 drop');
    const active = await lab.active();
    await until('the stream alone is left', async () => (await active.report())?.peer.paths.map(({ alive }) => alive).join() === 'false,false,true', LIMIT_MS);
    await sleep(1500);
    for (const node of lab.nodes) node.filter();
  }));
}

const MUTE = ['output udp dport 7600 drop', 'output tcp dport 7600 drop', 'output tcp sport 7600 drop', 'output meta l4proto 112 drop'];

async function falls(test: Test, scene: Case): Promise<void> {
  const { lab } = scene;
  await test.test('fault 102: everything that the active node says and hears is dropped, and no interface knows', async t => {
    const active = await settled(t, scene);
    active.filter(...SEVERED);
    await lab.taken(active, LIMIT_MS);
    await until('who was cut off knows it', async () => (await active.report())?.role === 'isolated', LIMIT_MS);
    t.equal(active.serves, false);
    // On a machine that stands still for a moment the margin of 150 ms may be too little; scripts/bench failover says what it really is.
    const both = await scene.owners.overlapMs();
    t.ok(both <= 500, `${Math.round(both)} ms of two owners`);
    active.filter();
    t.equal(await settled(t, scene), lab.other(active));
  });

  await test.test('no path between the two, and both reach the witness: one of them is active, and stays it', async t => {
    const active = await settled(t, scene);
    lab.isolate(true);
    await lab.taken(active, LIMIT_MS);
    await until('the other one gave way', () => !active.serves, 5000);
    t.match((await active.report())?.changes[0], { role: 'standby', why: 'the witness answers the address of the pair somewhere else' });
    const both = await scene.owners.overlapMs();
    t.ok(both <= 2000, `${Math.round(both)} ms of two owners`);
    await sleep(1000 * HOLD_DOWN_S + 2000);
    t.match(await active.report(), { role: 'standby', veto: `${lab.other(active).name} has the address and is not heard` });
    t.equal(await scene.owners.overlapMs(), 0);
    lab.isolate(false);
    t.equal(await settled(t, scene), lab.other(active));
  });

  await test.test('fault 106: the links of the active node come and go: one switch within the hold-down', async t => {
    const active = await settled(t, scene);
    const term = await termOf(lab);
    const beganAt = performance.now();
    for (let i = 0; i < 5; i++) {
      active.filter(...(i % 2 === 0 ? SEVERED : []));
      await sleep(1000);
    }
    active.filter();
    await settled(t, scene);
    const most = 1 + Math.floor((performance.now() - beganAt) / (1000 * HOLD_DOWN_S));
    const switches = (await termOf(lab)) - term;
    t.ok(switches >= 1 && switches <= most, `${switches} switches, at most ${most}`);
  });
}

/** Node B as another release would be, in its own namespace; ends with the scope. */
async function double(node: PairNode, options: Pick<PeerDoubleOptions, 'role' | 'term' | 'stateVersion'>): Promise<AsyncDisposable> {
  const [own, peer] = node.index === 0 ? [LINKS[0], LINKS[1]] : [LINKS[1], LINKS[0]];
  const all: PeerDoubleOptions = { name: own.name, peerName: peer.name, key: PAIR_KEY, port: 7600, paths: [{ local: own.link, remote: peer.link }, { local: own.lan, remote: peer.lan }], ...options };
  const child = spawn('ip', ['netns', 'exec', node.namespace, process.execPath, fileURLToPath(new URL('../rig/peer-double.ts', import.meta.url)), JSON.stringify(all)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function differs(test: Test, scene: Case): Promise<void> {
  const { lab } = scene;
  await test.test('fault 107: the other node is older: it does not get the role', async t => {
    const active = await settled(t, scene);
    const standby = lab.other(active);
    await lab.stop(standby);
    await using _older = await double(standby, { role: 'standby', term: 1, stateVersion: STATE_VERSION - 1 });
    await until('it is heard', async () => (await active.report())?.peer.alive, LIMIT_MS);
    await using clusterd = await active.clusterd();
    await t.rejects(clusterd.call('switchOver', {}), { code: 'NOT_PERMITTED', message: /runs an older release/ });
    t.equal((await active.report())?.role, 'active');
  });

  await test.test('fault 107: the other node was newer, and is gone: who cannot read what it wrote does not take over', async t => {
    const active = await lab.active();
    const standby = lab.other(active);
    {
      await using _newer = await double(standby, { role: 'active', term: 1000, stateVersion: STATE_VERSION + 1 });
      await until('it gives way', async () => (await active.report())?.role === 'standby', LIMIT_MS);
    }
    await sleep(1000 * HOLD_DOWN_S + 1000);
    t.match(await active.report(), { role: 'standby', veto: `${standby.name} writes state that this release cannot read`, peer: { alive: false } });
    t.equal(active.serves, false);
    await lab.revive(standby);
    await lab.ready(60_000);
    t.equal(lab.nodes.filter(node => node.serves).length, 1, 'of one release again');
  });
}

async function run(): Promise<void> {
  t.setTimeout(280_000);
  await t.test('faults of a pair', async t => {
    await using scene = await openPairScene(2, { cluster: { holdDownS: HOLD_DOWN_S } });
    using owners = new Owners(scene.lab);
    await scene.lab.ready(60_000);
    const plays = await Promise.all(scene.ids.map(id => scene.platform.play(id, { transport: 'udp' })));
    await Promise.all(plays.map(play => play.waitFrames(5)));
    const all: Case = { ...scene, owners, plays };
    await stands(t, all);
    await isLost(t, all);
    await falls(t, all);
    await differs(t, all);
    await Promise.all(plays.map(play => play.stop()));
  });
}

if (enterWorld()) await run();
