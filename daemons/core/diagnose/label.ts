/** A message in few words: what it is, and what of its body one looks for first. */
import { toByteString } from '../bytes.ts';
import { parseManscdp } from '../gb/manscdp.ts';
import { parseGbSdp } from '../sdp/gb-sdp.ts';
import { type SipMessage, header } from '../sip/message.ts';
import type { Passed } from './passed.ts';

export interface Label {
  /** `INVITE (20)`, `200 OK (20 INVITE)`, `MESSAGE Query Catalog (4)`. */
  readonly what: string;
  /** Short facts about the body, none longer than some thirty columns where that can be helped. */
  readonly facts: readonly string[];
}

/** Octets of a body as text, whatever charset they are in. */
export type Decode = (body: Uint8Array) => { readonly text: string };

const MAX_REASON = 40;
const MAX_LINE = 60;

export function labelOf({ parsed, bytes }: Passed, decode: Decode): Label {
  if (!parsed.ok) return { what: `unreadable: ${parsed.error.why}`, facts: [`${bytes.length} bytes`] };
  const message = parsed.value;
  const { cseq } = message;
  const { kind, facts } = bodyOf(message, decode);
  const what = message.type === 'request' ? [message.method, header(message, 'Event') ?? '', kind, `(${cseq.seq})`] : [String(message.status), message.reason.slice(0, MAX_REASON), kind, `(${cseq.seq} ${cseq.method})`];
  const expires = cseq.method === 'REGISTER' || cseq.method === 'SUBSCRIBE' ? expiresOf(message) : undefined;
  return { what: what.filter(word => word !== '').join(' '), facts: [...(expires === undefined ? [] : [`expires ${expires}`]), ...facts] };
}

function expiresOf({ expires, contact }: SipMessage): string | undefined {
  const inContact = contact === '*' ? undefined : (contact[0]?.params.get('expires') ?? undefined);
  return inContact ?? (expires === undefined ? undefined : String(expires));
}

function bodyOf(message: SipMessage, decode: Decode): { readonly kind: string; readonly facts: readonly string[] } {
  const { contentType = '', body } = message;
  if (body.length === 0) return { kind: '', facts: [] };
  if (contentType === 'application/sdp') return { kind: '', facts: sdpFacts(body) };
  if (contentType.endsWith('xml')) return xmlFacts(decode(body).text);
  const firstLine = toByteString(body, 0, Math.min(body.length, MAX_LINE)).split(/\r?\n/)[0]!;
  return { kind: contentType === 'application/mansrtsp' ? firstLine.split(' ')[0]! : contentType, facts: [firstLine] };
}

function sdpFacts(body: Uint8Array): string[] {
  const parsed = parseGbSdp(body);
  if (!parsed.ok) return [`SDP: ${parsed.error.why}`];
  const { sessionName, connectionAddress, media, ssrcText, time } = parsed.value;
  const transport = media.protocol === 'RTP/AVP' ? 'UDP' : `TCP ${media.setup ?? 'without setup'}`;
  const types = media.payloadTypes.map(type => `${type} ${media.rtpmaps.get(type)?.encoding ?? '?'}`);
  const span = time.startS === 0 ? [] : [`${time.startS}..${time.stopS}`];
  return [`${sessionName} ${transport}`, `${connectionAddress}:${media.port}`, types.slice(0, 3).join(' '), `y=${ssrcText ?? ' missing'}`, ...span];
}

function xmlFacts(text: string): { readonly kind: string; readonly facts: readonly string[] } {
  const parsed = parseManscdp(text);
  if (!parsed.ok) return { kind: 'XML', facts: [`XML: ${parsed.error.why}`] };
  const { root, cmdType, sn, deviceId, body } = parsed.value;
  const items = body.kind === 'catalog' ? [`${body.items.length} items of ${body.sumNum ?? '?'}`] : body.kind === 'result' ? [body.result] : [];
  return { kind: `${cmdType} ${root}`, facts: [`SN ${sn}`, deviceId, ...items].filter(fact => fact !== '') };
}
