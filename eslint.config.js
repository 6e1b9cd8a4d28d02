// Lint holds what the compiler cannot: one clock and one dice, import directions, no promise left alone.
import tseslint from 'typescript-eslint';

const TIME = ['Date', 'performance', 'setTimeout', 'setInterval'].map(name => ({ name, message: 'kit/clock is the only caller of time.' }));
const CHANCE = [{ object: 'Math', property: 'random', message: 'kit/random is the only caller of chance.' }];
const NODE = ['node:*', 'fs', 'net', 'dgram', 'os', 'path', 'crypto', 'child_process', 'worker_threads'];

const DAEMONS = ['sipd', 'mediad', 'configd', 'healthd', 'apid', 'firewall'];

/** Who may not be imported from where (design.md 3): alias form and relative form. */
const closed = (message, ...folders) => ({ group: folders.flatMap(folder => [`**/${folder}/**`, `#${folder}/*`]), message });

const directions = {
  core: [{ group: [...NODE, '#kit/*', '#contracts/*', '**/kit/**', '**/contracts/**'], message: 'core imports core only.' }, closed('core imports core only.', ...DAEMONS, 'cli', 'scripts', 'test')],
  contracts: [{ group: [...NODE, '#kit/*', '**/kit/**'], message: 'contracts import types of core only.' }, closed('contracts import types of core only.', ...DAEMONS, 'cli', 'scripts', 'test')],
  kit: [closed('kit knows no daemon.', ...DAEMONS, 'cli', 'scripts', 'test')],
  ...Object.fromEntries(DAEMONS.map(name => [name, [closed('a daemon never imports another one.', ...DAEMONS.filter(other => other !== name), 'cli', 'scripts', 'test')]])),
  cli: [closed('vlink speaks to daemons over RPC.', ...DAEMONS, 'scripts', 'test')],
  scripts: [closed('scripts start daemons, they do not import them.', ...DAEMONS, 'cli', 'test')],
};
const folderOf = { core: 'daemons/core', contracts: 'daemons/contracts', kit: 'daemons/kit', ...Object.fromEntries(DAEMONS.map(name => [name, `daemons/${name}`])), cli: 'cli', scripts: 'scripts' };

export default tseslint.config(
  { ignores: ['node_modules/', '.tsc/', '.tap/', '.cache/', 'demo-out/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: ['error', 'always'],
      'no-console': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-var': 'error',
      'prefer-const': ['error', { destructuring: 'all', ignoreReadBeforeAssign: true }],
      'no-throw-literal': 'error',
      'no-unsafe-finally': 'error',
      'no-unsafe-optional-chaining': 'error',
      'no-constant-binary-expression': 'error',
      'no-self-compare': 'error',
      'no-fallthrough': 'error',
      'no-empty': ['error', { allowEmptyCatch: false }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      // tap runs a top-level subtest whether it is awaited or not.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }] }],
      '@typescript-eslint/no-for-in-array': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  ...Object.entries(directions).map(([name, patterns]) => ({
    files: [`${folderOf[name]}/**/*.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns }] },
  })),
  {
    files: ['daemons/**/*.ts'],
    ignores: ['daemons/kit/clock.ts', 'daemons/kit/random.ts'],
    rules: {
      'no-restricted-globals': ['error', ...TIME],
      'no-restricted-properties': ['error', ...CHANCE],
    },
  },
  { files: ['scripts/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    files: ['test/**/*.ts'],
    rules: {
      'no-restricted-properties': ['error', ...['only', 'skip', 'todo'].map(property => ({ object: 't', property, message: 'Every test runs.' }))],
    },
  },
);
