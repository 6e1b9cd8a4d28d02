/** The shell: its parts without a terminal, and then all of it on a real pseudo-terminal that Python holds the other end of. */
import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { COMMANDS } from '../../cli/commands.ts';
import { GROUP_HELP } from '../../cli/help.ts';
import { complete, type ValueSource } from '../../cli/shell/complete.ts';
import { applyFilters, takeFilters } from '../../cli/shell/filters.ts';
import { findCommand, grammarOf } from '../../cli/shell/grammar.ts';
import { History, mayBeKept } from '../../cli/shell/history.ts';
import { IdleWatch } from '../../cli/shell/idle-watch.ts';
import { readLine } from '../../cli/shell/operational-mode.ts';
import { Pager } from '../../cli/shell/pager.ts';
import { quoteWord, splitWords } from '../../cli/shell/words.ts';
import { CLEAR_LINE, keysIn } from '../../cli/terminal.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { ptySession } from '../rig/pty-session.ts';
import { fakeDaemons } from './fake-daemons.ts';

const GRAMMAR = grammarOf(COMMANDS.filter(({ hidden }) => hidden !== true), GROUP_HELP);

const textsOf = (line: string): readonly string[] => {
  const split = splitWords(line);
  return split.ok ? split.value.map(({ text }) => text) : [`${split.error.at}: ${split.error.why}`];
};

t.test('words: no shell stands behind a line', async t => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['show devices', ['show', 'devices']],
    ['  show\tdevices  ', ['show', 'devices']],
    ['why "北门 1"', ['why', '北门 1']],
    ["why 'a \"b\\' c", ['why', 'a "b\\', 'c']],
    ['why "a \\"b\\" \\\\"', ['why', 'a "b" \\']],
    ['why ; rm -rf / && $(reboot) `id` > /etc/passwd & a|b', ['why', ';', 'rm', '-rf', '/', '&&', '$(reboot)', '`id`', '>', '/etc/passwd', '&', 'a|b']],
    ['why ""', ['why', '']],
    ['why　北门', ['why', '北门']],
    ['why \\n *', ['why', '\\n', '*']],
    ['', []],
    ['a\x1b[2Jb', ['1: a control character']],
    ['a\0', ['1: a control character']],
    [' '.repeat(20_000), ['16384: longer than 16384 characters']],
    ['x '.repeat(300), ['512: more than 256 words']],
  ];
  for (const [line, words] of cases) t.same(textsOf(line), words, JSON.stringify(line.slice(0, 60)));
  fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme' }).filter(text => !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text)), { maxLength: 20 }), words => JSON.stringify(textsOf(words.map(quoteWord).join(' '))) === JSON.stringify(words)), { numRuns: 500 });
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), line => splitWords(line).ok || textsOf(line).length === 1));
});

t.test('filters', async t => {
  const read = (line: string): unknown => {
    const split = splitWords(line);
    const piped = split.ok ? takeFilters(split.value) : split;
    return piped.ok ? piped.value.filters : piped.error.why;
  };
  t.same(read('show devices | include off line | count'), [{ kind: 'include', text: 'off line' }, { kind: 'count' }]);
  t.same(read('show devices | inc "|" | n'), [{ kind: 'include', text: '|' }, { kind: 'no-more' }], 'abbreviated; a pipe in quotes is text');
  t.match(read('show devices | sh -c reboot'), /no filter sh; there is include, exclude, count, json, no-more/);
  for (const line of ['show |', 'show | | count', 'show | include', 'show | count 3']) t.type(read(line), 'string', line);
  const text = 'NAME\n北门 ON\n南门 OFF\nEast on\n';
  t.equal(applyFilters(text, [{ kind: 'include', text: 'on' }]), '北门 ON\nEast on\n');
  t.equal(applyFilters(text, [{ kind: 'exclude', text: '门' }, { kind: 'count' }]), '2\n');
  t.equal(applyFilters('', [{ kind: 'count' }]), '0\n');
  t.equal(applyFilters(text, []), text);
});

t.test('abbreviations count where they are unique', async t => {
  const path = (line: string): string => {
    const found = findCommand(GRAMMAR, line.split(' '));
    return 'why' in found ? `? ${found.why}` : [found.path.join(' '), ...found.rest].join(' ~ ');
  };
  t.equal(path('sh dev'), 'show devices');
  t.equal(path('show devices --json'), 'show devices ~ --json');
  t.equal(path('cat ref 3402'), 'catalog refresh ~ 3402');
  t.match(path('c'), /^\? c could be .*catalog.*config/);
  t.match(path('show bogus'), /no command show bogus/);
  t.match(path('show'), /^\? show: devices, channels/);
  t.match(path('__complete'), /no command/, 'what is for programs is not offered');
  const run = readLine(GRAMMAR, 'sh dev | json | include x');
  t.match(run, { kind: 'run', argv: ['show', 'devices', '--json'], filters: [{ kind: 'include' }] });
  t.match(readLine(GRAMMAR, 'completion bash | json'), { kind: 'refused', why: /no raw answer/ });
  t.match(readLine(GRAMMAR, 'why "a'), { kind: 'refused', why: /quote/ });
  t.same([readLine(GRAMMAR, ' ').kind, readLine(GRAMMAR, 'exit').kind, readLine(GRAMMAR, 'why exit').kind], ['nothing', 'leave', 'run']);
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), line => typeof readLine(GRAMMAR, line).kind === 'string'));
});

t.test('what can stand at the cursor', async t => {
  const asked: string[] = [];
  const values: ValueSource = async kind => (asked.push(kind), kind === 'channel' ? [{ word: '34020000001310000001', help: '北门' }, { word: '34020000001310000002', help: '南 门' }] : []);
  const at = async (line: string): Promise<readonly string[]> => (await complete(GRAMMAR, line, values)).candidates.map(({ word }) => word);
  const hints = async (line: string): Promise<readonly string[]> => (await complete(GRAMMAR, line, values)).hints.map(({ word }) => word);
  t.ok((await at('')).includes('show'));
  t.same(await at('sho'), ['show']);
  t.ok((await at('sh ')).includes('devices'), 'behind an abbreviation too');
  t.same(await at('show dev'), ['devices']);
  t.same(await at('why '), ['34020000001310000001', '34020000001310000002']);
  t.same(await at('why 34020000001310000002'), ['34020000001310000002']);
  t.same(await at('why --'), ['--probe', '--json']);
  t.same(await at('why --probe --'), ['--json'], 'each option once');
  t.same(await at('play x --stream '), [], 'a value of its own');
  t.same(await at('show devices | in'), ['include']);
  t.same(await at('show devices | include a | '), ['include', 'exclude', 'count', 'json', 'no-more']);
  t.same(await at('show channels --device '), []);
  t.same(asked.at(-1), 'device');
  t.same(await at('bogus '), []);
  t.same(await hints('show devices '), ['--json', '<Enter>']);
  t.same(await hints('why '), ['<channel>', '--probe', '--json'], 'not complete without it');
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 60 }), async line => Array.isArray((await complete(GRAMMAR, line, async () => [])).candidates)));
});

t.test('pages', async t => {
  const lines = Array.from({ length: 50 }, (_, n) => (n === 33 ? '北门 33' : `line ${n}`));
  const size = { columns: 20, rows: 11 };
  const shown = (text: string): readonly string[] => text.replaceAll(CLEAR_LINE, '').split('\n').filter(line => /^(line|北门)/.test(line));
  const pager = new Pager(lines, () => size);
  t.same(shown(pager.start(false).write), lines.slice(0, 10));
  t.same(shown(pager.key('space').write), lines.slice(10, 20));
  t.same(shown(pager.key('enter').write), ['line 20']);
  t.same(shown(pager.key('b').write), lines.slice(1, 11), 'the page before');
  for (const key of ['/', '北', '门', 'x', 'backspace']) t.equal(pager.key(key).done, false);
  t.same(shown(pager.key('enter').write), lines.slice(33, 43), 'the line that was looked for is on top');
  t.match(pager.key('n').write, 'not found below');
  t.same(pager.key('space').done, true, 'the last page ends it');
  const quitting = new Pager(lines, () => size);
  quitting.start(true);
  t.equal(quitting.key('z').done, false);
  t.same(quitting.key('q'), { write: CLEAR_LINE, done: true });
  const wide = new Pager(['门'.repeat(25), 'a', 'b', 'c'], () => ({ columns: 20, rows: 5 }));
  t.same(wide.start(false).write.split('\n').length - 1, 2, 'a line of 50 columns takes three rows of 20');
  const tiny = new Pager(['x'.repeat(500), 'y'], () => ({ columns: 2, rows: 2 }));
  t.equal(tiny.start(false).done, false, 'longer than the screen: it goes on all the same');
  t.equal(tiny.key('space').done, true);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 60 }).map(text => text.replace(/[\u0000-\u001f]/g, '')), { minLength: 1, maxLength: 60 }), fc.integer({ min: 2, max: 60 }), fc.integer({ min: 2, max: 12 }), (all, columns, rows) => {
      const one = new Pager(all, () => ({ columns, rows }));
      let step = one.start(false);
      let keys = 0;
      while (!step.done && keys < 1000) {
        step = one.key('space');
        keys += 1;
      }
      return step.done && keys <= all.length;
    }),
  );
});

t.test('keys of a terminal', async t => {
  t.same(keysIn('q /\r\x1b[A\x1bOB\x03\x1b[5~北\x1b[1;5C\x07\x7f'), ['q', 'space', '/', 'enter', 'up', 'down', 'ctrl-c', 'page-up', '北', 'backspace']);
  t.same(keysIn('\x1b'), ['escape']);
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => keysIn(text).every(key => key.length > 0)));
});

t.test('history: bounded, the owner\'s alone, without secrets, never through a link', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-history-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'history');
  const history = await History.open(path);
  for (const line of ['show devices', 'show devices', '', 'config set upstreams[city].password CANARY', 'set devices known 1 ha1 CANARY', 'api token CANARY', 'a\x1bCANARY', 'x'.repeat(5000), 'why 北门']) await history.add(line);
  t.same(history.newestFirst, ['why 北门', 'show devices']);
  t.equal(readFileSync(path, 'utf8'), 'show devices\nwhy 北门\n');
  t.equal(statSync(path).mode & 0o777, 0o600);
  for (let n = 0; n < 1100; n += 1) await history.add(`line ${n}`);
  t.equal((await History.open(path)).newestFirst.length, 1000);
  writeFileSync(join(directory, 'target'), 'untouched\n');
  symlinkSync(join(directory, 'target'), join(directory, 'link'));
  const linked = await History.open(join(directory, 'link'));
  await linked.add('show devices');
  t.equal(readFileSync(join(directory, 'target'), 'utf8'), 'untouched\n');
  t.same((await History.open('/nowhere/history')).newestFirst, []);
  t.same([mayBeKept('show tokens'), mayBeKept('show keys'), mayBeKept('compass')], [false, true, true]);
});

t.test('an empty desk', async t => {
  const clock = new ManualClock();
  using idle = new IdleWatch(clock, 600_000);
  let over = false;
  void idle.over.then(() => (over = true));
  const passes = async (forMs: number): Promise<boolean> => {
    clock.advance(forMs);
    await new Promise(setImmediate);
    return over;
  };
  t.equal(await passes(599_000), false);
  idle.touch();
  t.equal(await passes(599_000), false);
  idle.rest();
  t.equal(await passes(10_000_000), false, 'not while a command runs');
  idle.touch();
  t.equal(await passes(600_001), true);
});

const PROMPT = '> \\x1b\\[\\d+G$';
const VLINK = join(import.meta.dirname, '../../cli/vlink');

t.test('on a terminal: Tab, ?, pages, filters, Ctrl-C, history, Ctrl-D', async t => {
  await using daemons = await fakeDaemons({ channels: 60, silent: true });
  const home = mkdtempSync(join(tmpdir(), 'vl-home-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const { steps, code } = await ptySession({
    argv: [VLINK, '--config', daemons.configPath],
    env: { PATH: '/usr/bin:/bin', HOME: home, TERM: 'xterm', LANG: 'C.UTF-8' },
    steps: [
      { expect: PROMPT },
      { send: 'show ?', expect: 'devices +cameras.*counters.*> \\S*show \\x1b\\[\\d+G$' },
      { send: 'de\t', expect: 'vices ' },
      { send: '\r', expect: `南门 NVR +offline: keepalive-lost.*${PROMPT}` },
      { send: 'sh ch\r', expect: '-- \\d+ more lines: space page' },
      { send: ' ', expect: '-- \\d+ more lines: space page' },
      { send: '/摄像机 55\r', expect: `摄像机 55 .*摄像机 59 .*${PROMPT}` },
      { send: 'show devices | include offline | count\r', expect: `\\n1\\r+.*${PROMPT}` },
      { send: 'show resources\r', expect: 'show resources\\r+\\n' },
      // Between two ways of reading the terminal a key may fall on neither; who gets no answer presses again.
      { send: '\x03', everyS: 1, expect: `\\^C.*${PROMPT}`, withinS: 10 },
      { send: 'catalog refresh 34020000001110000009\r\x03', expect: `\\^C.*${PROMPT}`, withinS: 5 },
      { send: 'why "what is this?', expect: 'this\\?' },
      { send: '"\r', expect: `channel unknown: channel what is this\\?.*${PROMPT}` },
      { send: 'why \x1b]0;x\x07; reboot `id` $(id)\r', expect: PROMPT },
      { send: 'cat ref 3402\t\t', expect: 'ref 3402000000111000000' },
      { send: '\t', expect: '34020000001110000001 +34020000001110000002.*\\d+G$' },
      { send: '1\r', expect: `asked 34020000001110000001.*${PROMPT}` },
      { send: 'catalog refresh token-CANARY\r', expect: PROMPT },
      { send: 'show dev\rshow count\r', expect: `rtp.wrong-ssrc.*${PROMPT}` },
      { send: '\x04' },
    ],
  });
  t.notMatch(steps.at(-1), /not seen\]/, 'every step came to its end');
  t.equal(code, 0);
  const [, help = '', , , first = '', second = '', found = '', , , stopped = ''] = steps;
  t.notMatch(help, /\bshow \?[^\x1b]*\n.*show \?/, 'the question mark does not stay in the line');
  const lines = (page: string): readonly string[] => page.split('\n').filter(line => line.includes('摄像机'));
  t.same([lines(first).length, lines(second).length], [22, 23], 'the heading and 22 rows, then 23 rows, on 24 lines');
  t.notMatch(found, '摄像机 54');
  t.notMatch(stopped, 'not reachable', 'what was given up says nothing more');
  t.same(daemons.calls.filter(call => call.startsWith('refresh')), ['refreshCatalog 34020000001110000001', 'refreshCatalog token-CANARY']);
  t.same(daemons.calls.filter(call => call.startsWith('why')), ['why what is this?'], 'nothing is run of a line that has controls in it');
  t.same(daemons.audits.map(({ action, target, result, detail }) => [action, target, result, detail]).slice(0, 2), [['cli.catalog.refresh', '34020000001110000001', 'done', 'begins'], ['cli.catalog.refresh', '34020000001110000001', 'done', 'exit code 0']]);
  const history = readFileSync(join(home, '.vlink_history'), 'utf8');
  t.match(history, /^show devices *\nsh ch\n/);
  t.match(history, /show dev\nshow count\n$/, 'two lines of one paste');
  t.notMatch(history, /CANARY/);
  t.equal(statSync(join(home, '.vlink_history')).mode & 0o777, 0o600);
});
