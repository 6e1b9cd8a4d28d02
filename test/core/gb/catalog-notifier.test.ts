import fc from 'fast-check';
import t from 'tap';
import { CatalogNotifier, type BatchOutcome, type NotifierOptions, type NotifierOutput } from '#core/gb/catalog-notifier.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { encodedLength, PROLOGUE_BYTES } from '#core/gb/dialect.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { fingerprint } from '#core/fingerprint.ts';
import { type Ms, NEVER, addMs, ms } from '#core/units.ts';

const SYSTEM = '33010000002000000001';
const OPTIONS: NotifierOptions = { deviceId: SYSTEM, version: '2016', charset: 'gb2312', itemsPerMessage: 100, bodyBudget: undefined, windowMs: 500 };
const idOf = (serial: number): string => `33010600001320${String(serial).padStart(6, '0')}`;
const item = (serial: number, more: Partial<CatalogItem> = {}): CatalogItem => ({ deviceId: idOf(serial), name: `camera ${serial}`, civilCode: '330106', status: 'ON', ...more });

const itemsOf = (body: string): readonly CatalogItem[] => {
  const parsed = parseManscdp(body);
  if (!parsed.ok || parsed.value.body.kind !== 'catalog') throw new Error(`not a catalogue: ${body}`);
  const { sumNum, num, items } = parsed.value.body;
  if (parsed.value.root !== 'Notify' || sumNum !== items.length || (num ?? 0) !== items.length) throw new Error(`its numbers are those of another message: ${body}`);
  return items;
};
const notifies = (outputs: readonly NotifierOutput[]): (NotifierOutput & { type: 'notify' })[] => outputs.filter(output => output.type === 'notify');
const events = (outputs: readonly NotifierOutput[]): string[] => notifies(outputs).flatMap(({ body }) => itemsOf(body).map(({ event, deviceId }) => `${event} ${deviceId.slice(-1)}`));

/** A subscriber that asked for the whole catalogue once and then goes by NOTIFYs alone. Like real ones it takes ADD for UPDATE, and knows of no item that it was never told of. */
class Subscriber {
  readonly picture = new Map<string, { name: string | undefined; state: string }>();

  constructor(items: readonly CatalogItem[]) {
    for (const { deviceId, name } of items) this.picture.set(deviceId, { name, state: 'ON' });
  }

  hear(body: string): void {
    for (const { deviceId, event, name, status } of itemsOf(body)) {
      const known = this.picture.get(deviceId);
      if (event === 'ADD' || (event === 'UPDATE' && known !== undefined)) this.picture.set(deviceId, { name, state: status ?? 'ON' });
      else if (event === 'DEL') this.picture.delete(deviceId);
      else if (known !== undefined) known.state = event!;
    }
  }
}

await t.test('first everything that is not ON, then changes in the order of the view', async t => {
  const items = [item(1), item(2, { status: 'OFF' }), item(3, { status: 'OFF', fault: 'VLOST' }), item(4, { status: 'OFF', fault: 'DEFECT' })];
  const notifier = new CatalogNotifier(OPTIONS, 1);
  const first = notifier.begin(items);
  t.same(events(first), ['OFF 2', 'VLOST 3', 'DEFECT 4']);
  t.notMatch(notifies(first)[0]!.body, 'camera', 'status events name the item only');
  const marks = (first[0] as NotifierOutput & { type: 'told' }).rows;
  t.same(notifier.settled(1, 'accepted', ms(10)), [{ type: 'told', rows: marks.slice(1).map(([id, on], index) => [id, on! + index + 1]) }]);
  t.equal(notifier.deadline, NEVER);

  t.same(notifier.view([item(1, { name: 'renamed' }), item(3), item(4, { status: 'OFF', fault: 'DEFECT' }), item(5), item(6, { status: 'OFF', fault: 'VLOST' })], ms(20)), []);
  t.equal(notifier.deadline, 520, 'collected for the window');
  t.same(notifier.state(idOf(1), 'OFF', ms(30)), []);
  t.equal(notifier.deadline, 520);
  const changes = notifier.tick(ms(520));
  t.same(events(changes), ['UPDATE 1', 'ON 3', 'ADD 5', 'ADD 6', 'DEL 2']);
  const [update, , , add] = itemsOf(notifies(changes)[0]!.body);
  t.match(update, { name: 'renamed', status: 'OFF', civilCode: '330106' }, 'the whole item');
  t.match(add, { status: 'OFF' });
  const more = notifier.settled(2, 'accepted', ms(530));
  t.same(events(more), ['VLOST 6'], 'Status has no word for it');
  notifier.settled(3, 'accepted', ms(540));
  t.ok(notifier.settledAll);
  t.same(notifier.state('nobody', 'OFF', ms(600)), []);
  t.same(notifier.state(idOf(2), 'ON', ms(600)), [], 'an item that was deleted has no state');
});

await t.test('all is well: an empty NOTIFY says so', async t => {
  const notifier = new CatalogNotifier(OPTIONS, 41);
  const [told, notify, ...rest] = notifier.begin([item(1)]);
  t.match(told, { type: 'told', rows: [[idOf(1), Number]] });
  t.same(rest, []);
  t.match(notify, { batch: 1, items: 0, body: /<SN>42<[^]*<SumNum>0</ });
});

await t.test('serial batches: by count, by bytes, and what flips back in time is never said', async t => {
  const many = Array.from({ length: 250 }, (_, index) => item(index));
  const off = many.map(each => ({ ...each, status: 'OFF' as const }));
  const notifier = new CatalogNotifier(OPTIONS, 1);
  let outputs = notifier.begin(off);
  const sizes: number[] = [];
  for (let batch = 1; notifies(outputs).length > 0; batch++) {
    sizes.push(itemsOf(notifies(outputs)[0]!.body).length);
    outputs = notifier.settled(batch, 'accepted', ms(batch));
  }
  t.same(sizes, [100, 100, 50]);
  t.same(notifier.view(many.slice(0, 99).concat(off.slice(99)), ms(1000)), [], 'less than a batch waits for the window');
  t.equal(notifies(notifier.state(idOf(120), 'ON', ms(1100))).length, 1, 'a whole batch does not');
  t.same(notifier.state(idOf(200), 'ON', ms(1101)), []);
  t.same(notifier.state(idOf(200), 'OFF', ms(1102)), []);
  t.same(notifier.settled(4, 'accepted', ms(1200)).filter(({ type }) => type === 'notify'), [], 'there and back');

  const budget = { ...OPTIONS, bodyBudget: 700 };
  const small = new CatalogNotifier(budget, 1);
  outputs = small.begin(off.map(each => ({ ...each, name: '断桥残雪' })));
  small.view([], ms(0));
  let bodies = 0;
  for (let batch = 1; notifies(outputs).length > 0; batch++, bodies++) {
    const { body } = notifies(outputs)[0]!;
    t.ok(encodedLength(body, 'gb2312') + PROLOGUE_BYTES <= 700, `${body.length}`);
    t.ok(itemsOf(body).length > 3);
    outputs = small.settled(batch, 'accepted', ms(batch));
  }
  t.ok(small.settledAll);
  t.ok(bodies > 30);
});

await t.test('refused three times, a batch is given up; the next ones go on', async t => {
  const notifier = new CatalogNotifier(OPTIONS, 1);
  notifier.begin([item(1, { status: 'OFF' }), item(2)]);
  t.same(notifier.settled(1, 'refused', ms(0)), []);
  t.equal(notifier.deadline, 1000);
  t.same(events(notifier.tick(ms(1000))), ['OFF 1']);
  notifier.settled(2, 'refused', ms(1000));
  t.equal(notifier.deadline, 3000, 'pauses grow');
  t.same(notifier.view([item(1, { status: 'OFF' }), item(2, { status: 'OFF' })], ms(1500)), []);
  t.same(events(notifier.tick(ms(3000))), ['OFF 1', 'OFF 2']);
  t.same(notifies(notifier.settled(3, 'refused', ms(3000))), []);
  t.equal(notifier.givenUp, 1);
  t.ok(notifier.settledAll);
  t.same(notifier.settled(3, 'accepted', ms(3000)), [], 'once');
  notifier.state(idOf(2), 'ON', ms(4000));
  t.same(events(notifier.tick(ms(4500))), ['ON 2']);
});

const views = fc.uniqueArray(fc.record({ serial: fc.nat(7), name: fc.constantFrom('a', 'b'), state: fc.constantFrom('ON', 'OFF', 'VLOST', 'DEFECT') }), { selector: each => each.serial });
type View = readonly { serial: number; name: string; state: string }[];
const itemsIn = (view: View): CatalogItem[] =>
  view.map(({ serial, name, state }) => ({ deviceId: idOf(serial), name, status: state === 'ON' ? 'ON' : 'OFF', ...((state === 'VLOST' || state === 'DEFECT') && { fault: state }) }));
const steps = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('view' as const), view: views }),
    fc.record({ type: fc.constant('state' as const), serial: fc.nat(7), state: fc.constantFrom('ON' as const, 'OFF' as const, 'VLOST' as const, 'DEFECT' as const) }),
    fc.record({ type: fc.constant('time' as const), byMs: fc.integer({ min: 1, max: 3000 }) }),
    fc.record({ type: fc.constant('lost' as const), heard: fc.boolean() }),
    fc.record({ type: fc.constant('settled' as const) }),
    fc.record({ type: fc.constant('restart' as const), heard: fc.boolean() }),
  ),
  { maxLength: 40 },
);

await t.test('property: whatever changes and whatever is lost, in the end the subscriber sees what is', async () => {
  fc.assert(
    fc.property(views, steps, fc.integer({ min: 1, max: 4 }), (initial, script, itemsPerMessage) => {
      const options = { ...OPTIONS, itemsPerMessage };
      let now: Ms = ms(0);
      let truth = itemsIn(initial);
      const subscriber = new Subscriber(truth);
      const kept = new Map<string, number>();
      let flying: (NotifierOutput & { type: 'notify' }) | undefined;
      let notifier = new CatalogNotifier(options, 1);
      const take = (outputs: readonly NotifierOutput[]): void => {
        for (const output of outputs) {
          if (output.type === 'told') for (const [id, mark] of output.rows) mark === null ? kept.delete(id) : kept.set(id, mark);
          else if (flying === undefined) flying = output;
          else throw new Error('two at once');
        }
      };
      const settle = (outcome: BatchOutcome, heard: boolean): void => {
        if (flying === undefined) return;
        const { batch, body } = flying;
        flying = undefined;
        if (heard) subscriber.hear(body);
        take(notifier.settled(batch, outcome, now));
      };
      take(notifier.begin(truth));
      for (const step of script) {
        if (step.type === 'view') take(notifier.view((truth = itemsIn(step.view)), now));
        else if (step.type === 'state') {
          truth = truth.map(each => (each.deviceId === idOf(step.serial) ? itemsIn([{ serial: step.serial, name: each.name!, state: step.state }])[0]! : each));
          take(notifier.state(idOf(step.serial), step.state, now));
        } else if (step.type === 'time') take(notifier.tick((now = addMs(now, step.byMs))));
        else if (step.type === 'lost') settle('unanswered', step.heard);
        else if (step.type === 'settled') settle('accepted', true);
        else {
          if (flying !== undefined && step.heard) subscriber.hear(flying.body);
          flying = undefined;
          notifier = new CatalogNotifier(options, 1, [...kept]);
          take(notifier.view(truth, now));
        }
      }
      for (let rounds = 0; rounds < 100 && !notifier.settledAll; rounds++) {
        settle('accepted', true);
        take(notifier.tick((now = addMs(now, 60_000))));
      }
      const picture = [...subscriber.picture].map(([id, { name, state }]) => `${id} ${name} ${state}`).sort();
      return notifier.settledAll && JSON.stringify(picture) === JSON.stringify(truth.map(({ deviceId, name, status, fault }) => `${deviceId} ${name} ${fault ?? status}`).sort());
    }),
    { numRuns: 2000 },
  );
});

await t.test('fingerprints: equal for equal texts, whole numbers below 2^50, different otherwise', async t => {
  const all = new Set(Array.from({ length: 20_000 }, (_, index) => fingerprint(`camera ${index}`)));
  t.equal(all.size, 20_000);
  t.ok([...all].every(value => Number.isInteger(value) && value > 0 && value < 2 ** 50));
  t.ok(fingerprint('') > 0);
});

/** A minute of 1,000 changes a second over 10,000 channels; the subscriber answers each NOTIFY after `answerMs`, or not while it is deaf. */
function minute(options: NotifierOptions, answerMs: number, deaf: readonly [from: number, to: number] = [-1, -1]): { notifier: CatalogNotifier; heard: number; subscriber: Subscriber; states: readonly string[]; mostHeld: number; now: Ms } {
  const CHANNELS = 10_000;
  const states = Array<string>(CHANNELS).fill('ON');
  const items = states.map((_, serial) => item(serial));
  const notifier = new CatalogNotifier(options, 1);
  const subscriber = new Subscriber(items);
  let due: { readonly at: Ms; readonly batch: number; readonly body: string } | undefined;
  let heard = 0;
  let mostHeld = 0;
  let now = ms(0);
  const run = (outputs: readonly NotifierOutput[]): void => {
    for (const { batch, body } of notifies(outputs)) due = { at: addMs(now, answerMs), batch, body };
  };
  const answer = (): void => {
    const { batch, body } = due!;
    const isDeaf = now >= deaf[0] && now < deaf[1];
    due = undefined;
    if (!isDeaf) {
      subscriber.hear(body);
      heard += itemsOf(body).length;
    }
    run(notifier.settled(batch, isDeaf ? 'unanswered' : 'accepted', now));
  };
  /** Everything that happens until then. */
  const until = (at: Ms): void => {
    for (;;) {
      const next = due?.at ?? notifier.deadline;
      if (next > at) break;
      now = next;
      if (due === undefined) run(notifier.tick(now));
      else answer();
    }
    now = at;
  };
  run(notifier.begin(items));
  for (let change = 0; change < 60_000; change++) {
    until(ms(change));
    const serial = (change * 7919) % CHANNELS;
    states[serial] = states[serial] === 'ON' ? (change % 3 === 0 ? 'VLOST' : 'OFF') : 'ON';
    run(notifier.state(idOf(serial), states[serial] as 'ON', now));
    mostHeld = Math.max(mostHeld, notifier.held);
  }
  until(ms(60_000));
  while (!notifier.settledAll) until(due?.at ?? notifier.deadline);
  return { notifier, heard, subscriber, states, mostHeld, now };
}

await t.test('10,000 channels, 1,000 changes a second for a minute: none lost, bounded memory', async t => {
  const same = ({ subscriber, states }: ReturnType<typeof minute>): boolean => states.every((state, serial) => subscriber.picture.get(idOf(serial))?.state === state);
  const tcp = minute(OPTIONS, 20);
  t.equal(tcp.heard, 60_000, 'over TCP each of them, once');
  t.ok(same(tcp));
  t.ok(tcp.mostHeld <= 1_200, `${tcp.mostHeld} changes waited`);
  t.ok(tcp.now < 61_000, 'and at once');

  const udp = minute({ ...OPTIONS, bodyBudget: 650 }, 2);
  t.equal(udp.heard, 60_000, 'over UDP too');
  t.ok(same(udp));

  const slow = minute({ ...OPTIONS, bodyBudget: 650 }, 100);
  t.ok(slow.heard < 60_000 && same(slow), 'a slow one is told what is true, not everything that was');
  const cut = minute(OPTIONS, 20, [10_000, 40_000]);
  t.ok(same(cut), 'half a minute without an answer');
  for (const run of [slow, cut]) t.ok(run.mostHeld <= 10_100 && run.notifier.size === 10_000, `${run.mostHeld} held: one for each channel, whatever happens`);
});
