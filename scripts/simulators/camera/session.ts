/**
 * One INVITE at the camera, from the offer to the last packet.
 *
 *   offered --200--> answered --ACK--> sending --BYE either way, receiver gone--> closed
 *      | CANCEL, refusal      | no ACK: BYE
 *      +--------> closed <----+
 */
import { toByteString } from '#core/bytes.ts';
import { MANSCDP_TYPE, buildManscdp } from '#core/gb/manscdp-write.ts';
import { MANSRTSP_TYPE, formatMansrtspResponse, parseMansrtsp } from '#core/gb/mansrtsp.ts';
import { type GbSdp, parseGbSdp } from '#core/sdp/gb-sdp.ts';
import type { Dialog, IncomingInvite, IncomingRequest } from '#kit/sip-endpoint.ts';
import type { ImpairmentRules } from '../../impairment/rules.ts';
import type { LoadedFootage } from '../../media/footage.ts';
import { type Ambience, type Report, pause } from '../common/names.ts';
import { type AnswerPlan, planAnswer, writeAnswer } from './answer.ts';
import type { Channel } from './catalogue.ts';
import { type LegCounters, type MediaLeg, openActiveLeg, openPassiveLeg, openUdpLeg } from './legs.ts';
import type { Paced, Pacer } from './pacer.ts';
import type { Quirks } from './quirks.ts';
import { RecordingHead } from './recording.ts';
import { CameraStream, type SentPicture } from './stream.ts';

export interface SessionHost {
  readonly ambience: Ambience;
  readonly report: Report;
  readonly pacer: Pacer;
  readonly footage: LoadedFootage;
  readonly mediaAddress: string;
  readonly quirks: Quirks;
  readonly maxPayloadBytes: number | undefined;
  /** The network that media over UDP of a channel has to cross; undefined: none. */
  impair(channel: Channel): ImpairmentRules | undefined;
  /** A MESSAGE outside any dialog, under the ID of the device. */
  send(xml: string): Promise<unknown>;
  /** Another session of this channel is open. */
  isBusy(channelId: string): boolean;
}

export type SessionState = 'offered' | 'answered' | 'sending' | 'closed';

/** A picture of many packets is spread over some ticks, as a camera's network chip does. */
const PACKETS_PER_TICK = 32;
/** Of a recording that is asked for without its times. */
const DEFAULT_RECORDING_S = 60;
/** Backwards so many pictures go by unseen between two that are sent. */
const BACKWARDS_EVERY_MS = 1000;
const SLOW_ANSWER_MS = 3000;
const MISBEHAVES_AFTER_MS = 3000;
/** First digit 0: live (gb28181.md 6.1). */
const OWN_SSRCS = 100_000_000;

export class CameraSession implements Paced {
  readonly channel: Channel;
  readonly #host: SessionHost;
  readonly #invite: IncomingInvite;
  readonly #onClosed: () => void;
  #state: SessionState = 'offered';
  #leg: MediaLeg | undefined;
  #dialog: Dialog | undefined;
  #stream: CameraStream | undefined;
  #plan: AnswerPlan | undefined;
  #startedAt = 0;
  #queue: Uint8Array[] = [];
  #silenced = false;
  #offer: GbSdp | undefined;
  #recording: RecordingHead | undefined;
  #shownBackwardsMs = Infinity;
  #recordingOver = false;
  /** Requests of MANSRTSP that came, their bodies. */
  readonly steered: string[] = [];

  constructor(invite: IncomingInvite, channel: Channel, host: SessionHost, onClosed: () => void) {
    this.#invite = invite;
    this.channel = channel;
    this.#host = host;
    this.#onClosed = onClosed;
  }

  get state(): SessionState {
    return this.#state;
  }

  get counters(): Readonly<LegCounters> | undefined {
    return this.#leg?.counters;
  }

  get pictures(): number {
    return this.#stream?.pictures ?? 0;
  }

  /** The pictures of its first minutes with their time, in the order of sending. */
  get sent(): readonly SentPicture[] {
    return this.#stream?.sent ?? [];
  }

  /** t= of the offer: unix seconds, 0 and 0 live. */
  get time(): GbSdp['time'] | undefined {
    return this.#offer?.time;
  }

  /** When the first picture was due, on the clock of the ambience. */
  get startedAt(): number {
    return this.#startedAt;
  }

  /** What the packets carry; undefined before the answer. */
  get ssrc(): number | undefined {
    return this.#plan?.sentSsrc;
  }

  /** Answers the INVITE. Call once. */
  async answer(): Promise<void> {
    const { quirks, ambience } = this.#host;
    this.#invite.onCancel = () => this.#cancelled();
    if (quirks.has('reject-486') || (quirks.has('busy') && this.#host.isBusy(this.channel.id))) return this.#refuse(486, 'rejected');
    const offer = parseGbSdp(this.#invite.request.body);
    if (!offer.ok) return this.#refuse(offer.error.status, offer.error.why);
    this.#offer = offer.value;
    const plan = planAnswer(offer.value, quirks, ambience.random.int(OWN_SSRCS), this.#host.footage.videoCodec);
    if (plan === undefined) return this.#refuse(488, 'no PS in the offer');
    this.#plan = plan;
    await this.#openLeg(offer.value, plan);
    if (quirks.has('no-answer')) return;
    if (quirks.has('slow-answer')) {
      if (this.#state === 'offered') this.#invite.provisional(180);
      await pause(ambience.clock, SLOW_ANSWER_MS);
    }
    if (this.#state === 'offered') this.#accept(offer.value, plan);
  }

  async #openLeg(offer: GbSdp, plan: AnswerPlan): Promise<void> {
    const { mediaAddress, quirks, ambience } = this.#host;
    const remote = { address: offer.connectionAddress, port: offer.media.port };
    const rules = this.#host.impair(this.channel);
    if (plan.transport === 'udp') this.#leg = await openUdpLeg(mediaAddress, remote, quirks, rules === undefined ? undefined : { rules, clock: ambience.clock });
    else if (plan.transport === 'tcp-active') this.#leg = openActiveLeg(mediaAddress, remote, quirks, ambience.clock);
    else this.#leg = await openPassiveLeg(mediaAddress, quirks, ambience.clock);
    this.#leg.onLost = () => void this.#hangUp('receiver closed the connection');
    // CANCEL came while the port was being opened.
    if (this.#state === 'closed') await this.#leg[Symbol.asyncDispose]();
  }

  #accept(offer: GbSdp, plan: AnswerPlan): void {
    const { mediaAddress, quirks } = this.#host;
    const body = writeAnswer(offer, plan, this.channel.id, mediaAddress, this.#leg!.port, quirks);
    this.#state = 'answered';
    this.#invite.onAck = () => void this.#start();
    this.#invite.onAckTimeout = () => void this.#hangUp('no ACK');
    this.#dialog = this.#invite.accept({ contentType: 'APPLICATION/SDP', body });
    this.#dialog.onRequest = incoming => this.#onRequest(incoming);
    this.#host.report('answered', { channel: this.channel.id, transport: plan.transport, ssrc: plan.sentSsrc });
    if (quirks.has('early-media')) void this.#start();
  }

  async #start(): Promise<void> {
    if (this.#state !== 'answered' || this.#stream !== undefined) return;
    const { footage, quirks, ambience, maxPayloadBytes } = this.#host;
    const { sentSsrc, payload, transport } = this.#plan!;
    this.#stream = new CameraStream({ footage, ssrc: sentSsrc, payloadType: payload.payloadType, quirks, random: ambience.random, overTcp: transport !== 'udp', maxPayloadBytes });
    const reached = await this.#leg!.start();
    if (this.#state !== 'answered') return;
    if (!reached) {
      this.#host.report('unreachable', { channel: this.channel.id });
      if (!quirks.has('never-connects')) void this.#hangUp('receiver not reached');
      return;
    }
    this.#state = 'sending';
    this.#silenced = quirks.has('never-sends');
    this.#startedAt = ambience.clock.now();
    this.#recording = recordingOf(this.#offer, this.#startedAt);
    this.#host.pacer.add(this);
    this.#host.report('sending', { channel: this.channel.id, ssrc: sentSsrc });
  }

  tick(now: number): void {
    const elapsedMs = now - this.#startedAt;
    if (elapsedMs >= MISBEHAVES_AFTER_MS) this.#misbehave();
    if (this.#silenced || this.#state !== 'sending') return;
    this.#queue.push(...(this.#recording === undefined ? this.#stream!.due(elapsedMs) : this.#recorded(this.#recording, now)));
    if (this.#queue.length > 0) this.#leg!.send(this.#queue.splice(0, PACKETS_PER_TICK));
  }

  #recorded(recording: RecordingHead, now: number): Uint8Array[] {
    const position = recording.positionMs(now);
    if (recording.paused || this.#recordingOver) return [];
    const packets: Uint8Array[] = [];
    if (recording.scale > 0) packets.push(...this.#stream!.due(position));
    else if (this.#shownBackwardsMs - position >= BACKWARDS_EVERY_MS) {
      this.#shownBackwardsMs = position;
      packets.push(...this.#stream!.single(position));
    }
    if (recording.ended(now) && this.#queue.length === 0) void this.#recordingEnded();
    return packets;
  }

  /** The last packets leave before it is told. */
  async #recordingEnded(): Promise<void> {
    const { quirks } = this.#host;
    this.#recordingOver = true;
    if (quirks.has('recording-ends-silently')) return;
    if (quirks.has('recording-ends-with-bye')) return this.#hangUp('end of the recording');
    const status = (deviceId: string): string => buildManscdp('Notify', 'MediaStatus', { sn: 8, deviceId }, '<NotifyType>121</NotifyType>\r\n');
    if (quirks.has('media-status-outside')) return void (await this.#host.send(status(this.channel.id)));
    await this.#dialog?.request('MESSAGE', { contentType: MANSCDP_TYPE, body: new TextEncoder().encode(status(this.channel.id)) });
  }

  #steer(incoming: IncomingRequest): void {
    const { quirks, ambience } = this.#host;
    const body = toByteString(incoming.request.body);
    this.steered.push(body);
    const asked = parseMansrtsp(body);
    const recording = this.#recording;
    if (quirks.has('no-info-answer')) return incoming.drop();
    if (!asked.ok || asked.value.kind !== 'request' || recording === undefined) return incoming.respond(400);
    if (asked.value.scale !== undefined && quirks.has('no-scale')) return incoming.respond(400);
    const now = ambience.clock.now();
    const moved = recording.steer(asked.value, now);
    if (moved && recording.scale > 0) this.#stream?.seek(recording.positionMs(now));
    if (recording.scale < 0) this.#shownBackwardsMs = Infinity;
    const { cseq, scale, range } = asked.value;
    const answer = formatMansrtspResponse({ status: 200, reason: 'OK', cseq, scale, range });
    incoming.respond(200, quirks.has('bare-info-answer') ? {} : { contentType: MANSRTSP_TYPE, body: new TextEncoder().encode(answer) });
    if (asked.value.method === 'TEARDOWN') void this.#hangUp('TEARDOWN');
  }

  #misbehave(): void {
    const { quirks } = this.#host;
    if (quirks.has('stops-sending')) this.#silenced = true;
    if (quirks.has('hangs-up')) void this.#hangUp('as asked for');
    if (quirks.has('closes-tcp') && !this.#silenced) {
      this.#silenced = true;
      void this.#leg?.[Symbol.asyncDispose]();
    }
  }

  /** The next picture is a key frame (IFrameCmd). */
  requestKeyFrame(): void {
    if (!this.#host.quirks.has('no-key-frames')) this.#stream?.requestKeyFrame();
  }

  /** Sends no more media and says nothing about it, like a camera whose lens process hangs. */
  silence(): void {
    this.#silenced = true;
  }

  #onRequest(incoming: IncomingRequest): void {
    switch (incoming.request.method) {
      case 'BYE':
        if (this.#host.quirks.has('no-bye-answer')) incoming.drop();
        else incoming.respond(200);
        this.#dialog?.close();
        return void this.#close('BYE');
      case 'INFO':
        return this.#steer(incoming);
      case 'MESSAGE':
        return incoming.respond(200);
      case 'INVITE':
        return incoming.respond(488);
      default:
        return incoming.respond(405);
    }
  }

  #refuse(status: number, why: string): void {
    if (this.#state !== 'offered') return;
    this.#invite.respond(status);
    this.#host.report('refused', { channel: this.channel.id, status, why });
    void this.#close('refused');
  }

  #cancelled(): void {
    if (this.#state === 'offered') void this.#close('CANCEL');
  }

  /** BYE from our side. Settles when it was answered or given up. */
  async #hangUp(why: string): Promise<void> {
    if (this.#state === 'closed') return;
    const dialog = this.#dialog;
    const ended = this.#close(why);
    await dialog?.request('BYE');
    dialog?.close();
    await ended;
  }

  /** Ends the session, with BYE when there is a dialog. */
  async stop(): Promise<void> {
    if (this.#state === 'offered') this.#refuse(480, 'closing');
    else await this.#hangUp('closing');
  }

  /** Ends the media without a word. */
  vanish(): Promise<void> {
    return this.#close('vanished');
  }

  async #close(why: string): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#host.pacer.remove(this);
    this.#queue = [];
    this.#onClosed();
    this.#host.report('ended', { channel: this.channel.id, why, packets: this.#leg?.counters.packets ?? 0, pictures: this.pictures });
    await this.#leg?.[Symbol.asyncDispose]();
  }
}

/** Undefined: live. */
function recordingOf(offer: GbSdp | undefined, now: number): RecordingHead | undefined {
  if (offer === undefined || (offer.sessionName !== 'Playback' && offer.sessionName !== 'Download')) return undefined;
  const { startS, stopS } = offer.time;
  return new RecordingHead((stopS > startS ? stopS - startS : DEFAULT_RECORDING_S) * 1000, offer.media.downloadSpeed ?? 1, now);
}
