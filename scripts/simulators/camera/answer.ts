/** SDP of the camera's 200: correct first, then as cameras write it. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { ok } from '#core/result.ts';
import { buildAnswer } from '#core/sdp/build.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import { H264_PAYLOAD, H265_PAYLOAD, type MediaTransport, type Payload, PS_PAYLOAD, answerTransport, choosePayload } from '#core/sdp/negotiate.ts';
import type { Quirks } from './quirks.ts';

/** TEST-NET-3: nobody's address (RFC 5737). */
const FOREIGN_ADDRESS = '203.0.113.77';
const OTHER_PAYLOAD: Payload = { ...PS_PAYLOAD, payloadType: 98 };

export interface AnswerPlan {
  readonly transport: MediaTransport;
  readonly payload: Payload;
  /** What y= says. */
  readonly answeredSsrc: number;
  /** What the packets carry. */
  readonly sentSsrc: number;
}

/** Undefined when the offer has no payload that we send. `ownSsrc` is used where the quirks want one. */
export function planAnswer(offer: GbSdp, quirks: Quirks, ownSsrc: number, codec: VideoCodec): AnswerPlan | undefined {
  const payload = quirks.has('elementary') ? ok(codec === 'h264' ? H264_PAYLOAD : H265_PAYLOAD) : choosePayload(offer.media);
  if (!payload.ok) return undefined;
  const asked = offer.ssrc ?? ownSsrc;
  return {
    transport: answerTransport(offer.media),
    payload: quirks.has('other-payload-type') ? OTHER_PAYLOAD : payload.value,
    answeredSsrc: quirks.has('own-y') ? ownSsrc : asked,
    sentSsrc: quirks.has('own-ssrc') || quirks.has('own-y') ? ownSsrc : asked,
  };
}

/** 2 Mbit/s. */
const RECORDED_BYTES_PER_S = 250_000;
const fileSizeOf = ({ time }: GbSdp): number => (time.stopS - time.startS) * RECORDED_BYTES_PER_S;

export function writeAnswer(offer: GbSdp, plan: AnswerPlan, channelId: string, address: string, port: number, quirks: Quirks): Uint8Array {
  const { transport, payload, answeredSsrc } = plan;
  const declared = quirks.has('third-party-media') ? FOREIGN_ADDRESS : address;
  const correct = buildAnswer(offer, { originUser: channelId, address: declared, port, transport, ssrc: answeredSsrc, payload, f: offer.f, ...(offer.sessionName === 'Download' && { fileSize: fileSizeOf(offer) }) });
  const lines = toByteString(correct).split('\r\n').filter(line => line !== '');
  const written = lines.flatMap(line => distortLine(line, plan, offer, quirks));
  return fromByteString(written.map(line => `${line}${quirks.has('lf-sdp') ? '\n' : '\r\n'}`).join(''));
}

function distortLine(line: string, plan: AnswerPlan, offer: GbSdp, quirks: Quirks): string[] {
  if (line.startsWith('y=')) return distortSsrc(line, quirks);
  if (line.startsWith('f=') && quirks.has('garbage-f')) return ['f=v/2/6/x/?/////a//'];
  if (line.startsWith('a=rtpmap') && quirks.has('no-rtpmap')) return [];
  if (line.startsWith('a=setup') && quirks.has('answers-active') && offer.media.setup === 'active') return ['a=setup:active'];
  if (line === 'a=sendonly' && quirks.has('setup-on-udp') && plan.transport === 'udp') return [line, 'a=setup:active', 'a=connection:new'];
  return [line];
}

function distortSsrc(line: string, quirks: Quirks): string[] {
  if (quirks.has('no-y')) return [];
  if (quirks.has('null-y')) return ['y=null'];
  return [quirks.has('short-y') ? `y=${Number(line.slice(2))}` : line];
}
