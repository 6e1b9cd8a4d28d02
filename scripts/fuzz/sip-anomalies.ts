/**
 * Messages with one thing wrong each, made systematically: every place of an INVITE, a REGISTER and a response takes every anomaly
 * in turn (the idea of PROTOS c07-sip, and its number of cases; faults.md 6 row 3). The order is fixed, so a case has a name.
 */
import { checkMessage } from './sip-message.ts';

/** As many as the PROTOS suite has. */
export const ANOMALY_COUNT = 4527;

export interface Anomaly {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const overflow = (character: string, length: number): string => character.repeat(length);

const WRONG: readonly string[] = [
  '', ' ', '   ', '\t', '\0', '\0\0\0\0', '\r', '\n', '\r\n', '\r\n ', '\r\n\t', '\r\n\r\n', '\x7f', '\xff', '\xc0\x80', '\xed\xa0\x80', '\xf8\x88\x80\x80\x80', '\xb9\xfa\xb1\xea',
  '%', '%0', '%00', '%zz', '%25%25', '%s%n%x%d', '%99999s', '-', '--', '-1', '+1', '0', '00', '0x10', '1e9', '1.5', 'NaN', '\xd9\xa3',
  '255', '256', '65535', '65536', '2147483647', '2147483648', '4294967295', '4294967296', '18446744073709551616', overflow('9', 100), overflow('0', 300),
  '"', '""', '"\\"', '"\\', '\\', "'", '<', '>', '<>', '<<<<', '>>>>', '<sip:a@b', 'sip:a@b>', '[', ']', '[]', '[::', '[::1', '[::1]]', '[1:2:3:4:5:6:7:8:9]', '[::ffff:1.2.3.4.5]',
  ';', ';;;;', '=', ';=', ';a=;b=', ',', ',,,,', ':', '::::', '@', '@@', '/', '//', '?', '??', '&', '#', '*', '()', '{}', '|', '^', '~',
  '1.2.3', '1.2.3.4.5', '256.256.256.256', '0.0.0.0', '127.0.0.1', '224.0.0.1', 'localhost', '../../etc/passwd', 'sip:', 'tel:+861', 'SIP/2.0', 'INVITE sip:a@b SIP/2.0', 'Via: x',
  overflow('a', 128), overflow('a', 1024), overflow('a', 8192), overflow('a', 40000), overflow('%', 1024), overflow('"', 1025), overflow('\\', 1025), overflow('<', 1024), overflow(';', 1024),
  overflow(';a', 1024), overflow(';a=b', 1024), overflow(',', 1024), overflow('a,', 1024), overflow('<sip:a@b>,', 500), overflow(' ', 4000), overflow('\r\n ', 1000), overflow('\r\n', 1000), overflow('[', 1000), overflow(':', 1000), overflow('@', 1000), overflow('/', 1000),
];

/** `«…»` marks a place. */
const INVITE = `«INVITE» «sip»:«34020000001320000001»«»@«192.0.2.1»:«5060»;«transport»=«udp»«» «SIP»/«2.0»«
»Via: «SIP»/«2.0»/«UDP» «192.0.2.71»:«5060»;«rport»;«branch»=«z9hG4bK-1»
From«: »"«name»" «<»sip:«34020000002000000001»@«3402000000»«>»;tag=«t1»
«To»: «<sip:34020000001320000001@3402000000>»
Call-ID: «1»@«192.0.2.71»
CSeq: «1» «INVITE»
Contact: «<sip:34020000002000000001@192.0.2.71:5060>»;expires=«60»
Max-Forwards: «70»
Route: «<sip:192.0.2.9;lr>»
Subject: «34020000001320000001:0,34020000002000000001:0»
«X-Unknown»: «value»
Content-Type: «application»/«sdp»;charset=«"gb2312"»
Content-Length: «4»

«v=0
»`;

const REGISTER = `REGISTER sip:3402000000 SIP/2.0
Via: SIP/2.0/TCP 192.0.2.71;branch=z9hG4bK-2
From: <sip:34020000001320000001@3402000000>;tag=t2
To: <sip:34020000001320000001@3402000000>
Call-ID: 2
CSeq: 2 REGISTER
Contact: «*»
Expires: «3600»
Authorization: «Digest» username=«"34020000001320000001"»,realm="«3402000000»",«nonce»="n",uri="«sip:3402000000»",response="«00»",nc=«00000001»,cnonce="c",qop=«auth»
Require: «path»
Content-Length: 0

`;

const RESPONSE = `SIP/2.0«» «200»« »«OK»
Via: «SIP/2.0/UDP 192.0.2.71;received=192.0.2.71»
Record-Route: «<sip:192.0.2.9;lr>»
From: <sip:34020000002000000001@3402000000>;tag=t3
To: <sip:34020000001320000001@3402000000>;tag=t4
Call-ID: 3
CSeq: 3 INVITE
WWW-Authenticate: «Digest realm="r",nonce="n"»
Content-Length: 0

`;

/** Bytes of a template with its place number `place` replaced; every other place as it stands. */
function filled(template: string, place: number, wrong: string | undefined): Uint8Array {
  const text = template.split(/[«»]/).map((part, i) => (i % 2 === 0 || (i - 1) / 2 !== place || wrong === undefined ? part.replaceAll('\n', '\r\n') : wrong)).join('');
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function* anomalies(): Generator<Anomaly> {
  let count = 0;
  for (const [title, template] of Object.entries({ INVITE, REGISTER, RESPONSE })) {
    const places = template.split('«').length - 1;
    for (let place = 0; place < places; place++) {
      for (const [i, wrong] of WRONG.entries()) {
        if (count++ === ANOMALY_COUNT) return;
        yield { name: `${title} place ${place} anomaly ${i}`, bytes: filled(template, place, wrong) };
      }
    }
  }
}

/** The three messages with nothing wrong. */
export const SOUND: readonly Uint8Array[] = [INVITE, REGISTER, RESPONSE].map(template => filled(template, -1, undefined));

export default {
  name: 'sip-anomalies',
  seeds: [...anomalies()].map(anomaly => anomaly.bytes),
  run: checkMessage,
};
