/** One entry in a thread of its own, so that an input that never returns can be told from one that takes long. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadEntries, runEntry } from './runner.ts';

const { name, seed, first, seconds, progress } = workerData as { name: string; seed: number; first: number; seconds: number; progress: Int32Array };
const entry = (await loadEntries()).find(candidate => candidate.name === name);
if (entry === undefined || parentPort === null) throw new Error(`no fuzz entry ${name}`);
const until = performance.now() + seconds * 1000;
const count = runEntry(entry, {
  seed,
  first,
  more: index => {
    Atomics.store(progress, 0, index);
    return performance.now() < until;
  },
  onFinding: finding => parentPort?.postMessage({ finding }),
});
parentPort.postMessage({ count });
