import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { GatewayError } from '#core/result.ts';
import { ConfigStore, formatProblem, loadConfig, loadConfigOrThrow, parseConfig } from '#kit/config-store.ts';

const parse = (text: string | Uint8Array): ReturnType<typeof parseConfig> => parseConfig(typeof text === 'string' ? new TextEncoder().encode(text) : text);

function fileIn(test: Test, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'vl-config-'));
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'gateway.yaml');
  writeFileSync(path, text);
  return path;
}

const GOOD = `# ours
sip:
  id: "34020000002000000001"
  listen:
    - {transport: udp, address: 127.0.0.1, port: 5060}
    - transport: tcp
      address: 127.0.0.1
devices:
  known:
    - id: 34020000001110000001
      password: 0012345678
`;

t.test('a good file, with IDs and passwords that look like numbers', async t => {
  const result = parse(GOOD);
  t.ok(result.ok);
  if (!result.ok) return;
  t.equal(result.config.sip.listen[1]?.port, 5060);
  t.equal(result.config.devices.known[0]?.id, '34020000001110000001', 'all 20 digits');
  t.equal(result.config.devices.known[0]?.password, '0012345678', 'as written');
  t.ok(parse('# only comments\n').ok);
  t.ok(parse('{"log": {"level": "debug"}}').ok, 'JSON is YAML');
});

/** Fault 91: name, text, and line, path and reason of every problem. */
const BAD: readonly (readonly [string, string | Uint8Array, readonly (readonly [number, string, RegExp])[]])[] = [
  ['empty', '', [[0, '', /empty/]]],
  ['cut off in a word', GOOD.slice(0, -8), [[11, '', /cut off/]]],
  ['cut off in a flow', 'sip:\n  listen: [{transport: udp,\n', [[3, '', /end with a }/], [3, '', /end with a \]/]]],
  ['cut off in a string', 'node:\n  name: "ga\n', [[3, '', /quote/]]],
  ['cut off after a key', 'node:\n  name: a\nupstreams:\n', [[3, 'upstreams', /expected a list/]]],
  ['NUL', 'node:\n  name: a\n\0\n', [[3, '', /0x00/]]],
  ['escape character', 'node: {name: "\x1b[2J"}\n', [[1, '', /0x1b/]]],
  ['not UTF-8', Uint8Array.from([...new TextEncoder().encode('node:\n  name: '), 0xff, 0xfe, 0x0a]), [[2, '', /UTF-8/]]],
  ['wrong type', 'sip:\n  listen: yes\n', [[2, 'sip.listen', /expected a list/]]],
  ['a list instead of a map', '- sip\n', [[1, '', /expected keys with values/]]],
  ['a number out of bounds', 'devices:\n  media:\n    silenceS: 0\n', [[3, 'devices.media.silenceS', />=2|2/]]],
  ['a fraction', 'media:\n  instances: 1.5\n', [[2, 'media.instances', /whole number/]]],
  ['unknown key', 'sip:\n  dateheader: true\n', [[2, 'sip.dateheader', /did you mean dateHeader/]]],
  ['unknown key, nothing like it', 'log:\n  file: x\n', [[2, 'log.file', /known here: level/]]],
  ['unknown section', 'node: {name: a}\nsipp: {}\n', [[2, 'sipp', /did you mean sip\?/]]],
  ['unknown key in a list', 'upstreams:\n  - name: a\n    id: "1"\n    address: 127.0.0.1\n    localId: "2"\n    pasword: x\n', [[6, 'upstreams[0].pasword', /did you mean password/]]],
  ['duplicate key', 'node:\n  name: a\n  name: b\n', [[3, '', /unique/]]],
  ['duplicate port', 'sip:\n  listen:\n    - {transport: udp, address: 127.0.0.1}\n    - transport: udp\n      address: 127.0.0.1\n      port: 5060\n', [[6, 'sip.listen[1].port', /already taken/]]],
  ['duplicate port, by default', 'sip:\n  listen:\n    - {transport: udp, address: 127.0.0.1}\n    - {transport: udp, address: 127.0.0.1}\n', [[4, 'sip.listen[1].port', /already taken/]]],
  ['duplicate device', 'devices:\n  known:\n    - {id: "1", password: x}\n    - {id: "1", password: y}\n', [[4, 'devices.known[1].id', /entry 1/]]],
  ['missing key', 'devices:\n  known:\n    - password: x\n', [[3, 'devices.known[0].id', /is missing: expected text/]]],
  ['two at once', 'log: {level: loud}\nmedia:\n  instances: many\n', [[3, 'media.instances', /number/], [1, 'log.level', /trace/]]],
  ['a polluting key', '__proto__: {polluted: true}\n', [[1, '__proto__', /unknown key/]]],
  ['alias bomb', `a: &a [1,1,1,1,1,1,1,1]\n${'bcdefgh'.split('').map((key, i) => `${key}: &${key} [${Array(8).fill(`*${'abcdefg'[i]}`).join(',')}]`).join('\n')}\n`, [[1, '', /alias/]]],
  ['explicit keys', '? a\n: b\n', [[1, '', /\?/]]],
  ['several documents', 'node: {name: a}\n---\nnode: {name: b}\n', [[2, '', /document/]]],
];

t.test('fault 91: every bad file is refused with its lines', async t => {
  for (const [name, text, expected] of BAD) {
    const result = parse(text);
    t.notOk(result.ok, name);
    if (result.ok) continue;
    t.same(result.problems.map(({ line, path }) => [line, path]), expected.map(([line, path]) => [line, path]), `${name}: ${result.problems.map(formatProblem).join('; ')}`);
    for (const [i, [, , why]] of expected.entries()) t.match(result.problems[i]?.why, why, name);
  }
  t.notOk('polluted' in {}, 'no prototype was touched');
  t.equal(formatProblem({ line: 3, column: 1, path: 'a.b', why: 'no' }), 'line 3, a.b: no');
  t.equal(formatProblem({ line: 0, column: 0, path: '', why: 'no' }), 'no');
});

t.test('no secret in a problem', async t => {
  const canary = 'CANARY-5f1c';
  for (const text of [`devices:\n  known:\n    - {id: "1", ha1: ${canary}}\n`, `devices:\n  known:\n    - {id: "1", password: [${canary}]}\n`, `devices:\n  known:\n    - {id: "1", password: ${canary}: x}\n`, `upstreams:\n  - password: "${canary}\n`]) {
    const result = parse(text);
    t.notOk(result.ok);
    if (!result.ok) t.notMatch(JSON.stringify(result.problems), canary);
  }
});

t.test('any bytes give an answer', async t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => typeof parse(bytes).ok === 'boolean'), { numRuns: 300 });
  const pieces = fc.constantFrom('sip:', 'listen:', '\n', '  ', '- ', '{', '}', '[', ']', '&a ', '*a', '"', "'", '#', '|', '>', ': ', '? ', '!!str', '~', '1e999', 'id: 5', '<<: *a');
  fc.assert(fc.property(fc.array(pieces, { maxLength: 40 }), parts => typeof parse(`${parts.join('')}\n`).ok === 'boolean'), { numRuns: 500 });
  t.pass('no throw');
});

t.test('files: missing, large, reloaded', async t => {
  const missing = await loadConfig('/nonexistent/gateway.yaml');
  t.match(missing, { ok: false, problems: [{ line: 0, why: /ENOENT/ }] });
  const failure = await loadConfigOrThrow('/nonexistent/gateway.yaml').then(() => undefined, (error: unknown) => error);
  t.ok(failure instanceof GatewayError && failure.code === 'CONFIG_INVALID');

  const known = Array.from({ length: 3000 }, (_, n) => ({ id: `3402000000111${String(n).padStart(7, '0')}`, password: `p${n}` }));
  const large = fileIn(t, stringify({ devices: { known } }));
  const loaded = await loadConfig(large);
  t.equal(loaded.ok && loaded.config.devices.known[2999]?.password, 'p2999', 'parsed in a thread');

  const path = fileIn(t, GOOD);
  const store = await ConfigStore.open(path);
  const before = store.current;
  const offered: unknown[] = [];
  const reload = (answer: string | null): ReturnType<ConfigStore['reload']> => store.reload((_next, changed) => (offered.push(changed), answer));
  t.same(await reload(null), { refused: null, changed: [] }, 'nothing new');
  writeFileSync(path, `${GOOD}log: {level: debug}\n`);
  t.same(await reload('not now'), { refused: 'not now', changed: [] });
  t.equal(store.current, before, 'a refusal changes nothing');
  t.same(await reload(null), { refused: null, changed: ['log'] });
  t.equal(store.current.log.level, 'debug');
  writeFileSync(path, GOOD.slice(0, 60));
  const broken = await reload(null);
  t.match(broken.refused, /line \d+/);
  t.equal(store.current.log.level, 'debug', 'a broken file changes nothing');
  t.same(offered, [['log'], ['log']]);
});
