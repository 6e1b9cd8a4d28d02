/**
 * One stream turned into one rendition: takes the units of a source, has a process make others, hands those out like any stream.
 * The life of the process: core/media/transcode-health. After a death it begins at the last key frame that the source still knows, and
 * gives nothing that was given before.
 */
import type { TranscoderRow } from '#contracts/mediad.ts';
import { SlowViewer } from '#core/media/slow-viewer.ts';
import { type Rendition, renditionKey } from '#core/media/rendition.ts';
import type { TranscodeCapacity } from '#core/media/transcode-capacity.ts';
import { TranscodeHealth } from '#core/media/transcode-health.ts';
import { type Hardware, isHardware, planTranscode, type TranscodePlan } from '#core/media/transcode-plan.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { NutWriter } from '#core/nut/write.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, NEVER } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import { type FfmpegExit, type FfmpegFacts, FfmpegRun } from '#kit/ffmpeg.ts';
import type { Log } from '#kit/log.ts';
import { UnitHub } from '../unit-hub.ts';
import type { UnitSeat, UnitSink, UnitStream } from '../unit-stream.ts';
import { TranscodeOutputs } from './outputs.ts';

/** A source that the process does not keep up with is dropped to its next key frame (fault 64 turned round). */
const INPUT_LIMITS = { maxWaitingBytes: 4 * 1024 * 1024, maxWaitingMs: 1500, stallMs: 5000 };

export interface JobWorld {
  readonly facts: FfmpegFacts;
  readonly capacity: TranscodeCapacity;
  readonly hardware: Hardware;
  readonly threads: number;
  readonly clock: Clock;
  readonly log: Log;
  count(name: string, by?: number): void;
}

export class TranscodeJob {
  readonly jobId: string;
  readonly label: string;
  readonly rendition: Rendition;
  readonly hub: UnitHub;
  /** Once, when it ends for another reason than `close`. */
  onEnd: (error: GatewayError) => void = () => undefined;
  readonly #source: UnitStream;
  readonly #world: JobWorld;
  readonly #health = new TranscodeHealth();
  readonly #alarm: Alarm;
  #seat: UnitSeat | undefined;
  /** Of the seat: what an older one still says does not count. */
  #generation = 0;
  #plan: TranscodePlan | undefined;
  #writer: NutWriter | undefined;
  #run: FfmpegRun | undefined;
  #gate = new SlowViewer(INPUT_LIMITS);
  #last = { video: -1, audio: -1 };
  #size = { in: 0, out: 0 };
  #hardware: Hardware;
  #ended = false;
  #cpu: { readonly at: Ms; readonly cpuMs: number; readonly megapixels: number } | undefined;
  #megapixels = 0;
  #cores: number | null = null;
  #stderrBytes = 0;
  pictures = 0;
  droppedIn = 0;

  constructor(jobId: string, label: string, source: UnitStream, rendition: Rendition, world: JobWorld, onTaken: (taken: boolean) => void) {
    this.jobId = jobId;
    this.label = label;
    this.rendition = rendition;
    this.#source = source;
    this.#world = world;
    this.#hardware = world.hardware;
    this.#alarm = new Alarm(world.clock, () => this.#onDue());
    this.hub = new UnitHub({ clock: world.clock, onTaken, onKeyFrameWanted: () => this.#seat?.wantKeyFrame() });
  }

  start(): void {
    this.#rejoin();
  }

  /** Nothing has to be turned. */
  get passes(): boolean {
    return this.#plan?.inputs.length === 0;
  }

  /** Pictures are given no more; twice is once. */
  close(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#generation += 1;
    this.#seat?.[Symbol.dispose]();
    this.#alarm[Symbol.dispose]();
    this.#health.stop();
    this.#run?.kill('closed');
    this.#world.capacity.leave(this.jobId);
    this.hub.end(why);
  }

  /** Share of a core since the last call, into the capacity. */
  measure(): void {
    const cpuMs = this.#run?.cpuMs();
    const at = this.#world.clock.now();
    const before = this.#cpu;
    this.#cpu = cpuMs === undefined ? undefined : { at, cpuMs, megapixels: this.#megapixels };
    if (before === undefined || cpuMs === undefined || cpuMs < before.cpuMs) return;
    const seconds = (at - before.at) / 1000;
    this.#cores = (cpuMs - before.cpuMs) / 1000 / seconds;
    this.#world.capacity.measured(this.jobId, this.#cores, (this.#megapixels - before.megapixels) / seconds);
  }

  stats(): TranscoderRow {
    const { jobId, label, rendition, pictures, droppedIn } = this;
    const stderrBytes = this.#stderrBytes + (this.#run?.stderrBytes ?? 0);
    return {
      jobId, label, rendition: renditionKey(rendition), state: this.passes ? 'passing' : this.#health.state, pid: this.#run?.pid ?? null, encoder: this.#plan?.encoder ?? '',
      viewers: this.hub.stats(this.#world.clock.now()).takers, starts: this.#health.starts, cores: this.#cores === null ? null : Math.round(this.#cores * 100) / 100, pictures, droppedIn, stderrBytes,
    };
  }

  /** Takes what the source knows since its last key frame, then goes on live. The old seat goes after the new one is taken, so that the source keeps what it knows. */
  #rejoin(): void {
    const old = this.#seat;
    const generation = ++this.#generation;
    const sink: UnitSink = {
      onTracks: tracks => {
        if (generation === this.#generation) this.#onTracks(tracks);
      },
      onUnit: (unit, now) => {
        if (generation === this.#generation) this.#onUnit(unit, now);
      },
      onEnd: why => {
        if (generation === this.#generation) this.#onSourceEnd(why);
      },
    };
    const seat = this.#source.join(sink);
    old?.[Symbol.dispose]();
    if (this.#ended || generation !== this.#generation) seat[Symbol.dispose]();
    else this.#seat = seat;
  }

  #onTracks(tracks: MediaTracks): void {
    const { facts, threads } = this.#world;
    const planned = planTranscode({ rendition: this.rendition, tracks, hardware: this.#hardware, encoders: facts.encoders, threads, after90k: Math.max(this.#last.video, -1) });
    if (!planned.ok) return this.#fail(new GatewayError('MEDIA_UNAVAILABLE', { why: planned.error.why }));
    const before = this.#plan;
    this.#plan = planned.value;
    const { video, audio } = planned.value;
    this.hub.promise({ video: video !== 'none', audio: audio !== 'none' });
    const { width = 0, height = 0 } = tracks.video ?? {};
    this.#size = { in: width * height, out: this.rendition.size === null ? width * height : this.rendition.size.width * this.rendition.size.height };
    if (this.#health.state === 'waiting' || this.#health.state === 'failed') return;
    if (this.#run === undefined) return this.#spawn(planned.value);
    if (before !== undefined && shapeOf(before) === shapeOf(planned.value)) return;
    this.#world.count('transcode.reshaped');
    this.#health.reshape(this.#world.clock.now());
    this.#drop('the source changed');
    this.#arm();
  }

  #spawn(plan: TranscodePlan): void {
    if (plan.inputs.length === 0) return;
    const { capacity, facts, log, clock } = this.#world;
    const refused = capacity.enter(this.jobId, plan);
    if (refused !== null) return this.#fail(new GatewayError('CAPACITY_EXHAUSTED', { why: refused }));
    const outputs = new TranscodeOutputs(this.rendition);
    const run = new FfmpegRun(facts, {
      argv: plan.argv,
      extraOutputs: 1,
      onOutput: (fd, bytes) => {
        if (run === this.#run) this.#onOutput(outputs, fd, bytes);
      },
      onExit: exit => this.#onExit(run, exit),
    });
    this.#run = run;
    this.#gate = new SlowViewer(INPUT_LIMITS);
    this.#cpu = undefined;
    this.#writer = new NutWriter(plan.inputs);
    this.#health.started(clock.now());
    this.#world.count('transcode.starts');
    log.info({ jobId: this.jobId, label: this.label, rendition: renditionKey(this.rendition), encoder: plan.encoder, pid: run.pid, starts: this.#health.starts }, 'transcode.started');
    run.write(this.#writer.header());
    this.#arm();
  }

  #onUnit(unit: MediaUnit, now: Ms): void {
    const mode = this.#plan?.[unit.kind];
    if (mode === 'pass') this.#give(unit, now);
    else if (mode === 'encode') this.#feed(unit, now);
  }

  #feed(unit: MediaUnit, now: Ms): void {
    const run = this.#run;
    if (run === undefined) return;
    if (!this.#gate.admit(unit, run.waitingBytes, now)) {
      this.droppedIn += 1;
      this.#world.count('transcode.dropped-units');
      if (this.#gate.state === 'stalled') run.kill('reads no more');
      return;
    }
    if (unit.kind === 'video') this.#megapixels += this.#size.in / 1e6;
    const stream = unit.kind === 'audio' && this.#plan!.video === 'encode' ? 1 : 0;
    run.write(this.#writer!.frameHeader(stream, unit), unit.bytes);
    // Sound that is only gathered into frames owes no answer.
    if (unit.kind === 'video' || this.#plan!.video !== 'encode') this.#health.fed(now);
    this.#arm();
  }

  #onOutput(outputs: TranscodeOutputs, fd: number, bytes: Uint8Array): void {
    const now = this.#world.clock.now();
    const units = outputs.read(fd, bytes);
    if (!units.ok) return void this.#run?.kill(`writes what cannot be read: ${units.error.why}`);
    if (units.value.length === 0) return;
    this.#health.answered();
    this.#arm();
    for (const unit of units.value) this.#give(unit, now);
  }

  /** Forward in time only: what a new process gives again was seen. */
  #give(unit: MediaUnit, now: Ms): void {
    if (unit.dts90k <= this.#last[unit.kind]) return;
    this.#last[unit.kind] = unit.dts90k;
    if (unit.kind === 'video') {
      this.pictures += 1;
      this.#megapixels += this.#size.out / 1e6;
    }
    this.hub.take(unit, now);
  }

  #onExit(run: FfmpegRun, { code, signal, why }: FfmpegExit): void {
    this.#stderrBytes += run.stderrBytes;
    if (run !== this.#run || this.#ended) return;
    this.#run = undefined;
    const now = this.#world.clock.now();
    const neverAnswered = this.#health.state === 'starting';
    this.#health.died(now);
    this.#world.count('transcode.died');
    this.#world.log.warn({ jobId: this.jobId, label: this.label, code, signal, why, said: run.lastWords, stderrBytes: run.stderrBytes, failures: this.#health.failures }, 'transcode.died');
    if (neverAnswered && isHardware(this.#plan?.encoder ?? '')) this.#hardware = 'none';
    if (this.#health.state === 'failed') return this.#fail(new GatewayError('MEDIA_UNAVAILABLE', { why: 'the transcoder dies again and again', said: run.lastWords.slice(-200) }));
    this.#arm();
  }

  #onDue(): void {
    const due = this.#health.onDue(this.#world.clock.now());
    if (due === 'hangs') this.#run?.kill('hangs');
    else if (due === 'start') {
      this.#health.stop();
      this.#rejoin();
    }
    this.#arm();
  }

  /** Ends the process without counting it as a failure. */
  #drop(why: string): void {
    const run = this.#run;
    this.#run = undefined;
    run?.kill(why);
  }

  /** No failure of ours: the camera went, or the last viewer left. */
  #onSourceEnd(why: string): void {
    if (this.#ended) return;
    this.#world.log.debug({ jobId: this.jobId, label: this.label, why }, 'transcode.source-ended');
    this.close(why);
    this.onEnd(new GatewayError('MEDIA_UNAVAILABLE', { why }));
  }

  #fail(error: GatewayError): void {
    if (this.#ended) return;
    this.#world.count(`transcode.failed.${error.code}`);
    this.#world.log.warn({ jobId: this.jobId, label: this.label, rendition: renditionKey(this.rendition), why: error.message, ...error.detail }, 'transcode.failed');
    this.close(error.message);
    this.onEnd(error);
  }

  /** A timer that is not needed any more is left to run out: there would be two for every picture. */
  #arm(): void {
    const { deadline } = this.#health;
    if (!this.#ended && deadline !== NEVER) this.#alarm.arm(deadline);
  }
}

/** What a running process cannot be told anew. */
const shapeOf = ({ video, audio, encoder, inputs }: TranscodePlan): string =>
  JSON.stringify([video, audio, encoder, inputs.map(track => ('width' in track ? [track.codec, track.width, track.height] : [track.codec, track.sampleRateHz, track.channels]))]);
