/** What is given up under strain, in which order, and what comes back (fault 112). */
import fc from 'fast-check';
import t from 'tap';
import { parseCgroupPath, parseCounter, parseLimit, parseStallUs } from '#core/health/linux/cgroup.ts';
import { SHEDDABLE, Strain, type StrainOutput, firstToEnd } from '#core/media/strain.ts';
import { type HostReading, type MemoryReading, StrainGauge, type StrainLimits, type StrainVerdict } from '#core/media/strain-gauge.ts';
import { ms } from '#core/units.ts';

const LIMITS: StrainLimits = { memoryPercent: 90, memoryStallPercent: 20, cpuStallPercent: 80, stealPercent: 50, lateMs: 400, holdS: 3 };
const GIB = 2 ** 30;
const memory = (share: number, more: Partial<MemoryReading> = {}): MemoryReading => ({ workingBytes: share * 4 * GIB, highBytes: 4 * GIB, maxBytes: 5 * GIB, highHits: 0, maxHits: 0, ...more });

/** A reading a second; the verdict of the last. */
function judged(readings: readonly (HostReading & { readonly lateMs?: number })[], limits = LIMITS): StrainVerdict {
  const gauge = new StrainGauge(limits);
  return readings.map((reading, second) => gauge.take({ at: ms(second * 1000), lateMs: 0, ...reading })).at(-1)!;
}

const seconds = (count: number, of: (second: number) => HostReading & { readonly lateMs?: number }): ReturnType<typeof of>[] => Array.from({ length: count }, (_, second) => of(second));

t.test('files of a cgroup', async t => {
  t.equal(parseCgroupPath('0::/viewlink.slice/viewlink-mediad@1.service\n'), '/viewlink.slice/viewlink-mediad@1.service');
  t.equal(parseCgroupPath('9:name=systemd:/\n4:memory:/x\n0::/\n'), '/');
  t.equal(parseCgroupPath('4:memory:/x\n'), undefined);
  t.equal(parseCgroupPath('0::/../../etc\n'), undefined);
  t.equal(parseLimit('max\n'), null);
  t.equal(parseLimit('4294967296\n'), 4 * GIB);
  t.equal(parseLimit('\u0000'), undefined);
  t.equal(parseCounter('low 0\nhigh 17\nmax 2\noom 0\noom_kill 0\n', 'high'), 17);
  t.equal(parseCounter('low 0\n', 'high'), undefined);
  t.equal(parseStallUs('some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n', 'some'), 123_456);
  t.equal(parseStallUs('some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n', 'full'), 99);
  t.equal(parseStallUs('full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n', 'some'), undefined);
});

t.test('each thing that can be short, for itself', async t => {
  const strained: [string, (second: number) => HostReading & { lateMs?: number }, RegExp][] = [
    ['memory', () => ({ memory: memory(0.95) }), /^memory 95 % of 4 GiB$/],
    ['MemoryHigh', second => ({ memory: memory(0.8, { highHits: 3 * second }) }), /^MemoryHigh hit 9 times$/],
    ['MemoryMax', second => ({ memory: memory(0.8, { maxHits: second > 2 ? 1 : 0 }) }), /^MemoryMax hit 1 times$/],
    ['stalls for memory', second => ({ memoryStallUs: second * 250_000 }), /^waited for memory 25 % of the time$/],
    ['stalls for a processor', second => ({ cpuStallUs: second * 900_000 }), /^waited for a processor 90 % of the time$/],
    ['steal', second => ({ ticks: { steal: second * 180, total: second * 200 } }), /^90 % of the processor taken by the hypervisor$/],
    ['lateness', () => ({ lateMs: 450 }), /^everything is 450 ms late$/],
  ];
  for (const [name, of, says] of strained) {
    t.match(judged(seconds(4, of)), { state: 'strained', cause: says }, name);
    t.equal(judged(seconds(3, of)).state, 'unsure', `${name}: not so soon`);
    const off = Object.fromEntries(Object.keys(LIMITS).map(key => [key, key === 'holdS' ? 3 : 0])) as unknown as StrainLimits;
    t.equal(judged(seconds(4, of), off).state, 'eased', `${name}: when it is not looked at`);
  }
});

t.test('what is no strain', async t => {
  t.match(judged(seconds(4, () => ({}))), { state: 'eased' }, 'nothing is known');
  t.match(judged(seconds(4, () => ({ memory: memory(0.95, { highBytes: null, maxBytes: null }) }))), { state: 'eased' }, 'there is no limit');
  t.match(judged(seconds(4, second => ({ memory: memory(0.5, { highHits: second, maxHits: second }) }))), { state: 'eased' }, 'cache is dropped at the limit');
  t.match(judged(seconds(4, second => ({ lateMs: second === 2 ? 60_000 : 0 }))), { state: 'unsure', cause: '' }, 'stopped and continued');
  t.match(judged(seconds(4, second => ({ memory: memory(second === 2 ? 0.7 : 0.95) }))), { state: 'unsure' }, 'garbage that was collected');
  t.match(judged(seconds(4, second => ({ cpuStallUs: second < 2 ? 5_000_000 : 0 }))), { state: 'eased' }, 'a counter that began anew');
  t.match(judged(seconds(4, () => ({ memory: memory(0.8) }))), { state: 'unsure' }, 'not strained, but no room for more either');
  t.match(judged(seconds(4, second => ({ ticks: { steal: 10, total: second < 3 ? second : 0 } }))), { state: 'eased' }, 'ticks that go back');
});

t.test('dire: the last limit, or packets lost for all', async t => {
  t.equal(judged(seconds(4, second => ({ memory: memory(0.9, { maxHits: second }) }))).isDire, true);
  t.equal(judged(seconds(4, () => ({ lateMs: 1600 }))).isDire, true);
  for (const readings of [() => ({ memory: memory(0.99) }), (second: number) => ({ ticks: { steal: second, total: second } }), () => ({ lateMs: 1500 })]) t.match(judged(seconds(4, readings)), { state: 'strained', isDire: false });
});

t.test('after something was ended, what was before does not count', async t => {
  const gauge = new StrainGauge(LIMITS);
  const take = (second: number, stallUs: number): string => gauge.take({ at: ms(second * 1000), lateMs: 0, cpuStallUs: stallUs }).state;
  t.same([0, 1, 2, 3].map(second => take(second, second * 1e6)), ['unsure', 'unsure', 'unsure', 'strained']);
  gauge.restart();
  t.same([4, 5, 6].map(second => take(second, 3e6)), ['unsure', 'unsure', 'eased']);
});

const bad = (isDire = false): StrainVerdict => ({ state: 'strained', isDire, cause: 'memory' });
const good: StrainVerdict = { state: 'eased', isDire: false, cause: '' };
const shown = (outputs: readonly StrainOutput[]): string => outputs.map(output => (output.type === 'level' ? `${output.before}>${output.level}` : `${output.count} ${output.kind}`)).join(' ');

/** Ends what it is told to. */
class Machine {
  readonly strain = new Strain(30);
  readonly running = { 'preview': 0, 'transcode': 0, 'pass-through': 0 };
  now = 0;

  constructor(preview: number, transcode: number, passThrough: number) {
    Object.assign(this.running, { preview, transcode, 'pass-through': passThrough });
  }

  take(verdict: StrainVerdict, afterMs = 3000): StrainOutput[] {
    this.now += afterMs;
    const outputs = this.strain.take(verdict, this.running, ms(this.now));
    for (const output of outputs) if (output.type === 'shed') this.running[output.kind] -= output.count;
    return outputs;
  }
}

t.test('previews, then transcodes, then nobody new; and back', async t => {
  const machine = new Machine(6, 2, 3);
  t.equal(machine.strain.refusal('preview'), null);
  const steps = Array.from({ length: 8 }, () => shown(machine.take(bad())));
  t.same(steps, ['0>1 2 preview', '1 preview', '1 preview', '1 preview', '1 preview', '1>2 1 transcode', '1 transcode', '2>3']);
  t.same(SHEDDABLE.map(kind => machine.strain.refusal(kind) === null), [false, false, false]);
  t.equal(machine.strain.refusal('pass-through'), 'no previews, transcodes and new sessions: memory');
  t.same(machine.take(bad()), [], 'who runs is left alone');
  t.equal(shown(machine.take(bad(true))), '1 pass-through', 'unless it is dire, and then one');
  const back = Array.from({ length: 40 }, () => shown(machine.take(good))).filter(step => step !== '');
  t.same(back, ['3>2', '2>1', '1>0']);
  t.same(SHEDDABLE.map(kind => machine.strain.refusal(kind)), [null, null, null]);
  t.equal(machine.strain.says, null);
});

t.test('no more than needed: it stops where it helped', async t => {
  const machine = new Machine(20, 4, 10);
  machine.take(bad());
  for (let i = 0; i < 100; i++) machine.take({ state: 'unsure', isDire: false, cause: '' });
  t.same(machine.running, { 'preview': 15, 'transcode': 4, 'pass-through': 10 });
  t.equal(machine.strain.level, 1, 'and nobody is let in before there is room');
});

t.test('a preview that was let in while it was still calm goes before a transcode', async t => {
  const machine = new Machine(0, 3, 0);
  t.equal(shown(machine.take(bad())), '0>1');
  t.equal(shown(machine.take(bad())), '1>2 1 transcode');
  machine.running.preview = 1;
  t.equal(shown(machine.take(bad())), '1 preview');
});

t.test('who is strained again at once waits longer before it goes down', async t => {
  const machine = new Machine(0, 0, 0);
  const downAfterMs = (): number => {
    machine.take(bad());
    const from = machine.now;
    while (machine.strain.level > 0) machine.take(good, 1000);
    return machine.now - from;
  };
  const times = Array.from({ length: 7 }, downAfterMs);
  t.same(times.map(time => Math.floor(time / 30_000)), [1, 2, 4, 8, 16, 16, 16]);
  machine.take(good, 10 * 16 * 30_000);
  t.equal(Math.floor(downAfterMs() / 30_000), 1, 'a new trouble is a new one');
});

t.test('the lowest priority first, of equal ones the newest', async t => {
  const candidates = [[100, 5], [50, 1], [100, 9], [50, 2], [200, 99]].map(([priority, since]) => ({ priority: priority!, since: ms(since!) }));
  t.same(firstToEnd(candidates, 4).map(({ priority, since }) => [priority, since]), [[50, 2], [50, 1], [100, 9], [100, 5]]);
  t.same(firstToEnd(candidates, 0), []);
});

const anyVerdict = fc.constantFrom<StrainVerdict>(bad(), bad(true), good, { state: 'unsure', isDire: false, cause: '' });
const anySteps = fc.array(fc.record({ verdict: anyVerdict, afterMs: fc.integer({ min: 1, max: 400_000 }), joins: fc.record({ 'preview': fc.nat(40), 'transcode': fc.nat(10), 'pass-through': fc.nat(10) }) }), { maxLength: 200 });

t.test('whatever happens: one level at a time, never out of order, never more than there is, and calm returns', async () => {
  fc.assert(
    fc.property(anySteps, steps => {
      const machine = new Machine(0, 0, 0);
      for (const { verdict, afterMs, joins } of steps) {
        // Only what is not refused comes in.
        for (const kind of SHEDDABLE) if (machine.strain.refusal(kind) === null) machine.running[kind] += joins[kind];
        const [before, had] = [machine.strain.level, { ...machine.running }];
        const outputs = machine.take(verdict, afterMs);
        const { level } = machine.strain;
        if (Math.abs(level - before) > 1) return false;
        if (level > before && verdict.state !== 'strained') return false;
        if (level < before && verdict.state !== 'eased') return false;
        for (const output of outputs) {
          if (output.type !== 'shed') continue;
          const place = SHEDDABLE.indexOf(output.kind);
          if (verdict.state !== 'strained' || output.count < 1 || output.count > had[output.kind] || place >= level) return false;
          if (SHEDDABLE.slice(0, place).some(kind => had[kind] > 0)) return false;
          if (output.kind === 'pass-through' && (!verdict.isDire || before < 3 || output.count > 1)) return false;
        }
        if (outputs.filter(({ type }) => type === 'shed').length > 1) return false;
      }
      const kept = { ...machine.running };
      for (let i = 0; i < 4; i++) machine.take(good, machine.strain.calmMs);
      return machine.strain.level === 0 && JSON.stringify(kept) === JSON.stringify(machine.running);
    }),
  );
});

t.test('an hour of ups and downs changes the level so often and not oftener', async () => {
  fc.assert(
    fc.property(fc.array(anyVerdict, { minLength: 1200, maxLength: 1200 }), verdicts => {
      const machine = new Machine(0, 0, 0);
      const changes = verdicts.flatMap(verdict => machine.take(verdict)).filter(({ type }) => type === 'level').length;
      // Each way down takes 30 s at least, and there are as many ways up, and three more.
      return changes <= 2 * (3600 / 30) + 3;
    }),
    { numRuns: 20 },
  );
});

t.test('texts of the kernel that are torn make nothing up', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => {
      for (const value of [parseCounter(text, 'high'), parseStallUs(text, 'some'), parseLimit(text) ?? undefined]) if (value !== undefined && !Number.isFinite(value)) return false;
      return parseCgroupPath(`0::/${text}`)?.split('/').includes('..') !== true;
    }),
  );
});
