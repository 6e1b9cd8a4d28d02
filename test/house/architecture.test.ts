import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { filesUnder, importsOf, layerOf, lineOf, packagesOf, percentile, ROOT, SOURCES, textOf, treeOf, visit } from './sources.ts';

const FOUNDATION = ['core', 'contracts', 'kit'];
const DAEMONS = filesUnder('daemons').filter(path => path.endsWith('/main.ts')).map(layerOf);
/** Who may import whom (design.md 3); everybody may import itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  contracts: ['core'],
  kit: ['core', 'contracts'],
  ...Object.fromEntries(DAEMONS.map(daemon => [daemon, FOUNDATION])),
  // For others: it must stand alone.
  client: [],
  cli: FOUNDATION,
  scripts: FOUNDATION,
  test: [...FOUNDATION, ...DAEMONS, 'client', 'cli', 'scripts'],
};
const CORE_PACKAGES = ['zod'];
/** Names of time, chance, IO and Node that core must not know. */
const IMPURE = new Set(['Date', 'performance', 'process', 'Buffer', 'console', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'TextEncoder', 'TextDecoder', 'crypto', 'fetch', 'require', 'globalThis', 'Promise']);
const MAX_FILE_P95 = 300;
const MAX_FUNCTION_P95 = 35;

const own = SOURCES.filter(path => layerOf(path) in MAY_IMPORT);

t.test('every source lies in a known layer, and imports only what exists there', async t => {
  t.same(SOURCES.filter(path => !own.includes(path)), []);
  t.ok(own.length > 50 && DAEMONS.length >= 1, `${own.length} sources, daemons ${DAEMONS.join(', ')}`);
  t.same(own.flatMap(path => importsOf(path).filter(target => !existsSync(join(ROOT, target))).map(target => `${path} -> ${target}`)), []);
});

t.test('import directions', async t => {
  const wrong = own.flatMap(path => importsOf(path).filter(target => layerOf(target) !== layerOf(path) && !MAY_IMPORT[layerOf(path)]!.includes(layerOf(target))).map(target => `${path} -> ${target}`));
  t.same(wrong, []);
});

t.test('packages: core knows two, contracts none, what ships uses what is installed with it', async t => {
  const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> };
  const shipped = own.filter(path => [...FOUNDATION, ...DAEMONS, 'cli'].includes(layerOf(path)));
  const mayUse = (layer: string, name: string): boolean => {
    if (layer === 'core') return CORE_PACKAGES.includes(name);
    return layer !== 'contracts' && (name.startsWith('node:') || Object.keys(dependencies).some(known => name === known || name.startsWith(`${known}/`)));
  };
  t.same(shipped.flatMap(path => packagesOf(path).filter(name => !mayUse(layerOf(path), name)).map(name => `${path} -> ${name}`)), []);
});

t.test('core is deaf and blind', async t => {
  const found: string[] = [];
  for (const path of own.filter(path => layerOf(path) === 'core')) {
    visit(treeOf(path), node => {
      if (!ts.isIdentifier(node)) return;
      const isMember = (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node) || (ts.isPropertyAssignment(node.parent) && node.parent.name === node) || ts.isPropertySignature(node.parent);
      const isChance = node.text === 'random' && ts.isPropertyAccessExpression(node.parent) && node.parent.expression.getText() === 'Math';
      if (isChance || (IMPURE.has(node.text) && !isMember)) found.push(`${path}:${lineOf(node)} ${node.text}`);
    });
  }
  t.same(found, []);
});

t.test('contracts are types only', async t => {
  for (const path of own.filter(path => layerOf(path) === 'contracts')) {
    const values = treeOf(path).statements.filter(statement => !ts.isInterfaceDeclaration(statement) && !ts.isTypeAliasDeclaration(statement) && !(ts.isImportDeclaration(statement) && statement.importClause?.isTypeOnly === true));
    t.same(values.map(statement => `${path}:${lineOf(statement)}`), []);
  }
});

t.test('no import cycle', async t => {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') return void cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    state.set(path, 'open');
    for (const target of importsOf(path)) walk(target, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of own) walk(path, []);
  t.same(cycles, []);
});

t.test('every project is built, with core and contracts without Node', async t => {
  const referenced = (JSON.parse(textOf('tsconfig.json')) as { references: { path: string }[] }).references.map(reference => reference.path);
  const folders = new Set(own.map(path => (path.startsWith('daemons/') ? path.split('/').slice(0, 2).join('/') : path.split('/')[0]!)));
  for (const folder of folders) t.ok(referenced.includes(folder), `${folder} is a reference of tsconfig.json`);
  for (const [folder, types] of [['daemons/core', []], ['daemons/contracts', []], ['daemons/kit', ['node']]] as const) {
    const { compilerOptions } = JSON.parse(textOf(`${folder}/tsconfig.json`)) as { compilerOptions: { types: string[] } };
    t.same(compilerOptions.types, types, folder);
  }
});

t.test('small files, small functions', async t => {
  const sources = own.filter(path => layerOf(path) !== 'test');
  const lines = sources.map(path => textOf(path).split('\n').length - 1);
  const fileP95 = percentile(lines, 0.95);
  t.ok(fileP95 <= MAX_FILE_P95, `files: p95 ${fileP95}, max ${Math.max(...lines)} lines`);
  const functions: number[] = [];
  for (const path of sources) {
    visit(treeOf(path), node => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) functions.push(1 + node.getSourceFile().getLineAndCharacterOfPosition(node.end).line - node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line);
    });
  }
  const functionP95 = percentile(functions, 0.95);
  t.ok(functionP95 <= MAX_FUNCTION_P95, `functions: p95 ${functionP95}, max ${Math.max(...functions)} lines`);
});

/** Exports of core that read what peers send. */
const READS_INPUT = /^(parse|decode|read|demux|unpack|depacketi[sz]e)[A-Z]|^(?:[A-Z]\w*)?(Parser|Framer|Demuxer|Deframer|Reader)$/;

t.test('every parser of core is reached by a fuzz entry', async t => {
  const reached = new Set<string>();
  const walk = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const target of importsOf(path)) walk(target);
  };
  for (const path of own.filter(path => path.startsWith('scripts/fuzz/'))) walk(path);
  const parsers = own.filter(path => layerOf(path) === 'core').filter(path => exportsOf(path).some(name => READS_INPUT.test(name)));
  t.ok(parsers.length > 0);
  t.same(parsers.filter(path => !reached.has(path)), []);
});

function exportsOf(path: string): readonly string[] {
  return treeOf(path).statements.flatMap(statement => {
    if (!ts.canHaveModifiers(statement) || !ts.getModifiers(statement)?.some(modifier => modifier.kind === ts.SyntaxKind.ExportKeyword)) return [];
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(declaration => declaration.name.getText());
    return (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name !== undefined ? [statement.name.text] : [];
  });
}
