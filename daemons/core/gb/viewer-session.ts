/**
 * The upstream half of a relay: one INVITE that a platform sent us and the sink leg that serves it.
 *
 * The sink is opened while the camera is asked, so that its port is known when the camera has answered, and so that it is
 * there when the first picture comes.
 *
 *              source-ready and sink-opened, whichever is last: 200        ACK: start
 *   waiting ─────────────────────────────────────────────────► answered ───────────────► active
 *      │                                                           │                        │
 *      │ source or sink failed: 4xx/5xx                            │ no ACK, sink or source │ BYE, sink or source ended
 *      │ CANCEL                                                    │ ended: BYE             │ (BYE when not theirs)
 *      ▼                                                           ▼                        ▼
 *    closed ◄──────────────────────────────────────────────────────┴────────────────────────┘
 *
 * Every way into `closed` leaves the source and closes the sink (RFC 3261 13.3, 15).
 */
import { type ErrorCode, PEER_WORDS, SIP_STATUS, assertNever } from '../result.ts';
import type { SourceFailure } from './source-session.ts';

export type ViewerPhase = 'waiting' | 'answered' | 'active' | 'closed';

export type ViewerInput =
  | { readonly type: 'source-ready' }
  | { readonly type: 'source-ended'; readonly failure: SourceFailure }
  | { readonly type: 'sink-opened' }
  | { readonly type: 'sink-failed'; readonly failure: SourceFailure }
  | { readonly type: 'sink-closed'; readonly why: string }
  | { readonly type: 'ack' }
  | { readonly type: 'ack-timeout' }
  | { readonly type: 'cancel' }
  /** The upstream's BYE, already answered. */
  | { readonly type: 'peer-bye' }
  | { readonly type: 'stop'; readonly why: string };

export type ViewerOutput =
  | { readonly type: 'open-sink' }
  | { readonly type: 'answer' }
  /** `why` is for the upstream's people. */
  | { readonly type: 'reject'; readonly status: number; readonly why: string }
  | { readonly type: 'start-sink' }
  | { readonly type: 'close-sink' }
  | { readonly type: 'send-bye' }
  | { readonly type: 'leave-source' }
  | { readonly type: 'closed'; readonly why: string };

/** Answers of a camera that an upstream may see as they are (gb28181.md 2.6, 8.4); everything else becomes 486 (busy or failed). */
const RELAYED_STATUS: ReadonlySet<number> = new Set([403, 404, 408, 480, 486, 488, 503]);

/** What the upstream is answered when the source fails: our own code's status, or the camera's own where it means the same to both. */
export function statusFor(failure: SourceFailure): number {
  if (failure.code === 'SIP_REJECTED' && failure.status !== undefined && RELAYED_STATUS.has(failure.status)) return failure.status;
  return SIP_STATUS[failure.code satisfies ErrorCode];
}

export class ViewerSession {
  #phase: ViewerPhase = 'waiting';
  #sourceReady = false;
  #sinkOpened = false;

  private constructor() {}

  static start(): { session: ViewerSession; outputs: ViewerOutput[] } {
    return { session: new ViewerSession(), outputs: [{ type: 'open-sink' }] };
  }

  /** A viewer that was answered before the signalling daemon went away. */
  static restored(): ViewerSession {
    const session = new ViewerSession();
    session.#phase = 'active';
    return session;
  }

  get phase(): ViewerPhase {
    return this.#phase;
  }

  handle(input: ViewerInput): ViewerOutput[] {
    if (this.#phase === 'closed') return [];
    switch (input.type) {
      case 'source-ready':
        this.#sourceReady = true;
        return this.#answerIfReady();
      case 'sink-opened':
        this.#sinkOpened = true;
        return this.#answerIfReady();
      case 'ack':
        if (this.#phase !== 'answered') return [];
        this.#phase = 'active';
        return [{ type: 'start-sink' }];
      case 'source-ended':
        return this.#end(input.failure.why, input.failure);
      case 'sink-failed':
        return this.#end(input.failure.why, input.failure);
      case 'sink-closed':
        return this.#end(`media toward the upstream ended: ${input.why}`, { code: 'MEDIA_UNAVAILABLE', why: input.why });
      case 'ack-timeout':
        return this.#end('the upstream never sent ACK', null);
      case 'cancel':
        return this.#end('the upstream cancelled', 'peer');
      case 'peer-bye':
        return this.#end('the upstream sent BYE', 'peer');
      case 'stop':
        return this.#end(input.why, { code: 'MEDIA_UNAVAILABLE', why: input.why });
      default:
        return assertNever(input);
    }
  }

  #answerIfReady(): ViewerOutput[] {
    if (this.#phase !== 'waiting' || !this.#sourceReady || !this.#sinkOpened) return [];
    this.#phase = 'answered';
    return [{ type: 'answer' }];
  }

  /** `cause`: a failure to answer with, `peer` when the upstream ended it itself, null when there is nothing to answer. */
  #end(why: string, cause: SourceFailure | 'peer' | null): ViewerOutput[] {
    const phase = this.#phase;
    this.#phase = 'closed';
    const outputs: ViewerOutput[] = [];
    if (cause !== 'peer') {
      if (phase === 'answered' || phase === 'active') outputs.push({ type: 'send-bye' });
      else if (cause !== null) outputs.push({ type: 'reject', status: statusFor(cause), why: PEER_WORDS[cause.code] });
    }
    outputs.push({ type: 'close-sink' }, { type: 'leave-source' }, { type: 'closed', why });
    return outputs;
  }
}
