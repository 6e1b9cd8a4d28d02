/** Runs a fuzz entry over mutated inputs: a throw is a crash, an input that takes longer than 20 ms is slow. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inputAt } from './mutate.ts';

export interface FuzzEntry {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Throws only when the parser is wrong. */
  run(input: Uint8Array): void;
}

export interface Finding {
  readonly kind: 'crash' | 'slow' | 'hang';
  readonly index: number;
  readonly why: string;
  readonly input: Uint8Array;
}

/** R2 in faults.md asks for 20 ms an input. */
export const MAX_INPUT_MS = 20;
/** The machine may be busy with something else: only the best of these counts. */
const ATTEMPTS = 4;
const ENTRIES = join(import.meta.dirname, '../../fuzz');
export const CRASHES = join(import.meta.dirname, '../../../test/vectors/crashes');

export async function loadEntries(): Promise<readonly FuzzEntry[]> {
  const files = readdirSync(ENTRIES).filter(name => name.endsWith('.ts')).sort();
  return Promise.all(files.map(async name => ((await import(join(ENTRIES, name))) as { default: FuzzEntry }).default));
}

export function runInput(entry: FuzzEntry, index: number, input: Uint8Array): Finding | undefined {
  let bestMs = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS && bestMs > MAX_INPUT_MS; attempt++) {
    const began = performance.now();
    try {
      entry.run(input);
    } catch (error) {
      return { kind: 'crash', index, why: String((error as Error).stack ?? error), input };
    }
    bestMs = Math.min(bestMs, performance.now() - began);
  }
  return bestMs > MAX_INPUT_MS ? { kind: 'slow', index, why: `${bestMs.toFixed(1)} ms for ${input.length} bytes`, input } : undefined;
}

export interface RunOptions {
  readonly seed: number;
  readonly first?: number;
  /** Ends the run; asked before each input. */
  readonly more: (index: number) => boolean;
  readonly onFinding: (finding: Finding) => void;
}

/** How many inputs were run. */
export function runEntry(entry: FuzzEntry, { seed, first = 0, more, onFinding }: RunOptions): number {
  let index = first;
  for (; more(index); index++) {
    const finding = runInput(entry, index, inputAt(entry.seeds, seed, index));
    if (finding !== undefined) onFinding(finding);
  }
  return index - first;
}

/** Keeps an input that once broke its parser: the test runs it for ever after. */
export function saveCrash(name: string, input: Uint8Array): string {
  const folder = join(CRASHES, name);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${createHash('sha256').update(input).digest('hex').slice(0, 12)}.bin`);
  writeFileSync(path, input);
  return path;
}

export function savedCrashes(name: string): readonly { readonly file: string; readonly input: Uint8Array }[] {
  const folder = join(CRASHES, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).sort().map(file => ({ file, input: new Uint8Array(readFileSync(join(folder, file))) }));
}
