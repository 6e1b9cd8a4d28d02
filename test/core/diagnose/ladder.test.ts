import fc from 'fast-check';
import t from 'tap';
import { MIN_COLUMNS, type LadderOptions, ladderLines } from '#core/diagnose/ladder.ts';
import { type Passed, concerning, relatedTo } from '#core/diagnose/passed.ts';
import { decodeBody } from '#kit/charset.ts';
import { clip, displayWidth } from '../../../cli/render.ts';
import { CHANNEL, CLEAN, DEVICE, UNTIL_MS, passedOf } from './clean-exchange.ts';

const options: LadderOptions = { width: displayWidth, clip, columns: 100, decode: body => decodeBody(body), partyOf: () => ({ key: 'camera', name: '东大街路口北侧第三号全景枪机 34020000001180000001', side: 'below' }) };
const messages = passedOf(CLEAN);

/** The session of another peer: an upstream whose channel has another ID. */
const MAPPED = '33010000001320000901';
const above = (message: Passed): Passed => ({ ...message, sequence: message.sequence + 100, remote: { address: '198.51.100.9', port: 5060 }, direction: message.direction === 'in' ? 'out' : 'in' });
const upper: Passed[] = passedOf(CLEAN.map(said => ({ ...said, text: said.text.replaceAll(CHANNEL, MAPPED).replaceAll('inv@g', 'up@p').replaceAll(DEVICE, '33010000002000000001') }))).filter(({ callId }) => callId === 'up@p').map(above);

t.test('a session, as it stands in the terminal', async t => {
  const session = concerning(messages, [CHANNEL]);
  t.same(ladderLines(session, { ...options, columns: 72, partyOf: () => ({ key: 'camera', name: 'camera', side: 'below' }), marks: new Map([[session[1]!.sequence, '! ']]) }), [
    '    time    gateway                                                   camera',
    '   0.000    |-- INVITE (1) ------------------------------------------>|',
    '            |   Play UDP  192.0.2.10:30000  96 PS  y=0200000001       |',
    '   0.050    |<- ! 200 OK (1 INVITE) ----------------------------------|',
    '            |   Play UDP  192.0.2.71:15060  96 PS  y=0200000001       |',
    '   0.060    |-- ACK (1) --------------------------------------------->|',
    '  10.000    |-- BYE (2) --------------------------------------------->|',
    '  10.005    |<- 200 OK (2 BYE) ---------------------------------------|',
  ]);
});

t.test('above stands left, below right; nothing is wider than was asked for, whatever the names', async t => {
  const partyOf = (message: Passed): ReturnType<LadderOptions['partyOf']> => (message.sequence >= 100 ? { key: 'city', name: '城市平台 city', side: 'above' } : options.partyOf(message));
  const all = [...messages, ...upper].sort((a, b) => a.atWallMs - b.atWallMs);
  for (const columns of [MIN_COLUMNS, 80, 120, 200]) {
    const lines = ladderLines(all, { ...options, columns, partyOf });
    t.match(lines[0], /城市平台.*gateway.*东大街/);
    t.ok(lines.slice(1).every(line => displayWidth(line) <= columns), `${columns} columns`);
    t.equal(new Set(lines.slice(1).map(line => displayWidth(line))).size, 1, 'the lifelines stand straight');
  }
  const toTheRight = ladderLines(upper.slice(0, 1), { ...options, partyOf });
  t.match(toTheRight[1], /\|-- INVITE \(1\) -+>\|$/, 'a request from above points at the gateway');
  t.same(ladderLines([], options), []);
});

t.test('a message that came again says so and shows nothing twice', async t => {
  const invite = concerning(messages, [CHANNEL])[0]!;
  const lines = ladderLines([invite, { ...invite, sequence: 99, atWallMs: invite.atWallMs + 500 }], options);
  t.equal(lines.length, 4);
  t.match(lines[3], /0\.500 .*INVITE \(1\) again/);
});

t.test('what concerns a channel, a device, a peer; and both legs of a call', async t => {
  const names = (some: readonly Passed[]): string[] => [...new Set(some.map(({ callId }) => callId))].sort();
  t.same(names(concerning(messages, [CHANNEL])), ['inv@g'], 'a catalogue that lists it is not about it');
  t.same(names(concerning(messages, [DEVICE])), ['cat1@c', 'cat2@c', 'ka1@c', 'ka2@c', 'ka3@c', 'ka4@c', 'q@g', 'reg@c']);
  t.equal(concerning(messages, [], ['192.0.2.71:5060']).length, messages.length);
  t.same(concerning(messages, ['34020000001320000077']), []);
  const channelsOf = (id: string): string[] => (id === CHANNEL || id === MAPPED ? [CHANNEL, MAPPED] : []);
  t.same(names(relatedTo([...messages, ...upper], ['up@p'], channelsOf)), ['inv@g', 'up@p']);
  t.same(names(relatedTo([...messages, ...upper.map(each => ({ ...each, atWallMs: each.atWallMs + 10 * UNTIL_MS }))], ['up@p'], channelsOf)), ['up@p'], 'another time is another session');
  t.same(relatedTo(messages, ['nobody'], channelsOf), []);
});

t.test('any text in any width', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.integer({ min: 0, max: 300 }), (name, columns) => {
      const lines = ladderLines(messages, { ...options, columns, partyOf: ({ sequence }) => ({ key: String(sequence % 3), name, side: sequence % 2 === 0 ? 'above' : 'below' }) });
      return lines.length > messages.length;
    }),
    { numRuns: 50 },
  );
});
