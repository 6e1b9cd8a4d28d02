/**
 * A recording that plays through us (gb28181.md 7): where it stands, whether silence is meant, and how its end is told.
 *
 *   playing ◄──PLAY──────PAUSE──► paused ──longer than maxPauseMs──► over
 *   playing ──MediaStatus, BYE of the recorder, silence near the end──► over: MediaStatus upward, then its BYE or ours
 *   playing ──silence or loss elsewhere──► failed: a BYE without MediaStatus, so that nobody takes a part for the whole
 *
 * The end is told however it comes: recorders that just stop or say BYE are common, and platforms wait for 121.
 */
import type { MansrtspRequest } from './mansrtsp.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';

/** A recorder that stops so short of the end has reached it: the last group of pictures is not recorded to the second. */
const NEAR_END_S = 5;
/** Platforms say BYE when they are told of the end; those that do not are hung up on. */
const FAREWELL_MS = 10_000;

export interface PlaybackOptions {
  /** Of the recording asked for; 0: unknown. */
  readonly durationS: number;
  /** Multiple of real time that was asked for: a download. */
  readonly speed: number;
  readonly silenceMs: number;
  readonly maxPauseMs: number;
}

export type PlaybackState = 'playing' | 'paused' | 'over';

/** For people, and for the row on disk. */
export interface PlaybackPosition {
  readonly state: PlaybackState;
  readonly positionS: number;
  readonly scale: number;
}

export type PlaybackOutput =
  /** MediaStatus 121 to whoever watches. */
  | { readonly type: 'tell-end' }
  /** Both sides. */
  | { readonly type: 'hang-up'; readonly why: string }
  | { readonly type: 'fail'; readonly silentMs: number };

type Timer = 'pause' | 'resume' | 'farewell';

export class PlaybackSession {
  readonly #options: PlaybackOptions;
  readonly #timers = new TimerTable<Timer>();
  #state: PlaybackState = 'playing';
  #positionS: number;
  #scale: number;
  #at: Ms;
  #steeredAt: Ms | undefined;

  constructor(options: PlaybackOptions, now: Ms, from: PlaybackPosition = { state: 'playing', positionS: 0, scale: 1 }) {
    this.#options = options;
    this.#at = now;
    this.#state = from.state;
    this.#positionS = from.positionS;
    this.#scale = from.scale;
    if (this.#state === 'paused') this.#timers.set('pause', addMs(now, options.maxPauseMs));
    if (this.#state === 'over') this.#timers.set('farewell', addMs(now, FAREWELL_MS));
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  /** As far as can be known without looking at the pictures: some recorders do not keep their own pace. */
  position(now: Ms): PlaybackPosition {
    return { state: this.#state, positionS: Math.max(0, this.#advance(now)), scale: this.#scale };
  }

  /** The recorder did as it was told. */
  steered({ method, range, scale }: MansrtspRequest, now: Ms): void {
    if (this.#state === 'over') return;
    this.#positionS = Math.max(0, this.#advance(now));
    this.#at = now;
    this.#steeredAt = now;
    this.#timers.stop('resume');
    if (method === 'PAUSE') {
      this.#state = 'paused';
      this.#timers.set('pause', addMs(now, this.#options.maxPauseMs));
      return;
    }
    if (method === 'TEARDOWN') {
      this.#state = 'over';
      this.#timers.stopAll();
      this.#timers.set('farewell', addMs(now, FAREWELL_MS));
      return;
    }
    this.#timers.stop('pause');
    this.#state = 'playing';
    if (scale !== undefined) this.#scale = scale;
    if (range !== undefined && range.from !== 'now') this.#positionS = range.from;
  }

  /** Its recorder plays again, after it was asked once more, from here on. */
  resumed(positionS: number, now: Ms): void {
    if (this.#state !== 'playing') return;
    this.#positionS = positionS;
    this.#at = this.#steeredAt = now;
  }

  /** mediad saw nothing for `silentMs`. */
  silent(silentMs: number, now: Ms): PlaybackOutput[] {
    if (this.#state !== 'playing') return [];
    // After it was steered a recorder has its whole time once more.
    const due = this.#steeredAt === undefined ? now : addMs(this.#steeredAt, this.#options.silenceMs);
    if (due > now) {
      this.#timers.set('resume', due);
      return [];
    }
    return this.#isNearEnd(now, silentMs) ? this.ended(now) : [{ type: 'fail', silentMs }];
  }

  /** Packets come again. */
  flowing(): void {
    this.#timers.stop('resume');
  }

  /** The recorder said that it is at the end, or hung up. */
  ended(now: Ms): PlaybackOutput[] {
    if (this.#state === 'over') return [];
    this.#positionS = Math.max(0, this.#advance(now));
    this.#at = now;
    this.#state = 'over';
    this.#timers.stopAll();
    this.#timers.set('farewell', addMs(now, FAREWELL_MS));
    return [{ type: 'tell-end' }];
  }

  /** Its media or its device went away, and it said nothing. */
  lost(now: Ms): PlaybackOutput[] {
    return this.#state === 'playing' && this.#isNearEnd(now, 0) ? this.ended(now) : [];
  }

  tick(now: Ms): PlaybackOutput[] {
    switch (this.#timers.takeDue(now)) {
      case 'pause':
        return [{ type: 'hang-up', why: `paused for ${this.#options.maxPauseMs} ms` }];
      case 'resume':
        return [{ type: 'fail', silentMs: this.#options.silenceMs }];
      case 'farewell':
        return [{ type: 'hang-up', why: 'the recording is over' }];
      case undefined:
        return [];
    }
  }

  /** Silence began `silentMs` ago: what counts is where it stood then. */
  #isNearEnd(now: Ms, silentMs: number): boolean {
    const { durationS, speed } = this.#options;
    if (durationS === 0) return false;
    const stoodS = this.#advance(now) - (silentMs / 1000) * this.#scale * speed;
    return this.#scale > 0 ? stoodS >= durationS - NEAR_END_S * Math.max(1, this.#scale * speed) : stoodS <= NEAR_END_S;
  }

  #advance(now: Ms): number {
    if (this.#state !== 'playing') return this.#positionS;
    return this.#positionS + ((now - this.#at) / 1000) * this.#scale * this.#options.speed;
  }
}
