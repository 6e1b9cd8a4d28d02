/**
 * One way to a camera: one INVITE to a device and one source leg in mediad. What it is for (the only source, the next one to be
 * tried, one that takes over) is source-session's question.
 *
 *                 media-opened          accepted: connect     media-flowing
 *   opening ───────────────► inviting ───────────► answered ───────────────► flowing
 *      │                        │                     │  connected: ACK         │
 *      │ media-failed           │ refused, silence:   │ answer unusable,        │ silence, BYE,
 *      ▼                        │ CANCEL              │ no packet in time: BYE  │ media closed: BYE
 *    ended ◄────────────────────┴─────────────────────┴─────────────────────────┘
 *
 * A camera that is busy (486) may be asked once more: back to opening, and on after a while. The ACK waits for mediad to know the
 * camera's address: many cameras send from the ACK on, and their first packets are the key picture. Whoever listens is told
 * meanwhile. A leg that takes over flows when mediad says that it did.
 */
import type { ErrorCode } from '../result.ts';
import { assertNever } from '../result.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';

export type SourceLegPhase = 'opening' | 'inviting' | 'answered' | 'flowing' | 'ended';

/** Why a source ended. `status`: what the camera answered, when it did. */
export interface SourceFailure {
  readonly code: ErrorCode;
  readonly why: string;
  readonly status?: number;
}

export type SourceLegInput =
  | { readonly type: 'media-opened' }
  | { readonly type: 'media-failed'; readonly failure: SourceFailure }
  /** The 2xx; `unusable` when its SDP cannot be served. */
  | { readonly type: 'invite-accepted'; readonly unusable: string | null }
  | { readonly type: 'invite-failed'; readonly failure: SourceFailure }
  /** `connect-media` is done. */
  | { readonly type: 'media-connected' }
  | { readonly type: 'media-flowing' }
  | { readonly type: 'media-silent'; readonly silentMs: number }
  | { readonly type: 'media-closed'; readonly why: string }
  /** The camera's BYE, already answered. */
  | { readonly type: 'peer-bye' }
  /** Nobody needs it any more, its device is gone, or its media process died. Null: it did nothing wrong. */
  | { readonly type: 'stop'; readonly failure: SourceFailure | null }
  | { readonly type: 'tick' };

export type SourceLegOutput =
  | { readonly type: 'open-media' }
  | { readonly type: 'send-invite' }
  | { readonly type: 'cancel-invite' }
  | { readonly type: 'ack' }
  | { readonly type: 'connect-media' }
  | { readonly type: 'send-bye' }
  | { readonly type: 'answered' }
  | { readonly type: 'flowing' }
  | { readonly type: 'ended'; readonly failure: SourceFailure | null };

export interface SourceLegTiming {
  readonly inviteTimeoutMs: number;
  /** From the answer to the first packet. */
  readonly firstPacketMs: number;
  /** A camera that is busy is asked once more after this; absent: it is not. */
  readonly busyRetryMs?: number | undefined;
}

type Timer = 'invite' | 'first-packet' | 'again';
/** 486 (RFC 3261 21.4.24). */
const BUSY_HERE = 486;

export class SourceLegSession {
  readonly #timing: SourceLegTiming;
  readonly #timers = new TimerTable<Timer>();
  #phase: SourceLegPhase = 'opening';
  #askedAgain = false;
  /** The 2xx has not been acknowledged yet. */
  #ackOwed = false;

  private constructor(timing: SourceLegTiming) {
    this.#timing = timing;
  }

  static start(timing: SourceLegTiming): { session: SourceLegSession; outputs: SourceLegOutput[] } {
    return { session: new SourceLegSession(timing), outputs: [{ type: 'open-media' }] };
  }

  /**
   * A leg that went on while the signalling daemon was away; mediad still watches whether its packets come. `flowed`: it had been
   * the source; else it has its time for the first packet once more.
   */
  static restored(timing: SourceLegTiming, flowed: boolean, now: Ms): SourceLegSession {
    const session = new SourceLegSession(timing);
    session.#phase = flowed ? 'flowing' : 'answered';
    if (!flowed) session.#timers.set('first-packet', addMs(now, timing.firstPacketMs));
    return session;
  }

  get phase(): SourceLegPhase {
    return this.#phase;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  handle(input: SourceLegInput, now: Ms): SourceLegOutput[] {
    if (this.#phase === 'ended') return [];
    switch (input.type) {
      case 'media-opened':
        return this.#mediaOpened(now);
      case 'media-failed':
      case 'stop':
        return this.#end(input.failure, 'by-us');
      case 'invite-failed':
        return this.#refused(input.failure, now);
      case 'invite-accepted':
        return this.#accepted(input.unusable, now);
      case 'media-connected':
        return this.#connected();
      case 'media-flowing':
        return this.#flowing();
      case 'media-silent':
        return this.#silent(input.silentMs);
      case 'media-closed':
        return this.#end({ code: 'MEDIA_SILENT', why: `the camera's media ended: ${input.why}` }, 'by-us');
      case 'peer-bye':
        return this.#end({ code: 'PEER_OFFLINE', why: 'the camera sent BYE' }, 'by-peer');
      case 'tick':
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  #mediaOpened(now: Ms): SourceLegOutput[] {
    if (this.#phase !== 'opening') return [];
    this.#phase = 'inviting';
    this.#timers.set('invite', addMs(now, this.#timing.inviteTimeoutMs));
    return [{ type: 'send-invite' }];
  }

  #accepted(unusable: string | null, now: Ms): SourceLegOutput[] {
    this.#timers.stop('invite');
    this.#phase = 'answered';
    this.#ackOwed = true;
    if (unusable !== null) return this.#end({ code: 'SIP_REJECTED', why: `the camera's answer is unusable: ${unusable}` }, 'by-us');
    this.#timers.set('first-packet', addMs(now, this.#timing.firstPacketMs));
    return [{ type: 'connect-media' }, { type: 'answered' }];
  }

  /** It may still be closing the session before (quirk 62). */
  #refused(failure: SourceFailure, now: Ms): SourceLegOutput[] {
    const { busyRetryMs } = this.#timing;
    if (failure.status !== BUSY_HERE || busyRetryMs === undefined || this.#askedAgain) return this.#end(failure, 'by-peer');
    this.#askedAgain = true;
    this.#timers.stop('invite');
    this.#timers.set('again', addMs(now, busyRetryMs));
    this.#phase = 'opening';
    return [];
  }

  #connected(): SourceLegOutput[] {
    if (!this.#ackOwed) return [];
    this.#ackOwed = false;
    return [{ type: 'ack' }];
  }

  #flowing(): SourceLegOutput[] {
    this.#timers.stop('first-packet');
    if (this.#phase !== 'answered') return [];
    this.#phase = 'flowing';
    return [{ type: 'flowing' }];
  }

  /** Before the first packet the first-packet timer decides, so that a long silence limit does not delay it or a short one cut it. */
  #silent(silentMs: number): SourceLegOutput[] {
    if (this.#phase !== 'flowing') return [];
    return this.#end({ code: 'MEDIA_SILENT', why: `no packet from the camera for ${Math.round(silentMs)} ms` }, 'by-us');
  }

  #tick(now: Ms): SourceLegOutput[] {
    const due = this.#timers.takeDue(now);
    switch (due) {
      case undefined:
        return [];
      case 'invite':
        return this.#end({ code: 'SIP_TIMEOUT', why: `the camera gave no final answer in ${this.#timing.inviteTimeoutMs} ms` }, 'by-us');
      case 'again':
        return this.#mediaOpened(now);
      case 'first-packet':
        return this.#end({ code: 'MEDIA_SILENT', why: `no packet from the camera in ${this.#timing.firstPacketMs} ms after its answer` }, 'by-us');
      default:
        return assertNever(due);
    }
  }

  /** `by-peer`: the transaction or dialog is over already, there is nobody to tell. */
  #end(failure: SourceFailure | null, ended: 'by-us' | 'by-peer'): SourceLegOutput[] {
    const outputs: SourceLegOutput[] = this.#ackOwed ? [{ type: 'ack' }] : [];
    this.#ackOwed = false;
    if (ended === 'by-us' && this.#phase === 'inviting') outputs.push({ type: 'cancel-invite' });
    else if (ended === 'by-us' && this.#phase !== 'opening') outputs.push({ type: 'send-bye' });
    this.#phase = 'ended';
    this.#timers.stopAll();
    outputs.push({ type: 'ended', failure });
    return outputs;
  }
}
