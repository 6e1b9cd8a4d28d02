import fc from 'fast-check';
import t from 'tap';
import { Dice } from '../../../scripts/lib/dice.ts';
import { ClusterSim, DEAD_MS, type SimNode } from '../../rig/cluster-sim.ts';

const world = (options: Partial<ConstructorParameters<typeof ClusterSim>[0]> = {}): ClusterSim => new ClusterSim({ dice: new Dice(28181), ...options });
const running = (options: Partial<ConstructorParameters<typeof ClusterSim>[0]> = {}): { sim: ClusterSim; active: SimNode; standby: SimNode } => {
  const sim = world(options).run(3000);
  const active = sim.server;
  if (active === undefined) throw new Error('nobody became active');
  return { sim, active, standby: sim.nodes[1 - active.index]! };
};
const whyOf = (node: SimNode): string => node.log.map(({ output }) => output).findLast(output => output.type === 'role')?.why ?? '';

/** Every time that somebody became active, in order. */
const terms = (sim: ClusterSim): { at: number; term: number }[] =>
  sim.nodes.flatMap(node => node.log.flatMap(({ at, output }) => (output.type === 'term' ? [{ at, term: output.term }] : []))).sort((a, b) => a.at - b.at);

t.test('two that start together: one becomes active, at once and alone', async t => {
  const { sim, active, standby } = running();
  t.equal(active.name, 'a', 'of two equals the first by name');
  t.equal(active.automaton.term, 1);
  t.match([standby.automaton.role, standby.automaton.veto], ['standby', 'a is active']);
  t.equal(sim.longestOverlapMs, 0);
});

t.test('one alone becomes active with its witness, and not without', async t => {
  const sim = world();
  sim.kill(sim.nodes[0]);
  t.equal(sim.run(3000).server?.name, 'b');
  const lost = world();
  lost.kill(lost.nodes[0]);
  lost.nodes[1].witness = false;
  t.equal(lost.run(5000).server, undefined);
  t.equal(lost.nodes[1].automaton.role, 'isolated');
  lost.nodes[1].witness = true;
  t.equal(lost.run(3000).server?.name, 'b');
});

t.test('fault 100: the active one loses its power', async t => {
  const { sim, active, standby } = running();
  sim.kill(active);
  sim.longestGapMs = 0;
  sim.run(2000);
  t.equal(sim.server, standby);
  t.equal(standby.automaton.term, 2);
  t.ok(sim.longestGapMs <= 600, `${sim.longestGapMs} ms without service`);
  sim.boot(active);
  sim.run(5000);
  t.equal(sim.server, standby, 'it comes back as standby');
  t.equal(sim.switches, 1);
});

t.test('fault 101: one network is cut, either one', async t => {
  for (const paths of [[0], [1, 2]]) {
    const { sim, active } = running();
    for (const path of paths) sim.cut(1, { path });
    sim.run(60_000);
    t.equal(sim.server, active);
    t.same([sim.switches, sim.longestOverlapMs], [0, 0]);
    t.same(active.watch.view(sim.now as never).paths.map(each => each.alive), [0, 1, 2].map(path => !paths.includes(path)));
  }
});

t.test('fault 102: all links of the active one are cut', async t => {
  const { sim, active, standby } = running();
  sim.cut(1);
  active.witness = false;
  sim.run(3000);
  t.equal(sim.server, standby);
  t.equal(active.automaton.role, 'isolated');
  t.equal(sim.longestOverlapMs, 0, 'who is cut off lets go before the other one takes');
  sim.cut(0);
  active.witness = true;
  sim.run(3000);
  t.equal(sim.server, standby);
  t.equal(active.automaton.role, 'standby');
});

t.test('the datagrams of both networks are filtered, VRRP with them: the stream is enough', async t => {
  const { sim, active } = running();
  sim.cut(1, { path: 0 });
  sim.cut(1, { path: 1 });
  sim.run(60_000);
  t.equal(sim.server, active);
  t.same([sim.switches, sim.longestOverlapMs], [0, 0]);
});

t.test('no path between the two, and both reach the witness: it knows the address of one of them only', async t => {
  const { sim, active, standby } = running();
  sim.cut(1);
  sim.run(3000);
  t.equal(sim.server, standby, 'a death and a cut look the same to the standby');
  t.ok(sim.longestOverlapMs > 0 && sim.longestOverlapMs <= 1000, `${sim.longestOverlapMs} ms of two owners`);
  t.equal(whyOf(active), 'the witness answers the address of the pair somewhere else');
  t.equal(active.automaton.veto, 'b has the address and is not heard');
  sim.longestOverlapMs = 0;
  sim.run(500_000);
  t.same([sim.server, sim.longestOverlapMs, sim.switches], [standby, 0, 1], 'and it stays so');
  sim.cut(0);
  sim.run(5000);
  t.same([sim.server, active.automaton.role, active.automaton.veto], [standby, 'standby', 'b is active']);
  sim.kill(standby);
  sim.run(2000);
  t.equal(sim.server, active, 'heard again, it may take over again');
});

t.test('who left the role to somebody whom it does not hear takes it again in the end', async t => {
  const { sim, active, standby } = running();
  sim.cut(1);
  sim.run(3000);
  sim.kill(standby);
  sim.run(590_000);
  t.equal(sim.server, undefined);
  sim.run(20_000);
  t.equal(sim.server, active);
});

t.test('alone with a witness of which every fifth answer is lost: it keeps the role', async t => {
  const { sim, active, standby } = running();
  sim.kill(standby);
  sim.run(3000);
  sim.witnessLoss = 0.2;
  sim.run(1_800_000);
  t.equal(whyOf(active), 'keepalived gave us the addresses');
  t.equal(sim.server, active);
});

t.test('without a witness: both serve as long as nothing connects them, and one of them right after', async t => {
  const { sim } = running({ hasWitness: false });
  sim.cut(1);
  sim.run(5000);
  t.equal(sim.nodes.filter(node => node.serves).length, 2);
  sim.cut(0);
  sim.run(300);
  t.equal(sim.nodes.filter(node => node.owns).length, 1);
});

t.test('fault 103: the standby loses both links and the witness: no takeover', async t => {
  const { sim, active, standby } = running();
  sim.cut(1);
  standby.witness = false;
  sim.run(30_000);
  t.equal(sim.server, active);
  t.equal(standby.automaton.role, 'isolated');
  t.same([sim.switches, sim.longestOverlapMs], [0, 0]);
});

t.test('fault 104: one direction is lost, either one', async t => {
  const { sim, active, standby } = running();
  sim.cut(1, { from: active.index });
  sim.run(20_000);
  t.equal(sim.server, standby, 'who is heard by nobody gives way to who hears the witness');
  t.equal(sim.switches, 1);
  t.ok(sim.longestOverlapMs <= 100, `${sim.longestOverlapMs} ms of two owners`);
  t.match(whyOf(active), /does not hear us/);
  const other = running();
  other.sim.cut(1, { from: other.standby.index });
  other.sim.run(20_000);
  t.equal(other.sim.server, other.active, 'a standby that is not heard changes nothing');
  t.same([other.sim.switches, other.sim.longestOverlapMs], [0, 0]);
});

t.test('faults 105: lost heartbeats alone switch nothing: 10 % for ten minutes, 30 % for an hour', async t => {
  for (const [loss, forMs] of [[0.1, 600_000], [0.3, 3_600_000]] as const) {
    const { sim, active } = running();
    sim.cut(loss);
    sim.run(forMs);
    t.equal(sim.server, active);
    t.same([sim.switches, sim.longestOverlapMs], [0, 0], `${loss * 100} %`);
  }
});

t.test('fault 106: a link that comes and goes every second', async t => {
  for (const hasWitness of [true, false]) {
    const { sim, active } = running({ hasWitness });
    for (let second = 0; second < 600; second++) {
      sim.cut(second % 2 === 0 ? 1 : 0);
      active.witness = second % 2 !== 0;
      sim.run(1000);
    }
    const taken = terms(sim).map(({ at }) => at).filter(at => at > 3000);
    t.ok(taken.every((at, i) => i === 0 || at - taken[i - 1]! >= 59_000), `taken over at ${taken.join(', ')} ms`);
    if (hasWitness) t.equal(taken.length, 1, 'who has the witness stays');
    sim.cut(0);
    active.witness = true;
    sim.run(70_000);
    t.equal(sim.nodes.filter(node => node.serves).length, 1);
  }
});

t.test('fault 99: the active one stands still and wakes again', async t => {
  const { sim, active, standby } = running();
  sim.freeze(active);
  sim.run(10_000);
  t.equal(sim.server, standby);
  sim.thaw(active);
  sim.longestOverlapMs = 0;
  sim.run(5000);
  t.equal(sim.server, standby);
  t.ok(sim.longestOverlapMs <= 100, `${sim.longestOverlapMs} ms of two owners`);
  t.equal(active.automaton.role, 'standby');
  t.match(whyOf(active), /stood still/);
});

t.test('fault 107: the standby is older: it refuses, by itself and by order', async t => {
  const { sim, active } = running({ stateVersions: [2, 1] });
  t.same(sim.feed(active, { type: 'switch' }).filter(({ type }) => type === 'refused'), [{ type: 'refused', why: 'b runs an older release, which cannot read the state of this one' }]);
  sim.kill(active);
  sim.run(10_000);
  t.equal(sim.server, undefined);
  t.match(sim.nodes[1].automaton.veto, /this release cannot read/);
});

t.test('a planned switch, and another one back', async t => {
  const { sim, active, standby } = running();
  sim.longestGapMs = 0;
  sim.feed(active, { type: 'switch' });
  sim.run(2000);
  t.equal(sim.server, standby);
  t.ok(sim.longestGapMs <= 200, `${sim.longestGapMs} ms without service`);
  t.equal(sim.longestOverlapMs, 0);
  sim.feed(standby, { type: 'switch' });
  sim.run(2000);
  t.equal(sim.server, active, 'an order goes before the hold-down');
  t.match(sim.feed(standby, { type: 'switch' }), [{ type: 'refused', why: 'this node is not active' }]);
});

t.test('a switch to somebody who fails comes back', async t => {
  const { sim, active, standby } = running();
  standby.promotes = false;
  sim.feed(active, { type: 'switch' });
  sim.run(10_000);
  t.equal(sim.server, active);
  t.equal(standby.automaton.role, 'standby');
  standby.fitness = 0;
  sim.run(100);
  t.match(sim.feed(active, { type: 'switch' }), [{ type: 'refused', why: 'b is not fit' }]);
});

t.test('maintenance', async t => {
  const { sim, active, standby } = running();
  sim.feed(active, { type: 'maintenance', on: true });
  sim.run(2000);
  t.equal(sim.server, standby);
  t.equal(active.automaton.role, 'maintenance');
  sim.kill(standby);
  sim.run(10_000);
  t.equal(sim.server, undefined, 'it stays out until it is told otherwise');
  sim.feed(active, { type: 'maintenance', on: false });
  sim.run(70_000);
  t.equal(sim.server, active);
  t.match(sim.feed(active, { type: 'maintenance', on: true }), [{ type: 'refused', why: 'b is not heard' }]);
});

t.test('fitness: a moment of weakness changes nothing, a lasting one does, and not to and fro', async t => {
  const { sim, active, standby } = running();
  sim.run(61_000);
  active.fitness = 0;
  sim.run(1000);
  active.fitness = 100;
  sim.run(5000);
  t.equal(sim.switches, 0);
  active.fitness = 0;
  sim.run(5000);
  t.equal(sim.server, standby);
  active.fitness = 100;
  standby.fitness = 60;
  sim.run(20_000);
  t.equal(sim.server, standby, 'held down');
  sim.run(60_000);
  t.equal(sim.server, active);
  t.equal(sim.longestOverlapMs, 0);
});

t.test('keepalived dies under the active one', async t => {
  const { sim, active } = running();
  active.vrrp = 'stopped';
  sim.feed(active, { type: 'vrrp', state: 'stopped' });
  sim.run(100);
  t.equal(active.automaton.role, 'standby');
  t.match(whyOf(active), /keepalived is gone/);
});

/** What may happen to a pair, for how long. */
const FAULTS = ['nothing', 'kill', 'freeze', 'cut-0', 'cut-1', 'deaf', 'mute', 'lossy', 'isolate', 'split', 'unfit', 'switch'] as const;
const faults = fc.array(fc.record({ fault: fc.constantFrom(...FAULTS), node: fc.constantFrom(0, 1), forMs: fc.integer({ min: 20, max: 4000 }), restMs: fc.integer({ min: 0, max: 4000 }) }), { minLength: 1, maxLength: 12 });

function strike(sim: ClusterSim, fault: (typeof FAULTS)[number], node: SimNode): void {
  if (fault === 'kill') sim.kill(node);
  if (fault === 'freeze') sim.freeze(node);
  if (fault === 'cut-0') sim.cut(1, { path: 0 });
  if (fault === 'cut-1') sim.cut(1, { path: 1 });
  if (fault === 'deaf') sim.cut(1, { from: 1 - node.index });
  if (fault === 'mute') sim.cut(1, { from: node.index });
  if (fault === 'lossy') sim.cut(0.5);
  if (fault === 'isolate' || fault === 'split') sim.cut(1);
  if (fault === 'isolate') node.witness = false;
  if (fault === 'unfit') node.fitness = 0;
  if (fault === 'switch') sim.feed(node, { type: 'switch' });
}

function heal(sim: ClusterSim): void {
  sim.cut(0);
  for (const node of sim.nodes) {
    node.witness = true;
    node.fitness = 100;
    if (node.state === 'dead') sim.boot(node);
    else sim.thaw(node);
  }
}

t.test('whatever happens: never two owners for longer than a second, terms only grow, and one serves when all is well again', async t => {
  fc.assert(
    fc.property(faults, fc.integer({ min: 1, max: 1_000_000 }), (course, seed) => {
      const sim = new ClusterSim({ dice: new Dice(seed) }).run(3000);
      for (const { fault, node, forMs, restMs } of course) {
        strike(sim, fault, sim.nodes[node]);
        sim.run(forMs);
        heal(sim);
        sim.run(restMs);
      }
      sim.run(15_000);
      const taken = terms(sim);
      if (taken.some(({ term }, i) => i > 0 && term < taken[i - 1]!.term)) throw new Error(`terms ${JSON.stringify(taken)}`);
      if (sim.longestOverlapMs > 1000) throw new Error(`two owners for ${sim.longestOverlapMs} ms`);
      if (sim.nodes.filter(node => node.serves).length !== 1) throw new Error(`${sim.nodes.map(node => `${node.name} ${node.automaton.role} ${node.vrrp} ${node.automaton.veto ?? 'free'}`).join(', ')}`);
    }),
    { numRuns: 150, seed: 28181 },
  );
  t.ok(DEAD_MS < 1000);
});
