/**
 * What any number of viewers watch: one bridge in mediad, fed by one leg at a time (source-leg-session), replaced by another one
 * under the viewers when it dies or loses too much. Which leg is tried next is source-choice's answer to `next-leg`.
 *
 *                       leg flows                      last viewer leaves
 *        starting ────────────────────► flowing ◄───────────────────────────► lingering
 *        │  ▲ │                          │ ▲  ▲                                 │
 *        │  └─┘ leg failed: next         │ │  │ no better leg to be had         │ time is up, leg ended
 *        │                        lossy  │ │  │                                 │
 *        │                               ▼ │  │                                 │
 *        │                            switching: the leg flows on, a better one is tried
 *        │                   leg ended │   │ │ it flows: the old one is stopped ► flowing
 *        │              (from flowing  ▼   ▼ │
 *        │               too)        failing over: no leg flows, the next ones are tried ── one flows ► flowing
 *        ▼ none is left,               │ none is left, time is up, last viewer left
 *      closed ◄────────────────────────┴──────────────────────────────────────── closed
 *
 * After a takeover the connection of a leg over TCP is cut: from flowing to failing over, and the same camera is asked again first.
 *
 * Viewers hear nothing of a replacement: their dialogs and sinks stay. Every way into `closed` stops the legs, closes the bridge and
 * tells the viewers why (gb28181.md 6.4).
 */
import { type ErrorCode, assertNever } from '../result.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import type { SourceFailure } from './source-leg-session.ts';

export type { SourceFailure } from './source-leg-session.ts';

export type SourcePhase = 'starting' | 'flowing' | 'switching' | 'failing-over' | 'lingering' | 'closed';

/** `busy`: the camera cannot send twice, so the running leg has to go first. `cut`: its connection died with a node, and nothing is wrong with the camera. */
export type NextLegReason = 'start' | 'failed' | 'lossy' | 'busy' | 'cut';

export type SourceInput =
  | { readonly type: 'viewer-joined'; readonly viewerId: string }
  | { readonly type: 'viewer-left'; readonly viewerId: string }
  /** The answer to `next-leg`: it was started; null when there is none to be had. */
  | { readonly type: 'leg-chosen'; readonly legId: string | null }
  | { readonly type: 'leg-answered'; readonly legId: string }
  | { readonly type: 'leg-flowing'; readonly legId: string }
  | { readonly type: 'leg-ended'; readonly legId: string; readonly failure: SourceFailure | null }
  /** Loss of the running leg stays above its limit. */
  | { readonly type: 'leg-lossy'; readonly legId: string }
  /** After a takeover: the bridge stands again, and the connection of its running leg does not. */
  | { readonly type: 'leg-cut' }
  /** It does: what ends it from now on is meant. */
  | { readonly type: 'leg-stands' }
  /** Its place is wanted: it is not kept for who might come. */
  | { readonly type: 'hurry' }
  /** The mediad instance died: the bridge is gone already. */
  | { readonly type: 'media-lost' }
  /** The gateway closes, or nobody is there any more. */
  | { readonly type: 'abort'; readonly failure: SourceFailure }
  | { readonly type: 'tick' };

export type SourceOutput =
  | { readonly type: 'next-leg'; readonly because: NextLegReason; readonly failure: SourceFailure | null }
  /** Ends its dialog. */
  | { readonly type: 'stop-leg'; readonly legId: string }
  /** Closes its part of the bridge. */
  | { readonly type: 'close-leg'; readonly legId: string }
  | { readonly type: 'close-bridge' }
  /** The running leg is another one. */
  | { readonly type: 'taken-over'; readonly legId: string }
  /** A camera answered: viewers can be answered too. */
  | { readonly type: 'tell-ready'; readonly viewerIds: readonly string[] }
  | { readonly type: 'tell-ended'; readonly viewerIds: readonly string[]; readonly failure: SourceFailure }
  | { readonly type: 'closed'; readonly failure: SourceFailure | null };

export interface SourceTiming {
  readonly lingerMs: number;
  /** How long viewers are kept while no leg flows. */
  readonly takeOverMs: number;
}

/** Failures of the camera or of the way to it; of others every leg would die. */
const ANOTHER_MAY_WORK: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['PEER_OFFLINE', 'PEER_UNKNOWN', 'SIP_TIMEOUT', 'SIP_REJECTED', 'MEDIA_SILENT', 'MEDIA_TARGET_REFUSED']);
const BUSY_HERE = 486;
/** A camera that was cut off is asked again at least so long, even where nothing else would take over. */
const CUT_MS = 10_000;
const CUT: SourceFailure = { code: 'MEDIA_UNAVAILABLE', why: 'its connection was lost with the other node' };
const CLOSED: SourceFailure = { code: 'MEDIA_UNAVAILABLE', why: 'the source was closed' };

type Timer = 'linger' | 'take-over';

export class SourceSession {
  readonly #timing: SourceTiming;
  readonly #timers = new TimerTable<Timer>();
  readonly #viewers = new Set<string>();
  #phase: SourcePhase = 'starting';
  /** Feeds the bridge, or is the one that is to begin. */
  #running: string | undefined;
  /** Is to take over. */
  #next: string | undefined;
  /** Viewers can be answered. */
  #ready = false;
  /** The running leg ends as soon as the next one is chosen. */
  #makesRoom = false;
  /** Its connection may have died with a node, and cameras that notice say BYE before we know. */
  #mayBeCut = false;
  /** What began the trouble: the first failure says more than those of the way out. */
  #failure: SourceFailure | null = null;

  private constructor(timing: SourceTiming) {
    this.#timing = timing;
  }

  static start(timing: SourceTiming): { session: SourceSession; outputs: SourceOutput[] } {
    return { session: new SourceSession(timing), outputs: [{ type: 'next-leg', because: 'start', failure: null }] };
  }

  /**
   * A source that went on while the signalling daemon was away. `next`: a leg whose camera had answered, but that was not seen to flow.
   * `mayBeCut`: `leg-cut` or `leg-stands` follows.
   */
  static restored(timing: SourceTiming, running: string | undefined, next: string | undefined, now: Ms, mayBeCut = false): SourceSession {
    const session = new SourceSession(timing);
    session.#running = running;
    session.#next = next;
    session.#ready = true;
    session.#mayBeCut = mayBeCut;
    if (running !== undefined) session.#phase = next === undefined ? 'flowing' : 'switching';
    else session.#failOver(null, now);
    return session;
  }

  get phase(): SourcePhase {
    return this.#phase;
  }

  get viewers(): readonly string[] {
    return [...this.#viewers];
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  handle(input: SourceInput, now: Ms): SourceOutput[] {
    if (this.#phase === 'closed') return this.#afterEnd(input);
    switch (input.type) {
      case 'viewer-joined':
        return this.#joined(input.viewerId);
      case 'viewer-left':
        return this.#left(input.viewerId, now);
      case 'leg-chosen':
        return this.#chosen(input.legId, now);
      case 'leg-answered':
        return this.#answered();
      case 'leg-flowing':
        return this.#flowing(input.legId, now);
      case 'leg-ended':
        return this.#legEnded(input.legId, input.failure, now);
      case 'leg-lossy':
        return this.#lossy(input.legId);
      case 'leg-cut':
        return this.#cut(now);
      case 'leg-stands':
        this.#mayBeCut = false;
        return [];
      case 'hurry':
        return this.#phase === 'lingering' ? this.#end(null) : [];
      case 'media-lost':
        return this.#end({ code: 'MEDIA_UNAVAILABLE', why: 'the media process ended' });
      case 'abort':
        return this.#end(input.failure);
      case 'tick':
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  /** A viewer that joins too late is told so. */
  #afterEnd(input: SourceInput): SourceOutput[] {
    if (input.type !== 'viewer-joined') return [];
    return [{ type: 'tell-ended', viewerIds: [input.viewerId], failure: { code: 'MEDIA_UNAVAILABLE', why: 'the source had just ended' } }];
  }

  #joined(viewerId: string): SourceOutput[] {
    this.#viewers.add(viewerId);
    if (this.#phase === 'lingering') {
      this.#timers.stop('linger');
      this.#phase = 'flowing';
    }
    return this.#ready ? [{ type: 'tell-ready', viewerIds: [viewerId] }] : [];
  }

  #left(viewerId: string, now: Ms): SourceOutput[] {
    if (!this.#viewers.delete(viewerId) || this.#viewers.size > 0) return [];
    const flows = this.#phase === 'flowing' || this.#phase === 'switching';
    if (!flows || this.#timing.lingerMs === 0) return this.#end(null);
    const outputs = this.#dropNext();
    this.#phase = 'lingering';
    this.#timers.set('linger', addMs(now, this.#timing.lingerMs));
    return outputs;
  }

  #chosen(legId: string | null, now: Ms): SourceOutput[] {
    const makesRoom = this.#makesRoom;
    this.#makesRoom = false;
    if (legId !== null) {
      if (this.#phase === 'starting') this.#running = legId;
      else this.#next = legId;
      return makesRoom ? this.#dropRunning(now) : [];
    }
    if (this.#phase !== 'switching') return this.#end(this.#failure ?? { code: 'PEER_OFFLINE', why: 'no source of this channel is there' });
    this.#phase = 'flowing';
    return [];
  }

  /** The camera sends to one only: what runs ends before it is asked again. */
  #dropRunning(now: Ms): SourceOutput[] {
    const legId = this.#running;
    this.#running = undefined;
    this.#failOver({ code: 'SIP_REJECTED', why: 'the camera could not be asked for another stream', status: BUSY_HERE }, now);
    return legId === undefined ? [] : [{ type: 'stop-leg', legId }, { type: 'close-leg', legId }];
  }

  #answered(): SourceOutput[] {
    if (this.#ready) return [];
    this.#ready = true;
    return [{ type: 'tell-ready', viewerIds: this.viewers }];
  }

  #flowing(legId: string, now: Ms): SourceOutput[] {
    if (legId !== this.#next && (legId !== this.#running || this.#phase !== 'starting')) return [];
    const before = legId === this.#next ? this.#running : undefined;
    const outputs: SourceOutput[] = before === undefined ? [] : [{ type: 'stop-leg', legId: before }];
    if (legId === this.#next) outputs.push({ type: 'taken-over', legId });
    this.#running = legId;
    this.#next = undefined;
    this.#failure = null;
    this.#timers.stop('take-over');
    this.#phase = 'flowing';
    if (this.#viewers.size === 0) {
      this.#phase = 'lingering';
      this.#timers.set('linger', addMs(now, this.#timing.lingerMs));
    }
    return outputs;
  }

  #legEnded(legId: string, failure: SourceFailure | null, now: Ms): SourceOutput[] {
    if (legId !== this.#running && legId !== this.#next) return [];
    const wasNext = legId === this.#next;
    if (wasNext) this.#next = undefined;
    else this.#running = undefined;
    if (!wasNext && this.#mayBeCut) return this.#askAgain(legId, now);
    if (this.#phase === 'lingering') return this.#end(failure);
    if (this.#phase === 'switching' && wasNext) {
      this.#makesRoom = failure?.status === BUSY_HERE;
      return [{ type: 'close-leg', legId }, { type: 'next-leg', because: this.#makesRoom ? 'busy' : 'lossy', failure }];
    }
    this.#failure ??= failure;
    if (failure !== null && !ANOTHER_MAY_WORK.has(failure.code)) return this.#end(this.#failure);
    const outputs: SourceOutput[] = [{ type: 'close-leg', legId }];
    if (this.#phase !== 'starting') this.#failOver(this.#failure, now);
    // While one is being tried already it is not chosen anew.
    if (this.#next === undefined) outputs.push({ type: 'next-leg', because: 'failed', failure });
    return outputs;
  }

  #failOver(failure: SourceFailure | null, now: Ms, leastMs = 0): void {
    if (this.#phase === 'failing-over') return;
    this.#phase = 'failing-over';
    this.#failure = failure;
    this.#timers.set('take-over', addMs(now, Math.max(leastMs, this.#timing.takeOverMs)));
  }

  #lossy(legId: string): SourceOutput[] {
    if (this.#phase !== 'flowing' || legId !== this.#running) return [];
    this.#phase = 'switching';
    return [{ type: 'next-leg', because: 'lossy', failure: null }];
  }

  #cut(now: Ms): SourceOutput[] {
    const legId = this.#running;
    this.#mayBeCut = false;
    if (legId === undefined) return [];
    this.#running = undefined;
    return [...this.#dropNext(), { type: 'stop-leg', legId }, ...this.#askAgain(legId, now)];
  }

  #askAgain(legId: string, now: Ms): SourceOutput[] {
    this.#mayBeCut = false;
    this.#failOver(CUT, now, CUT_MS);
    return [{ type: 'close-leg', legId }, { type: 'next-leg', because: 'cut', failure: CUT }];
  }

  #tick(now: Ms): SourceOutput[] {
    const due = this.#timers.takeDue(now);
    switch (due) {
      case undefined:
        return [];
      case 'linger':
        return this.#end(null);
      case 'take-over':
        return this.#end(this.#failure);
      default:
        return assertNever(due);
    }
  }

  #dropNext(): SourceOutput[] {
    const legId = this.#next;
    this.#next = undefined;
    return legId === undefined ? [] : [{ type: 'stop-leg', legId }, { type: 'close-leg', legId }];
  }

  #end(failure: SourceFailure | null): SourceOutput[] {
    const outputs: SourceOutput[] = [this.#next, this.#running].flatMap(legId => (legId === undefined ? [] : [{ type: 'stop-leg', legId } as const]));
    outputs.push({ type: 'close-bridge' });
    if (this.#viewers.size > 0) outputs.push({ type: 'tell-ended', viewerIds: this.viewers, failure: failure ?? CLOSED });
    outputs.push({ type: 'closed', failure });
    this.#phase = 'closed';
    this.#next = this.#running = undefined;
    this.#timers.stopAll();
    this.#viewers.clear();
    return outputs;
  }
}
