/** Recorded messages, judged and drawn: whatever a peer sent, the engineer who looks at it sees it. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { ladderLines } from '#core/diagnose/ladder.ts';
import { type Passed, idsOf, readPassed } from '#core/diagnose/passed.ts';
import { maskSecrets } from '#core/diagnose/secrets.ts';
import { validate } from '#core/diagnose/validate.ts';

const sdp = 'v=0\r\no=34020000001320000001 0 0 IN IP4 192.0.2.71\r\ns=Play\r\nc=IN IP4 192.0.2.71\r\nt=0 0\r\nm=video 15060 TCP/RTP/AVP 96\r\na=rtpmap:96 PS/90000\r\na=setup:active\r\na=sendonly\r\ny=0200000001\r\n';
const head = (start: string, cseq: string, rest: string): string => `${start}\r\nVia: SIP/2.0/UDP 192.0.2.71:5060;branch=z9hG4bKx\r\nFrom: <sip:34020000001180000001@3402000000>;tag=1\r\nTo: <sip:34020000002000000001@3402000000>;tag=2\r\nCall-ID: c\r\nCSeq: ${cseq}\r\nMax-Forwards: 70\r\n${rest}`;

const seeds: Uint8Array[] = [
  head('SIP/2.0 200 OK', '1 INVITE', `Content-Type: application/sdp\r\nContent-Length: ${sdp.length}\r\n\r\n${sdp}`),
  head('REGISTER sip:34020000002000000001@3402000000 SIP/2.0', '2 REGISTER', 'Contact: <sip:34020000001180000001@192.0.2.71>;expires=60\r\nAuthorization: Digest username="a",realm="r",nonce="n",uri="sip:x",response="0123456789abcdef0123456789abcdef"\r\nContent-Length: 0\r\n\r\n'),
  head('MESSAGE sip:34020000002000000001@3402000000 SIP/2.0', '3 MESSAGE', 'Content-Type: Application/MANSCDP+xml\r\nContent-Length: 265\r\n\r\n<?xml version="1.0" encoding="GB2312"?>\r\n<Response>\r\n<CmdType>Catalog</CmdType>\r\n<SN>7</SN>\r\n<DeviceID>34020000001180000001</DeviceID>\r\n<SumNum>1</SumNum>\r\n<DeviceList Num="1"><Item><DeviceID>34020000001320000001</DeviceID><Name>a</Name></Item></DeviceList></Response>\r\n'),
].map(fromByteString);

const decode = (body: Uint8Array): { text: string; charset: string; replaced: boolean } => ({ text: toByteString(body), charset: 'gb2312', replaced: false });
const place = { address: '192.0.2.71', port: 5060 };

export default {
  name: 'diagnose',
  seeds,
  run(input: Uint8Array): void {
    const masked = input.slice();
    maskSecrets(masked);
    const messages: Passed[] = [input, seeds[0]!, masked].map((bytes, sequence) => readPassed({ sequence, atWallMs: sequence * 1000, direction: sequence === 1 ? 'out' : 'in', transport: 'UDP', local: place, remote: place, connectionId: null, bytes, cut: false }));
    messages.forEach(message => idsOf(message));
    validate(messages, decode, 60_000);
    ladderLines(messages, { columns: 80, width: text => text.length, clip: (text, columns) => text.slice(0, columns), partyOf: () => ({ key: 'x', name: 'x', side: 'below' }), decode });
  },
};
