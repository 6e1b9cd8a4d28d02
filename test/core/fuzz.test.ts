import t from 'tap';
import { inputAt } from '../../scripts/lib/fuzz/mutate.ts';
import { loadEntries, runEntry, runInput, savedCrashes, type Finding } from '../../scripts/lib/fuzz/runner.ts';

const INPUTS_PER_ENTRY = 2000;
const SEED = 28181;

const entries = await loadEntries();

t.test('entries are told apart and have something to begin with', async t => {
  t.ok(entries.length > 0);
  t.equal(new Set(entries.map(entry => entry.name)).size, entries.length);
  for (const entry of entries) t.ok(entry.seeds.length > 0, entry.name);
});

t.test('the same seed gives the same inputs, another gives others', async t => {
  const seeds = [Uint8Array.of(1, 2, 3, 0x31, 0x32), Uint8Array.of(9, 9)];
  const run = (seed: number): string => JSON.stringify(Array.from({ length: 200 }, (_, index) => [...inputAt(seeds, seed, index)]));
  t.equal(run(1), run(1));
  t.not(run(1), run(2));
});

t.test('the runner sees a crash and a slow input', async t => {
  const findings: Finding[] = [];
  const entry = { name: 'x', seeds: [Uint8Array.of(1)], run: (input: Uint8Array) => { if (input.length > 3) throw new Error('too long'); } };
  runEntry(entry, { seed: 1, more: index => index < 500, onFinding: finding => findings.push(finding) });
  t.ok(findings.length > 0 && findings.every(finding => finding.kind === 'crash' && /too long/.test(finding.why)));
  const slow = { ...entry, run: () => { const until = performance.now() + 25; while (performance.now() < until); } };
  t.equal(runInput(slow, 0, new Uint8Array(1))?.kind, 'slow');
});

t.test(`${INPUTS_PER_ENTRY} mutated inputs each, and every input that once broke something`, async t => {
  for (const entry of entries) {
    const findings: Finding[] = [];
    for (const { input } of savedCrashes(entry.name)) findings.push(...[runInput(entry, -1, input)].filter(finding => finding !== undefined));
    runEntry(entry, { seed: SEED, more: index => index < INPUTS_PER_ENTRY && findings.length < 5, onFinding: finding => findings.push(finding) });
    t.same(findings.map(({ kind, index, why }) => `${kind} at ${index}: ${why}`), [], entry.name);
  }
});
