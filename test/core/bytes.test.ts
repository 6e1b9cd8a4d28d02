import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromByteString, fromHex, sameBytes, toByteString, toHex, utf8Decode, utf8DecodeStrict, utf8Encode } from '#core/bytes.ts';

t.test('the same as the platform does', async t => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => sameBytes(utf8Encode(text), new TextEncoder().encode(text))));
  fc.assert(fc.property(fc.uint8Array(), bytes => utf8Decode(bytes) === new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)));
  fc.assert(fc.property(fc.uint8Array(), bytes => {
    let strict: string | undefined;
    try {
      strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      strict = undefined;
    }
    return utf8DecodeStrict(bytes) === strict;
  }));
  fc.assert(fc.property(fc.uint8Array(), bytes => toByteString(bytes) === Buffer.from(bytes).toString('latin1') && sameBytes(fromByteString(toByteString(bytes)), bytes)));
  fc.assert(fc.property(fc.uint8Array(), bytes => toHex(bytes) === Buffer.from(bytes).toString('hex') && sameBytes(fromHex(toHex(bytes))!, bytes)));
  t.pass('held');
});

t.test('edges', async t => {
  t.equal(utf8Decode(Uint8Array.of(0xf0, 0x9f, 0x98, 0x41)), '\ufffdA', 'a broken sequence is one replacement');
  t.equal(utf8Decode(Uint8Array.of(0xed, 0xa0, 0x80)), '\ufffd\ufffd\ufffd', 'no surrogates');
  t.equal(utf8DecodeStrict(fromByteString('\xc9\xe3\xcf\xf1\xbb\xfa')), undefined, 'GB18030 octets are no UTF-8');
  t.equal(utf8Decode(utf8Encode('摄像机 😀')), '摄像机 😀');
  t.same([...utf8Encode('a\ud800b')], [0x61, 0xef, 0xbf, 0xbd, 0x62], 'a lone surrogate is replaced');
  t.same([...fromByteString('a摄')], [0x61, 0x3f], 'a character that is no octet');
  t.equal(fromHex('0'), undefined);
  t.equal(fromHex('zz'), undefined);
  t.same(fromHex('00fF'), Uint8Array.of(0, 255));
  t.same(concatBytes(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3));
  t.notOk(sameBytes(Uint8Array.of(1), Uint8Array.of(2)));
  t.notOk(sameBytes(Uint8Array.of(1), Uint8Array.of(1, 2)));
  const large = new Uint8Array(300_000).map((_, i) => i);
  t.ok(sameBytes(fromByteString(toByteString(large)), large), 'longer than one call can carry');
  const long = '摄'.repeat(50_000);
  t.equal(utf8Decode(utf8Encode(long)), long);
});
