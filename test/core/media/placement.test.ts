/** Where a new bridge goes. */
import fc from 'fast-check';
import t from 'tap';
import { type Candidate, type ProcessLoad, leastLoaded, placeFor } from '#core/media/placement.ts';

interface Process extends Candidate {
  readonly name: string;
  readonly home: boolean;
  readonly hangs: boolean;
}

const CALM: ProcessLoad = { bridges: 0, bitrateInBps: 0, bitrateOutBps: 0, cpu: 0, refuses: null };
const process = (name: string, load: Partial<ProcessLoad> | undefined, { bridges = load?.bridges ?? 0, home = true, hangs = false } = {}): Process => ({ name, load: load && { ...CALM, ...load }, bridges: { size: bridges }, home, hangs });
const LIKES = { isAtHome: ({ home }: Process) => home, answers: ({ hangs }: Process) => !hangs };
const placed = (...running: Process[]): string => {
  const place = placeFor(running, LIKES);
  return 'name' in place ? place.name : `none: ${place.refuses}`;
};

t.test('the one with the least to do, by what runs out first', async t => {
  for (const [what, less, more] of [
    ['short of something', { cpu: 0.9, strain: { level: 0 } }, { strain: { level: 1 } }],
    ['processor', { cpu: 0.1, bitrateInBps: 900_000_000 }, { cpu: 0.3 }],
    ['what is moved', { cpu: 0.32, bridges: 9 }, { cpu: 0.33, bitrateOutBps: 90_000_000 }],
    ['how many', { cpu: 0.34, bridges: 2 }, { cpu: 0.31, bridges: 3 }],
  ] as const) t.same([placed(process('less', less), process('more', more)), placed(process('more', more), process('less', less))], ['less', 'less'], what);
  t.equal(placed(process('first', {}), process('second', {})), 'first', 'the nearer one when all are equal');
  t.equal(placed(process('given', {}, { bridges: 20 }), process('busy', { cpu: 0.1, bridges: 1 })), 'busy', 'what it was given since it said so counts');
  t.equal(placed(process('silent', undefined), process('busy', { cpu: 0.1 })), 'silent', 'one that has not said is not known to be busy');
  t.equal(leastLoaded([]), undefined);
});

t.test('where its address is, and by whom answers; those others before nobody', async t => {
  const busy = { cpu: 0.9 };
  t.equal(placed(process('away', {}, { home: false }), process('home', busy)), 'home');
  t.equal(placed(process('hangs', {}, { hangs: true }), process('answers', busy)), 'answers');
  t.equal(placed(process('hangs at home', busy, { hangs: true }), process('away', {}, { home: false })), 'hangs at home', 'an address that is elsewhere reaches nobody');
  t.equal(placed(process('away', {}, { home: false })), 'away');
  t.equal(placed(process('full', { refuses: 'maxBridges' }), process('busy', busy)), 'busy');
  t.equal(placed(process('full', { refuses: 'maxBridges' }), process('away', {}, { home: false })), 'none: maxBridges');
});

t.test('nobody is chosen who refuses, and somebody else only when there is none better', async () => {
  const one = fc.record({ cpu: fc.double({ min: 0, max: 1, noNaN: true }), refuses: fc.constantFrom(null, 'full'), home: fc.boolean(), hangs: fc.boolean(), bridges: fc.nat(30) });
  fc.assert(fc.property(fc.array(one, { minLength: 1, maxLength: 6 }), all => {
    const running = all.map(({ cpu, refuses, ...rest }, index) => process(`${index}`, { cpu, refuses }, rest));
    const place = placeFor(running, LIKES);
    if ('refuses' in place) return place.refuses === 'full' && running.some(({ load }) => load!.refuses !== null);
    const better = running.filter(({ home }) => home).length > 0 ? running.filter(({ home }) => home) : running;
    return place.load!.refuses === null && better.includes(place);
  }));
});
