/** What offer and answer said about a leg of media, by the ports that they named. */
import type { CaptureLeg } from '#contracts/mediad.ts';
import type { Passed } from '#core/diagnose/passed.ts';
import type { Agreed } from '#core/diagnose/validate-media.ts';
import { type GbSdp, parseGbSdp } from '#core/sdp/gb-sdp.ts';

const UNKNOWN: Agreed = { ssrc: undefined, payloadType: undefined, place: undefined, format: undefined };
const CONNECTS_FROM_ANYWHERE = 9;

interface Exchange {
  offer: GbSdp | undefined;
  answer: GbSdp | undefined;
  /** The offer is ours: we receive. */
  isOurs: boolean;
}

/** The youngest first. */
function exchangesIn(messages: readonly Passed[]): Exchange[] {
  const exchanges = new Map<string, Exchange>();
  for (const { parsed, direction } of messages) {
    if (!parsed.ok || parsed.value.cseq.method !== 'INVITE' || parsed.value.contentType !== 'application/sdp') continue;
    const sdp = parseGbSdp(parsed.value.body);
    const key = `${parsed.value.callId} ${parsed.value.cseq.seq}`;
    const exchange = exchanges.get(key) ?? { offer: undefined, answer: undefined, isOurs: false };
    exchanges.set(key, exchange);
    if (!sdp.ok) continue;
    if (parsed.value.type === 'request') {
      exchange.offer = sdp.value;
      exchange.isOurs = direction === 'out';
    } else exchange.answer = sdp.value;
  }
  return [...exchanges.values()].reverse();
}

export function agreedOn({ role, transport, local, remote }: CaptureLeg, messages: readonly Passed[]): Agreed {
  for (const { offer, answer, isOurs } of exchangesIn(messages)) {
    if (answer === undefined || isOurs !== (role === 'source')) continue;
    const [own, theirs] = isOurs ? [offer, answer] : [answer, offer];
    const fits = own?.media.port === local.port || (theirs?.connectionAddress === remote.address && theirs.media.port === remote.port);
    if (fits) return agreedIn(offer, answer, isOurs, transport);
  }
  return UNKNOWN;
}

function agreedIn(offer: GbSdp | undefined, answer: GbSdp, isOurs: boolean, transport: CaptureLeg['transport']): Agreed {
  const [payloadType] = answer.media.payloadTypes;
  const encoding = payloadType === undefined ? undefined : (answer.media.rtpmaps.get(payloadType) ?? offer?.media.rtpmaps.get(payloadType))?.encoding.toLowerCase();
  // Who connects over TCP does so from any port.
  const hasPlace = isOurs && (transport === 'udp' || (answer.media.setup === 'passive' && answer.media.port !== CONNECTS_FROM_ANYWHERE));
  return { ssrc: answer.ssrc ?? offer?.ssrc, payloadType, place: hasPlace ? `${answer.connectionAddress}:${answer.media.port}` : undefined, format: encoding };
}
