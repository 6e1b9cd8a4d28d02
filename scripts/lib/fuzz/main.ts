/** scripts/fuzz/run NAME|all [--seconds N] [--seed S]: exit code 1 when something was found; findings are kept under test/vectors/crashes. */
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { inputAt } from './mutate.ts';
import { loadEntries, saveCrash, type Finding, type FuzzEntry } from './runner.ts';

const HANG_MS = 5000;
const MAX_FINDINGS = 20;

interface Outcome {
  readonly count: number;
  readonly findings: readonly Finding[];
}

/** Ends after its time, at the first hang, or when enough was found. */
function fuzz(entry: FuzzEntry, seed: number, seconds: number): Promise<Outcome> {
  const progress = new Int32Array(new SharedArrayBuffer(4));
  const findings: Finding[] = [];
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { name: entry.name, seed, first: 0, seconds, progress } });
  return new Promise((resolve, reject) => {
    let last = -1;
    const end = (count: number): void => {
      clearInterval(watch);
      void worker.terminate().then(() => resolve({ count, findings }));
    };
    const watch = setInterval(() => {
      const index = Atomics.load(progress, 0);
      if (index !== last) return void (last = index);
      findings.push({ kind: 'hang', index, why: `no end after ${HANG_MS} ms`, input: inputAt(entry.seeds, seed, index) });
      end(index);
    }, HANG_MS);
    worker.on('message', (message: { finding?: Finding; count?: number }) => {
      if (message.finding !== undefined && findings.push(message.finding) >= MAX_FINDINGS) end(message.finding.index);
      if (message.count !== undefined) end(message.count);
    });
    worker.once('error', reject);
  });
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string', default: String(Date.now() % 2 ** 31) } } });
const entries = await loadEntries();
const wanted = positionals[0] ?? 'all';
const chosen = entries.filter(entry => wanted === 'all' || entry.name === wanted);
if (chosen.length === 0) {
  console.error(`no fuzz entry ${wanted}; there are: ${entries.map(entry => entry.name).join(' ')}`);
  process.exit(64);
}
const seed = Number(values.seed);
for (const entry of chosen) {
  const { count, findings } = await fuzz(entry, seed, Number(values.seconds));
  console.log(`${entry.name}: ${count} inputs, seed ${seed}, ${findings.length} findings`);
  for (const { kind, index, why, input } of findings) {
    process.exitCode = 1;
    console.log(`  ${kind} at input ${index}, kept as ${saveCrash(entry.name, input)}\n    ${why.replaceAll('\n', '\n    ')}`);
  }
}
