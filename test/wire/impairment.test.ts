/** The bad network of the tests and the meter of pictures: instruments are tested before anything is measured with them. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { type Ms, NEVER, addMs, ms } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import { systemRandom } from '#kit/random.ts';
import { Impairment } from '../../scripts/impairment/impairment.ts';
import { ImpairmentRelay } from '../../scripts/impairment/relay.ts';
import { CLEAR, type ImpairmentRules, parseImpairment } from '../../scripts/impairment/rules.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { cleanPictures, measurePictures } from '../../scripts/media/picture-meter.ts';
import { ssim } from '../../scripts/media/ssim.ts';
import { CameraStream } from '../../scripts/simulators/camera/stream.ts';
import { until } from '../rig/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'viewlink-meter-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const footage = await loadFootage('h264');
const clean = await cleanPictures(footage.videoPath);

const COUNT = 50_000;
const EVERY_MS = 5;

interface Crossing {
  readonly number: number;
  readonly sentAt: number;
  readonly leftAt: number;
}

/** `count` numbered datagrams, one every 5 ms of virtual time. */
function cross(rules: Partial<ImpairmentRules>, count = COUNT): { readonly crossings: Crossing[]; readonly impairment: Impairment } {
  const impairment = new Impairment({ ...CLEAR, ...rules });
  const crossings: Crossing[] = [];
  const take = (now: Ms): void => {
    for (; impairment.deadline <= now; ) {
      const at = impairment.deadline;
      for (const datagram of impairment.takeDue(at)) {
        const number = new DataView(datagram.buffer, datagram.byteOffset).getUint32(0);
        crossings.push({ number, sentAt: number * EVERY_MS, leftAt: at });
      }
    }
  };
  for (let number = 0; number < count; number++) {
    const now = ms(number * EVERY_MS);
    take(now);
    const datagram = new Uint8Array(8);
    new DataView(datagram.buffer).setUint32(0, number);
    impairment.push(datagram, now);
    take(now);
  }
  take(addMs(ms(count * EVERY_MS), 1e6));
  return { crossings, impairment };
}

const runsOfLoss = (crossings: readonly Crossing[]): number[] => {
  const there = new Set(crossings.map(({ number }) => number));
  const runs: number[] = [];
  for (let number = 0, run = 0; number < COUNT; number++) {
    if (!there.has(number)) run += 1;
    else if (run > 0) {
      runs.push(run);
      run = 0;
    }
  }
  return runs;
};
/** One string: fifty thousand of them are compared at once. */
const numbersOf = (crossings: readonly Crossing[]): string => crossings.map(({ number }) => number).join();
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

t.test('loss: as much as asked for, alone or in runs, and the same again', async t => {
  for (const [lossPercent, burst] of [[0.1, 1], [1, 1], [20, 1], [1, 5], [10, 20]] as const) {
    const { crossings } = cross({ lossPercent, burst, seed: 3 });
    const lost = 100 * (1 - crossings.length / COUNT);
    t.ok(Math.abs(lost - lossPercent) < lossPercent * 0.35, `${lossPercent} % in runs of ${burst}: ${lost.toFixed(2)} %`);
    const runs = mean(runsOfLoss(crossings));
    if (burst > 1) t.ok(Math.abs(runs - burst) < burst * 0.35, `runs of ${runs.toFixed(1)}`);
    t.equal(numbersOf(cross({ lossPercent, burst, seed: 3 }).crossings), numbersOf(crossings));
    t.not(numbersOf(cross({ lossPercent, burst, seed: 4 }).crossings), numbersOf(crossings));
  }
  t.equal(cross({}).crossings.length, COUNT);
  t.equal(cross({ lossPercent: 100, burst: 5 }).crossings.length, 0);
});

t.test('what else happens does not change what is lost', async t => {
  const numbers = (rules: Partial<ImpairmentRules>): string => [...new Set(cross({ lossPercent: 5, ...rules }).crossings.map(({ number }) => number))].sort((a, b) => a - b).join();
  const plain = numbers({});
  t.equal(numbers({ jitterMs: 200, jitterReorders: true, delayMs: 20 }), plain);
  t.equal(numbers({ reorderPercent: 10, reorderDepth: 20 }), plain);
  t.equal(numbers({ duplicatePercent: 10 }), plain);
});

t.test('delay and jitter: within their bounds, in order unless asked otherwise', async t => {
  const delays = (crossings: readonly Crossing[]): number[] => crossings.map(({ sentAt, leftAt }) => leftAt - sentAt);
  const inOrder = cross({ delayMs: 20, jitterMs: 200 }).crossings;
  t.ok(delays(inOrder).every(delay => delay >= 20 && delay <= 220));
  t.ok(Math.max(...delays(inOrder)) > 210 && Math.min(...delays(inOrder)) < 60, 'all of it is used');
  const all = Array.from({ length: COUNT }, (_, number) => number).join();
  t.equal(numbersOf(inOrder), all);
  const shuffled = cross({ jitterMs: 200, jitterReorders: true }).crossings;
  t.ok(delays(shuffled).every(delay => delay >= 0 && delay <= 200));
  t.ok(Math.abs(mean(delays(shuffled)) - 100) < 5);
  t.not(numbersOf(shuffled), all);
  t.equal(shuffled.length, COUNT);
});

t.test('reordering: as deep as asked for, and all arrive', async t => {
  const { crossings, impairment } = cross({ reorderPercent: 10, reorderDepth: 20 });
  t.equal(crossings.length, COUNT);
  const overtaken = crossings.map(({ number }, place) => place - number).filter(places => places > 0);
  t.ok(Math.max(...overtaken) >= 18 && Math.max(...overtaken) <= 20, `up to ${Math.max(...overtaken)} places`);
  t.ok(Math.abs(impairment.counters.reordered / COUNT - 0.1) < 0.01);
  t.equal(impairment.deadline, NEVER);
  const held = cross({ reorderPercent: 10, reorderDepth: 200, reorderHoldMs: 100 }).crossings;
  t.equal(Math.max(...held.map(({ sentAt, leftAt }) => leftAt - sentAt)), 100, 'and held no longer than that');
});

t.test('duplicates and wrong bits', async t => {
  const doubled = cross({ duplicatePercent: 5 });
  t.ok(Math.abs(doubled.crossings.length / COUNT - 1.05) < 0.01);
  t.equal(new Set(doubled.crossings.map(({ number }) => number)).size, COUNT);
  const original = new Uint8Array(100);
  const wrong = new Impairment({ ...CLEAR, corruptPercent: 100 });
  wrong.push(original, ms(0));
  const [carried] = wrong.takeDue(ms(0));
  t.equal([...carried!].reduce((bits, byte) => bits + byte.toString(2).replaceAll('0', '').length, 0), 1);
  t.ok(original.every(byte => byte === 0), 'of the copy only');
});

t.test('rules as text', async t => {
  t.match(parseImpairment('loss=5,burst=5,delay=20,shuffle=200,reorder=20,hold=50,duplicate=1,corrupt=0.5,seed=7'), {
    ok: true,
    value: { lossPercent: 5, burst: 5, delayMs: 20, jitterMs: 200, jitterReorders: true, reorderDepth: 20, reorderPercent: 10, reorderHoldMs: 50, duplicatePercent: 1, corruptPercent: 0.5, seed: 7 },
  });
  for (const text of ['', 'loss', 'loss=', 'loss=101', 'loss=-1', 'loss=1e1', 'gain=1', 'loss=1;burst=2', '__proto__=1']) t.notOk(parseImpairment(text).ok, text);
});

const openSocket = async (): Promise<Socket> => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
};

t.test('a relay stands between two sockets, both ways, each way with its own rules', async t => {
  const [left, right] = [await openSocket(), await openSocket()];
  const heard: { readonly left: number[]; readonly right: number[] } = { left: [], right: [] };
  left.on('message', ([number]) => heard.left.push(number!));
  const rightPlace = { address: '127.0.0.1', port: right.address().port };
  await using relay = await ImpairmentRelay.open({ clock: systemClock, address: '127.0.0.1', right: rightPlace, toRight: { ...CLEAR, lossPercent: 20, seed: 5 }, toLeft: { ...CLEAR, delayMs: 30 } });
  right.on('message', ([number], from) => {
    heard.right.push(number!);
    t.equal(from.port, relay.rightSocket.port, 'it stands for the left party');
  });
  for (let number = 0; number < 100; number++) left.send(Uint8Array.of(number), relay.leftSocket.port, '127.0.0.1');
  await until('all that is not lost', () => heard.right.length === 100 - relay.counters.toRight.lost && relay.counters.toRight.taken === 100);
  const numbers = cross({ lossPercent: 20, seed: 5 }, 100).crossings.map(({ number }) => number);
  t.same(heard.right, numbers, 'as the seed says');
  const before = systemClock.now();
  right.send(Uint8Array.of(7), relay.rightSocket.port, '127.0.0.1');
  await until('the answer', () => heard.left.length === 1);
  t.ok(systemClock.now() - before >= 30);
  left.close();
  right.close();
});

/** A camera's stream as a receiver without any care would record it, `lost` being numbers of packets. */
function record(name: string, pictures: number, lost: (number: number) => boolean): { readonly path: string; readonly sent: CameraStream['sent'] } {
  const stream = new CameraStream({ footage, ssrc: 1, payloadType: 96, quirks: new Set(), random: systemRandom, overTcp: false });
  const packets = stream.due((pictures - 1) * 40);
  const path = join(directory, `${name}.ps`);
  writeFileSync(path, Buffer.concat(packets.filter((_, number) => !lost(number)).map(packet => packet.subarray(12))));
  return { path, sent: stream.sent };
}

t.test('the meter: whole, damaged and missing pictures', async t => {
  const whole = record('whole', 50, () => false);
  t.match(await measurePictures(whole.path, whole.sent, clean), { sent: 50, shown: 50, damaged: 0, damagedPercent: 0, frozenPercent: 0, longestFreezeMs: 0, freezes: 0, decoderErrors: 0, worstSsim: 1 });

  const hurt = record('hurt', 50, number => number === 60);
  const measure = await measurePictures(hurt.path, hurt.sent, clean);
  t.ok(measure.damaged > 0 && measure.damaged < 25 && measure.worstSsim < 0.98, `damaged until the next key picture: ${measure.damaged}`);

  t.match(await measurePictures(undefined, whole.sent, clean), { shown: 0, damaged: 0, frozenPercent: 100, longestFreezeMs: 2000, freezes: 1 });

  // The second group of pictures alone: its first 25 are seen as a freeze, and none of it is taken for another.
  const half = join(directory, 'half.ps');
  const stream = new CameraStream({ footage, ssrc: 1, payloadType: 96, quirks: new Set(), random: { ...systemRandom, int: () => 1000 }, overTcp: false });
  stream.due(24 * 40);
  writeFileSync(half, Buffer.concat(stream.due(49 * 40).map(packet => packet.subarray(12))));
  t.match(await measurePictures(half, stream.sent, clean), { sent: 50, shown: 25, damaged: 0, frozenPercent: 50, longestFreezeMs: 1000, freezes: 1, decoderErrors: 0 });
});

t.test('likeness as ffmpeg counts it', async t => {
  const [a, b] = [clean.luma[10]!, clean.luma[40]!];
  for (const [name, picture] of [['a', a], ['b', b]] as const) writeFileSync(join(directory, name), picture);
  const raw = (name: string): string[] => ['-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${clean.width}x${clean.height}`, '-i', join(directory, name)];
  const { stderr } = await promisify(execFile)('ffmpeg', ['-nostdin', '-hide_banner', ...raw('a'), ...raw('b'), '-lavfi', 'ssim', '-f', 'null', '-']);
  const said = Number(/SSIM Y:([\d.]+)/.exec(stderr)?.[1]);
  t.ok(Math.abs(ssim(a, b, clean) - said) < 0.002, `${ssim(a, b, clean)} and ${said}`);
  t.equal(ssim(a, a, clean), 1);
});
