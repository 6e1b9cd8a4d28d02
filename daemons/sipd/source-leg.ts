/**
 * IO around one SourceLegSession: the INVITE to a camera and its source leg in mediad. Decisions are the automaton's; this file only
 * carries them out, one after another, and reports what became of them.
 */
import type { ConnectSourceParams, MediadEvent, OpenInletParams, OpenSourceParams } from '#contracts/mediad.ts';
import { type SourceFailure, type SourceLegInput, type SourceLegOutput, type SourceLegPhase, SourceLegSession } from '#core/gb/source-leg-session.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import { PS_PAYLOAD } from '#core/sdp/negotiate.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Dialog, DialogState, InDialogParts, IncomingRequest, OutgoingInvite, Outcome } from '#kit/sip-endpoint.ts';
import { InputQueue } from './input-queue.ts';
import type { AnswerReading, LegPlan } from './leg-plan.ts';

/** What a leg says of itself. */
export type LegNews = Extract<SourceLegOutput, { readonly type: 'answered' | 'flowing' | 'ended' }>;

/** The source that the leg belongs to. */
export interface LegWorld {
  readonly clock: Clock;
  readonly log: Log;
  /** Opens it in mediad, behind whatever else the bridge has to do. */
  openMedia(params: Omit<OpenSourceParams, 'bridgeId' | 'replaces'>): Promise<{ readonly address: string; readonly port: number }>;
  openInlet(params: Omit<OpenInletParams, 'bridgeId'>): Promise<void>;
  /** Opens the feeder's bridge toward our leg; answers where it sends from. */
  openFeeder(plan: LegPlan, local: { address: string; port: number }): Promise<{ readonly address: string; readonly port: number }>;
  startFeeder(plan: LegPlan): Promise<void>;
  /** Twice is once; also before it was opened. */
  closeFeeder(plan: LegPlan): void;
  connectMedia(params: Omit<ConnectSourceParams, 'bridgeId'>): Promise<void>;
  /** Sends the INVITE with our offer for the opened leg; null when the device went away meanwhile. */
  invite(plan: LegPlan, local: { address: string; port: number }): OutgoingInvite | null;
  readAnswer(plan: LegPlan, body: Uint8Array): AnswerReading;
  /** The dialog exists: worth a row on disk. */
  established(): void;
  /** MESSAGE inside its dialog; to be answered. */
  message(incoming: IncomingRequest): void;
  news(leg: SourceLeg, news: LegNews): void;
}

/** What must outlive a restart of this daemon. */
export interface StoredLeg {
  readonly plan: LegPlan;
  /** Null: an inlet. */
  readonly dialog: DialogState | null;
  readonly local: { readonly address: string; readonly port: number };
  /** What the camera agreed to; absent of an inlet, and in rows of older releases. */
  readonly media?: AgreedMedia | undefined;
}

export type AgreedMedia = Pick<ConnectSourceParams, 'remote' | 'ssrc' | 'payloadType' | 'format' | 'formatParameters' | 'nack'>;

/** Times on the monotonic clock; for `vlink why`. */
export interface LegHistory {
  readonly startedAtMs: number;
  cameraAnswered: boolean;
  flowed: boolean;
  /** The camera said BYE. */
  hungUp: boolean;
  failure: SourceFailure | null;
}

export class SourceLeg implements Disposable {
  readonly plan: LegPlan;
  readonly history: LegHistory;
  readonly #session: SourceLegSession;
  readonly #world: LegWorld;
  readonly #alarm: Alarm;
  readonly #queue: InputQueue<SourceLegInput>;
  #invite: OutgoingInvite | undefined;
  #ack: (() => void) | undefined;
  #dialog: Dialog | undefined;
  #reading: (AnswerReading & { usable: true }) | undefined;
  #local: { address: string; port: number } | undefined;
  #agreed: AgreedMedia | undefined;

  private constructor(plan: LegPlan, world: LegWorld, session: SourceLegSession) {
    this.plan = plan;
    this.#world = world;
    this.#session = session;
    this.#alarm = new Alarm(world.clock, () => this.feed({ type: 'tick' }));
    this.#queue = new InputQueue(input => this.#run(session.handle(input, world.clock.now())), () => this.#alarm.arm(session.deadline));
    this.history = { startedAtMs: world.clock.now(), cameraAnswered: false, flowed: false, hungUp: false, failure: null };
  }

  /** Nothing happens before `begin`, so that its owner knows it by then. */
  static create(plan: LegPlan, world: LegWorld): SourceLeg {
    return new SourceLeg(plan, world, SourceLegSession.start(plan.timing).session);
  }

  begin(): void {
    this.#openMedia();
  }

  static restore(stored: StoredLeg, flowed: boolean, dialog: Dialog | undefined, world: LegWorld): SourceLeg {
    const leg = new SourceLeg(stored.plan, world, SourceLegSession.restored(stored.plan.timing, flowed, world.clock.now()));
    leg.#local = stored.local;
    leg.#agreed = stored.media;
    leg.history.cameraAnswered = true;
    leg.history.flowed = flowed;
    if (dialog !== undefined) leg.#watch(dialog);
    leg.#alarm.arm(leg.#session.deadline);
    return leg;
  }

  get phase(): SourceLegPhase {
    return this.#session.phase;
  }

  get answer(): GbSdp | undefined {
    return this.#reading?.answer;
  }

  get local(): { readonly address: string; readonly port: number } | undefined {
    return this.#local;
  }

  get callId(): string | null {
    return this.#dialog?.state.callId ?? null;
  }

  stored(): StoredLeg | null {
    const dialog = this.#dialog?.state ?? (this.plan.inletId !== undefined && this.history.cameraAnswered ? null : undefined);
    return dialog === undefined || this.#local === undefined ? null : { plan: this.plan, dialog, local: this.#local, media: this.#agreed };
  }

  feed(input: SourceLegInput): void {
    this.#queue.feed(input);
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type === 'source-flowing') {
      this.history.flowed = true;
      this.feed({ type: 'media-flowing' });
    } else if (event.type === 'source-silent') {
      this.feed({ type: 'media-silent', silentMs: event.silentMs });
    } else if (event.type === 'source-closed') {
      this.feed({ type: 'media-closed', why: event.why });
    }
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  #run(outputs: readonly SourceLegOutput[]): void {
    for (const output of outputs) this.#carryOut(output);
  }

  #carryOut(output: SourceLegOutput): void {
    switch (output.type) {
      case 'open-media':
        return this.#openMedia();
      case 'send-invite':
        return this.#sendInvite();
      case 'cancel-invite':
        if (this.plan.feeder !== undefined) this.#world.closeFeeder(this.plan);
        return this.#invite?.cancel();
      case 'ack':
        return this.#ack?.();
      case 'connect-media':
        return this.#connectMedia();
      case 'send-bye':
        return this.#sendBye();
      case 'ended':
        this.history.failure = output.failure;
        return this.#world.news(this, output);
      case 'answered':
      case 'flowing':
        return this.#world.news(this, output);
      default:
        return assertNever(output);
    }
  }

  #openMedia(): void {
    const { inletId, feeder } = this.plan;
    if (inletId !== undefined && feeder === undefined) return this.#openInlet(inletId);
    const { legId, transport, localAddress, ssrc, allowed, latch, silenceMs, deviceId, channelId } = this.plan;
    const opened = this.#world.openMedia({ legId, transport, localAddress, ssrc, peer: { allowed, latch }, silenceMs, label: `${deviceId}/${channelId}` });
    this.#failOn(
      opened.then(local => {
        this.#local = local;
        this.feed({ type: 'media-opened' });
      }),
    );
  }

  /** What an INVITE and its answer are to a camera; its first unit may have come before. */
  #openInlet(inletId: string): void {
    const { deviceId, channelId, streamNumber, silenceMs, localAddress } = this.plan;
    const opened = this.#world.openInlet({ inletId, streamNumber: streamNumber ?? 0, silenceMs, label: `${deviceId}/${channelId}` });
    this.#failOn(
      opened.then(() => {
        this.#local = { address: localAddress, port: 0 };
        this.history.cameraAnswered = true;
        this.feed({ type: 'media-opened' });
        this.feed({ type: 'invite-accepted', unusable: null });
        if (this.phase !== 'ended') this.#world.established();
        if (this.history.flowed) this.feed({ type: 'media-flowing' });
      }),
    );
  }

  /** It answers as a camera would, and sends from its ACK on. */
  #askFeeder(): void {
    const { plan } = this;
    this.#ack = () => this.#failOn(this.#world.startFeeder(plan));
    const opened = this.#world.openFeeder(plan, this.#local!).then(remote => {
      this.history.cameraAnswered = true;
      this.#agree({ usable: true, answer: undefined, remote, ssrc: plan.ssrc, payloadType: PS_PAYLOAD.payloadType, format: 'ps', formatParameters: undefined, nack: false });
      this.feed({ type: 'invite-accepted', unusable: null });
      if (this.phase !== 'ended') this.#world.established();
    });
    this.#failOn(opened);
  }

  #connectMedia(): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    const { remote, ssrc, payloadType, format, formatParameters, nack } = reading;
    this.#failOn(this.#world.connectMedia({ legId: this.plan.legId, remote, ssrc, ssrcPolicy: this.plan.ssrcPolicy, payloadType, format, formatParameters, nack }).then(() => this.feed({ type: 'media-connected' })));
  }

  #failOn(task: Promise<void>): void {
    task.catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.feed({ type: 'media-failed', failure: { code: error.code, why: error.message } });
    });
  }

  #sendInvite(): void {
    if (this.plan.feeder !== undefined) return this.#askFeeder();
    if (this.plan.inletId !== undefined) return;
    const invite = this.#world.invite(this.plan, this.#local!);
    if (invite === null) return this.feed({ type: 'invite-failed', failure: { code: 'PEER_OFFLINE', why: 'the device went offline' } });
    this.#invite = invite;
    invite.onFailed = outcome => this.feed({ type: 'invite-failed', failure: failureOf(outcome) });
    invite.onAccepted = ({ response, dialog, ack }) => {
      this.#ack = () => ack();
      this.#watch(dialog);
      this.history.cameraAnswered = true;
      const reading = this.#world.readAnswer(this.plan, response.body);
      if (reading.usable) this.#agree(reading);
      this.feed({ type: 'invite-accepted', unusable: reading.usable ? null : reading.why });
      if (this.phase !== 'ended') this.#world.established();
    };
  }

  #agree(reading: AnswerReading & { usable: true }): void {
    const { remote, ssrc, payloadType, format, formatParameters, nack } = reading;
    this.#reading = reading;
    this.#agreed = { remote, ssrc, payloadType, format, formatParameters, nack };
  }

  /** Steers a recording; undefined: there is no dialog. */
  info(parts: InDialogParts): Promise<Outcome> | undefined {
    return this.#dialog?.request('INFO', parts);
  }

  /** In-dialog requests of the camera: BYE ends it, MediaStatus is for whoever watches, INFO is acknowledged (gb28181.md 3.2, 7). */
  #watch(dialog: Dialog): void {
    this.#dialog = dialog;
    dialog.onRequest = incoming => {
      const { method } = incoming.request;
      if (method === 'BYE') {
        incoming.respond(200);
        this.history.hungUp = true;
        this.feed({ type: 'peer-bye' });
        dialog.close();
      } else if (method === 'MESSAGE') {
        this.#world.message(incoming);
      } else {
        incoming.respond(method === 'INVITE' ? 488 : 200);
      }
    };
  }

  #sendBye(): void {
    if (this.plan.feeder !== undefined) return this.#world.closeFeeder(this.plan);
    const dialog = this.#dialog;
    if (dialog === undefined) return;
    void dialog.request('BYE').then(outcome => {
      if (outcome.type !== 'response') this.#world.log.info({ channelId: this.plan.channelId, outcome: outcome.type }, 'source.bye-unanswered');
      dialog.close();
    });
  }
}

/** How the camera's refusal, or its silence, reads to an engineer and to an upstream. */
export function failureOf(outcome: Outcome): SourceFailure {
  switch (outcome.type) {
    case 'response':
      return { code: 'SIP_REJECTED', status: outcome.response.status, why: `the camera answered ${outcome.response.status} ${outcome.response.reason}`.trimEnd() };
    case 'timeout':
      return { code: 'SIP_TIMEOUT', why: 'the camera did not answer the INVITE' };
    case 'transport-error':
      return { code: 'PEER_OFFLINE', why: `the camera cannot be reached: ${outcome.why}` };
    default:
      return assertNever(outcome);
  }
}
