/** The loudspeaker of a simulated device: told of a broadcast it calls back, and hears G.711 (gb28181.md 9.1). */
import { type BroadcastNotice, readBroadcast } from '#core/gb/broadcast.ts';
import { buildResult } from '#core/gb/manscdp-write.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { formatSubject } from '#core/gb/subject.ts';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import { buildAnswer, buildOffer, formatSsrc } from '#core/sdp/build.ts';
import { parseFLine } from '#core/sdp/f-line.ts';
import { type GbSdp, parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { type Payload, payloadOf, readAnswer } from '#core/sdp/negotiate.ts';
import { nameAddr } from '#core/sip/headers.ts';
import type { Dialog, IncomingInvite, SipEndpoint, Target } from '#kit/sip-endpoint.ts';
import { recordOf, uriOf } from '../common/names.ts';
import { Conditions, within } from '../common/waiting.ts';
import { type PlayTransport, type Receiver, openReceiver } from '../platform/receivers.ts';
import type { Clock } from '#kit/clock.ts';

const PCMA: Payload = { payloadType: 8, encoding: 'PCMA', clockRate: 8000 };
const SSRC = 100_000_055;
const DEFAULT_WAIT_MS = 15_000;

export interface LoudspeakerHost {
  readonly endpoint: SipEndpoint;
  readonly target: Target;
  readonly clock: Clock;
  readonly deviceId: string;
  readonly domain: string;
  readonly mediaAddress: string;
  send(xml: string): Promise<unknown>;
}

export class Loudspeaker implements AsyncDisposable {
  /** How it wants the sound; undefined: it does not call. */
  transport: PlayTransport | undefined = 'udp';
  /** What it wants to hear. */
  payload = PCMA;
  /** It waits for sound with the 200. */
  neverAcks = false;
  #payloadType = PCMA.payloadType;
  /** Its word on being told. */
  result: 'OK' | 'ERROR' | 'silence' = 'OK';
  readonly notices: BroadcastNotice[] = [];
  /** Sound that came, payloads in the order of arrival. */
  readonly heard: Uint8Array[] = [];
  /** Status that its call was refused with. */
  refused: number | undefined;
  ssrc: number | undefined;
  ended: string | undefined;
  readonly #host: LoudspeakerHost;
  readonly #conditions = new Conditions();
  readonly #header = newRtpHeader();
  #receiver: Receiver | undefined;
  #dialog: Dialog | undefined;

  constructor(host: LoudspeakerHost) {
    this.#host = host;
  }

  /** True: it was a broadcast. */
  onMessage(message: Manscdp): boolean {
    const notice = readBroadcast(message);
    if (notice === undefined) return false;
    this.notices.push(notice);
    void this.#answer(message.sn, notice);
    return true;
  }

  /** s=Talk: it is called, and connects. True: it was one. */
  onInvite(invite: IncomingInvite): boolean {
    const offer = parseGbSdp(invite.request.body);
    if (!offer.ok || offer.value.sessionName !== 'Talk') return false;
    void this.#talk(invite, offer.value);
    return true;
  }

  async #talk(invite: IncomingInvite, offer: GbSdp): Promise<void> {
    await this.#receiver?.[Symbol.asyncDispose]();
    this.#receiver = await openReceiver('tcp-active', this.#host.mediaAddress, { onPacket: packet => this.#onPacket(packet), onConnected: () => undefined, onClosed: why => (this.ended ??= why) });
    const payload = payloadOf(offer.media, offer.media.payloadTypes[0]!)!;
    this.#payloadType = payload.payloadType;
    const { connectionAddress: address, media } = offer;
    invite.onAck = () => this.#receiver?.connect(address, media.port);
    this.#follow(invite.accept({ contentType: 'APPLICATION/SDP', body: buildAnswer(offer, { originUser: this.#host.deviceId, address: this.#host.mediaAddress, port: this.#receiver.port, transport: 'tcp-active', ssrc: offer.ssrc ?? SSRC, payload, direction: 'sendrecv' }) }));
  }

  #follow(dialog: Dialog): void {
    this.#dialog = dialog;
    dialog.onRequest = incoming => {
      incoming.respond(200);
      if (incoming.request.method !== 'BYE') return;
      this.ended = 'BYE';
      dialog.close();
      void this.#receiver?.[Symbol.asyncDispose]();
      this.#conditions.check();
    };
  }

  async #answer(sn: number, notice: BroadcastNotice): Promise<void> {
    if (this.result !== 'silence') await this.#host.send(buildResult('Broadcast', { sn, deviceId: notice.targetId }, this.result));
    if (this.result !== 'ERROR' && this.transport !== undefined) await this.#call(notice, this.transport);
    this.#conditions.check();
  }

  async #call({ sourceId, targetId }: BroadcastNotice, transport: PlayTransport): Promise<void> {
    const { endpoint, target, deviceId, domain, mediaAddress } = this.#host;
    await this.#receiver?.[Symbol.asyncDispose]();
    this.#payloadType = this.payload.payloadType;
    this.#receiver = await openReceiver(transport, mediaAddress, { onPacket: packet => this.#onPacket(packet), onConnected: () => undefined, onClosed: why => (this.ended ??= why) });
    const here = endpoint.localAddressFor(target);
    const body = buildOffer({ originUser: targetId, address: mediaAddress, port: this.#receiver.port, sessionName: 'Play', kind: 'audio', payloads: [this.payload], transport, ssrc: SSRC, f: parseFLine('v/////a/1/8/1') });
    const invite = endpoint.invite(
      {
        method: 'INVITE', uri: uriOf(sourceId, target.address, target.port), from: recordOf(deviceId, domain), to: recordOf(sourceId, domain),
        contact: nameAddr(uriOf(deviceId, here.address, here.port)), contentType: 'APPLICATION/SDP', body,
        headers: [{ name: 'Subject', value: formatSubject({ senderId: sourceId, senderStream: formatSsrc(SSRC), receiverId: targetId, receiverStream: '0' }) }],
      },
      target,
    );
    invite.onFailed = outcome => {
      this.refused = outcome.type === 'response' ? outcome.response.status : 0;
      this.#conditions.check();
    };
    invite.onAccepted = ({ response, dialog, ack }) => {
      const answer = parseGbSdp(response.body);
      const agreed = answer.ok ? readAnswer({ transport, ssrc: SSRC, payloads: [this.payload] }, answer.value) : answer;
      this.#follow(dialog);
      if (!this.neverAcks) ack();
      if (agreed.ok && transport === 'tcp-active') this.#receiver?.connect(agreed.value.address, agreed.value.port);
    };
  }

  #onPacket(packet: Uint8Array): void {
    if (readRtp(packet, 0, packet.length, this.#header) !== 'rtp' || this.#header.payloadType !== this.#payloadType) return;
    this.ssrc = this.#header.ssrc;
    this.heard.push(packet.slice(this.#header.payloadOffset, this.#header.payloadOffset + this.#header.payloadLength));
    this.#conditions.check();
  }

  async when(what: string, holds: (speaker: this) => boolean, timeoutMs = DEFAULT_WAIT_MS): Promise<void> {
    await within(this.#host.clock, timeoutMs, () => `${what}: ${this.heard.length} packets heard, ended ${this.ended ?? 'not'}`, this.#conditions.when(() => holds(this)));
  }

  /** Hangs up. */
  async stop(): Promise<void> {
    await this.#dialog?.request('BYE');
    this.#dialog?.close();
    this.ended ??= 'stopped';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#receiver?.[Symbol.asyncDispose]();
  }
}
