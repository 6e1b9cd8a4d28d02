/**
 * Turns what an upstream asked and what we know of the camera into the two plans of a relay, or into the status that
 * refuses it (gb28181.md 6, 8.2; faults.md 28-37). Nothing here sends or keeps anything.
 */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import { renditionFor } from '#core/config/transcode-schema.ts';
import { parseSubject } from '#core/gb/subject.ts';
import { type Rendition, fLineOfRendition } from '#core/media/rendition.ts';
import { SIP_STATUS } from '#core/result.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import { parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { checkMediaTarget } from '#core/sdp/media-target.ts';
import { H264_PAYLOAD, H265_PAYLOAD, type MediaTransport, type Payload, PS_PAYLOAD, type StreamFormat, answerTransport, formatOf, formatsOf, payloadOf, readAnswer, servablePayloads } from '#core/sdp/negotiate.ts';
import { header, userOf, type SipRequest } from '#core/sip/message.ts';
import type { ChannelRef } from './catalogs.ts';
import type { AnswerReading, History, LegPlan } from './leg-plan.ts';
import type { DeviceReach } from './devices.ts';
import type { Fit, ViewerPlan } from './viewer.ts';

const OFFERED: readonly Payload[] = [PS_PAYLOAD, H264_PAYLOAD, H265_PAYLOAD];

export interface Refused {
  readonly refused: number;
  /** For the people of the upstream. */
  readonly why: string;
  /** For our log, when that says more. */
  readonly detail?: string | undefined;
}

export const refusal = (refused: number, why: string, detail?: string): Refused => ({ refused, why, detail });

export interface Asked {
  readonly requestedId: string;
  readonly offer: GbSdp;
  /** What it takes and we can send; program streams first. */
  readonly payloads: readonly Payload[];
  /** Undefined: live. */
  readonly history: History | undefined;
  /** Our role toward the upstream. */
  readonly transport: MediaTransport;
  readonly remote: { readonly address: string; readonly port: number };
}

/**
 * Reads an INVITE of an upstream. The channel stands in the Request-URI or To; when that is our own ID, in the Subject
 * or in u= (quirk 16).
 */
export function readInvite(request: SipRequest, upstream: UpstreamConfig, allowed: readonly string[], own: readonly string[]): Asked | Refused {
  if (request.body.length === 0) return refusal(400, 'INVITE without SDP');
  const parsed = parseGbSdp(request.body);
  if (!parsed.ok) return refusal(parsed.error.status, parsed.error.why);
  const offer = parsed.value;
  const history = readHistory(offer);
  if (typeof history === 'string') return refusal(offer.sessionName === 'Playback' || offer.sessionName === 'Download' ? 400 : 488, history);
  const payloads = servablePayloads(offer.media);
  if (!payloads.ok) return refusal(415, payloads.error.why);
  if (offer.ssrcText !== undefined && /^\d{11,}$/.test(offer.ssrcText)) return refusal(488, 'y= has more than ten digits');
  const transport = answerTransport(offer.media);
  const port = transport === 'tcp-passive' ? null : offer.media.port;
  const bad = checkMediaTarget(offer.connectionAddress, port, { allowed, own, transport: transport === 'udp' ? 'udp' : 'tcp' });
  if (bad !== null) return refusal(SIP_STATUS.MEDIA_TARGET_REFUSED, bad);
  return { requestedId: requestedId(request, offer, upstream), offer, payloads: payloads.value, history, transport, remote: { address: offer.connectionAddress, port: offer.media.port } };
}

/** A sentence when it is neither live nor a recording with its times. */
function readHistory({ sessionName, time, uri, media }: GbSdp): History | string | undefined {
  if (sessionName === 'Play') return undefined;
  if (sessionName !== 'Playback' && sessionName !== 'Download') return `s=${sessionName} is not served`;
  if (time.stopS === 0) return `s=${sessionName} without t=`;
  return { kind: sessionName as History['kind'], ...time, type: /:([0-3])$/.exec(uri ?? '')?.[1] ?? '0', downloadSpeed: sessionName === 'Download' ? media.downloadSpeed : undefined };
}

function requestedId(request: SipRequest, offer: GbSdp, upstream: UpstreamConfig): string {
  for (const id of [userOf({ uri: request.uri }), userOf(request.to)]) if (id !== '' && id !== upstream.localId) return id;
  const subject = parseSubject(header(request, 'Subject') ?? '');
  return subject?.senderId ?? offer.uri?.split(':')[0] ?? '';
}

/** How the camera's answer is served: its address must be one of the device's, its role the reverse of ours (quirks 38, 39). */
export function readCameraAnswer(plan: LegPlan, body: Uint8Array, own: readonly string[]): AnswerReading {
  const parsed = parseGbSdp(body);
  if (!parsed.ok) return { usable: false, why: parsed.error.why };
  const agreed = readAnswer({ transport: plan.transport, ssrc: plan.ssrc, payloads: OFFERED }, parsed.value);
  if (!agreed.ok) return { usable: false, why: agreed.error.why };
  const { address, port, ssrc, payload } = agreed.value;
  const format = formatOf(payload);
  if (format === undefined) return { usable: false, why: `answered ${payload.encoding}, which is not served` };
  const connect = plan.transport === 'tcp-active';
  const bad = checkMediaTarget(address, connect ? port : null, { allowed: plan.allowed, own, transport: 'tcp' });
  // A camera behind NAT declares its private address; its media then comes from where it registered (latching).
  const remote = bad !== null && plan.latch === 'nat' && !connect ? { address: plan.allowed[0]!, port } : { address, port };
  if (bad !== null && remote.address === address) return { usable: false, why: `${bad} (media may come from ${plan.allowed.join(', ')}; see nat and mediaNetworks)` };
  return { usable: true, answer: parsed.value, remote, ssrc, payloadType: payload.payloadType, format, formatParameters: parsed.value.media.fmtp.get(payload.payloadType), nack: plan.nack === true && parsed.value.media.nack };
}

/** Where an upstream wants the media after our re-INVITE with the same SDP; without one of its own: where it was. */
export function readReturn({ transport, ssrc, remote, allowed }: Pick<ViewerPlan, 'transport' | 'ssrc' | 'remote' | 'allowed'>, body: Uint8Array, own: readonly string[]): ViewerPlan['remote'] | string {
  if (body.length === 0) return remote;
  const parsed = parseGbSdp(body);
  if (!parsed.ok) return parsed.error.why;
  const agreed = readAnswer({ transport, ssrc, payloads: OFFERED }, parsed.value);
  if (!agreed.ok) return agreed.error.why;
  const { address, port } = agreed.value;
  return checkMediaTarget(address, transport === 'tcp-active' ? port : null, { allowed, own, transport: 'tcp' }) ?? { address, port };
}

/** Pictures or sound of a source in the first codec that an upstream takes; undefined where that cannot be made, or nothing is transcoded. */
export function fitFor(servable: readonly Payload[], codecs: readonly (string | null)[], { maxJobs }: Pick<GatewayConfig['transcode'], 'maxJobs'>): Fit | undefined {
  if (maxJobs === 0) return undefined;
  const [video, audio] = codecs;
  for (const payload of servable) {
    const format = formatOf(payload);
    if ((format === 'h264' || format === 'h265') && (video === 'h264' || video === 'h265')) return { payload, rendition: { ...AS_IT_IS, video: format, audio: 'none' } };
    if ((format === 'g711a' || format === 'aac') && (audio === 'g711a' || audio === 'g711u' || audio === 'aac')) return { payload, rendition: { ...AS_IT_IS, audio: format } };
  }
  return undefined;
}

const AS_IT_IS: Rendition = { video: 'copy', size: null, bitrateKbps: null, fps: null, audio: 'copy' };

/** What a viewer would get: the rendition made for it, else what the source's answer says; undefined where that says nothing. */
export function sentTo({ rendition }: Pick<ViewerPlan, 'rendition'>, answer: GbSdp | undefined): readonly StreamFormat[] | undefined {
  if (rendition !== undefined) return formatsOf('ps', fLineOfRendition(rendition, answer?.f));
  const payloadType = answer?.media.payloadTypes[0];
  if (answer === undefined || payloadType === undefined) return undefined;
  const payload = payloadOf(answer.media, payloadType) ?? OFFERED.find(each => each.payloadType === payloadType);
  return formatsOf((payload && formatOf(payload)) ?? 'ps', answer.f);
}

export interface SinkNames {
  readonly sinkId: string;
  readonly ssrc: number;
  readonly ssrcIsOurs: boolean;
  /** Of ours that the INVITE came to. */
  readonly localAddress: string;
  readonly allowed: readonly string[];
  readonly firstSequence: number;
}

/** What a viewer gets. */
export function planViewer(upstream: UpstreamConfig, { requestedId, offer, history, transport, remote }: Asked, names: SinkNames, { media, transcode }: GatewayConfig): ViewerPlan {
  return {
    ...names,
    sessionId: `s${names.sinkId.slice(1)}`,
    upstream: upstream.name,
    mappedId: requestedId,
    transport,
    localAddress: media.upstreamAddress || names.localAddress,
    remote,
    rendition: renditionFor(upstream, offer.f, transcode),
    connectTimeoutMs: media.connectTimeoutS * 1000,
    // A file is wanted as it is.
    pictures: history?.kind === 'Download' ? 'as-received' : upstream.pictures,
    priority: upstream.priority,
    nack: transport === 'udp' && offer.media.nack && media.loss.nack,
  };
}

/** Streams of one channel are sources of their own; the main stream is the usual one. */
export const sourceKey = ({ deviceId, channelId }: ChannelRef, streamNumber: number | undefined): string => `${deviceId}/${channelId}/${streamNumber ?? 0}`;

/** Recorders take so long to close a session (quirk 62). */
const BUSY_RETRY_MS = 1000;

export interface LegNames {
  readonly legId: string;
  readonly ssrc: number;
  readonly localAddress: string;
  readonly streamNumber: number | null;
  readonly history: History | undefined;
}

/** `again`: the camera still closes the session that it is asked for anew. */
export function planLeg(device: DeviceReach, { channelId, transport }: { readonly channelId: string; readonly transport: MediaTransport }, names: LegNames, config: GatewayConfig, again = false): LegPlan {
  const { media } = config.devices;
  return {
    ...names,
    deviceId: device.id,
    channelId,
    liveUri: device.config.liveUri,
    streamAttribute: device.config.streamAttribute,
    transport,
    // A fixed port is shared by all: there only the SSRC tells whose packet it is.
    ssrcPolicy: config.media.ports.mode === 'fixed' ? 'exact' : (device.config.ssrc ?? media.ssrc),
    latch: device.config.nat ? 'nat' : 'strict',
    allowed: [device.target.address, ...device.config.mediaNetworks],
    silenceMs: media.silenceS * 1000,
    nack: device.isOurs && transport === 'udp' && config.media.loss.nack,
    timing: { inviteTimeoutMs: media.inviteTimeoutS * 1000, firstPacketMs: media.firstPacketS * 1000, busyRetryMs: again || (names.history !== undefined && device.config.busyRetry) ? BUSY_RETRY_MS : undefined },
  };
}
