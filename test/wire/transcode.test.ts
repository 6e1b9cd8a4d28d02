/** Transcoding with the real ffmpeg, and with programs that misbehave in its place (faults 71, 74, 76, 77). */
import { existsSync, readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { type TranscodeConfig, transcodeSchema } from '#core/config/transcode-schema.ts';
import { splitAdts } from '#core/media/audio.ts';
import type { Rendition } from '#core/media/rendition.ts';
import { planTranscode } from '#core/media/transcode-plan.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { NutReader } from '#core/nut/read.ts';
import { NutWriter } from '#core/nut/write.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { type FfmpegExit, FfmpegRun, probeFfmpeg } from '#kit/ffmpeg.ts';
import { createLog } from '#kit/log.ts';
import { Transcoders } from '../../daemons/mediad/transcode/transcoders.ts';
import type { UnitSink, UnitStream } from '../../daemons/mediad/unit-stream.ts';
import { UnitHub } from '../../daemons/mediad/unit-hub.ts';
import { footageUnits } from '../rig/media-units.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { until as within } from '../rig/until.ts';

t.setTimeout(180_000);
const LIMIT_MS = 20_000;
const directory = mkdtempSync(join(tmpdir(), 'transcode-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const log = createLog('test', 'silent');

const rendition = (wishes: Partial<Rendition>): Rendition => ({ video: 'h264', size: null, bitrateKbps: 512, fps: null, audio: 'none', ...wishes });
const CIF = { width: 352, height: 288 };

function transcoders(config: Partial<TranscodeConfig> = {}): Transcoders {
  const whole = transcodeSchema.parse({ lingerS: 0, cores: 64, ...config });
  return new Transcoders({ clock, log, config: () => whole });
}

class Collector implements UnitSink {
  tracks: MediaTracks | undefined;
  readonly pictures: MediaUnit[] = [];
  readonly sounds: MediaUnit[] = [];
  readonly takenAt: number[] = [];
  ended: string | undefined;

  onTracks(tracks: MediaTracks): void {
    this.tracks = tracks;
  }

  onUnit(unit: MediaUnit): void {
    (unit.kind === 'video' ? this.pictures : this.sounds).push(unit);
    if (unit.kind === 'video') this.takenAt.push(performance.now());
  }

  onEnd(why: string): void {
    this.ended = why;
  }
}

const until = (what: string, is: () => boolean): Promise<unknown> => within(what, is, LIMIT_MS);

function join_(stream: UnitStream): { readonly seen: Collector; readonly seat: Disposable } {
  const seen = new Collector();
  return { seen, seat: stream.join(seen) };
}

/** Child processes of this one: `ffmpeg` names, zombies told apart. */
function children(): readonly { readonly pid: number; readonly state: string }[] {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);
  return pids.flatMap(pid => {
    if (!existsSync(`/proc/${pid}/stat`)) return [];
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.includes('(ffmpeg)') ? [{ pid, state: stat.slice(stat.lastIndexOf(')') + 2)[0]! }] : [];
  });
}

const codeOf = (error: unknown): string => (error instanceof GatewayError ? error.code : String(error));

function program(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\ncase "$*" in\n*-version*) echo "ffmpeg version fake";;\n*-encoders*) echo " V....D libx264 x";;\n*) ${body};;\nesac\n`, { mode: 0o755 });
  return path;
}

t.test('H.265 becomes H.264 in another size, AAC becomes G.711, on the timeline of the source; several viewers share one process', async t => {
  using source = await LiveFootage.start('h265-aac');
  using all = transcoders();
  const wanted = rendition({ size: CIF, audio: 'g711a' });
  const started = performance.now();
  using first = await all.render(source.stream, wanted, 'test');
  const firstPictureMs = performance.now() - started;
  using second = await all.render(source.stream, wanted, 'test');
  t.equal(first.stream, second.stream);
  t.equal(children().length, 1, 'one process');
  const { seen, seat } = join_(first.stream);
  using _seat = seat;
  await until('50 pictures', () => seen.pictures.length >= 50);
  t.match(seen.tracks, { video: { codec: 'h264', ...CIF }, audio: { codec: 'g711a', sampleRateHz: 8000, channels: 1 } });
  t.ok(seen.pictures[0]!.keyFrame);
  const steps = seen.pictures.slice(1).map((unit, i) => unit.pts90k - seen.pictures[i]!.pts90k);
  t.ok(steps.every(step => step === 3600), 'each picture of the source, at its time');
  t.equal(seen.pictures[0]!.pts90k % 3600, 0);
  await until('sound', () => seen.sounds.length > 10);
  t.ok(Math.abs(seen.sounds.at(-1)!.pts90k - seen.pictures.at(-1)!.pts90k) < 45_000, 'sound beside its pictures');
  t.ok(firstPictureMs < 5000, `first picture after ${Math.round(firstPictureMs)} ms`);
  const [row] = all.rows();
  t.match(row, { state: 'running', encoder: 'libx264', viewers: 1, starts: 1 });
});

t.test('G.711 becomes AAC while pictures pass as they are; without anything to do there is no process', async t => {
  using source = await LiveFootage.start('h264-g711a');
  using all = transcoders();
  using sound = await all.render(source.stream, rendition({ video: 'copy', audio: 'aac' }), 'test');
  const { seen } = join_(sound.stream);
  await until('sound', () => seen.sounds.length >= 5 && seen.pictures.length >= 25);
  t.match(seen.tracks, { video: { codec: 'h264', width: 768 }, audio: { codec: 'aac', sampleRateHz: 16000 } });
  t.ok(seen.sounds.every(({ bytes }) => splitAdts(bytes).frames.length === 1));
  using nothing = await all.render(source.stream, rendition({ video: 'copy', audio: 'copy' }), 'test');
  const plain = join_(nothing.stream);
  await until('pictures', () => plain.seen.pictures.length >= 5);
  t.equal(children().length, 1);
  t.equal(all.rows().find(row => row.pid === null)?.state, 'passing');
});

t.test('fewer pictures a second; a key frame of the source is one of the rendition', async t => {
  using source = await LiveFootage.start('h264');
  using all = transcoders();
  using slow = await all.render(source.stream, rendition({ size: CIF, fps: 10 }), 'test');
  const { seen } = join_(slow.stream);
  await until('pictures', () => seen.pictures.length >= 30);
  const span = (seen.pictures.at(-1)!.pts90k - seen.pictures[0]!.pts90k) / 90_000;
  const perSecond = (seen.pictures.length - 1) / span;
  t.ok(Math.abs(perSecond - 10) < 0.7, `${perSecond.toFixed(1)} a second`);
  t.ok(seen.pictures.filter(({ keyFrame }) => keyFrame).length >= 2, 'a group of 25 pictures, as the source');
});

t.test('fault 76: killed, it is there again within a second, and no picture comes twice; another job does not notice; no zombie', async t => {
  using source = await LiveFootage.start('h264');
  using all = transcoders();
  using one = await all.render(source.stream, rendition({ size: CIF }), 'one');
  using other = await all.render(source.stream, rendition({ size: { width: 176, height: 144 } }), 'other');
  const killed = join_(one.stream);
  const kept = join_(other.stream);
  await until('both run', () => killed.seen.pictures.length > 10 && kept.seen.pictures.length > 10);
  const pid = all.rows().find(({ label }) => label === 'one')!.pid!;
  const before = killed.seen.pictures.length;
  const at = performance.now();
  process.kill(pid, 'SIGKILL');
  await until('it goes on', () => killed.seen.pictures.length >= before + 10);
  const backMs = killed.seen.takenAt[before]! - at;
  t.ok(backMs < 1000, `pictures again after ${Math.round(backMs)} ms`);
  const stamps = killed.seen.pictures.map(({ pts90k }) => pts90k);
  t.ok(stamps.every((pts, i) => i === 0 || pts > stamps[i - 1]!));
  t.ok(killed.seen.pictures[before]!.keyFrame, 'it begins with a key frame');
  t.equal(all.rows().find(({ label }) => label === 'other')!.starts, 1);
  t.notOk(existsSync(`/proc/${pid}`));
  t.equal(all.counters()['transcode.died'], 1);
});

t.test('fault 76: it hangs: it is killed and started anew', async t => {
  using source = await LiveFootage.start('h264');
  using all = transcoders();
  using one = await all.render(source.stream, rendition({ size: CIF }), 'one');
  const { seen } = join_(one.stream);
  await until('it runs', () => seen.pictures.length > 10);
  process.kill(all.rows()[0]!.pid!, 'SIGSTOP');
  await wait(200);
  const before = seen.pictures.length;
  await until('it goes on', () => seen.pictures.length > before + 5);
  t.equal(all.rows()[0]!.starts, 2);
});

t.test('fault 76: a flood on standard error ends it, what is kept of it is little; after many deaths the rendition ends', async t => {
  using source = await LiveFootage.start('h264');
  using all = transcoders({ ffmpeg: program('flood', 'exec yes "Error while decoding" >&2') });
  const from = process.memoryUsage().rss;
  const refused = await all.render(source.stream, rendition({}), 'flood').catch((error: unknown) => error);
  t.equal(codeOf(refused), 'MEDIA_UNAVAILABLE');
  t.match((refused as GatewayError).message, /again and again|gave no picture|MEDIA_UNAVAILABLE/);
  t.ok(process.memoryUsage().rss - from < 64 * 1024 * 1024);
  t.ok(all.counters()['transcode.died']! >= 3);
  t.same(all.rows(), []);
  t.same(children(), []);
});

t.test('fault 76: no program, a program that is none, one that writes nonsense', async t => {
  using source = await LiveFootage.start('h264');
  using missing = transcoders({ ffmpeg: '/nonexistent/ffmpeg' });
  t.equal(codeOf(await missing.render(source.stream, rendition({}), 'x').catch((error: unknown) => error)), 'MEDIA_UNAVAILABLE');
  using nonsense = transcoders({ ffmpeg: program('nonsense', 'exec cat /dev/zero') });
  t.equal(codeOf(await nonsense.render(source.stream, rendition({}), 'x').catch((error: unknown) => error)), 'MEDIA_UNAVAILABLE');
  using copies = transcoders({ ffmpeg: '/nonexistent/ffmpeg' });
  t.equal(codeOf(await copies.render(source.stream, rendition({ video: 'copy', audio: 'copy' }), 'x').catch((error: unknown) => error)), 'MEDIA_UNAVAILABLE');
});

t.test('limits: so many jobs, and so many cores by what they were seen to take', async t => {
  using source = await LiveFootage.start('h264');
  using few = transcoders({ maxJobs: 1 });
  using _one = await few.render(source.stream, rendition({ size: CIF }), 'one');
  t.equal(codeOf(await few.render(source.stream, rendition({}), 'two').catch((error: unknown) => error)), 'CAPACITY_EXHAUSTED');
  using narrow = transcoders({ cores: 0.01 });
  using first = await narrow.render(source.stream, rendition({ size: CIF }), 'one');
  t.equal(codeOf(await narrow.render(source.stream, rendition({}), 'two').catch((error: unknown) => error)), 'CAPACITY_EXHAUSTED');
  const { seen } = join_(first.stream);
  await until('a measured one', () => narrow.rows()[0]!.cores !== null);
  t.ok(narrow.rows()[0]!.cores! > 0 && seen.ended === undefined, `${narrow.rows()[0]!.cores} cores`);
});

t.test('faults 71, 77: broken pictures may end the process, and never this one or another job', async t => {
  let seed = 7;
  const dice = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  const spoil = (unit: MediaUnit): MediaUnit => {
    const bytes = unit.bytes.slice();
    // Not the first bytes: the gateway itself must still take them for pictures.
    for (let i = 0; i < 12; i++) bytes[40 + dice(Math.max(1, bytes.length - 40))] = dice(256);
    return { ...unit, bytes };
  };
  using source = await LiveFootage.start('h264');
  using noise = await LiveFootage.start('h264', spoil);
  using all = transcoders();
  using good = await all.render(source.stream, rendition({ size: CIF }), 'good');
  using bad = await all.render(noise.stream, rendition({ size: CIF }), 'bad');
  const whole = join_(good.stream);
  const mixed = join_(bad.stream);
  await until('the good one goes on', () => whole.seen.pictures.length > 100);
  t.ok(mixed.seen.pictures.length > 0 || mixed.seen.ended !== undefined);
  t.equal(all.rows().find(({ label }) => label === 'good')!.starts, 1);
});

t.test('fault 77: a thousand mutated pictures of each codec through the caged program, as fast as it goes: at worst it dies', async t => {
  const facts = await probeFfmpeg('');
  if ('why' in facts) throw new Error(facts.why);
  t.ok(facts.caged.includes('limits') && facts.caged.includes('privileges'), facts.caged.join(', '));
  for (const name of ['h264', 'h265'] as const) {
    const { units } = await footageUnits(name);
    const track = { codec: name, parameterSets: [], width: 768, height: 576 };
    const plan = planTranscode({ rendition: rendition({ size: { width: 176, height: 144 } }), tracks: { video: track, audio: null }, hardware: 'none', encoders: facts.encoders, after90k: -1, threads: 2 });
    if (!plan.ok) throw new Error(plan.error.why);
    let seed = 77;
    const dice = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
    const reader = new NutReader();
    const writer = new NutWriter([track]);
    const gone = Promise.withResolvers<FfmpegExit>();
    let came = 0;
    const run = new FfmpegRun(facts, {
      argv: plan.value.argv,
      extraOutputs: 1,
      onOutput: (_fd, bytes) => {
        const frames = reader.push(bytes);
        if (frames.ok) came += frames.value.length;
        else run.kill(frames.error.why);
      },
      onExit: gone.resolve,
    });
    run.write(writer.header());
    for (let i = 0; i < 1000 && !run.ended; i += 1) {
      const { bytes, keyFrame } = units[i % units.length]!;
      const broken = bytes.slice();
      for (let k = dice(6); k > 0; k -= 1) broken[dice(broken.length)] = dice(256);
      run.write(writer.frameHeader(0, { bytes: broken, keyFrame, pts90k: i * 3600 }), broken);
      while (run.waitingBytes > 1_000_000 && !run.ended) await wait(5);
    }
    run.endInput();
    const { code, why } = await gone.promise;
    t.equal(why, null, `${name}: what came could be read`);
    t.ok(came > 500 || code !== 0, `${name}: ${came} pictures, exit ${code}`);
  }
});

t.test('fault 74: the camera changes its codec: a new process, no failure, and the pictures go on', async t => {
  const [before, after] = [await footageUnits('h264'), await footageUnits('h265-g711a', 3600 * 1000)];
  const hub = new UnitHub({ clock, onTaken: () => undefined, onKeyFrameWanted: () => undefined });
  using all = transcoders();
  const play = async (units: readonly MediaUnit[], count: number): Promise<void> => {
    for (const unit of units.slice(0, count)) {
      hub.take(unit, clock.now());
      if (unit.kind === 'video') await wait(20);
    }
  };
  const first = play(before.units, 60);
  using one = await all.render(hub, rendition({ size: CIF, audio: 'g711a' }), 'one');
  const { seen } = join_(one.stream);
  await first;
  await until('pictures of the first', () => seen.pictures.length >= 8);
  const count = seen.pictures.length;
  const second = play(after.units, 200);
  await until('pictures of the second', () => seen.pictures.length > count + 20);
  await until('and its sound', () => seen.sounds.length > 5);
  await second;
  t.match(all.rows()[0], { state: 'running', starts: 2 });
  t.equal(all.counters()['transcode.died'], undefined);
  t.equal(all.counters()['transcode.reshaped'], 1);
  t.match(seen.tracks, { video: { codec: 'h264', ...CIF }, audio: { codec: 'g711a' } });
});

t.test('the source ends: so does the rendition; the last viewer leaves: the process goes', async t => {
  using source = await LiveFootage.start('h264');
  using all = transcoders();
  const one = await all.render(source.stream, rendition({ size: CIF }), 'one');
  one[Symbol.dispose]();
  await until('the process is gone', () => children().length === 0);
  using two = await all.render(source.stream, rendition({ size: CIF }), 'two');
  const { seen } = join_(two.stream);
  source.end('camera left');
  t.equal(seen.ended, 'camera left');
  await until('the process is gone', () => children().length === 0);
  t.same(Object.keys(all.counters()).filter(name => name.startsWith('transcode.failed')), [], 'that is no failure of a transcoder');
});
