/**
 * IO around one ViewerSession: the INVITE of an upstream and its sink leg. The counterpart of source.ts.
 */
import type { Endpoint, MediadEvent } from '#contracts/mediad.ts';
import { ViewerSession, type ViewerInput, type ViewerOutput } from '#core/gb/viewer-session.ts';
import { fromByteString, toByteString } from '#core/bytes.ts';
import type { Rendition } from '#core/media/rendition.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import type { ReturnRemote } from '#core/gb/sink-return.ts';
import { SDP_TYPE, withNextVersion } from '#core/sdp/build.ts';
import { parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { type Payload, answerTransport, formatOf, pickPayload } from '#core/sdp/negotiate.ts';
import { NO_BODY } from '#core/sip/message.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Dialog, InDialogParts, IncomingInvite, IncomingRequest, ResponseParts } from '#kit/sip-endpoint.ts';
import { InputQueue } from './input-queue.ts';
import type { MediaPool } from './media-pool.ts';
import type { Source } from './source.ts';
import type { RevivedSink, SinkMedia, StoredViewer, ViewerPlan } from './viewer-plan.ts';
import { ViewerReturn } from './viewer-return.ts';

export type { StoredViewer, ViewerPlan };

/** From the camera's answer to its first key picture. */
const TRACKS_WITHIN_MS = 5000;

export interface Fit {
  readonly payload: Payload;
  readonly rendition: Rendition;
}

export interface ViewerWorld {
  readonly media: MediaPool;
  readonly log: Log;
  /** Of a viewer that may outlive a takeover. */
  readonly returns?: ReturnWorld | undefined;
  /** The 200 with our answer for the opened leg. */
  answer(viewer: Viewer, local: { address: string; port: number }, payload: Payload): ResponseParts;
  /** What the upstream takes, what we like best first. */
  offered(): readonly Payload[];
  /** What its source's answer says that it sends; undefined: it does not say. */
  sent(viewer: Viewer): readonly string[] | undefined;
  /** What can be made of a source with these codecs for an upstream that takes none of them. */
  fit?(codecs: readonly (string | null)[]): Fit | undefined;
  /** Stored before the 200 leaves: after a crash the upstream's BYE must still find its dialog. */
  answered(viewer: Viewer): void;
  /** INFO inside its dialog; to be answered. */
  steer(viewer: Viewer, incoming: IncomingRequest): void;
  left(viewer: Viewer): void;
  closed(viewer: Viewer, why: string): void;
}

export interface ReturnWorld {
  readonly clock: Clock;
  /** Where the upstream wants it after our re-INVITE; a sentence where that cannot be. */
  readAnswer(viewer: Viewer, body: Uint8Array): ReturnRemote | string;
  /** What is kept of it is another thing now. */
  changed(viewer: Viewer): void;
}

export class Viewer {
  readonly source: Source;
  readonly startedAtMs: number;
  readonly #world: ViewerWorld;
  readonly #invite: IncomingInvite | undefined;
  readonly #session: ViewerSession;
  readonly #queue: InputQueue<ViewerInput>;
  #plan: ViewerPlan;
  #dialog: Dialog | undefined;
  #answerSdp: Uint8Array | undefined;
  #local: { address: string; port: number } | undefined;
  #payload: Payload | undefined;
  /** Of one that was answered before a restart. */
  #restored: SinkMedia | undefined;
  /** Made for it, because it takes nothing that the source sends. */
  #rendition: Rendition | undefined;
  /** After a takeover, until its connection is there again. */
  #return: ViewerReturn | undefined;

  private constructor(plan: ViewerPlan, source: Source, invite: IncomingInvite | undefined, session: ViewerSession, world: ViewerWorld, startedAtMs: number) {
    this.#plan = plan;
    this.source = source;
    this.startedAtMs = startedAtMs;
    this.#world = world;
    this.#invite = invite;
    this.#session = session;
    this.#queue = new InputQueue(input => {
      for (const output of session.handle(input)) this.#carryOut(output);
    });
  }

  static start(plan: ViewerPlan, source: Source, invite: IncomingInvite, world: ViewerWorld, startedAtMs: number): Viewer {
    const { session, outputs } = ViewerSession.start();
    const viewer = new Viewer(plan, source, invite, session, world, startedAtMs);
    for (const output of outputs) viewer.#carryOut(output);
    invite.onCancel = () => viewer.feed({ type: 'cancel' });
    invite.onAck = () => viewer.feed({ type: 'ack' });
    invite.onAckTimeout = () => viewer.feed({ type: 'ack-timeout' });
    return viewer;
  }

  /** Takes up a viewer that was answered before a restart; `resume` follows when its media process answers, after a takeover `revived` before it. */
  static restore(stored: StoredViewer, source: Source, dialog: Dialog, world: ViewerWorld, startedAtMs: number, takesOver: boolean): Viewer {
    const viewer = new Viewer(stored.plan, source, undefined, ViewerSession.restored(), world, startedAtMs);
    viewer.#answerSdp = fromByteString(stored.answer);
    viewer.#restored = stored.media;
    viewer.#watch(dialog);
    if (takesOver && stored.plan.transport !== 'udp' && world.returns !== undefined) viewer.#return = viewer.#newReturn(world.returns);
    return viewer;
  }

  get plan(): ViewerPlan {
    return this.#plan;
  }

  /** After a takeover, or a move: its bridge was opened anew, with this sink, or had been there all the time. */
  revived(anew: boolean, sink: RevivedSink | undefined): void {
    const { returns } = this.#world;
    if (anew && this.plan.transport !== 'udp' && returns !== undefined && this.#return?.isOver !== false) this.#return = this.#newReturn(returns);
    if (sink !== undefined) {
      this.#plan = { ...this.#plan, firstSequence: sink.firstSequence };
      this.#movedTo(sink.local);
    }
    this.#return?.feed({ type: anew ? 'opened-anew' : 'stands' });
    if (anew && sink === undefined) this.onMediaEvent({ type: 'sink-closed', bridgeId: this.source.bridgeId, sinkId: this.plan.sinkId, why: 'unreachable' });
  }

  #movedTo(local: Endpoint): void {
    if (this.#restored !== undefined) this.#restored = { ...this.#restored, local };
    this.#world.returns?.changed(this);
  }

  /** Its ACK may have come while nobody listened, so the sink is started in any case; one that runs is left alone. */
  resume(): void {
    if (this.phase === 'active' && this.#return?.isOver !== false) this.#startSink();
  }

  get phase(): ViewerSession['phase'] {
    return this.#session.phase;
  }

  get rendition(): Rendition | undefined {
    return this.#rendition ?? this.plan.rendition;
  }

  get callId(): string {
    return this.#dialog?.state.callId ?? this.#invite?.request.callId ?? '';
  }

  /** Null: nothing of it outlives this process. */
  stored(): StoredViewer | null {
    return this.#dialog === undefined || this.phase === 'closed' ? null : { plan: this.plan, bridgeId: this.source.bridgeId, dialog: this.#dialog.state, answer: toByteString(this.#answerSdp ?? NO_BODY), media: this.#media() };
  }

  #media(): SinkMedia | undefined {
    if (this.#local === undefined || this.#payload === undefined) return this.#restored;
    return { local: this.#local, payloadType: this.#payload.payloadType, format: formatOf(this.#payload), rendition: this.rendition };
  }

  feed(input: ViewerInput): void {
    if (input.type === 'source-ready' && this.phase === 'waiting') this.#choosePayload(input);
    else this.#queue.feed(input);
  }

  /** A program stream takes whatever comes; for anything else it must be certain what the source sends before the upstream is answered. */
  #choosePayload(ready: ViewerInput): void {
    const offered = this.#world.offered();
    const choose = (formats: readonly (string | null)[]): void => {
      this.#payload = pickPayload(offered, formats);
      if (this.#payload !== undefined) return this.#queue.feed(ready);
      const fit = this.#world.fit?.(formats);
      if (fit !== undefined) {
        this.#payload = fit.payload;
        this.#rendition = fit.rendition;
        return this.#queue.feed(ready);
      }
      const failure = { code: 'MEDIA_UNAVAILABLE', why: `${this.plan.upstream} takes nothing of what this source sends (${formats.filter(format => format !== null).join(', ') || 'unknown'})` } as const;
      this.#queue.feed({ type: 'sink-failed', failure });
    };
    const sent = this.#world.sent(this) ?? [];
    if (this.plan.rendition !== undefined || pickPayload(offered, sent) !== undefined) return choose(sent);
    const { source } = this;
    // Not behind what else the bridge has to do: its camera is still to be connected.
    const look = this.#world.media.call(source.instance, 'sourceTracks', { bridgeId: source.bridgeId, withinMs: TRACKS_WITHIN_MS });
    look.then(({ video, audio }) => choose([video, audio])).catch((error: unknown) => this.#sinkFailed(error));
  }

  onMediaEvent(event: MediadEvent): void {
    if (this.#return?.onMediaEvent(event) === true) return;
    if (event.type === 'sink-closed') this.feed({ type: 'sink-closed', why: event.why });
  }

  #carryOut(output: ViewerOutput): void {
    switch (output.type) {
      case 'open-sink':
        return this.#openSink();
      case 'answer':
        return this.#answer();
      case 'reject':
        return this.#invite?.respond(output.status, { headers: [{ name: 'Warning', value: warning(output.why) }] });
      case 'start-sink':
        return this.#startSink();
      case 'close-sink':
        void this.source.enqueueMedia(() => this.#world.media.closeSink(this.source.instance, this.source.bridgeId, this.plan.sinkId)).catch(() => undefined);
        return;
      case 'send-bye':
        return this.#sendBye();
      case 'leave-source':
        return this.#world.left(this);
      case 'closed':
        this.#return?.[Symbol.dispose]();
        return this.#world.closed(this, output.why);
      default:
        return assertNever(output);
    }
  }

  #openSink(): void {
    const { plan, source } = this;
    const open = async (): Promise<void> => {
      if (this.phase === 'closed') return;
      const payload = this.#world.offered()[0]!;
      const { local } = await this.#world.media.call(source.instance, 'openSink', {
        bridgeId: source.bridgeId,
        sinkId: plan.sinkId,
        transport: plan.transport,
        localAddress: source.mediaAddress ?? plan.localAddress,
        remote: plan.remote,
        ssrc: plan.ssrc,
        payloadType: payload.payloadType,
        format: formatOf(payload),
        rendition: plan.rendition,
        peer: { allowed: plan.allowed, latch: 'strict' },
        connectTimeoutMs: plan.connectTimeoutMs,
        pictures: plan.pictures,
        nack: plan.nack,
        priority: plan.priority,
        firstSequence: plan.firstSequence,
        label: `${plan.upstream}/${plan.mappedId}`,
      });
      this.#local = local;
      this.feed({ type: 'sink-opened' });
    };
    source.enqueueMedia(open).catch((error: unknown) => this.#sinkFailed(error));
  }

  #startSink(): void {
    const { source } = this;
    const start = async (): Promise<void> => {
      await this.#world.media.call(source.instance, 'startSink', { bridgeId: source.bridgeId, sinkId: this.plan.sinkId, payloadType: this.#payload?.payloadType, format: this.#payload && formatOf(this.#payload), rendition: this.#rendition });
    };
    // A media process that is away either comes back, and is told again, or its bridges are lost.
    this.source.enqueueMedia(start).catch((error: unknown) => {
      if (!(error instanceof GatewayError) || error.code !== 'DAEMON_UNREACHABLE') this.#sinkFailed(error);
    });
  }

  #sinkFailed(error: unknown): void {
    if (!(error instanceof GatewayError)) throw error;
    this.feed({ type: 'sink-failed', failure: { code: error.code, why: error.message } });
  }

  #answer(): void {
    const answer = this.#world.answer(this, this.#local!, this.#payload!);
    this.#answerSdp = answer.body;
    this.#invite!.accept(answer, dialog => {
      this.#watch(dialog);
      this.#world.answered(this);
    });
  }

  #watch(dialog: Dialog): void {
    this.#dialog = dialog;
    dialog.onRequest = incoming => {
      const { method } = incoming.request;
      if (method === 'BYE') {
        incoming.respond(200);
        this.feed({ type: 'peer-bye' });
        dialog.close();
      } else if (method === 'INVITE') {
        this.#reinvited(incoming);
      } else if (method === 'INFO') {
        this.#world.steer(this, incoming);
      } else {
        incoming.respond(200);
      }
    };
  }

  /** A platform that refreshes its session offers the same again and gets the same answer (RFC 3261 14.2); a change of media is not served. */
  #reinvited(incoming: IncomingRequest): void {
    const { body } = incoming.request;
    if (this.#answerSdp === undefined || (body.length > 0 && !isSameOffer(body, this.plan, this.source.plan.history))) return incoming.respond(488);
    incoming.respond(200, { contentType: SDP_TYPE, body: this.#answerSdp });
  }

  #newReturn({ clock, readAnswer, changed }: ReturnWorld): ViewerReturn {
    const { media, log } = this.#world;
    return new ViewerReturn({
      clock,
      media,
      source: this.source,
      stored: () => this.stored(),
      reinvite: contentType => {
        this.#answerSdp = withNextVersion(this.#answerSdp ?? NO_BODY);
        const answered = this.#dialog?.request('INVITE', { contentType, body: this.#answerSdp });
        changed(this);
        return answered;
      },
      readAnswer: body => readAnswer(this, body),
      opened: local => this.#movedTo(local),
      moved: remote => {
        this.#plan = { ...this.#plan, remote };
        changed(this);
      },
      back: asked => log.info({ mappedId: this.plan.mappedId, upstream: this.plan.upstream, asked }, 'sink.back'),
      lost: why => this.feed({ type: 'sink-closed', why }),
    }, this.plan.transport === 'tcp-passive');
  }

  /** A MESSAGE inside the dialog; nothing when there is none. What the platform makes of it is its business. */
  tell(parts: InDialogParts): void {
    void this.#dialog?.request('MESSAGE', parts);
    this.#world.returns?.changed(this);
  }

  #sendBye(): void {
    const dialog = this.#dialog;
    if (dialog === undefined) return;
    void dialog.request('BYE').then(() => dialog.close());
  }
}

function isSameOffer(body: Uint8Array, { remote, transport, ssrc, ssrcIsOurs }: ViewerPlan, history: { readonly startS: number; readonly stopS: number } = { startS: 0, stopS: 0 }): boolean {
  const offer = parseGbSdp(body);
  if (!offer.ok) return false;
  const { media, connectionAddress, ssrc: asked, time } = offer.value;
  const sameTarget = connectionAddress === remote.address && media.port === remote.port && answerTransport(media) === transport;
  const sameTime = time.startS === history.startS && time.stopS === history.stopS;
  return sameTarget && sameTime && (ssrcIsOurs || asked === undefined || asked === ssrc);
}

/** RFC 3261 20.43: 399 is "miscellaneous", the text is for people. */
const warning = (why: string): string => `399 viewlink "${why.replace(/["\\\r\n]/g, ' ').slice(0, 200)}"`;
