/** Whoever speaks at the platform: says so, is called back, and sends a tone that can be told again (gb28181.md 9.1). */
import { RTP_HEADER_BYTES, writeRtpHeader } from '#core/rtp/packet.ts';
import { buildAnswer } from '#core/sdp/build.ts';
import { parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { answerTransport, choosePayload } from '#core/sdp/negotiate.ts';
import type { Clock } from '#kit/clock.ts';
import type { Dialog, IncomingInvite } from '#kit/sip-endpoint.ts';
import { addMs } from '#core/units.ts';
import { NO_QUIRKS } from '../camera/quirks.ts';
import { type MediaLeg, openActiveLeg, openPassiveLeg, openUdpLeg } from '../camera/legs.ts';
import { Conditions, within } from '../common/waiting.ts';

/** 20 ms at 8 kHz. */
export const VOICE_PACKET_BYTES = 160;
const PACKET_MS = 20;
const DEFAULT_WAIT_MS = 15_000;

/** Payload of packet `index`: its number in every octet but the first two, so that nobody else's sound is mistaken for it. */
export const voicePayload = (index: number): Uint8Array => new Uint8Array(VOICE_PACKET_BYTES).fill(index & 0xff).fill(0x55, 0, 2);

export class Microphone implements AsyncDisposable {
  readonly targetId: string;
  sent = 0;
  ended: string | undefined;
  /** Our word for its INVITE; 200 unless a test says otherwise. */
  refuseWith: number | undefined;
  readonly #address: string;
  readonly #clock: Clock;
  readonly #conditions = new Conditions();
  #leg: MediaLeg | undefined;
  #dialog: Dialog | undefined;
  #timer: Disposable | undefined;

  constructor(targetId: string, address: string, clock: Clock) {
    this.targetId = targetId;
    this.#address = address;
    this.#clock = clock;
  }

  async onInvite(invite: IncomingInvite): Promise<void> {
    if (this.refuseWith !== undefined) return invite.respond(this.refuseWith);
    const offer = parseGbSdp(invite.request.body);
    const payload = offer.ok ? choosePayload(offer.value.media, ['PCMA']) : offer;
    if (!offer.ok || !payload.ok) return invite.respond(488);
    const remote = { address: offer.value.connectionAddress, port: offer.value.media.port };
    const transport = answerTransport(offer.value.media);
    const leg = transport === 'udp' ? await openUdpLeg(this.#address, remote, NO_QUIRKS) : transport === 'tcp-active' ? openActiveLeg(this.#address, remote, NO_QUIRKS, this.#clock) : await openPassiveLeg(this.#address, NO_QUIRKS, this.#clock);
    this.#leg = leg;
    const ssrc = offer.value.ssrc ?? 1;
    invite.onAck = () => void leg.start().then(reached => reached && this.#speak(ssrc));
    this.#dialog = invite.accept({ contentType: 'APPLICATION/SDP', body: buildAnswer(offer.value, { originUser: this.targetId, address: this.#address, port: leg.port, transport, ssrc, payload: payload.value }) });
    this.#dialog.onRequest = incoming => {
      incoming.respond(200);
      if (incoming.request.method === 'BYE') this.#end('BYE');
    };
  }

  #speak(ssrc: number): void {
    const packet = new Uint8Array(RTP_HEADER_BYTES + VOICE_PACKET_BYTES);
    writeRtpHeader(packet, 0, this.sent === 0, 8, this.sent & 0xffff, (this.sent * VOICE_PACKET_BYTES) >>> 0, ssrc);
    packet.set(voicePayload(this.sent), RTP_HEADER_BYTES);
    this.#leg?.send([packet]);
    this.sent += 1;
    if (this.ended === undefined) this.#timer = this.#clock.schedule(addMs(this.#clock.now(), PACKET_MS), () => this.#speak(ssrc));
  }

  #end(why: string): void {
    this.ended ??= why;
    this.#timer?.[Symbol.dispose]();
    this.#dialog?.close();
    void this.#leg?.[Symbol.asyncDispose]();
    this.#conditions.check();
  }

  async waitEnded(timeoutMs = DEFAULT_WAIT_MS): Promise<string> {
    await within(this.#clock, timeoutMs, () => `${this.sent} packets sent, not ended`, this.#conditions.when(() => this.ended !== undefined));
    return this.ended!;
  }

  /** Hangs up. */
  async stop(): Promise<void> {
    if (this.ended !== undefined) return;
    const dialog = this.#dialog;
    this.ended = 'stopped';
    this.#timer?.[Symbol.dispose]();
    await dialog?.request('BYE');
    this.#end('stopped');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end('closed');
    await this.#leg?.[Symbol.asyncDispose]();
  }
}
