/**
 * The ten situations of RFC 5118 (SIP with IPv6), in messages of our own, and what must become of each (faults.md 3.1).
 * A situation with two spellings has two rows.
 */
import type { TortureAnswer } from '../rfc4475/index.ts';

export interface Ipv6Case {
  readonly name: string;
  readonly section: string;
  readonly bytes: Uint8Array;
  readonly answer: TortureAnswer;
  readonly why: string;
}

const USER = 'sip:34020000001320000001';

interface Parts {
  readonly method?: string;
  readonly uri?: string;
  readonly via?: readonly string[];
  readonly contact?: string;
  readonly sdp?: readonly string[];
}

function message(id: string, parts: Parts): Uint8Array {
  const method = parts.method ?? 'OPTIONS';
  const body = (parts.sdp ?? []).map(line => `${line}\r\n`).join('');
  const head = [
    `${method} ${parts.uri ?? `${USER}@[2001:db8::10]`} SIP/2.0`,
    ...(parts.via ?? ['SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK-v6-1']).map(via => `Via: ${via}`),
    'From: <sip:34020000002000000001@3402000000>;tag=v6',
    `To: <${USER}@3402000000>`,
    `Call-ID: ${id}@[2001:db8::9]`,
    `CSeq: 1 ${method}`,
    `Contact: <${parts.contact ?? 'sip:34020000002000000001@[2001:db8::9]'}>`,
    'Max-Forwards: 70',
    ...(body === '' ? [] : ['Content-Type: application/sdp']),
    `Content-Length: ${body.length}`,
  ];
  return new Uint8Array(Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1'));
}

const sdp = (origin: string, connection: string, ...media: readonly string[]): readonly string[] => [
  'v=0', `o=34020000002000000001 0 0 IN ${origin}`, 's=Play', `c=IN ${connection}`, 't=0 0', 'm=video 30000 RTP/AVP 96', 'a=rtpmap:96 PS/90000', 'a=recvonly', ...media,
];

const row = (section: string, name: string, parts: Parts, answer: TortureAnswer, why: string): Ipv6Case => ({ name, section, bytes: message(name, parts), answer, why });

export const RFC5118: readonly Ipv6Case[] = [
  row('4.1', 'reference', {}, 'up', 'an IPv6 reference in brackets'),
  row('4.2', 'no-brackets', { uri: `${USER}@2001:db8::10` }, 400, 'without brackets nobody knows where the port starts'),
  row('4.3', 'last-group', { uri: `${USER}@[2001:db8::10:5070]` }, 'up', '5070 inside the brackets is a group of the address'),
  row('4.4', 'port', { uri: `${USER}@[2001:db8::10]:5070` }, 'up', '5070 behind the brackets is the port'),
  row('4.5', 'received-bracketed', { via: ['SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK-v6-5a'] }, 'up', 'received with brackets is in use'),
  row('4.5', 'received-plain', { via: ['SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK-v6-5b'] }, 'up', 'received without brackets is the grammar'),
  row('4.6', 'sdp', { method: 'INVITE', sdp: sdp('IP6 2001:db8::20', 'IP6 2001:db8::20') }, 'up', 'SDP has no brackets'),
  row('4.7', 'both-families', {
    via: ['SIP/2.0/UDP [2001:db8::9]:6050;branch=z9hG4bK-v6-7', 'SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK-v6-7b;received=192.0.2.1'],
    contact: 'sip:34020000002000000001@192.0.2.1',
  }, 'up', 'IPv4 and IPv6 in one request'),
  row('4.8', 'sdp-both-families', { method: 'INVITE', sdp: sdp('IP6 2001:db8::20', 'IP6 2001:db8::20', 'm=audio 30002 RTP/AVP 8', 'c=IN IP4 192.0.2.1') }, 'up', 'a family for each m-line'),
  row('4.9', 'mapped', {
    method: 'INVITE', via: ['SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bK-v6-9'], contact: 'sip:34020000002000000001@[::ffff:192.0.2.10]:19823',
    sdp: sdp('IP6 ::ffff:192.0.2.2', 'IP6 ::ffff:192.0.2.2'),
  }, 'up', 'an IPv4-mapped address is the IPv4 one'),
  row('4.10', 'three-colons', { uri: `${USER}@[2001:db8:::192.0.2.1]` }, 'up', 'the grammar of RFC 3261 yields three colons; they are read as two'),
];
