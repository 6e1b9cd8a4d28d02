/** One configuration on two nodes: whatever dies or is cut, they come to the same, and nothing that was answered is lost. */
import fc from 'fast-check';
import t from 'tap';
import { changedKinds, localSteps } from '#core/config/local-keys.ts';
import { MAX_TRAIL, moveLine, precedence } from '#core/config/line.ts';
import { LineSim, type LineNode } from '../../rig/line-sim.ts';

const SETTLE_MS = 6000;
const inStep = ({ a, b }: LineSim): boolean => a.disk.line.trail[0] === b.disk.line.trail[0] && a.mark() === b.mark();

t.test('a node that joins takes the configuration of the active one, and what it had before is no conflict', async t => {
  const sim = new LineSim();
  sim.commit(sim.a);
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
  t.same(sim.b.texts, ['commit 1', 'as it was found']);
  t.equal(sim.b.rows[1]!.author.user, 'a');
  t.same(sim.a.asides, []);
});

t.test('a commit is there within two seconds, in order, and the other one knows it', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  for (let i = 0; i < 5; i++) sim.commit(sim.a);
  sim.run(2000);
  t.same(sim.b.texts.slice(0, 5), ['commit 5', 'commit 4', 'commit 3', 'commit 2', 'commit 1']);
  t.ok(sim.acknowledged.includes('commit 5'));
});

t.test('the active node dies with a commit that the other one has not: it is in force when it is back', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  sim.cut = true;
  sim.commit(sim.a);
  sim.run(100);
  sim.kill(sim.a);
  sim.activate(sim.b);
  sim.cut = false;
  sim.boot(sim.a);
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
  t.equal(sim.b.texts[0], 'commit 1');
  t.equal(sim.b.disk.current, 2);
});

t.test('both changed while they were apart: the higher term stays, the other revisions stand behind it on both', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  sim.cut = true;
  sim.run(1000);
  sim.commit(sim.a, 'old');
  sim.activate(sim.b, true);
  sim.commit(sim.b, 'new');
  sim.commit(sim.a, 'old');
  sim.a.active = false;
  sim.cut = false;
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
  t.same(sim.a.texts, ['old 3', 'old 1', 'new 2', 'as it was found']);
  t.equal(sim.a.rows.find(({ revision }) => revision === sim.a.disk.current)!.reason, 'new 2');
  t.same([sim.a.asides, sim.b.asides], [[3, 4], [3, 4]]);
  sim.commit(sim.b);
  sim.run(SETTLE_MS);
  t.same([sim.a.asides, sim.b.asides], [[], []], 'somebody looked');
});

t.test('a commit at the very moment in which those of the other node are taken', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  sim.cut = true;
  sim.run(50);
  sim.commit(sim.b, 'by hand');
  sim.cut = false;
  sim.run(50);
  while (sim.a.following.phase !== 'taking') sim.run(50);
  sim.commit(sim.a);
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
  t.same([...sim.a.texts].sort(), ['as it was found', 'by hand 1', 'commit 2']);
  t.equal(sim.a.rows.find(({ revision }) => revision === sim.a.disk.current)!.reason, 'commit 2', 'that of the active node is in force');
});

t.test('a revision of a newer release is held, asked for once, and taken when it can be', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  sim.b.old = true;
  sim.commit(sim.a, 'newer');
  sim.run(SETTLE_MS);
  t.equal(sim.b.following.held, 'of a newer release');
  t.same(sim.b.texts, ['as it was found']);
  t.equal(sim.a.texts.length, 2, 'and who has it is not asked to give it up');
  sim.kill(sim.b);
  sim.b.old = false;
  sim.boot(sim.b);
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
  t.equal(sim.b.following.held, null);
});

t.test('nobody is active and both changed at the same term: each waits for somebody to be', async t => {
  const sim = new LineSim().run(SETTLE_MS);
  sim.cut = true;
  sim.run(1000);
  sim.a.active = false;
  sim.commit(sim.a);
  sim.commit(sim.b);
  sim.cut = false;
  sim.run(SETTLE_MS);
  t.equal(sim.a.following.found, 'undecided');
  t.notOk(inStep(sim));
  sim.activate(sim.b);
  sim.run(SETTLE_MS);
  t.ok(inStep(sim));
});

type Move = 'commit' | 'commit-other' | 'cut' | 'heal' | 'switch' | 'split' | 'kill' | 'boot' | 'wait';
const moves = fc.array(fc.tuple(fc.constantFrom<Move>('commit', 'commit', 'commit-other', 'commit-other', 'cut', 'cut', 'heal', 'switch', 'split', 'split', 'kill', 'boot', 'wait'), fc.integer({ min: 0, max: 1 }), fc.integer({ min: 50, max: 3000 })), { maxLength: 40 });

function play(sim: LineSim, move: Move, node: LineNode): void {
  const peer = sim.other(node);
  const active = sim.nodes.find(one => one.up && one.active);
  if (move === 'commit' && active !== undefined) sim.commit(active);
  // By hand, on a node that is not the active one.
  if (move === 'commit-other' && node.up && sim.cut) sim.commit(node);
  if (move === 'cut') sim.cut = true;
  if (move === 'heal') sim.cut = false;
  if (move === 'switch' && node.up) sim.activate(node);
  // Two that are active: without a witness.
  if (move === 'split' && sim.cut && node.up) sim.activate(node, true);
  if (move === 'kill' && peer.up) {
    sim.kill(node);
    if (!peer.active) sim.activate(peer);
  }
  if (move === 'boot') sim.boot(node);
}

t.test('whatever happens: the same in the end, every commit there, and none twice', async t => {
  let conflicts = 0;
  fc.assert(
    fc.property(moves, steps => {
      const sim = new LineSim().run(SETTLE_MS);
      for (const [move, index, waitMs] of steps) {
        play(sim, move, sim.nodes[index]!);
        sim.run(waitMs);
      }
      sim.cut = false;
      for (const node of sim.nodes) sim.boot(node);
      // Roles settle before everything else does.
      sim.activate(sim.nodes.find(node => node.active) ?? sim.a);
      sim.run(2 * SETTLE_MS);
      if (!inStep(sim)) throw new Error(`not the same: ${sim.a.texts.join()} and ${sim.b.texts.join()}`);
      if (sim.a.disk.current !== sim.b.disk.current) throw new Error('another one in force');
      const reasons = sim.a.texts;
      const lost = sim.acknowledged.filter(reason => !reasons.includes(reason));
      if (lost.length > 0) throw new Error(`lost: ${lost.join()}`);
      const committed = [...new Set(sim.nodes.flatMap(({ inForce }) => inForce))].length;
      if (new Set(reasons).size !== reasons.length) throw new Error(`twice: ${reasons.join()}`);
      if (reasons.length < committed - 1) throw new Error(`${committed} were in force, ${reasons.length} are kept`);
      if (sim.a.rows.some(({ aside }) => aside !== null)) conflicts += 1;
      const numbers = sim.a.rows.map(({ revision }) => revision).reverse();
      if (numbers.some((revision, i) => revision !== i + 1)) throw new Error(`numbers are skipped: ${numbers.join()}`);
    }),
    { numRuns: 1000 },
  );
  t.ok(conflicts > 10, `${conflicts} runs had a conflict`);
});

t.test('precedence of one is never that of both', async t => {
  const line = fc.record({ term: fc.integer({ min: 0, max: 3 }), trail: fc.array(fc.constantFrom('u', 'v', 'w', 'x'), { minLength: 1, maxLength: 4 }), active: fc.boolean() });
  const opposite = { same: 'same', theirs: 'ours', ours: 'theirs', yield: 'prevail', prevail: 'yield', undecided: 'undecided' } as const;
  fc.assert(fc.property(line, line, (own, peer) => opposite[precedence(own, peer)] === precedence(peer, own)));
  const long = Array.from({ length: 2 * MAX_TRAIL }, (_, i) => `${i}`).reduce((moved, mark) => moveLine(moved, mark, 1), { met: true, term: 0, trail: ['begin'] } as Parameters<typeof moveLine>[0]);
  t.match([long.trail.length, long.trail[0], long.term], [MAX_TRAIL, `${2 * MAX_TRAIL - 1}`, 1]);
});

t.test('what belongs to a machine stays on it', async t => {
  const a = { node: { name: 'a' }, api: { listen: [{ address: '10.0.0.1' }], tokenMinutes: 5 }, sip: { id: '1' } };
  const b = { node: { name: 'b' }, cluster: { interface: 'eno1' } };
  t.same(localSteps(a, b), [{ op: 'set', path: 'node', value: { name: 'b' } }, { op: 'delete', path: 'api.listen' }, { op: 'set', path: 'cluster.interface', value: 'eno1' }]);
  t.same(localSteps(a, a), []);
  t.same(changedKinds(a, { ...a, node: { name: 'c' } }), { local: true, shared: false });
  t.same(changedKinds(b, { ...b, api: { listen: [] } }), { local: true, shared: false });
  t.same(changedKinds(a, { ...a, api: { ...a.api, tokenMinutes: 6 } }), { local: false, shared: true });
  t.same(changedKinds(a, { ...a, api: { listen: [], tokenMinutes: 6 } }), { local: true, shared: true });
  t.same(changedKinds(a, a), { local: false, shared: false });
});
