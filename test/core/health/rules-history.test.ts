/** Rules in virtual time, alarms as text, and history as numbers: packed, thinned, and under a clock that jumps. */
import fc from 'fast-check';
import t from 'tap';
import { healthSchema, thresholdsOf } from '#core/config/health-schema.ts';
import { measureApi } from '#core/health/measure/api.ts';
import { faultNotice, isToldUpward } from '#core/health/fault-notice.ts';
import { Horizon } from '#core/health/history/horizon.ts';
import { MinuteBuffer, seriesKey } from '#core/health/history/minute.ts';
import { decodeChunk, emptyChunk, encodeChunk, pointsOf, setPoint, stepFor, STEPS, stride, Thinner } from '#core/health/history/points.ts';
import { RULE_NAMES } from '#core/health/rule-table.ts';
import { RuleBook, levelOf, type RuleOutput, type Thresholds } from '#core/health/rules.ts';
import { formatSyslog, framed } from '#core/health/syslog.ts';
import { ms, wallMs } from '#core/units.ts';

const DISK: Thresholds = { direction: 'above', warning: 85, critical: 95, clearBy: 5, holdS: 10, clearS: 20 };
const HOUR_MS = 3_600_000;

/** Feeds one value a second and writes down what comes out, with its second. */
class Story {
  readonly book: RuleBook;
  readonly said: string[] = [];
  #second = 0;

  constructor(thresholds: (rule: string, subject: string) => Thresholds | undefined = () => DISK) {
    this.book = new RuleBook(thresholds);
  }

  get now() {
    return ms(this.#second * 1000);
  }

  values(value: number | null, seconds: number): this {
    for (let i = 0; i < seconds; i++) {
      this.#note(this.book.observe({ observations: [{ rule: 'disk.full', subject: 'disk:/var', value, says: `${value}` }] }, this.now));
      this.#second += 1;
    }
    return this;
  }

  /** A look every second that does not tell of it. */
  missing(seconds: number, complete: readonly string[], group = ''): this {
    for (let i = 0; i < seconds; i++) {
      this.#note([...this.book.observe({ observations: [], complete }, this.now, group), ...this.book.tick(this.now)]);
      this.#second += 1;
    }
    return this;
  }

  /** Nobody could be asked. */
  unasked(seconds: number): this {
    for (let i = 0; i < seconds; i++) {
      this.book.unasked('', this.now);
      this.#note(this.book.tick(this.now));
      this.#second += 1;
    }
    return this;
  }

  silence(seconds: number): this {
    for (let i = 0; i < seconds; i++) {
      this.#note(this.book.tick(this.now));
      this.#second += 1;
    }
    return this;
  }

  #note(outputs: readonly RuleOutput[]): void {
    for (const output of outputs) this.said.push(`${this.#second} ${output.type} ${output.type === 'raise' ? output.severity : output.why}`);
  }
}

t.test('raised when it lasted, cleared when it was better for long enough', async t => {
  t.same(new Story().values(90, 9).values(80, 5).values(90, 9).said, [], 'never ten seconds together');
  t.same(new Story().values(90, 30).said, ['10 raise warning']);
  t.same(new Story().values(90, 15).values(82, 60).said, ['10 raise warning'], 'below the limit, but not by the margin');
  t.same(new Story().values(90, 15).values(79, 15).values(84, 1).values(79, 30).said, ['10 raise warning', '51 clear better'], 'a moment in between begins it anew');
  t.same(new Story().values(90, 15).values(97, 15).values(90, 60).values(10, 30).said, ['10 raise warning', '25 raise critical', '110 clear better'], 'worse is said, less bad is not');
  t.same(new Story().values(97, 11).said, ['10 raise critical'], 'straight to the worst');
});

t.test('what cannot be measured decides nothing; what is gone is over', async t => {
  t.same(new Story().values(90, 15).values(null, 3000).said, ['10 raise warning']);
  t.same(new Story().values(90, 5).values(null, 5).values(90, 1).said, ['10 raise warning']);
  t.same(new Story().values(90, 15).silence(1000).said, ['10 raise warning', '914 clear gone']);
  let on = true;
  const story = new Story(() => (on ? DISK : undefined)).values(90, 15);
  on = false;
  t.same(story.silence(1).said, ['10 raise warning', '15 clear off']);
});

t.test('what a look is silent about: good where it lists everything, unknown where it does not, as it was where nobody could be asked', async t => {
  const listed = ['disk.full'];
  t.same(new Story().values(90, 9).missing(100, listed).said, [], 'back before it lasted: no alarm');
  t.same(new Story().values(90, 9).missing(5, listed).values(90, 12).said, ['24 raise warning'], 'it lasts anew');
  t.same(new Story().values(90, 15).missing(100, listed).said, ['10 raise warning', '35 clear better']);
  t.same(new Story().values(90, 15).missing(100, listed, 'another').said, ['10 raise warning'], 'what others list does not matter');
  t.same(new Story().values(90, 9).missing(100, []).said, [], 'never by what was seen before');
  t.same(new Story().values(90, 15).missing(1000, []).said, ['10 raise warning', '914 clear gone']);
  t.same(new Story().values(90, 9).unasked(100).said, []);
  t.same(new Story().values(90, 15).unasked(3000).values(90, 5).missing(30, listed).said, ['10 raise warning', '3040 clear better']);
  const restarted = new Story();
  restarted.book.restore([{ rule: 'disk.full', subject: 'disk:/var', severity: 'warning' }], restarted.now);
  t.same(restarted.missing(5, [], 'x').missing(30, listed).said, ['25 clear better'], 'it was mended while nobody looked');
});

t.test('flapping is held down', async t => {
  const story = new Story();
  for (let i = 0; i < 20; i++) story.values(90, 12).values(50, 25);
  t.equal(story.said.filter(line => line.includes('raise')).length, 3);
  t.equal(story.said.filter(line => line.includes('clear')).length, 2);
  story.values(50, 900);
  t.match(story.said.at(-1), /clear better/, 'a quarter of an hour of peace ends it');
});

t.test('what stood before a restart stands, and is not raised a second time', async t => {
  const story = new Story();
  story.book.restore([{ rule: 'disk.full', subject: 'disk:/var', severity: 'warning' }], story.now);
  t.same(story.values(90, 100).said, []);
  t.same(story.values(97, 11).said, ['110 raise critical']);
  t.same(story.values(10, 21).said, ['110 raise critical', '131 clear better']);
});

t.test('below: less is worse; a fact is so or not', async t => {
  const days: Thresholds = { direction: 'below', warning: 30, critical: 7, clearBy: 1, holdS: 0, clearS: 0 };
  t.same([40, 31, 30, 7, -3].map(value => levelOf(days, value)), [null, null, 'warning', 'critical', 'critical']);
  t.same(new Story(() => days).values(20, 1).values(30.5, 2).values(300, 1).said, ['0 raise warning', '3 clear better']);
});

t.test('whatever comes: raise and clear alternate, and an alarm only gets worse', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 100 })), fc.integer({ min: 1, max: 40 })), { maxLength: 60 }), steps => {
      const story = new Story();
      for (const [value, seconds] of steps) story.values(value, seconds);
      let state = 'quiet';
      for (const line of story.said) {
        const [, what, how] = line.split(' ');
        if (what === 'clear') t.not(state, 'quiet', line);
        else t.ok(state === 'quiet' || (state === 'warning' && how === 'critical'), `${state} then ${line}`);
        state = what === 'clear' ? 'quiet' : how!;
      }
    }),
  );
});

t.test('limits of the configuration: for a subject before those for all', async t => {
  const of = thresholdsOf(healthSchema.parse({ limits: [{ rule: 'disk.full', warning: 70 }, { rule: 'disk.full', subject: 'disk:/srv', warning: null, critical: 99 }, { rule: 'nic.down', subject: 'nic:eno4', enabled: false }] }));
  t.match(of('disk.full', 'disk:/var'), { warning: 70, critical: 95, direction: 'above' });
  t.match(of('disk.full', 'disk:/srv'), { warning: null, critical: 99 });
  t.equal(of('nic.down', 'nic:eno4'), undefined);
  t.match(of('nic.down', 'nic:eno1'), { critical: 1 });
  t.equal(of('no.such', 'x'), undefined);
});

t.test('alarms as others read them', async t => {
  const alarm = { alarmId: 7, rule: 'disk.full', subject: 'disk:/va]r"', severity: 'critical', says: '视频 97 %\nof', cleared: false, at: wallMs(Date.UTC(2026, 2, 10, 0, 0, 5)) } as const;
  t.equal(formatSyslog(alarm, 'node 1'), '<130>1 2026-03-10T08:00:05+08:00 node1 viewlink-healthd - RAISED [alarm@32473 id="7" rule="disk.full" subject="disk:/va\\]r\\"" severity="critical" state="raised"] \ufeffdisk:/va]r": 视频 97 % of');
  t.match(formatSyslog({ ...alarm, cleared: true }, ''), /^<133>1 \S+ - viewlink-healthd - CLEARED /);
  t.equal(framed('视 1'), '5 视 1', 'octets, not characters');
  t.same(faultNotice({ ...alarm, rule: 'raid.degraded' }), { priority: 1, faultType: 1, description: 'disk:/va]r": 视频 97 %\nof' });
  t.match(faultNotice({ ...alarm, rule: 'fan.stopped', severity: 'warning' }), { priority: 2, faultType: 2 });
  t.match(faultNotice({ ...alarm, rule: 'nic.down', cleared: true }), { priority: 4, faultType: null, description: /cleared/ });
});

t.test('upward goes what is wrong with us, and nothing that names others', async t => {
  const kept = RULE_NAMES.filter(rule => !isToldUpward(rule));
  t.same(kept, ['roles.unchecked', 'api.unbound', 'webhook.dropped', 'upstream.offline', 'device.offline', 'devices.mass-offline', 'media.loss', 'channel.loss', 'media.frozen', 'transcode.failed', 'certificate.expiry', 'config.pending', 'config.changed-outside', 'config.not-in-step', 'config.held', 'config.aside']);
});

t.test('chunks: what goes in comes out, what is cut is missing', async t => {
  fc.assert(
    fc.property(fc.constantFrom(...STEPS), fc.array(fc.tuple(fc.nat(59), fc.float({ noNaN: true, noDefaultInfinity: true })), { maxLength: 40 }), fc.nat(300), (step, entries, cut) => {
      const chunk = emptyChunk(step);
      for (const [slot, value] of entries.filter(([each]) => each < step.chunkS / step.stepS)) {
        if (step.width === 1) chunk[slot] = value;
        else setPoint(chunk, slot, { mean: value, min: value - 1, max: value + 1 });
      }
      const bytes = encodeChunk(chunk);
      t.same(pointsOf(decodeChunk(bytes, step), 600, step), pointsOf(chunk, 600, step));
      const torn = pointsOf(decodeChunk(bytes.subarray(0, Math.min(cut, bytes.length)), step), 600, step);
      t.ok(torn.length <= pointsOf(chunk, 600, step).length);
    }),
  );
});

t.test('the step fits the span, the points fit the screen', async t => {
  const nowS = 1_800_000_000;
  t.same([600, 3600, 7200, 8 * 86_400].map(ago => stepFor(nowS - ago, nowS).stepS), [1, 1, 60, 900]);
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.integer({ min: 1, max: 5_000_000 }), fc.integer({ min: 1, max: 500 }), fc.constantFrom(...STEPS), (fromS, span, maxPoints, step) => {
      const groupS = step.stepS * stride(fromS, fromS + span, step, maxPoints);
      t.ok(Math.ceil(span / groupS) <= maxPoints);
    }),
  );
  const thinner = new Thinner(120);
  for (const point of [{ atS: 0, mean: 1, min: 0, max: 2 }, { atS: 60, mean: 3, min: 3, max: 9 }, { atS: 120, mean: 5, min: 5, max: 5 }]) thinner.add(point);
  t.same(thinner.points, [{ atS: 0, mean: 2, min: 0, max: 9 }, { atS: 120, mean: 5, min: 5, max: 5 }]);
});

t.test('the minute: values by second, counters as what they gain', async t => {
  const minute = new MinuteBuffer();
  const at = (second: number, value: number, total: number) => minute.record([{ metric: 'viewlink_load1', labels: {}, value }, { metric: 'viewlink_nic_errors_total', labels: { nic: 'a' }, value: total }], ms(second * 1000), wallMs(60_000 * 1000 + second * 1000));
  for (let second = 0; second < 60; second++) t.equal(at(second, second, second < 30 ? 100 + second * 5 : (second - 30) * 7), null);
  const full = at(60, 0, 0)!;
  t.equal(full.startS, 60_000);
  t.same(full.series.map(({ key }) => key), ['viewlink_load1', 'viewlink_nic_errors_total{nic=a}']);
  t.same([...full.series[0]!.values], Array.from({ length: 60 }, (_, i) => i));
  const gains = [...full.series[1]!.values];
  t.ok(Number.isNaN(gains[0]) && Number.isNaN(gains[30]), 'nothing to compare with, and begun anew');
  t.same([gains[1], gains[29], gains[31], gains[59]], [5, 5, 7, 7]);
  t.equal(seriesKey('m', { b: '1', a: '2' }), seriesKey('m', { a: '2', b: '1' }));
});

t.test('the minute under a clock that jumps: given away, never mixed', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5), fc.oneof(fc.constant(0), fc.integer({ min: -1e12, max: 1e12 }))), { maxLength: 100 }), steps => {
      const minute = new MinuteBuffer();
      let [now, offset] = [0, 1.7e12];
      for (const [seconds, jump] of steps) {
        now += seconds * 1000;
        offset = Math.max(0, offset + jump);
        const wall = wallMs(now + offset);
        const full = minute.record([{ metric: 'm', labels: {}, value: wall / 1000 }], ms(now), wall);
        for (const { values } of full?.series ?? []) for (const value of values) if (Number.isFinite(value)) t.ok(value >= full!.startS - 300 && value < full!.startS + 360, 'a value of that minute');
      }
    }),
  );
});

t.test('the horizon: twenty years in a second cost nothing, a week without power is caught up with', async t => {
  const start = Date.UTC(2026, 2, 1);
  const ahead = new Horizon(null, ms(0), wallMs(start));
  t.equal(ahead.follow(ms(1000), wallMs(start + 1000)), 0);
  const years = 20 * 365 * 24 * HOUR_MS;
  t.equal(ahead.follow(ms(2000), wallMs(start + 2000 + years)), years, 'the step is told');
  t.ok(ahead.atMs - start <= 10_000);
  t.equal(ahead.follow(ms(3 * HOUR_MS), wallMs(start + 3 * HOUR_MS)), -years);
  t.ok(ahead.atMs - start <= 13 * HOUR_MS, 'three hours wrong cost less than half a day');
  t.notOk(ahead.isSteady(ms(3 * HOUR_MS)));
  t.equal(ahead.follow(ms(5 * HOUR_MS), wallMs(start + 5 * HOUR_MS)), 0);
  t.equal(ahead.atMs, start + 5 * HOUR_MS, 'after an hour without a step the clock is believed');

  const week = 7 * 24 * HOUR_MS;
  const rested = new Horizon(start, ms(0), wallMs(start + week));
  for (let hour = 1; hour <= 57; hour++) rested.follow(ms(hour * HOUR_MS), wallMs(start + week + hour * HOUR_MS));
  t.equal(rested.atMs, start + week + 57 * HOUR_MS);
});

t.test('the HTTP API: an address that is not served and events that are lost are told, the loss for ten minutes', async t => {
  const facts = { listening: [{ address: '10.0.0.1', port: 443, why: null }, { address: '10.0.0.2', port: 443, why: 'EADDRNOTAVAIL' }], webhooks: [{ name: 'ops', queued: 3, dropped: 2, lastDropWallMs: 1000, why: 'status 500' }, { name: 'idle', queued: 0, dropped: 0, lastDropWallMs: null, why: null }] };
  const valuesAt = (now: number) => measureApi(facts, wallMs(now)).observations.map(({ rule, subject, value }) => `${rule} ${subject} ${value}`);
  t.same(valuesAt(2000), ['api.unbound api:10.0.0.1 443 0', 'api.unbound api:10.0.0.2 443 1', 'webhook.dropped webhook:ops 1', 'webhook.dropped webhook:idle 0']);
  t.same(valuesAt(700_000)[2], 'webhook.dropped webhook:ops 0');
});
