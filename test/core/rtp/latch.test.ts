import fc from 'fast-check';
import t from 'tap';
import { type Admission, type GateRule, SourceGate } from '#core/rtp/latch.ts';
import { SilenceWatch } from '#core/rtp/silence.ts';
import { ViewerQueue } from '#core/rtp/viewer-queue.ts';
import { ms, NEVER } from '#core/units.ts';

const CAMERA = '192.0.2.71';
const NEIGHBOUR = '192.0.2.72';
const STRANGER = '203.0.113.5';
const isAllowed = (address: string): boolean => address.startsWith('192.0.2.');
const RULE: GateRule = { latch: 'strict', address: CAMERA, port: 15060, isAllowed, ssrc: 1, ssrcPolicy: 'exact', payloadType: 96 };

interface Packet {
  readonly at: number;
  readonly from?: string;
  readonly port?: number;
  readonly ssrc?: number;
  readonly payloadType?: number;
  readonly is: Admission;
}

const STORIES: readonly { readonly name: string; readonly rule: Partial<GateRule>; readonly packets: readonly Packet[] }[] = [
  {
    name: 'strict: the SDP address and port, nothing else (faults 53, 54)',
    rule: {},
    packets: [
      { at: 0, from: STRANGER, is: 'wrong-source' },
      { at: 0, from: NEIGHBOUR, is: 'wrong-source' },
      { at: 0, port: 15062, is: 'wrong-source' },
      { at: 0, ssrc: 2, is: 'wrong-ssrc' },
      { at: 0, payloadType: 8, is: 'wrong-payload-type' },
      { at: 10, is: 'first' },
      { at: 20, is: 'accepted' },
      { at: 9000, ssrc: 2, is: 'wrong-ssrc' },
      { at: 9001, is: 'accepted' },
    ],
  },
  {
    name: 'nat: the first right packet from an allowed address locks',
    rule: { latch: 'nat' },
    packets: [
      { at: 100, from: STRANGER, is: 'wrong-source' },
      { at: 100, from: NEIGHBOUR, ssrc: 2, is: 'wrong-ssrc' },
      { at: 100, from: NEIGHBOUR, payloadType: 8, is: 'wrong-payload-type' },
      { at: 200, from: NEIGHBOUR, port: 7, is: 'first' },
      { at: 201, is: 'wrong-source' },
      { at: 202, from: NEIGHBOUR, port: 8, is: 'wrong-source' },
      { at: 90_000, from: NEIGHBOUR, port: 7, is: 'accepted' },
    ],
  },
  {
    name: 'nat: after 3 s only the SDP address can begin',
    rule: { latch: 'nat' },
    packets: [
      { at: 2999, from: NEIGHBOUR, ssrc: 2, is: 'wrong-ssrc' },
      { at: 3000, from: NEIGHBOUR, is: 'wrong-source' },
      { at: 8000, is: 'first' },
    ],
  },
  {
    name: 'adopt: the first SSRC is taken; another only after quiet (fault 60)',
    rule: { ssrcPolicy: 'adopt' },
    packets: [
      { at: 0, from: STRANGER, ssrc: 9, is: 'wrong-source' },
      { at: 0, ssrc: 9, payloadType: 8, is: 'wrong-payload-type' },
      { at: 0, ssrc: 7, is: 'first' },
      { at: 40, ssrc: 7, is: 'accepted' },
      { at: 50, ssrc: 9, is: 'wrong-ssrc' },
      { at: 1039, ssrc: 9, is: 'wrong-ssrc' },
      { at: 1040, ssrc: 9, is: 'restarted' },
      { at: 1041, ssrc: 7, is: 'wrong-ssrc' },
      { at: 1042, ssrc: 9, is: 'accepted' },
    ],
  },
  {
    name: 'adopt and nat together: address, then SSRC',
    rule: { latch: 'nat', ssrcPolicy: 'adopt' },
    packets: [
      { at: 1, from: STRANGER, ssrc: 5, is: 'wrong-source' },
      { at: 2, from: NEIGHBOUR, port: 9, ssrc: 5, is: 'first' },
      { at: 3, is: 'wrong-source' },
      { at: 4, from: NEIGHBOUR, port: 9, ssrc: 5, is: 'accepted' },
    ],
  },
];

t.test('who may feed a source', async t => {
  for (const { name, rule, packets } of STORIES) {
    const gate = new SourceGate();
    t.equal(gate.admit(CAMERA, 15060, 1, 96, ms(0)), 'not-connected');
    gate.connect({ ...RULE, ...rule }, ms(0));
    for (const { at, from = CAMERA, port = 15060, ssrc = 1, payloadType = 96, is } of packets) t.equal(gate.admit(from, port, ssrc, payloadType, ms(at)), is, `${name}: ${at} ${from}:${port} ${ssrc}`);
  }
});

t.test('a re-INVITE begins anew', async t => {
  const gate = new SourceGate();
  gate.connect({ ...RULE, latch: 'nat' }, ms(0));
  gate.admit(NEIGHBOUR, 7, 1, 96, ms(1));
  gate.connect({ ...RULE, ssrc: 2 }, ms(5000));
  t.equal(gate.admit(NEIGHBOUR, 7, 1, 96, ms(5001)), 'wrong-source');
  t.equal(gate.admit(CAMERA, 15060, 2, 96, ms(5002)), 'first');
});

t.test('no spray of other sources is ever admitted, whatever it carries', async t => {
  fc.assert(
    fc.property(fc.constantFrom<'strict' | 'nat'>('strict', 'nat'), fc.constantFrom<'exact' | 'adopt'>('exact', 'adopt'), fc.array(fc.tuple(fc.constantFrom(STRANGER, NEIGHBOUR, CAMERA), fc.constantFrom(15060, 15061), fc.nat(2), fc.constantFrom(96, 8), fc.nat(2000)), { maxLength: 100 }), (latch, ssrcPolicy, spray) => {
      const gate = new SourceGate();
      gate.connect({ ...RULE, latch, ssrcPolicy }, ms(0));
      if (gate.admit(CAMERA, 15060, 1, 96, ms(0)) !== 'first') return false;
      let now = 0;
      for (const [address, port, ssrc, payloadType, wait] of spray) {
        now += wait;
        const admission = gate.admit(address, port, ssrc, payloadType, ms(now));
        const ours = address === CAMERA && port === 15060 && payloadType === 96;
        if (!ours && (admission === 'first' || admission === 'accepted' || admission === 'restarted')) return false;
        if (ssrcPolicy === 'exact' && ssrc !== 1 && admission === 'accepted') return false;
      }
      return gate.address === CAMERA && gate.port === 15060;
    }),
  );
  t.pass();
});

t.test('silence is told once, and again after packets came', async t => {
  const watch = new SilenceWatch(1000);
  t.equal(watch.deadline, NEVER);
  watch.start(ms(100));
  t.equal(watch.deadline, 1100);
  t.equal(watch.tick(ms(1099)), undefined);
  t.equal(watch.tick(ms(1100)), 1000);
  t.match(watch, { state: 'silent', deadline: NEVER });
  t.equal(watch.tick(ms(5000)), undefined);
  t.ok(watch.packet(ms(6000)), 'resumed');
  t.notOk(watch.packet(ms(6500)));
  t.equal(watch.tick(ms(7000)), undefined, 'the deadline moved meanwhile');
  t.equal(watch.deadline, 7500);
  t.equal(watch.tick(ms(7500)), 1000);
  watch.packet(ms(8000));
  watch.stop();
  t.equal(watch.deadline, NEVER);
});

t.test('who stood still himself knows nothing of silence: what came meanwhile is still to be read', async t => {
  const watch = new SilenceWatch(15_000);
  watch.start(ms(0));
  watch.packet(ms(100));
  t.equal(watch.tick(ms(16_100)), undefined);
  t.match(watch, { state: 'flowing', deadline: 31_100 });
  t.notOk(watch.packet(ms(16_101)), 'it had never stopped');
  t.equal(watch.tick(ms(31_101 + 999)), 15_999, 'a little late is no standstill');
  const waiting = new SilenceWatch(2000);
  waiting.start(ms(0));
  t.equal(waiting.tick(ms(60_000)), undefined);
  t.equal(waiting.tick(ms(62_000)), 2000, 'the silence itself is told, later');
});

const KEY = Uint8Array.from('000001ba4400dddd0401005f6bf8000001bb000c'.match(/../g)!, pair => parseInt(pair, 16));
const PICTURE = Uint8Array.from('000001ba4400dddd0401005f6bf8000001e0000c'.match(/../g)!, pair => parseInt(pair, 16));
const MIDDLE = new Uint8Array(20).fill(0x55);

/** A viewer behind a link of its own: `takes` bytes leave every millisecond. */
class Link {
  readonly queue = new ViewerQueue();
  now = 0;
  position = 0;
  waiting = 0;
  takes = 0;

  run(forMs: number, payload: Uint8Array, bytes: number): number {
    let admitted = 0;
    for (const end = this.now + forMs; this.now < end; this.now++) {
      this.waiting = Math.max(0, this.waiting - this.takes);
      if (!this.queue.admit('ps', payload, 0, payload.length, this.position, this.waiting, ms(this.now))) continue;
      this.position += bytes;
      this.waiting += bytes;
      admitted++;
    }
    return admitted;
  }
}

t.test('a reader that keeps up loses nothing, however long', async t => {
  const link = new Link();
  link.takes = 1000;
  t.equal(link.run(60_000, MIDDLE, 1000), 60_000);
});

t.test('a reader a little behind all the time loses nothing', async t => {
  const link = new Link();
  link.takes = 1000;
  link.waiting = link.position = 1_000_000;
  t.equal(link.run(60_000, MIDDLE, 1000), 60_000, 'one second behind');
});

t.test('two seconds of queue, then it waits for a key picture (fault 64)', async t => {
  const link = new Link();
  const admitted = link.run(5000, MIDDLE, 500);
  t.ok(admitted >= 1900 && admitted <= 2200, `${admitted} ms queued`);
  t.equal(link.queue.state, 'dropping');
  link.takes = 10_000;
  t.equal(link.run(200, MIDDLE, 500), 0, 'drained, and still no picture begins');
  t.equal(link.run(1, PICTURE, 500), 0, 'nor one that can be shown by itself');
  t.equal(link.run(1, KEY, 500), 1);
  t.equal(link.run(1000, MIDDLE, 500), 1000);
});

t.test('8 MiB, however fast they came', async t => {
  const link = new Link();
  link.run(1000, MIDDLE, 64 * 1024);
  t.ok(link.waiting > 8 * 1024 * 1024 && link.waiting <= 8 * 1024 * 1024 + 2 * 64 * 1024, `${link.waiting}`);
  link.takes = 64 * 1024;
  link.run(100, KEY, 0);
  t.ok(link.queue.state === 'dropping' || link.waiting <= 64 * 1024, 'not before it drained');
});

t.test('a stream without key pictures goes on with any picture, and at last with anything', async t => {
  for (const [payload, afterMs] of [[PICTURE, 10_000], [MIDDLE, 20_000]] as const) {
    const link = new Link();
    link.run(3000, payload, 500);
    const droppingSince = link.now;
    link.takes = 100_000;
    while (link.queue.state === 'dropping' && link.now < 40_000) link.run(1, payload, 500);
    t.ok(link.now - droppingSince > afterMs - 1500 && link.now - droppingSince <= afterMs, `${link.now - droppingSince}`);
  }
});

t.test('a reader that takes nothing for 30 s is dead', async t => {
  const link = new Link();
  link.run(31_000, KEY, 500);
  t.equal(link.queue.state, 'dropping');
  link.run(2000, KEY, 500);
  t.equal(link.queue.state, 'stalled');
});
