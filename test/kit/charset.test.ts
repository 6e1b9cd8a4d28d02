import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromByteString, fromHex } from '#core/bytes.ts';
import { type Charset, PROLOGUE_BYTES, encodedLength } from '#core/gb/dialect.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const CAMERA = '摄像机';
const GB = fromHex('c9e3cff1bbfa')!;
const UTF8 = new TextEncoder().encode(CAMERA);
const body = (label: string | undefined, name: Uint8Array): Uint8Array =>
  concatBytes(fromByteString(`${label === undefined ? '' : `<?xml version="1.0" encoding="${label}"?>\r\n`}<Name>`), name, fromByteString('</Name>'));
const nameOf = (bytes: Uint8Array, override?: Charset): string | undefined => /<Name>(.*)<\/Name>/s.exec(decodeBody(bytes, { override }).text)?.[1];

await t.test('decoding: labels, and labels that lie (fault 40, quirks 20-23)', async t => {
  const cases: readonly (readonly [string, string | undefined, Uint8Array, Charset])[] = [
    ['GB2312', 'GB2312', GB, 'gb2312'],
    ['GBK', 'gbk', GB, 'gb2312'],
    ['GB18030', 'GB18030', GB, 'gb18030'],
    ['UTF-8', 'UTF-8', UTF8, 'utf-8'],
    ['no label, UTF-8', undefined, UTF8, 'utf-8'],
    ['no label, GB', undefined, GB, 'gb2312'],
    ['unknown label, GB', 'klingon', GB, 'gb2312'],
    ['UTF-8 under a GB label', 'GB2312', UTF8, 'utf-8'],
    ['GB under a UTF-8 label', 'UTF-8', GB, 'gb2312'],
  ];
  for (const [name, label, octets, charset] of cases) {
    const bytes = body(label, octets);
    t.equal(nameOf(bytes), CAMERA, name);
    t.match(decodeBody(bytes), { charset, replaced: false }, name);
  }
  t.equal(nameOf(concatBytes(fromByteString('\xef\xbb\xbf'), body('GB2312', UTF8))), CAMERA, 'byte order mark');
  t.equal(nameOf(body(undefined, fromHex('c1aacda8')!)), '联通', 'GB octets that are valid UTF-8 too');
  t.equal(nameOf(body('GB2312', fromHex('8139ee39')!)), '㐀', 'four octets under a GB2312 label: GB 18030 is read');
  t.equal(nameOf(body('UTF-8', new TextEncoder().encode('Café'))), 'Café', 'two-octet UTF-8 that says what it is');
});

await t.test('decoding: a broken tail costs one character, not the message', async t => {
  for (const [name, label, octets] of [['GB', 'GB2312', fromHex('c9e3cff1bb')!], ['UTF-8', 'UTF-8', UTF8.subarray(0, 8)], ['UTF-8, GB label', 'GB2312', UTF8.subarray(0, 8)]] as const) {
    const decoded = decodeBody(body(label, octets));
    t.match(decoded.text, '<Name>摄像\uFFFD</Name>', name);
    t.ok(decoded.replaced, name);
  }
});

await t.test('decoding: the operator knows better', async t => {
  t.equal(nameOf(body('UTF-8', GB), 'gb2312'), CAMERA);
  t.equal(nameOf(body('GB2312', UTF8), 'utf-8'), CAMERA);
  t.match(decodeBody(body('GB2312', UTF8), { override: 'gb18030' }), { charset: 'gb18030' });
  t.match(decodeBody(fromByteString('<a/>'), { override: 'gb2312' }), { charset: 'gb2312', text: '<a/>' });
});

await t.test('encoding: the label matches the octets, and there is one', async t => {
  for (const charset of ['gb2312', 'gb18030', 'utf-8'] as const) {
    const bytes = encodeBody(`<Name>${CAMERA}</Name>`, charset);
    t.equal(nameOf(bytes), CAMERA);
    t.match(decodeBody(bytes), { charset, text: new RegExp(`^<\\?xml version="1.0" encoding="${charset.toUpperCase()}"\\?>\\r\\n<Name>`) });
    t.equal(bytes.length <= PROLOGUE_BYTES + encodedLength(`<Name>${CAMERA}</Name>`, charset), true, 'the length known in core is enough');
  }
  t.equal(encodeBody('<a/>', 'gb18030').length, PROLOGUE_BYTES + 4);
  const again = decodeBody(encodeBody('<?xml version="1.0" encoding="UTF-8"?>\n<a/>', 'gb2312')).text;
  t.equal(again, '<?xml version="1.0" encoding="GB2312"?>\r\n<a/>', 'an old prologue is replaced');
  t.equal(nameOf(encodeBody('<Name>㐀😀</Name>', 'gb2312')), '㐀😀', 'what GBK lacks survives');
});

await t.test('any text comes back, any bytes are decoded', async () => {
  // Rare characters alone can be octets that are good UTF-8 for everyday ones; a name has an everyday one of its own.
  const hanzi = fc.string({ unit: fc.integer({ min: 0x4e00, max: 0x9fa5 }).map(code => String.fromCharCode(code)), minLength: 1 }).map(text => `北门${text}`);
  fc.assert(
    fc.property(hanzi, fc.constantFrom<Charset>('gb2312', 'gb18030', 'utf-8'), (text, charset) => {
      const bytes = encodeBody(`<Name>${text}</Name>`, charset);
      return nameOf(bytes) === text && bytes.length <= PROLOGUE_BYTES + encodedLength(`<Name>${text}</Name>`, charset);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => typeof decodeBody(bytes).text === 'string'));
});
