import fc from 'fast-check';
import t from 'tap';
import { type OwnTraces, PATH_HEADER, judgePath, nextPath, readPath } from '#core/gb/invite-path.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { fromByteString } from '#core/bytes.ts';

const own: OwnTraces = { mark: 'aaaaaaaa00000001', isOurCallId: callId => callId === 'ours', isOurPlace: (host, port) => host === '192.0.2.1' && port === 5060 };
const invite = (over: { callId?: string; hops?: string; vias?: string[]; path?: string } = {}): SipRequest => {
  const text = [
    'INVITE sip:34020000001320000001@192.0.2.1 SIP/2.0',
    ...(over.vias ?? ['192.0.2.9:5060']).map((place, at) => `Via: SIP/2.0/UDP ${place};branch=z9hG4bK${at}`),
    'From: <sip:1@2>;tag=a', 'To: <sip:34020000001320000001@2>', `Call-ID: ${over.callId ?? 'theirs'}`, 'CSeq: 1 INVITE',
    ...(over.hops === undefined ? [] : [`Max-Forwards: ${over.hops}`]), ...(over.path === undefined ? [] : [`${PATH_HEADER}: ${over.path}`]), 'Content-Length: 0', '', '',
  ].join('\r\n');
  const parsed = parseMessage(fromByteString(text), 'datagram');
  if (!parsed.ok || parsed.value.type !== 'request') throw new Error('the test writes a request');
  return parsed.value;
};

await t.test('an INVITE that was here is known again, whoever it comes from', async t => {
  t.same(judgePath(invite(), own), { ok: true, path: { marks: [], hops: 70 } });
  t.same(judgePath(invite({ hops: '5', path: 'bbbbbbbb00000001, cccccccc00000001' }), own), { ok: true, path: { marks: ['bbbbbbbb00000001', 'cccccccc00000001'], hops: 5 } });
  t.match(judgePath(invite({ path: 'bbbbbbbb00000001,aaaaaaaa00000001' }), own), { ok: false, status: 482 }, 'our mark');
  t.match(judgePath(invite({ path: Array.from({ length: 8 }, (_, at) => `bbbbbbbb0000000${at}`).join(',') }), own), { ok: false, status: 482 }, 'a row of gateways that does not end');
  t.match(judgePath(invite({ callId: 'ours' }), own), { ok: false, status: 482 }, 'our Call-ID');
  t.match(judgePath(invite({ vias: ['192.0.2.9:5060', '192.0.2.1:5060'] }), own), { ok: false, status: 482 }, 'our Via behind another');
  t.match(judgePath(invite({ vias: ['192.0.2.1:5060'] }), own), { ok: true }, 'a Via on top is whoever sent it');
});

await t.test('what is handed on has one hop less and our mark', async t => {
  t.same(nextPath({ marks: [], hops: 70 }, own.mark), { maxForwards: 69, header: own.mark });
  t.same(nextPath({ marks: ['bbbbbbbb00000001'], hops: 255 }, own.mark), { maxForwards: 70, header: `bbbbbbbb00000001, ${own.mark}` });
  for (const hops of [1, 0]) t.equal(nextPath({ marks: [], hops }, own.mark), undefined);
});

await t.test('any text: marks or none', async () => {
  for (const text of [undefined, '', 'x', 'aaaaaaaa;b', `${'a'.repeat(33)}`, 'AAAAAAAA']) t.same(readPath(text), [], `${text}`);
  fc.assert(fc.property(fc.string({ maxLength: 400 }), text => readPath(text).every(mark => /^[0-9a-f]{8,32}$/.test(mark))));
});
