/** A recorded SIP message as the diagnosis sees it: when, which way, between whom, its octets, and what the parser makes of them. */
import { toByteString } from '../bytes.ts';
import { parseSubject } from '../gb/subject.ts';
import type { Place } from '../pcap/packets.ts';
import type { Result } from '../result.ts';
import { type SipMessage, header, isSipUri, userOf } from '../sip/message.ts';
import { type SipParseError, parseMessage } from '../sip/parse.ts';

export interface RawPassed {
  readonly sequence: number;
  readonly atWallMs: number;
  /** Seen from the gateway. */
  readonly direction: 'in' | 'out';
  readonly transport: 'UDP' | 'TCP';
  readonly local: Place;
  readonly remote: Place;
  readonly connectionId: number | null;
  readonly bytes: Uint8Array;
  readonly cut: boolean;
}

export interface Passed extends RawPassed {
  readonly parsed: Result<SipMessage, SipParseError>;
  /** Empty when it could not be read. */
  readonly callId: string;
}

/** Content-Length is not held against a datagram: what contradicts it is a finding and no reason not to look. */
export function readPassed(raw: RawPassed): Passed {
  const parsed = parseMessage(raw.bytes, 'datagram', { lenientLength: true });
  return { ...raw, parsed, callId: parsed.ok ? parsed.value.callId : (parsed.error.partial?.callId ?? '') };
}

const FIRST_DEVICE_ID = /<\s*DeviceID\s*>\s*([0-9A-Za-z]{1,64})\s*</i;
const LOOKED_INTO = 2048;

/** Whom a message is about: users of its URIs, the parties of Subject, the DeviceID that its body begins with; not items of a list. */
export function idsOf({ parsed }: Passed): ReadonlySet<string> {
  const ids = new Set<string>();
  if (!parsed.ok) return ids;
  const message = parsed.value;
  ids.add(userOf(message.from)).add(userOf(message.to));
  if (message.type === 'request' && isSipUri(message.uri)) ids.add(message.uri.user ?? '');
  const subject = parseSubject(header(message, 'Subject') ?? '');
  if (subject !== undefined) ids.add(subject.senderId);
  const inBody = FIRST_DEVICE_ID.exec(toByteString(message.body, 0, Math.min(message.body.length, LOOKED_INTO)))?.[1];
  if (inBody !== undefined) ids.add(inBody);
  ids.delete('');
  return ids;
}

/** Those that are about one of `ids` or went to or came from one of `peers` (`address:port`), and all others of their calls. */
export function concerning(all: readonly Passed[], ids: readonly string[], peers: readonly string[] = []): Passed[] {
  const wanted = new Set(ids);
  const fits = (message: Passed): boolean => peers.includes(`${message.remote.address}:${message.remote.port}`) || [...idsOf(message)].some(id => wanted.has(id));
  const calls = new Set(all.filter(fits).map(({ callId }) => callId));
  calls.delete('');
  return all.filter(message => calls.has(message.callId) || (message.callId === '' && fits(message)));
}

/** The calls of these Call-IDs, and those that are about the same channels at the same time: the other leg of a relayed session. */
export function relatedTo(all: readonly Passed[], callIds: readonly string[], channelsOf: (id: string) => readonly string[]): Passed[] {
  const own = all.filter(({ callId }) => callIds.includes(callId));
  if (own.length === 0) return [];
  const [from, to] = [own[0]!.atWallMs, own.at(-1)!.atWallMs];
  const channels = [...new Set(own.flatMap(message => [...idsOf(message)].flatMap(channelsOf)))];
  const invites = concerning(all, channels).filter(({ parsed }) => parsed.ok && parsed.value.cseq.method === 'INVITE');
  const others = new Set(invites.filter(({ atWallMs }) => atWallMs >= from - SLACK_MS && atWallMs <= to + SLACK_MS).map(({ callId }) => callId));
  return all.filter(({ callId }) => callIds.includes(callId) || others.has(callId));
}

/** A camera that still plays for somebody else was invited earlier. */
const SLACK_MS = 60_000;
