/** Header values by themselves: URIs, addresses, Via, credentials, hosts. What is accepted must be written so that it reads the same. */
import { formatIp, normalizeHost, parseIp, parseNetwork } from '#core/ip.ts';
import { toByteString, utf8Decode, utf8DecodeStrict, utf8Encode } from '#core/bytes.ts';
import type { Result } from '#core/result.ts';
import { formatAuthorization, formatChallenge, parseAuthorization, parseChallenge } from '#core/sip/digest.ts';
import { formatNameAddr, formatVia, parseCSeq, parseMediaType, parseNameAddr, parseNameAddrList, parseVia, parseViaList } from '#core/sip/headers.ts';
import { formatUri, parseUri, sameUri } from '#core/sip/uri.ts';

function stable<T>(text: string, parse: (text: string) => Result<T>, format: (value: T) => string): void {
  const first = parse(text);
  if (!first.ok) return;
  const written = format(first.value);
  const second = parse(written);
  if (!second.ok || format(second.value) !== written) throw new Error(`${JSON.stringify(text)} was written as ${JSON.stringify(written)}`);
}

export function checkValue(input: Uint8Array): void {
  const text = toByteString(input);
  stable(text, parseUri, formatUri);
  stable(text, parseNameAddr, formatNameAddr);
  stable(text, parseVia, formatVia);
  stable(text, parseChallenge, formatChallenge);
  stable(text, parseAuthorization, formatAuthorization);
  const uri = parseUri(text);
  if (uri.ok && !sameUri(uri.value, uri.value)) throw new Error('a URI is not itself');
  const ip = parseIp(text);
  if (ip !== undefined && normalizeHost(formatIp(ip)) !== normalizeHost(text)) throw new Error('an address with two texts');
  parseNetwork(text);
  parseNameAddrList(text);
  parseViaList(text);
  parseMediaType(text);
  parseCSeq(text);
  const decoded = utf8DecodeStrict(input);
  if (decoded !== undefined && decoded !== utf8Decode(input)) throw new Error('UTF-8 with two readings');
  if (decoded !== undefined && toByteString(utf8Encode(decoded)) !== text) throw new Error('UTF-8 that does not return');
}

const seeds = [
  'sip:34020000001320000001@3402000000', 'sips:a%40b:p@[2001:db8::1]:5061;transport=tls;lr?Subject=x&a=b', 'tel:+86-571', '"摄" <sip:a@b>;tag="x\\"y"', 'a b <sip:a@b;c=d>;e=f , sip:g@h',
  'SIP / 2.0 / UDP [::1] : 5060 ; rport ; received=[::2];branch=z9hG4bK1', 'Digest realm="r",nonce="n",qop="auth,auth-int",stale=TRUE',
  'Digest username="u",realm="r",nonce="n",uri="sip:x",response="0",qop=auth,nc=00000001,cnonce="c"', '::ffff:192.0.2.1', '10.0.0.0/8', '2001:db8:::192.0.2.1', '1 INVITE', 'multipart/mixed;boundary="a b"',
];

export default { name: 'sip-values', seeds: seeds.map(utf8Encode), run: checkValue };
