/**
 * IO around one SourceSession: its bridge in mediad and its INVITE to the camera. Decisions are the automaton's; this
 * file only carries them out, one after another, and reports what became of them.
 */
import type { LegTransport, MediadEvent } from '#contracts/mediad.ts';
import { SourceSession, type SourceFailure, type SourceInput, type SourceOutput, type SourceTiming } from '#core/gb/source-session.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Dialog, DialogState, OutgoingInvite, Outcome } from '#kit/sip-endpoint.ts';
import type { MediaPool } from './media-pool.ts';

/** What a camera's answer means for the leg; `unusable` says why it cannot be served. */
export type AnswerReading =
  | { readonly usable: true; readonly answer: GbSdp; readonly remote: { readonly address: string; readonly port: number }; readonly ssrc: number; readonly payloadType: number }
  | { readonly usable: false; readonly why: string };

export interface SourcePlan {
  readonly bridgeId: string;
  readonly instance: string;
  readonly deviceId: string;
  readonly channelId: string;
  /** Streams of one channel (main, sub) are sources of their own. */
  readonly key: string;
  readonly streamNumber: number | null;
  readonly transport: LegTransport;
  readonly localAddress: string;
  readonly ssrc: number;
  readonly ssrcPolicy: 'exact' | 'adopt';
  readonly latch: 'strict' | 'nat';
  readonly allowed: readonly string[];
  readonly silenceMs: number;
  readonly timing: SourceTiming;
}

/** The rest of sipd, as one source sees it. */
export interface SourceWorld {
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly log: Log;
  /** Sends the INVITE with our offer for the opened leg; null when the device went away meanwhile. */
  invite(plan: SourcePlan, local: { address: string; port: number }): OutgoingInvite | null;
  readAnswer(plan: SourcePlan, body: Uint8Array): AnswerReading;
  ready(source: Source, viewerIds: readonly string[]): void;
  ended(source: Source, viewerIds: readonly string[], failure: SourceFailure): void;
  /** The dialog exists: worth a row on disk. */
  established(source: Source): void;
  /** Before a bridge that never flowed is closed: the last look at it. */
  closing(source: Source): Promise<void>;
  closed(source: Source, failure: SourceFailure | null): void;
}

/** What must outlive a restart of this daemon. */
export interface StoredSource {
  readonly plan: SourcePlan;
  readonly dialog: DialogState;
  readonly local: { readonly address: string; readonly port: number };
}

/** Times on the monotonic clock; for `vlink why`. */
export interface SourceHistory {
  readonly startedAtMs: number;
  cameraAnswered: boolean;
  flowed: boolean;
  failure: SourceFailure | null;
}

export class Source implements Disposable {
  readonly plan: SourcePlan;
  readonly history: SourceHistory;
  #session: SourceSession;
  readonly #world: SourceWorld;
  readonly #alarm: Alarm;
  readonly #inbox: SourceInput[] = [];
  #draining = false;
  /** RPCs of one bridge go one after another, so that a close never overtakes its open. */
  #mediaQueue: Promise<void> = Promise.resolve();
  #invite: OutgoingInvite | undefined;
  #ack: (() => void) | undefined;
  #dialog: Dialog | undefined;
  #reading: (AnswerReading & { usable: true }) | undefined;
  #local: { address: string; port: number } | undefined;
  readonly #firstPacket = Promise.withResolvers<void>();

  private constructor(plan: SourcePlan, world: SourceWorld, session: SourceSession) {
    this.plan = plan;
    this.#world = world;
    this.#session = session;
    this.#alarm = new Alarm(world.clock, () => this.feed({ type: 'tick' }));
    this.history = { startedAtMs: world.clock.now(), cameraAnswered: false, flowed: false, failure: null };
  }

  static start(plan: SourcePlan, world: SourceWorld): Source {
    const { session, outputs } = SourceSession.start(plan.timing);
    const source = new Source(plan, world, session);
    source.#run(outputs);
    return source;
  }

  static restore(stored: StoredSource, dialog: Dialog, world: SourceWorld): Source {
    const source = new Source(stored.plan, world, SourceSession.restored(stored.plan.timing));
    source.#local = stored.local;
    source.history.cameraAnswered = true;
    source.history.flowed = true;
    source.#firstPacket.resolve();
    source.#watch(dialog);
    return source;
  }

  get phase(): SourceSession['phase'] {
    return this.#session.phase;
  }

  get viewers(): readonly string[] {
    return this.#session.viewers;
  }

  get answer(): GbSdp | undefined {
    return this.#reading?.answer;
  }

  get local(): { readonly address: string; readonly port: number } | undefined {
    return this.#local;
  }

  /** Settles at the first packet; never when none comes. */
  get firstPacket(): Promise<void> {
    return this.#firstPacket.promise;
  }

  get callId(): string | null {
    return this.#dialog?.state.callId ?? null;
  }

  stored(): StoredSource | null {
    return this.#dialog === undefined || this.#local === undefined ? null : { plan: this.plan, dialog: this.#dialog.state, local: this.#local };
  }

  /** Drain before feed: outputs of one input are all carried out before the next input is looked at. */
  feed(input: SourceInput): void {
    this.#inbox.push(input);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) this.#run(this.#session.handle(next, this.#world.clock.now()));
    } finally {
      this.#draining = false;
      this.#alarm.arm(this.#session.deadline);
    }
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type === 'source-flowing') {
      this.history.flowed = true;
      this.#firstPacket.resolve();
      this.feed({ type: 'media-flowing' });
    } else if (event.type === 'source-silent') {
      this.feed({ type: 'media-silent', silentMs: event.silentMs });
    } else if (event.type === 'source-closed') {
      this.feed({ type: 'media-closed', why: event.why });
    }
  }

  /** Runs a media RPC of this bridge behind those before it. */
  enqueueMedia(task: () => Promise<void>): Promise<void> {
    const done = this.#mediaQueue.then(task);
    this.#mediaQueue = done.catch(error => {
      if (!(error instanceof GatewayError)) throw error;
      this.#world.log.warn({ bridgeId: this.plan.bridgeId, why: error.message }, 'media.rpc-failed');
    });
    return done;
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  #run(outputs: readonly SourceOutput[]): void {
    for (const output of outputs) this.#carryOut(output);
  }

  #carryOut(output: SourceOutput): void {
    switch (output.type) {
      case 'open-media':
        return this.#openMedia();
      case 'send-invite':
        return this.#sendInvite();
      case 'cancel-invite':
        return this.#invite?.cancel();
      case 'ack':
        return this.#ack?.();
      case 'connect-media':
        return this.#connectMedia();
      case 'send-bye':
        return this.#sendBye();
      case 'close-media':
        return this.#closeMedia();
      case 'tell-ready':
        return this.#world.ready(this, output.viewerIds);
      case 'tell-ended':
        return this.#world.ended(this, output.viewerIds, output.failure);
      case 'closed':
        return this.#closed(output.failure);
      default:
        return assertNever(output);
    }
  }

  #openMedia(): void {
    const { plan } = this;
    const { media } = this.#world;
    media.adopt(plan.instance, plan.bridgeId);
    const open = async (): Promise<void> => {
      const { local } = await media.call(plan.instance, 'openSource', {
        bridgeId: plan.bridgeId,
        transport: plan.transport,
        localAddress: plan.localAddress,
        ssrc: plan.ssrc,
        peer: { allowed: plan.allowed, latch: plan.latch },
        silenceMs: plan.silenceMs,
        label: `${plan.deviceId}/${plan.channelId}`,
      });
      this.#local = local;
      this.feed({ type: 'media-opened' });
    };
    this.#failOn(this.enqueueMedia(open));
  }

  #connectMedia(): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    const { bridgeId, instance, ssrcPolicy } = this.plan;
    const connect = async (): Promise<void> => {
      await this.#world.media.call(instance, 'connectSource', { bridgeId, remote: reading.remote, ssrc: reading.ssrc, ssrcPolicy, payloadType: reading.payloadType });
      this.feed({ type: 'media-connected' });
    };
    this.#failOn(this.enqueueMedia(connect));
  }

  #closeMedia(): void {
    const { instance, bridgeId } = this.plan;
    const close = async (): Promise<void> => {
      if (!this.history.flowed) await this.#world.closing(this);
      await this.#world.media.closeBridge(instance, bridgeId);
    };
    void this.enqueueMedia(close).catch(() => undefined);
  }

  #failOn(task: Promise<void>): void {
    task.catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.feed({ type: 'media-failed', failure: { code: error.code, why: error.message } });
    });
  }

  #sendInvite(): void {
    const invite = this.#world.invite(this.plan, this.#local!);
    if (invite === null) return this.feed({ type: 'invite-failed', failure: { code: 'PEER_OFFLINE', why: 'the device went offline' } });
    this.#invite = invite;
    invite.onFailed = outcome => this.feed({ type: 'invite-failed', failure: failureOf(outcome) });
    invite.onAccepted = ({ response, dialog, ack }) => {
      this.#ack = () => ack();
      this.#watch(dialog);
      this.history.cameraAnswered = true;
      const reading = this.#world.readAnswer(this.plan, response.body);
      if (reading.usable) this.#reading = reading;
      this.feed({ type: 'invite-accepted', unusable: reading.usable ? null : reading.why });
      if (this.phase !== 'closed') this.#world.established(this);
    };
  }

  /** In-dialog requests of the camera: BYE ends it, MediaStatus and INFO are acknowledged (gb28181.md 3.2, 7). */
  #watch(dialog: Dialog): void {
    this.#dialog = dialog;
    dialog.onRequest = incoming => {
      const { method } = incoming.request;
      if (method === 'BYE') {
        incoming.respond(200);
        this.feed({ type: 'peer-bye' });
        dialog.close();
      } else {
        incoming.respond(method === 'INVITE' ? 488 : 200);
      }
    };
  }

  #sendBye(): void {
    const dialog = this.#dialog;
    if (dialog === undefined) return;
    void dialog.request('BYE').then(outcome => {
      if (outcome.type !== 'response') this.#world.log.info({ channelId: this.plan.channelId, outcome: outcome.type }, 'source.bye-unanswered');
      dialog.close();
    });
  }

  #closed(failure: SourceFailure | null): void {
    this.history.failure = failure;
    this[Symbol.dispose]();
    this.#world.closed(this, failure);
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
