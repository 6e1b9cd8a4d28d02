import fc from 'fast-check';
import t from 'tap';
import { clip, displayWidth, duration, inert, safeJson, table } from '../../cli/render.ts';

t.test('fault 93: what a name could do to a terminal, it does not do', async t => {
  const hostile = ['\x1b[2J', '\x1b]0;title\x07', '\x9b31m', 'a\rb', 'a\nb', 'a\tb', '\u202egnp.exe', 'a\u200bb', '\ufeff', '\0', '\x7f', '\ud800', '\u2066x\u2069'];
  for (const name of hostile) {
    t.notMatch(inert(name), /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/u, JSON.stringify(name));
    t.notMatch(safeJson({ name }), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/u, `JSON ${JSON.stringify(name)}`);
    t.equal((JSON.parse(safeJson({ name })) as { name: string }).name, name, 'JSON keeps it');
  }
  t.equal(inert('北门 é 摄像机-1 $(reboot) ; rm -rf /'), '北门 é 摄像机-1 $(reboot) ; rm -rf /', 'text is text');
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => !/[\u0000-\u001f\u007f-\u009f]/.test(inert(text)) && inert(inert(text)) === inert(text)));
});

t.test('columns as a terminal counts them', async t => {
  const widths: readonly (readonly [string, number])[] = [['abc', 3], ['北门', 4], ['北a门', 5], ['e\u0301', 1], ['（1）', 5], ['한글', 4], ['ｱｲ', 2], ['📷', 2], ['', 0], ['𠀀', 2]];
  for (const [text, columns] of widths) t.equal(displayWidth(text), columns, text);
  t.equal(clip('摄像机摄像机', 7), '摄像机…');
  t.equal(clip('摄像机摄像机', 8), '摄像机…', 'half a character is none');
  t.equal(clip('abc', 3), 'abc');
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 30 }), (text, columns) => displayWidth(clip(inert(text), columns)) <= columns));
});

t.test('tables stand straight', async t => {
  const rows = [{ name: '北门', count: 7 }, { name: 'gate\x1b[31m', count: 1234 }, { name: 'x'.repeat(4096), count: null }];
  const lines = table(rows, [{ title: 'NAME', value: row => row.name }, { title: 'N', value: row => row.count, align: 'right' }], 'none').split('\n');
  t.equal(lines.length, 4);
  t.equal(new Set(lines.map(displayWidth)).size, 1, lines.join('\n'));
  t.match(lines[3], /…  +-$/);
  t.equal(table([], [{ title: 'A', value: () => '' }], 'none'), 'none');
});

t.test('durations', async t => {
  const cases: readonly (readonly [number | null, string | null])[] = [[null, null], [0, '0 s'], [1999, '1 s'], [119_999, '119 s'], [120_000, '2 min'], [3_600_000, '60 min'], [7_200_000, '2 h'], [200_000_000, '2 d']];
  for (const [ms, text] of cases) t.equal(duration(ms), text);
});
