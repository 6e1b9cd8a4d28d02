/** The INVITE that we send to a camera and the 200 that we send to an upstream (gb28181.md 2.1, 2.6, 6.1). */
import type { GatewayConfig } from '#core/config/schema.ts';
import { type Rendition, fLineOfRendition } from '#core/media/rendition.ts';
import { PATH_HEADER } from '#core/gb/invite-path.ts';
import { formatSubject } from '#core/gb/subject.ts';
import { type OfferParts, SDP_TYPE, buildAnswer, buildOffer, formatSsrc } from '#core/sdp/build.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import { H264_PAYLOAD, H265_PAYLOAD, type Payload, PS_PAYLOAD } from '#core/sdp/negotiate.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { sipUri } from '#core/sip/uri.ts';
import type { NewRequest, ResponseParts, Target } from '#kit/sip-endpoint.ts';
import { ownAddress } from './devices.ts';
import type { Asked } from './relay-plan.ts';
import type { LegPlan } from './leg-plan.ts';
import type { ViewerPlan } from './viewer.ts';

const PAYLOADS = { ps: PS_PAYLOAD, h264: H264_PAYLOAD, h265: H265_PAYLOAD } as const;

export interface MediaAddress {
  readonly address: string;
  readonly port: number;
}

/** How the INVITE is told apart from others, and from itself when it comes back. */
export interface InviteMarks {
  readonly callId: string;
  /** Toward a platform, which may hand it on; undefined toward a camera. */
  readonly path: { readonly maxForwards: number; readonly header: string } | undefined;
}

/** `here`: our SIP address toward this device. */
export function cameraInvite(plan: LegPlan, local: MediaAddress, target: Target, here: MediaAddress, { callId, path }: InviteMarks, config: GatewayConfig): NewRequest {
  const { sip } = config;
  const channel = sipUri(plan.channelId, target.address, target.port);
  return {
    method: 'INVITE',
    uri: channel,
    from: ownAddress(config),
    to: nameAddr(channel),
    callId,
    ...(path !== undefined && { maxForwards: path.maxForwards }),
    contact: nameAddr(sipUri(sip.id, here.address, here.port, target.transport === 'TCP' ? { transport: 'tcp' } : {})),
    contentType: SDP_TYPE,
    headers: [{ name: 'Subject', value: formatSubject({ senderId: plan.channelId, senderStream: formatSsrc(plan.ssrc), receiverId: sip.id, receiverStream: '0' }) }, ...(path === undefined ? [] : [{ name: PATH_HEADER, value: path.header }])],
    body: buildOffer({ originUser: sip.id, ...askedOf(plan), ...local, transport: plan.transport, ssrc: plan.ssrc, streamNumber: plan.streamNumber ?? undefined, streamAttribute: plan.streamAttribute, nack: plan.nack, payloads: config.devices.media.payloads.map(name => PAYLOADS[name]) }),
  };
}

/** The recording under the camera's own ID, or the live picture. */
function askedOf({ channelId, history, liveUri }: LegPlan): Pick<OfferParts, 'sessionName' | 'uri' | 'time' | 'downloadSpeed'> {
  if (history === undefined) return { sessionName: 'Play', uri: liveUri === true ? `${channelId}:0` : undefined };
  return { sessionName: history.kind, uri: `${channelId}:${history.type}`, time: history, downloadSpeed: history.downloadSpeed };
}

/** `source`: the camera's own answer, whose f= says best what is sent, unless we send something else. */
export function upstreamAnswer(plan: ViewerPlan, rendition: Rendition | undefined, source: GbSdp | undefined, local: MediaAddress, { offer }: Asked, payload: Payload): ResponseParts {
  const f = rendition === undefined ? (source?.f ?? offer.f) : fLineOfRendition(rendition, source?.f);
  return { contentType: SDP_TYPE, body: buildAnswer(offer, { originUser: plan.mappedId, ...local, transport: plan.transport, ssrc: plan.ssrc, payload, f, nack: plan.nack, fileSize: source?.media.fileSize }) };
}
