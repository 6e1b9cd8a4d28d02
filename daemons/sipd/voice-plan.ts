/** The two SDPs of a voice broadcast and what a device's call asks for (gb28181.md 9.1). Nothing here sends or keeps anything. */
import { formatSubject } from '#core/gb/subject.ts';
import { SIP_STATUS } from '#core/result.ts';
import { SDP_TYPE, buildAnswer, buildOffer, formatSsrc } from '#core/sdp/build.ts';
import { parseFLine } from '#core/sdp/f-line.ts';
import { type GbSdp, parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { checkMediaTarget } from '#core/sdp/media-target.ts';
import { type MediaTransport, type Payload, answerTransport, formatOf, readAnswer, servablePayloads } from '#core/sdp/negotiate.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { sipUri } from '#core/sip/uri.ts';
import type { NewRequest, ResponseParts } from '#kit/sip-endpoint.ts';
import { type Refused, refusal } from './relay-plan.ts';
import type { MediaAddress } from './relay-sdp.ts';
import type { AnswerReading, LegPlan } from './leg-plan.ts';
import type { UpstreamLink } from './upstream-link.ts';

export const PCMA: Payload = { payloadType: 8, encoding: 'PCMA', clockRate: 8000 };
export const PCMU: Payload = { payloadType: 0, encoding: 'PCMU', clockRate: 8000 };
/** G.711, 64 kbit/s, 8 kHz. */
const VOICE_F = parseFLine('v/////a/1/8/1');

export interface Call {
  readonly offer: GbSdp;
  readonly payload: Payload;
  /** Our role toward the device. */
  readonly transport: MediaTransport;
  readonly remote: MediaAddress;
}

/** A device's INVITE for the sound that it was told of. */
export function readCall(body: Uint8Array, allowed: readonly string[], own: readonly string[]): Call | Refused {
  const parsed = parseGbSdp(body);
  if (!parsed.ok) return refusal(parsed.error.status, parsed.error.why);
  const offer = parsed.value;
  const servable = servablePayloads(offer.media);
  const payload = servable.ok ? (servable.value.find(each => formatOf(each) === 'g711a') ?? servable.value.find(each => formatOf(each) === 'g711u')) : undefined;
  if (offer.media.kind !== 'audio' || payload === undefined) return refusal(488, 'no G.711 among what it takes');
  const transport = answerTransport(offer.media);
  const bad = checkMediaTarget(offer.connectionAddress, transport === 'tcp-passive' ? null : offer.media.port, { allowed, own, transport: transport === 'udp' ? 'udp' : 'tcp' });
  if (bad !== null) return refusal(SIP_STATUS.MEDIA_TARGET_REFUSED, bad);
  return { offer, payload, transport, remote: { address: offer.connectionAddress, port: offer.media.port } };
}

/** The same call, from us as the device, to whoever speaks. */
export function speakerInvite(plan: LegPlan, local: MediaAddress, link: UpstreamLink, targetId: string, here: MediaAddress): NewRequest {
  const { config, target } = link;
  const speaker = sipUri(plan.channelId, target.address, target.port);
  const tcp = target.transport === 'TCP' ? { transport: 'tcp' } : {};
  return {
    method: 'INVITE',
    uri: speaker,
    from: nameAddr(sipUri(targetId, config.localId.slice(0, 10))),
    to: nameAddr(speaker),
    contact: nameAddr(sipUri(config.localId, here.address, here.port, tcp)),
    contentType: SDP_TYPE,
    headers: [{ name: 'Subject', value: formatSubject({ senderId: plan.channelId, senderStream: formatSsrc(plan.ssrc), receiverId: targetId, receiverStream: '0' }) }],
    body: buildOffer({ originUser: targetId, sessionName: 'Play', ...local, transport: plan.transport, ssrc: plan.ssrc, kind: 'audio', payloads: [PCMA], f: VOICE_F }),
  };
}

export function readSpeaker(plan: LegPlan, body: Uint8Array, own: readonly string[]): AnswerReading {
  const parsed = parseGbSdp(body);
  if (!parsed.ok) return { usable: false, why: parsed.error.why };
  const agreed = readAnswer({ transport: plan.transport, ssrc: plan.ssrc, payloads: [PCMA] }, parsed.value);
  if (!agreed.ok) return { usable: false, why: agreed.error.why };
  const { address, port, ssrc, payload } = agreed.value;
  if (formatOf(payload) !== 'g711a') return { usable: false, why: `${payload.encoding} is not G.711 A-law` };
  const bad = checkMediaTarget(address, plan.transport === 'tcp-active' ? port : null, { allowed: plan.allowed, own, transport: 'tcp' });
  if (bad !== null) return { usable: false, why: bad };
  return { usable: true, answer: parsed.value, remote: { address, port }, ssrc, payloadType: payload.payloadType, format: 'g711a', formatParameters: undefined, nack: false };
}

export const callAnswer = (call: Call, ownId: string, local: MediaAddress, ssrc: number): ResponseParts => ({
  contentType: SDP_TYPE,
  body: buildAnswer(call.offer, { originUser: ownId, ...local, transport: call.transport, ssrc, payload: call.payload, f: VOICE_F }),
});

export const allowedOf = (link: UpstreamLink): readonly string[] => [link.target.address, ...link.config.mediaNetworks];
