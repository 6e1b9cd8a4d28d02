/**
 * A camera, a bad network, jitter buffer, picture gate and demultiplexer in virtual time: what comes out are the camera's own pictures
 * or none (faults 57-59). The same over real sockets: test/wire/gateway-networks.test.ts.
 */
import t from 'tap';
import { PsDemuxer, type PsEvent, type PsUnit } from '#core/ps/demux.ts';
import { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import { PacketGate } from '#core/rtp/packet-gate.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import { beginsKeyPicture, beginsPicture } from '#core/rtp/payload-probe.ts';
import { SequenceTracker } from '#core/rtp/sequence.ts';
import { ms } from '#core/units.ts';
import { systemRandom } from '#kit/random.ts';
import { MediaBatch } from '../../../daemons/mediad/media-batch.ts';
import { Impairment } from '../../../scripts/impairment/impairment.ts';
import { CLEAR, type ImpairmentRules } from '../../../scripts/impairment/rules.ts';
import { loadFootage } from '../../../scripts/media/footage.ts';
import { CameraStream } from '../../../scripts/simulators/camera/stream.ts';

const LIMITS = { minWaitMs: 50, maxWaitMs: 500 };
const PICTURE_MS = 40;
const STEP_MS = 5;
/** As the network chip of a camera does it. */
const PACKETS_PER_STEP = 32;
/** One request a second, and so long until the camera has it. */
const ASK_EVERY_MS = 1000;
const ASKED_AFTER_MS = 30;
/** More pictures behind those that are looked at: a stream that ends holds back its last packets. */
const TAIL_PICTURES = 50;

const footage = await loadFootage('h264');

class Scene {
  readonly impairment: Impairment;
  readonly stream: CameraStream;
  readonly store = new PacketStore();
  readonly tracker = new SequenceTracker();
  readonly buffer = new JitterBuffer(this.store, LIMITS);
  readonly gate = new PacketGate(this.store);
  readonly demuxer = new PsDemuxer();
  readonly units: PsUnit[] = [];
  /** From the camera to the gate's far side, for every packet. */
  longestMs = 0;
  requests = 0;
  /** While the stream still runs. */
  late = 0;
  abandoned = 0;
  readonly #answers: boolean;
  readonly #header = newRtpHeader();
  readonly #ordered = new MediaBatch();
  readonly #whole = new MediaBatch();
  readonly #sentAt = new Map<number, number>();
  #askedAt = -Infinity;
  #requestAt = Infinity;
  #nextOut: number | undefined;

  constructor(rules: Partial<ImpairmentRules>, answers: boolean) {
    this.impairment = new Impairment({ ...CLEAR, seed: 7, ...rules });
    this.stream = new CameraStream({ footage, ssrc: 1, payloadType: 96, quirks: new Set(), random: { ...systemRandom, int: () => 4000 }, overTcp: false });
    this.#answers = answers;
  }

  run(pictures: number): this {
    const queue: Uint8Array[] = [];
    for (let now = 0; now < (pictures + TAIL_PICTURES) * PICTURE_MS; now += STEP_MS) {
      if (now >= this.#requestAt) this.#answer();
      queue.push(...this.stream.due(now));
      for (const packet of queue.splice(0, PACKETS_PER_STEP)) {
        this.#sentAt.set(new DataView(packet.buffer, packet.byteOffset).getUint32(4), now);
        this.impairment.push(packet, ms(now));
      }
      for (const packet of this.impairment.takeDue(ms(now))) this.#arrive(packet, now);
      this.#pass(now, () => this.buffer.expire(ms(now), this.#ordered));
    }
    ({ late: this.late, abandoned: this.abandoned } = this.buffer);
    const tail = new Set(this.stream.sent.splice(pictures).map(({ pts90k }) => pts90k));
    this.units.splice(0, Infinity, ...this.units.filter(({ pts90k }) => !tail.has(pts90k)));
    this.buffer.clear();
    this.gate.stop(ms(0));
    return this;
  }

  #answer(): void {
    this.#requestAt = Infinity;
    this.requests++;
    this.stream.requestKeyFrame();
  }

  #arrive(packet: Uint8Array, now: number): void {
    if (readRtp(packet, 0, packet.length, this.#header) !== 'rtp') throw new Error('no RTP');
    const { sequence, timestamp, marker, payloadOffset, payloadLength } = this.#header;
    const arrival = this.tracker.update(sequence, timestamp, ms(now));
    if (arrival === 'duplicate' || arrival === 'stale') return;
    this.#pass(now, () => {
      const begins = this.buffer.opening && beginsPicture('ps', packet, payloadOffset, payloadLength);
      this.buffer.boundMs = this.tracker.jitterBoundMs;
      if (this.buffer.passes(this.tracker.index)) this.#ordered.add(packet, payloadOffset, payloadLength, marker, timestamp, this.tracker.index);
      else this.buffer.take(packet, payloadOffset, payloadLength, marker, timestamp, this.tracker.index, ms(now), this.#ordered, begins, begins && beginsKeyPicture('ps', packet, payloadOffset, payloadLength));
    });
  }

  /** What comes in order goes through the gate, and what leaves the gate is taken apart. */
  #pass(now: number, give: () => void): void {
    this.#ordered.begin();
    this.#ordered.kind = 'ps';
    give();
    this.#whole.begin();
    this.#whole.kind = 'ps';
    if (this.#ordered.count > 0) this.gate.take(this.#ordered, this.#whole, ms(now));
    for (let i = 0; i < this.#whole.count; i++) this.#leave(i, now);
    this.store.recycle(true);
    if (!this.#answers || !this.gate.wantsKeyPicture || now - this.#askedAt < ASK_EVERY_MS) return;
    this.#askedAt = now;
    this.#requestAt = now + ASKED_AFTER_MS;
  }

  #leave(i: number, now: number): void {
    const { memory, payloadOffset, payloadLength, marker, timestamp, index } = this.#whole;
    this.longestMs = Math.max(this.longestMs, now - this.#sentAt.get(timestamp[i]!)!);
    if (this.#nextOut !== undefined && index[i] !== this.#nextOut) throw new Error('a number is missing behind the gate');
    this.#nextOut = index[i]! + 1;
    this.#take(this.demuxer.push(memory[i]!.slice(payloadOffset[i], payloadOffset[i]! + payloadLength[i]!), marker[i]));
  }

  #take(events: readonly PsEvent[]): void {
    for (const event of events) if (event.type === 'unit') this.units.push(event);
  }

  /** Pictures that are not what the camera made of that time, or that follow on one that was not shown. */
  get wrong(): string[] {
    const byTime = new Map(this.stream.sent.map(({ pts90k, index }, place) => [pts90k, { index, place }]));
    let shown = -1;
    return this.units.flatMap(unit => {
      const sent = byTime.get(unit.pts90k);
      if (sent === undefined) return [`no such time ${unit.pts90k}`];
      const follows = unit.keyFrame || sent.place === shown + 1;
      shown = sent.place;
      const same = Buffer.compare(unit.bytes, footage.pictures[sent.index]!.bytes) === 0;
      return same && follows && !unit.damaged ? [] : [`picture ${sent.place}: ${same ? 'its reference was not shown' : 'other bytes'}`];
    });
  }

  get frozenPercent(): number {
    return 100 * (1 - this.units.length / this.stream.sent.length);
  }
}

const LOSSES: readonly Partial<ImpairmentRules>[] = [0.1, 1, 5, 10, 20].flatMap(lossPercent => [{ lossPercent }, { lossPercent, burst: 5 }, { lossPercent, burst: 20 }]);
const nameOf = (rules: Partial<ImpairmentRules>): string => Object.entries(rules).map(([name, value]) => `${name} ${value}`).join(', ');

t.test('whatever is lost: whole pictures, each with what it is built on (fault 58)', async t => {
  for (const rules of LOSSES) {
    for (const answers of [true, false]) {
      const scene = new Scene(rules, answers).run(500);
      t.same(scene.wrong, [], `${nameOf(rules)}, key pictures on request ${answers}: ${scene.units.length} shown, ${scene.frozenPercent.toFixed(1)} % frozen`);
      t.equal(scene.store.used, 0, 'and nothing of it is kept');
    }
  }
});

t.test('a tenth of a percent: frozen for at most 5 % of the time, where the camera answers', async t => {
  const asked = new Scene({ lossPercent: 0.1 }, true).run(3000);
  const left = new Scene({ lossPercent: 0.1 }, false).run(3000);
  t.ok(asked.frozenPercent <= 5 && asked.requests > 0, `${asked.frozenPercent.toFixed(2)} % with ${asked.requests} requests`);
  t.ok(left.frozenPercent > asked.frozenPercent, `${left.frozenPercent.toFixed(2)} % without`);
});

t.test('late, out of order and twice: nothing is lost, nothing waits longer than the limit (faults 57, 59)', async t => {
  const networks: readonly Partial<ImpairmentRules>[] = [
    { reorderPercent: 10, reorderDepth: 20 },
    { jitterMs: 200 },
    { jitterMs: 200, jitterReorders: true },
    { jitterMs: 100, jitterReorders: true, duplicatePercent: 20 },
    { delayMs: 300, jitterMs: 50, jitterReorders: true, reorderPercent: 5, reorderDepth: 10 },
  ];
  for (const rules of networks) {
    for (const seed of [1, 2, 3]) {
      const scene = new Scene({ ...rules, seed }, false).run(500);
      const { late, abandoned } = scene;
      t.same({ late, abandoned, shown: scene.units.length, wrong: scene.wrong }, { late: 0, abandoned: 0, shown: 500, wrong: [] }, `${nameOf(rules)}: at most ${scene.longestMs} ms`);
      t.ok(scene.longestMs <= (rules.delayMs ?? 0) + (rules.jitterMs ?? 0) + LIMITS.maxWaitMs);
    }
  }
});

t.test('200 deep: whole pictures, and nobody waits longer than half a second (fault 57)', async t => {
  const scene = new Scene({ reorderPercent: 2, reorderDepth: 200, reorderHoldMs: 3000 }, true).run(500);
  t.same(scene.wrong, []);
  t.ok(scene.late > 0 && scene.longestMs <= LIMITS.maxWaitMs + PICTURE_MS + STEP_MS, `${scene.longestMs} ms, ${scene.late} too late`);
});
