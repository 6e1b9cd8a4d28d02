/** Machines as text (test/vectors/sysroot): laid out as files for `--sysroot`, one over the other. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const VECTORS = join(import.meta.dirname, '../vectors/sysroot');

/** Writes the files of these machines under `root`, the later over the earlier. */
export function layOut(root: string, ...names: readonly string[]): void {
  for (const name of names) for (const [path, text] of filesOf(name)) putFile(root, path, text);
}

export function putFile(root: string, path: string, text: string | null): void {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  if (text === null) rmSync(target, { force: true });
  else writeFileSync(target, text);
}

export function filesOf(name: string): ReadonlyMap<string, string> {
  const [, ...parts] = readFileSync(join(VECTORS, `${name}.txt`), 'utf8').split(/^== (?=\/)/m);
  return new Map(parts.map(part => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)] as const));
}
