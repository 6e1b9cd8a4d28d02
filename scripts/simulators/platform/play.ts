/**
 * One INVITE of the platform and the media that comes of it.
 *
 *   inviting --200--> answered --ACK--> playing --BYE either way--> ended
 *      | refusal, timeout, CANCEL: failed
 */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE } from '#core/gb/manscdp-write.ts';
import { MANSRTSP_TYPE, type Mansrtsp, type MansrtspMethod, type MansrtspRequest, formatMansrtspRequest, parseMansrtsp } from '#core/gb/mansrtsp.ts';
import { withNextVersion } from '#core/sdp/build.ts';
import { type GbSdp, parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { H264_PAYLOAD, H265_PAYLOAD, PS_PAYLOAD, formatOf, readAnswer } from '#core/sdp/negotiate.ts';
import type { PsUnit } from '#core/ps/demux.ts';
import type { Codec } from '#core/ps/stream-types.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { decodeBody } from '#kit/charset.ts';
import type { Dialog, IncomingRequest, OutgoingInvite, Outcome } from '#kit/sip-endpoint.ts';
import { type Ambience, type Report, pause } from '../common/names.ts';
import { Conditions, within } from '../common/waiting.ts';
import type { Mischiefs } from './mischief.ts';
import { type MediaSink, type PlayTransport, type Receiver, openReceiver } from './receivers.ts';
import { Recorder, type RecordedFiles } from './recorder.ts';
import { type RtpCounters, RtpJudge } from './rtp-judge.ts';

export interface PlayReport extends RtpCounters {
  readonly channelId: string;
  readonly transport: PlayTransport;
  readonly codec: Codec | undefined;
  readonly audioCodec: Codec | undefined;
  /** From the INVITE to its 200, to the first packet, and to the end of the first key frame. */
  readonly answerMs: number | undefined;
  readonly firstPacketMs: number | undefined;
  readonly firstFrameMs: number | undefined;
  /** Pictures, and how many of them lack bytes. */
  readonly frames: number;
  readonly damaged: number;
  readonly keyFrames: number;
  readonly audioFrames: number;
  readonly expectedSsrc: number;
  /** Source of the first packet, `address:port`. */
  readonly mediaFrom: string | undefined;
  /** Why the media connection ended before the dialog did. */
  readonly mediaClosed: string | undefined;
  /** Media connections that there were (TCP), and re-INVITEs of the sender that were answered 200. */
  readonly connections: number;
  readonly reinvites: number;
  /** Whether our BYE was answered 200; undefined when we sent none. */
  readonly byeAnswered: boolean | undefined;
  readonly seenSsrc: number | undefined;
  readonly files: RecordedFiles;
  /** How it ended; undefined while it goes on. */
  readonly ended: string | undefined;
}

/** The INVITE came to nothing. `status` undefined: no answer at all. */
export class PlayFailed extends Error {
  override readonly name = 'PlayFailed';
  readonly status: number | undefined;
  constructor(message: string, status: number | undefined) {
    super(message);
    this.status = status;
  }
}

export interface PlayParts {
  readonly channelId: string;
  readonly transport: PlayTransport;
  readonly ssrc: number;
  readonly mediaAddress: string;
  readonly recordTo: string | undefined;
  readonly mischief: Mischiefs;
  readonly ambience: Ambience;
  readonly report: Report;
}

const LATE_ACK_MS = 2000;
const MISBEHAVES_AFTER_MS = 2000;
const DEFAULT_WAIT_MS = 15_000;
const BYE_WAIT_MS = 3000;
/** Six minutes. */
const MAX_ARRIVALS = 9000;

export class Play implements AsyncDisposable, MediaSink {
  readonly #parts: PlayParts;
  readonly #judge: RtpJudge;
  readonly #recorder: Recorder;
  readonly #conditions = new Conditions();
  readonly #startedAt: number;
  readonly #answered = Promise.withResolvers<void>();
  #receiver!: Receiver;
  #invite: OutgoingInvite | undefined;
  #dialog: Dialog | undefined;
  #expectedSsrc: number;
  #answerMs: number | undefined;
  #firstPacketMs: number | undefined;
  #firstFrameMs: number | undefined;
  #ended: string | undefined;
  #connections = 0;
  #reinvites = 0;
  #offerAt: ((port: number) => Uint8Array) | undefined;
  #mediaFrom: string | undefined;
  #mediaClosed: string | undefined;
  #byeAnswered: boolean | undefined;
  readonly #endings = new Conditions();
  /** When each of the first MAX_ARRIVALS pictures was complete (the next one had begun), on the clock of the ambience. */
  readonly arrivals: { readonly pts90k: number; readonly atMs: number }[] = [];
  /** When the packets with a marker came, the first MAX_ARRIVALS. */
  readonly markers: { readonly timestamp: number; readonly atMs: number }[] = [];
  /** The answer as it came. */
  answer: GbSdp | undefined;
  /** What the sender said inside the dialog, newest last. */
  readonly messages: Manscdp[] = [];
  #cseq = 0;

  private constructor(parts: PlayParts) {
    this.#parts = parts;
    this.#expectedSsrc = parts.ssrc;
    this.#startedAt = parts.ambience.clock.now();
    this.#recorder = new Recorder(parts.recordTo, unit => this.#onFrame(unit));
    this.#judge = new RtpJudge({ ssrc: undefined, payloadType: PS_PAYLOAD.payloadType }, {
      payload: (bytes, timestamp, marker) => this.#recorder.payload(bytes, timestamp, marker),
      gap: () => this.#recorder.gap(),
    });
  }

  /** Opens the media port; the INVITE is `begin`. */
  static async prepare(parts: PlayParts): Promise<Play> {
    const play = new Play(parts);
    play.#receiver = await openReceiver(parts.transport, parts.mediaAddress, play);
    if (parts.mischief.has('stops-reading')) play.#receiver.stall();
    return play;
  }

  get port(): number {
    return this.#receiver.port;
  }

  get state(): 'inviting' | 'playing' | 'ended' {
    return this.#ended !== undefined ? 'ended' : this.#dialog === undefined ? 'inviting' : 'playing';
  }

  get connected(): boolean {
    return this.#connections > 0;
  }

  /** Follows the INVITE to its answer. Rejects with PlayFailed. `offerAt`: our SDP with another port. */
  async begin(invite: OutgoingInvite, offerAt?: (port: number) => Uint8Array): Promise<void> {
    const { mischief } = this.#parts;
    this.#offerAt = offerAt;
    this.#invite = invite;
    invite.onFailed = outcome => this.#fail(outcome);
    invite.onAccepted = accepted => void this.#accepted(accepted);
    invite.onProvisional = () => {
      if (mischief.has('cancel-after-100')) invite.cancel();
    };
    if (mischief.has('cancel-at-once')) invite.cancel();
    await this.#answered.promise;
  }

  cancel(): void {
    this.#invite?.cancel();
  }

  async #accepted({ response, dialog, ack }: Parameters<NonNullable<OutgoingInvite['onAccepted']>>[0]): Promise<void> {
    const { mischief, ambience, transport, ssrc, channelId, report } = this.#parts;
    this.#dialog = dialog;
    dialog.onRequest = incoming => this.#onRequest(incoming);
    this.#answerMs = ambience.clock.now() - this.#startedAt;
    const answer = parseGbSdp(response.body);
    const agreed = answer.ok ? readAnswer({ transport, ssrc, payloads: [PS_PAYLOAD, H264_PAYLOAD, H265_PAYLOAD] }, answer.value) : answer;
    if (mischief.has('late-ack')) await pause(ambience.clock, LATE_ACK_MS);
    if (!mischief.has('no-ack')) ack();
    if (!agreed.ok || !answer.ok) {
      const why = agreed.ok ? 'no answer' : agreed.error.why;
      this.#answered.reject(new PlayFailed(`unusable answer: ${why}`, response.status));
      return void this.stop();
    }
    this.answer = answer.value;
    this.#expectedSsrc = agreed.value.ssrc;
    const format = formatOf(agreed.value.payload);
    if (format !== undefined && format !== 'ps') this.#recorder.expect(format);
    this.#judge.expect(agreed.value.ssrc, agreed.value.payload.payloadType);
    if (transport === 'tcp-active' && !mischief.has('never-connects')) this.#receiver.connect(agreed.value.address, agreed.value.port);
    report('playing', { channel: channelId, transport, ssrc: agreed.value.ssrc });
    if (mischief.has('closes-tcp') || mischief.has('closes-port')) void pause(ambience.clock, MISBEHAVES_AFTER_MS).then(() => this.#receiver[Symbol.asyncDispose]());
    this.#answered.resolve();
  }

  #fail(outcome: Outcome): void {
    const status = outcome.type === 'response' ? outcome.response.status : undefined;
    const why = outcome.type === 'response' ? `${outcome.response.status} ${outcome.response.reason}` : outcome.type === 'timeout' ? 'no answer' : outcome.why;
    const error = new PlayFailed(`INVITE for ${this.#parts.channelId}: ${why}`, status);
    this.#answered.reject(error);
    void this.#end(why);
  }

  onPacket(packet: Uint8Array, from: string): void {
    if (this.#ended !== undefined) return;
    this.#mediaFrom ??= from;
    const now = this.#parts.ambience.clock.now();
    this.#firstPacketMs ??= now - this.#startedAt;
    this.#noteMarker(packet, now);
    this.#judge.packet(packet);
    this.#conditions.check();
  }

  onConnected(): void {
    this.#connections += 1;
    if (this.#parts.mischief.has('one-connection')) this.#receiver.closeDoor();
    this.#conditions.check();
  }

  /** The media connection ended; the dialog goes on until somebody says BYE. */
  onClosed(why: string): void {
    this.#parts.report('media-closed', { channel: this.#parts.channelId, why });
    this.#mediaClosed = why;
    this.#conditions.check();
  }

  #onFrame({ kind, pts90k }: PsUnit): void {
    if (kind !== 'video') return;
    const now = this.#parts.ambience.clock.now();
    if (this.arrivals.length < MAX_ARRIVALS) this.arrivals.push({ pts90k, atMs: now });
    if (this.#recorder.keyFrames > 0) this.#firstFrameMs ??= now - this.#startedAt;
  }

  #noteMarker(packet: Uint8Array, atMs: number): void {
    if (packet.length < RTP_HEADER_BYTES || packet[0]! >> 6 !== 2 || (packet[1]! & 0x80) === 0 || this.markers.length >= MAX_ARRIVALS) return;
    this.markers.push({ timestamp: new DataView(packet.buffer, packet.byteOffset).getUint32(4), atMs });
  }

  #onRequest(incoming: IncomingRequest): void {
    const { mischief } = this.#parts;
    if (incoming.request.method === 'MESSAGE') this.#onMessage(incoming);
    if (incoming.request.method === 'INVITE') return void this.#onReinvite(incoming);
    if (incoming.request.method !== 'BYE') return incoming.respond(200);
    if (mischief.has('bye-glare')) void this.#dialog?.request('BYE');
    if (mischief.has('no-bye-answer')) incoming.drop();
    else incoming.respond(200);
    this.#dialog?.close();
    void this.#end('BYE of the sender');
  }

  /** The sender has lost its connection and offers what it had answered (RFC 4145 4); over UDP there is nothing to change. */
  async #onReinvite(incoming: IncomingRequest): Promise<void> {
    const { transport, mischief, report, channelId } = this.#parts;
    const offer = parseGbSdp(incoming.request.body);
    if (transport === 'udp' || mischief.has('refuses-reinvite') || !offer.ok || offer.value.media.setup === undefined || this.#offerAt === undefined) return incoming.respond(488);
    this.#reinvites += 1;
    const { connectionAddress, media } = offer.value;
    await this.#receiver.renew(connectionAddress, media.port, mischief.has('one-connection'));
    incoming.respond(200, { contentType: 'APPLICATION/SDP', body: withNextVersion(this.#offerAt(this.#receiver.port)) });
    report('renewed', { channel: channelId, transport });
  }

  #onMessage({ request }: IncomingRequest): void {
    const message = parseManscdp(decodeBody(request.body).text);
    if (message.ok) this.messages.push(message.value);
    this.#conditions.check();
  }

  /** Until a MESSAGE came inside the dialog; the newest. */
  async waitMessage(timeoutMs = DEFAULT_WAIT_MS): Promise<Manscdp> {
    await this.#wait(() => this.messages.length > 0, 'MESSAGE', timeoutMs);
    return this.messages.at(-1)!;
  }

  /** Steers a recording: the status of the 200, and what stands in its body; `undefined` body: none, or none that can be read. */
  async steer(request: Partial<Omit<MansrtspRequest, 'kind'>> & { readonly method: MansrtspMethod }): Promise<{ status: number | undefined; answer: Mansrtsp | undefined }> {
    const body = formatMansrtspRequest({ cseq: (this.#cseq += 1), range: undefined, scale: undefined, ...request });
    const outcome = await this.#dialog?.request('INFO', { contentType: MANSRTSP_TYPE, body: fromByteString(body) });
    if (outcome?.type !== 'response') return { status: undefined, answer: undefined };
    const answer = parseMansrtsp(toByteString(outcome.response.body));
    return { status: outcome.response.status, answer: answer.ok ? answer.value : undefined };
  }

  /** Sends a MESSAGE inside the dialog. */
  async message(xml: Uint8Array): Promise<Outcome | undefined> {
    return this.#dialog?.request('MESSAGE', { contentType: MANSCDP_TYPE, body: xml });
  }

  /** Until `count` pictures came. Rejects when the play ends before, or after `timeoutMs`. */
  waitFrames(count: number, timeoutMs = DEFAULT_WAIT_MS): Promise<void> {
    return this.#wait(() => this.#recorder.frames >= count, `${count} frames`, timeoutMs);
  }

  waitPackets(count: number, timeoutMs = DEFAULT_WAIT_MS): Promise<void> {
    return this.#wait(() => this.#judge.counters.packets >= count, `${count} packets`, timeoutMs);
  }

  /**
   * Until a picture came at or after `sinceMs` on the clock of the ambience; answers when. After a strike at `sinceMs` the play is back then,
   * whatever its transport: over TCP what comes later came over another connection, for the old one died with its node.
   */
  async waitPictureSince(sinceMs: number, timeoutMs = DEFAULT_WAIT_MS): Promise<number> {
    const first = (): { readonly atMs: number } | undefined => this.markers.findLast(({ atMs }, i, all) => atMs >= sinceMs && (i === 0 || all[i - 1]!.atMs < sinceMs));
    await this.#wait(() => first() !== undefined, 'picture', timeoutMs);
    return first()!.atMs;
  }

  /** Until somebody ended it; tells how. */
  async waitEnded(timeoutMs = DEFAULT_WAIT_MS): Promise<string> {
    await within(this.#parts.ambience.clock, timeoutMs, () => `no end of ${this.#parts.channelId}`, this.#endings.when(() => this.#ended !== undefined));
    return this.#ended!;
  }

  /** Until the media connection is closed from the other side; tells why. */
  async waitMediaClosed(timeoutMs = DEFAULT_WAIT_MS): Promise<string> {
    await this.#wait(() => this.#mediaClosed !== undefined, 'end of the media connection', timeoutMs);
    return this.#mediaClosed!;
  }

  #wait(holds: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const { ambience, channelId } = this.#parts;
    const found = (): string => `${what} of ${channelId} did not come (${this.#recorder.frames} frames, ${this.#judge.counters.packets} packets)`;
    if (this.#ended !== undefined && !holds()) return Promise.reject(new Error(`${found()}: ${this.#ended}`));
    return within(ambience.clock, timeoutMs, found, this.#conditions.when(holds));
  }

  /** BYE, the last picture out, files closed. Twice is once. */
  async stop(): Promise<PlayReport> {
    if (this.#ended === undefined) {
      const dialog = this.#dialog;
      const ended = this.#end('stopped');
      if (dialog === undefined) this.#invite?.cancel();
      else if (!this.#parts.mischief.has('no-bye')) await this.#sayBye(dialog);
      dialog?.close();
      await ended;
    }
    return this.report;
  }

  async #sayBye(dialog: Dialog): Promise<void> {
    const outcome = await within(this.#parts.ambience.clock, BYE_WAIT_MS, () => 'BYE unanswered', dialog.request('BYE')).catch(() => undefined);
    this.#byeAnswered = outcome?.type === 'response' && outcome.response.status === 200;
  }

  get report(): PlayReport {
    const { channelId, transport } = this.#parts;
    const { frames, damaged, keyFrames, audioFrames, videoCodec, audioCodec, files } = this.#recorder;
    return {
      ...this.#judge.counters, channelId, transport, codec: videoCodec, audioCodec, frames, damaged, keyFrames, audioFrames, files,
      answerMs: this.#answerMs, firstPacketMs: this.#firstPacketMs, firstFrameMs: this.#firstFrameMs,
      mediaFrom: this.#mediaFrom, connections: this.#connections, reinvites: this.#reinvites, mediaClosed: this.#mediaClosed, byeAnswered: this.#byeAnswered, expectedSsrc: this.#expectedSsrc, seenSsrc: this.#judge.seenSsrc, ended: this.#ended,
    };
  }

  async #end(why: string): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#judge.flush();
    this.#ended = why;
    this.#recorder.finish();
    this.#parts.report('ended', { channel: this.#parts.channelId, why, packets: this.#judge.counters.packets, frames: this.#recorder.frames, damaged: this.#recorder.damaged });
    this.#conditions.check();
    this.#conditions.fail(new Error(`${this.#parts.channelId} ended: ${why}`));
    this.#endings.check();
    await this.#receiver[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
