/**
 * The downstream half of a relay: one INVITE to a camera, one bridge in mediad, any number of viewers.
 *
 *                 media-opened          accepted: connect     media-flowing
 *   opening ───────────────► inviting ───────────► answered ───────────────► flowing ◄──────┐
 *      │                        │                     │  connected: ACK         │           │ viewer-joined
 *      │                        │ last viewer left:   │ answer unusable,        │ last      │
 *      │ media-failed           │ CANCEL              │ no packet in time:      ▼ viewer    │
 *      │                        │                     │ BYE                lingering ───────┘
 *      ▼                        ▼                     ▼                         │ time is up, silence, BYE,
 *    closed ◄───────────────────┴─────────────────────┴─────────────────────────┘ media lost: BYE
 *
 * The ACK waits for mediad to know the camera's address: many cameras send from the ACK on, and their first packets are
 * the key picture. The viewers are answered meanwhile. Every way into `closed` releases the bridge, ends the dialog if there is one, and tells the viewers why (gb28181.md 6.4).
 */
import type { ErrorCode } from '../result.ts';
import { assertNever } from '../result.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';

export type SourcePhase = 'opening' | 'inviting' | 'answered' | 'flowing' | 'lingering' | 'closed';

/** Why a source ended. `status`: what the camera answered, when it did. */
export interface SourceFailure {
  readonly code: ErrorCode;
  readonly why: string;
  readonly status?: number;
}

export type SourceInput =
  | { readonly type: 'viewer-joined'; readonly viewerId: string }
  | { readonly type: 'viewer-left'; readonly viewerId: string }
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
  /** The mediad instance died: the bridge is gone already. */
  | { readonly type: 'media-lost' }
  /** The device went offline or unregistered, or the gateway closes. */
  | { readonly type: 'abort'; readonly failure: SourceFailure }
  | { readonly type: 'tick' };

export type SourceOutput =
  | { readonly type: 'open-media' }
  | { readonly type: 'send-invite' }
  | { readonly type: 'cancel-invite' }
  | { readonly type: 'ack' }
  | { readonly type: 'connect-media' }
  | { readonly type: 'send-bye' }
  | { readonly type: 'close-media' }
  /** The camera answered: viewers can be answered too. */
  | { readonly type: 'tell-ready'; readonly viewerIds: readonly string[] }
  | { readonly type: 'tell-ended'; readonly viewerIds: readonly string[]; readonly failure: SourceFailure }
  | { readonly type: 'closed'; readonly failure: SourceFailure | null };

export interface SourceTiming {
  readonly inviteTimeoutMs: number;
  /** From the answer to the first packet. */
  readonly firstPacketMs: number;
  readonly lingerMs: number;
}

type Timer = 'invite' | 'first-packet' | 'linger';

export class SourceSession {
  readonly #timing: SourceTiming;
  readonly #timers = new TimerTable<Timer>();
  readonly #viewers = new Set<string>();
  #phase: SourcePhase = 'opening';
  /** The 2xx has not been acknowledged yet. */
  #ackOwed = false;

  private constructor(timing: SourceTiming) {
    this.#timing = timing;
  }

  static start(timing: SourceTiming): { session: SourceSession; outputs: SourceOutput[] } {
    return { session: new SourceSession(timing), outputs: [{ type: 'open-media' }] };
  }

  /** A source that went on while the signalling daemon was away; mediad still watches whether its packets come. */
  static restored(timing: SourceTiming): SourceSession {
    const session = new SourceSession(timing);
    session.#phase = 'flowing';
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
      case 'media-opened':
        return this.#mediaOpened(now);
      case 'media-failed':
      case 'abort':
        return this.#end(input.failure, 'by-us');
      case 'invite-failed':
        return this.#end(input.failure, 'by-peer');
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
      case 'media-lost':
        return this.#end({ code: 'MEDIA_UNAVAILABLE', why: 'the media process ended' }, 'by-us');
      case 'tick':
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  /** A viewer that joins too late is told so; a 2xx that crossed our CANCEL is the endpoint's to end. */
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
    return this.#phase === 'flowing' || this.#phase === 'answered' ? [{ type: 'tell-ready', viewerIds: [viewerId] }] : [];
  }

  #left(viewerId: string, now: Ms): SourceOutput[] {
    if (!this.#viewers.delete(viewerId) || this.#viewers.size > 0) return [];
    if (this.#phase === 'flowing' && this.#timing.lingerMs > 0) {
      this.#phase = 'lingering';
      this.#timers.set('linger', addMs(now, this.#timing.lingerMs));
      return [];
    }
    return this.#end(null, 'by-us');
  }

  #mediaOpened(now: Ms): SourceOutput[] {
    this.#phase = 'inviting';
    this.#timers.set('invite', addMs(now, this.#timing.inviteTimeoutMs));
    return [{ type: 'send-invite' }];
  }

  #accepted(unusable: string | null, now: Ms): SourceOutput[] {
    this.#timers.stop('invite');
    this.#phase = 'answered';
    this.#ackOwed = true;
    if (unusable !== null) return this.#end({ code: 'SIP_REJECTED', why: `the camera's answer is unusable: ${unusable}` }, 'by-us');
    this.#timers.set('first-packet', addMs(now, this.#timing.firstPacketMs));
    return [{ type: 'connect-media' }, { type: 'tell-ready', viewerIds: this.viewers }];
  }

  #connected(): SourceOutput[] {
    if (!this.#ackOwed) return [];
    this.#ackOwed = false;
    return [{ type: 'ack' }];
  }

  #flowing(): SourceOutput[] {
    this.#timers.stop('first-packet');
    if (this.#phase === 'answered') this.#phase = 'flowing';
    return [];
  }

  /** Before the first packet the first-packet timer decides, so that a long silence limit does not delay it or a short one cut it. */
  #silent(silentMs: number): SourceOutput[] {
    if (this.#phase === 'answered') return [];
    return this.#end({ code: 'MEDIA_SILENT', why: `no packet from the camera for ${Math.round(silentMs)} ms` }, 'by-us');
  }

  #tick(now: Ms): SourceOutput[] {
    const due = this.#timers.takeDue(now);
    switch (due) {
      case undefined:
        return [];
      case 'invite':
        return this.#end({ code: 'SIP_TIMEOUT', why: `the camera gave no final answer in ${this.#timing.inviteTimeoutMs} ms` }, 'by-us');
      case 'first-packet':
        return this.#end({ code: 'MEDIA_SILENT', why: `no packet from the camera in ${this.#timing.firstPacketMs} ms after its answer` }, 'by-us');
      case 'linger':
        return this.#end(null, 'by-us');
      default:
        return assertNever(due);
    }
  }

  /** `by-peer`: the transaction or dialog is over already, there is nobody to tell. */
  #end(failure: SourceFailure | null, ended: 'by-us' | 'by-peer'): SourceOutput[] {
    const outputs: SourceOutput[] = this.#ackOwed ? [{ type: 'ack' }] : [];
    this.#ackOwed = false;
    if (ended === 'by-us' && this.#phase === 'inviting') outputs.push({ type: 'cancel-invite' });
    else if (ended === 'by-us' && this.#phase !== 'opening') outputs.push({ type: 'send-bye' });
    outputs.push({ type: 'close-media' });
    if (this.#viewers.size > 0) {
      outputs.push({ type: 'tell-ended', viewerIds: this.viewers, failure: failure ?? { code: 'MEDIA_UNAVAILABLE', why: 'the source was closed' } });
    }
    outputs.push({ type: 'closed', failure });
    this.#phase = 'closed';
    this.#timers.stopAll();
    this.#viewers.clear();
    return outputs;
  }
}
