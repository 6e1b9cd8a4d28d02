/** The repository as data for the house tests: files, and what their syntax trees say. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import ts from 'typescript';

export const ROOT = join(import.meta.dirname, '../..');
const NOT_OURS = new Set(['node_modules', '.git', '.tsc', '.tap', '.cache', 'demo-out']);

export function filesUnder(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap(entry => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(path);
    return entry.isFile() ? [path] : [];
  });
}

export const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

export const ALL_FILES = filesUnder('.');
export const SOURCES = ALL_FILES.filter(path => path.endsWith('.ts'));

const trees = new Map<string, ts.SourceFile>();
export function treeOf(path: string): ts.SourceFile {
  let tree = trees.get(path);
  if (tree === undefined) trees.set(path, (tree = ts.createSourceFile(path, textOf(path), ts.ScriptTarget.ESNext, true)));
  return tree;
}

/** Every module that a file names: import, export from, import(), types included. */
export const specifiersOf = (path: string): readonly string[] => ts.preProcessFile(textOf(path), true, true).importedFiles.map(file => file.fileName);

const ALIASES: Readonly<Record<string, string>> = { '#core': 'daemons/core', '#kit': 'daemons/kit', '#contracts': 'daemons/contracts' };

/** Repository path of an import, or undefined for packages and Node's own modules. */
export function resolve(from: string, specifier: string): string | undefined {
  const alias = /^(#[a-z]+)\/(.+)$/.exec(specifier);
  if (alias !== null) return posix.join(ALIASES[alias[1]!] ?? `unknown alias ${specifier}`, alias[2]!);
  return specifier.startsWith('.') ? relative(ROOT, join(ROOT, dirname(from), specifier)) : undefined;
}

export const importsOf = (path: string): readonly string[] => specifiersOf(path).flatMap(specifier => resolve(path, specifier) ?? []);
export const packagesOf = (path: string): readonly string[] => specifiersOf(path).filter(specifier => resolve(path, specifier) === undefined);

/** `core`, `kit`, `sipd` ... , `cli`, `scripts`, `test`; the first folder otherwise. */
export function layerOf(path: string): string {
  const parts = path.split('/');
  return parts[0] === 'daemons' ? parts[1]! : parts[0]!;
}

export function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, child => visit(child, see));
}

export const lineOf = (node: ts.Node): number => node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1;

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
