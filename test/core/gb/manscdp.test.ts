import fc from 'fast-check';
import t from 'tap';
import { SharedText, type CatalogItem, formatCatalogItem, readCatalogItem } from '#core/gb/catalog-item.ts';
import { civilCodeOf, civilPath, isVideoChannel, kindOf, normalizeCivilCode, parentCivilCode, typeCode } from '#core/gb/device-id.ts';
import { encodedLength, versionOf } from '#core/gb/dialect.ts';
import { formatGbTime, parseGbTime } from '#core/gb/gb-time.ts';
import * as write from '#core/gb/manscdp-write.ts';
import { type Manscdp, COMMANDS, parseManscdp } from '#core/gb/manscdp.ts';
import { SSRC_QUARANTINE_MS, SsrcAllocator } from '#core/gb/ssrc.ts';
import { formatSubject, parseSubject } from '#core/gb/subject.ts';
import { escapeXml, unescapeXml } from '#core/gb/xml-text.ts';
import { MAX_XML_CHARS, parseXml } from '#core/gb/xml.ts';
import { ms, wallMs } from '#core/units.ts';

const NVR = '33010000001180000007';
const CAMERA = '33010000001320000701';
const HEAD = { sn: 17, deviceId: NVR };

function must(text: string): Manscdp {
  const parsed = parseManscdp(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
}

const errorOf = (text: string): string => {
  const parsed = parseXml(text);
  return parsed.ok ? '' : parsed.error.why;
};

await t.test('XML: what cameras write is mended (quirk 18)', async t => {
  const address = (inside: string): string | undefined => {
    const parsed = parseXml(`<Item><Address>${inside}</Address><Status>ON</Status></Item>`);
    return parsed.ok && parsed.value.root.children.length === 2 ? parsed.value.root.children[0]!.text : undefined;
  };
  const texts: readonly (readonly [string, string])[] = [
    ['Gate A & B', 'Gate A & B'],
    ['3 < 4 > 2', '3 < 4 > 2'],
    ['<北门>', '<北门>'],
    ['a<b>c<d x="1">e', 'a<b>c<d x="1">e'],
    ['x</b>y', 'x</b>y'],
    ['<', '<'],
    ['a<b', 'a<b'],
    ['</>', '</>'],
    ['&lt;b&gt; &amp; &quot;&apos; &#65;&#x5317; &#0;&#xD800; &nbsp; &', '<b> & "\' A北 \uFFFD\uFFFD &nbsp; &'],
    ['<![CDATA[<b>&amp;]]>', '<b>&amp;'],
    ['a<!-- <Status> -->b', 'ab'],
    ['  \t x \r\n', 'x'],
  ];
  for (const [inside, text] of texts) t.equal(address(inside), text, inside);
});

await t.test('XML: a broken item is dropped, its neighbours stay', async t => {
  const items = (inside: string): unknown => {
    const parsed = parseXml(`<R><L Num=" 2 ">${inside}</L></R>`);
    return parsed.ok ? [parsed.value.root.children[0]!.children.map(item => item.children[0]?.text), parsed.value.droppedItems] : parsed.error.why;
  };
  t.same(items('<Item><D>1</D></Item><Item><D>2</D></Item>'), [['1', '2'], 0]);
  t.same(items('<Item><D>1</D><Name>x</Item><Item><D>2</D></Item>'), [['1', '2'], 0], 'an unclosed leaf is text');
  t.same(items('<Item><D>1</D><Info><A>1</A></Item><Item><D>2</D></Item>'), [['2'], 1], 'an unclosed branch costs its item');
  t.same(items('<Item><D>1</D><Item><D>2</D></Item>'), [['2'], 1], 'an item without an end');
  t.match(errorOf('<R><A><B>1</B></R>'), /A is not closed/, 'outside of items there is nothing to drop');
});

await t.test('XML: refused (faults 38, 39, 47)', async t => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['doctype', '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>', /DOCTYPE/],
    ['entity', '<a><!ENTITY x "y"></a>', /declaration/],
    ['billion laughs', `<!DOCTYPE l [<!ENTITY a "${'ha'.repeat(1000)}">]><l>&a;</l>`, /DOCTYPE/],
    ['nesting', '<a>'.repeat(60_000), /deeper/],
    ['attribute of 1 MB', `<a b="${'x'.repeat(1_000_000)}"/>`, /attributes/],
    ['200 k references', `<a>${'&#65;'.repeat(200_000)}</a>`, /text over/],
    ['over the size', `<a>${' '.repeat(MAX_XML_CHARS)}</a>`, /characters/],
    ['flood of strays', `<a>${'<'.repeat(60_000)}</a>`, /repairs/],
    ['no end', '<a><b>', /ends inside/],
    ['no element', ' ', /no element/],
    ['text only', 'hello', /outside/],
    ['two roots', '<a/><b/>', /second root/],
    ['open comment', '<a><!-- </a>', /no -->/],
    ['open CDATA', '<a><![CDATA[ </a>', /CDATA/],
    ['open prologue', '<?xml <a/>', /no \?>/],
  ];
  for (const [name, text, why] of refused) t.match(errorOf(text), why, name);
  t.equal(errorOf('\uFEFF<?xml version="1.0"?>\r\n<a/>\0\0\r\n'), '', 'padding behind the root is not');
  const proto = parseXml('<__proto__ constructor="1"><constructor>x</constructor><__proto__>y</__proto__></__proto__>');
  t.ok(proto.ok);
  t.equal(({} as Record<string, unknown>)['x'], undefined);
  t.equal(({} as Record<string, unknown>)['y'], undefined);
});

await t.test('XML: text survives escaping, whatever it is', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      const sent = escapeXml(text);
      const parsed = parseXml(`<a>${sent}</a>`);
       
      const kept = text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '');
      return unescapeXml(sent) === kept && parsed.ok && parsed.value.root.text === kept.trim();
    }),
  );
  const piece = fc.constantFrom('<', '>', '&', '/', '!', '?', '"', '=', ' ', 'a', 'Item', '<a>', '</a>', '<Item>', '</Item>', '<!--', '-->', '<![CDATA[', ']]>', '&#65;', '北', '\0');
  fc.assert(fc.property(fc.array(piece, { maxLength: 60 }), pieces => typeof parseXml(pieces.join('')).ok === 'boolean'));
});

await t.test('envelope: names in any case, known or not (fault 42)', async t => {
  t.match(must('<query><CMDTYPE>catalog</CMDTYPE><sn> 12 </sn><DeviceId>33010000001180000007</DeviceId></query>'), { root: 'Query', cmdType: 'Catalog', known: true, sn: 12, deviceId: NVR, body: { kind: 'catalog-query' } });
  t.match(must(`<Notify><CmdType>Sunrise</CmdType><SN>1</SN><DeviceID>${NVR}</DeviceID><X/></Notify>`), { cmdType: 'Sunrise', known: false, body: { kind: 'other' } });
  t.match(must(`<Control><CmdType>Keepalive</CmdType><SN>1</SN><DeviceID>${NVR}</DeviceID></Control>`), { known: false }, 'a command under a root that it never has');
  t.match(must('<Notify><CmdType>Broadcast</CmdType><SN>1</SN><SourceID>1</SourceID></Notify>'), { deviceId: '', known: true });
  for (const { cmdType, roots } of COMMANDS) for (const root of roots) t.match(must(write.buildManscdp(root, cmdType, HEAD)), { root, cmdType, known: true, sn: 17, deviceId: NVR });
});

await t.test('envelope: faults say what could be read, for the answer (fault 41)', async t => {
  const id = `<DeviceID>${NVR}</DeviceID>`;
  const cases: readonly (readonly [string, string, object])[] = [
    ['no SN', `<Query><CmdType>Catalog</CmdType>${id}</Query>`, { why: 'no SN', root: 'Query', cmdType: 'Catalog', deviceId: NVR }],
    ['SN no number', `<Query><CmdType>Catalog</CmdType><SN>x</SN>${id}</Query>`, { why: 'no SN' }],
    ['SN over 32 bits', `<Query><CmdType>Catalog</CmdType><SN>4294967296</SN>${id}</Query>`, { why: 'no SN' }],
    ['no DeviceID', '<Query><CmdType>Catalog</CmdType><SN>3</SN></Query>', { why: 'no DeviceID', sn: 3 }],
    ['empty DeviceID', '<Query><CmdType>Catalog</CmdType><SN>3</SN><DeviceID> </DeviceID></Query>', { why: 'no DeviceID' }],
    ['no CmdType', `<Query><SN>3</SN>${id}</Query>`, { why: 'no CmdType', sn: 3, deviceId: NVR }],
    ['two SN', `<Query><CmdType>Catalog</CmdType><SN>3</SN><SN>4</SN>${id}</Query>`, { why: 'more than one SN' }],
    ['two DeviceID', `<Query><CmdType>Catalog</CmdType><SN>3</SN>${id}${id}</Query>`, { why: 'more than one DeviceID' }],
    ['another root', '<html></html>', { why: 'root element html' }],
    ['no XML', 'PK\x03\x04', { at: 0 }],
  ];
  for (const [name, text, error] of cases) t.match(parseManscdp(text), { ok: false, error }, name);
});

await t.test('bodies, written and read', async t => {
  t.match(must(write.buildKeepalive(HEAD)).body, { kind: 'keepalive', status: 'OK', faulty: [] });
  t.match(must(write.buildKeepalive(HEAD, 'ERROR', [CAMERA, '33010000001320000702'])).body, { kind: 'keepalive', status: 'ERROR', faulty: [CAMERA, '33010000001320000702'] });
  t.match(must(write.buildCatalogQuery(HEAD)).body, { kind: 'catalog-query', startTime: undefined });
  t.match(must(write.buildDeviceInfoQuery(HEAD)).body, { kind: 'device-info-query' });
  t.match(must(write.buildDeviceStatusQuery(HEAD)).body, { kind: 'device-status-query' });
  t.match(must(write.buildResult('DeviceControl', HEAD, 'ERROR')).body, { kind: 'result', result: 'ERROR' });
  const info = { deviceName: 'NVR <7>', manufacturer: 'ACME', model: 'N16', firmware: 'V4.2', channel: 16 };
  t.same(must(write.buildDeviceInfoResponse(HEAD, info)).body, { kind: 'device-info', result: 'OK', ...info });
  t.same(must(write.buildDeviceInfoResponse(HEAD, { deviceName: undefined })).element.children.map(child => child.name), ['CmdType', 'SN', 'DeviceID', 'Result'], 'absent is omitted, not empty');
  const status = { online: true, status: 'OK' as const, reason: undefined, encode: true, record: false, alarms: [{ deviceId: CAMERA, dutyStatus: 'ONDUTY' }] };
  t.same(must(write.buildDeviceStatusResponse(HEAD, { ...status, deviceTime: wallMs(1773100800000) })).body, { kind: 'device-status', result: 'OK', ...status, deviceTime: '2026-03-10T08:00:00' });
  t.match(must(write.buildDeviceStatusResponse(HEAD, { online: false, status: 'ERROR', reason: 'no video' })).body, { online: false, status: 'ERROR', reason: 'no video', encode: undefined, deviceTime: undefined, alarms: [] });
  t.match(must(`<Response><CmdType>DeviceStatus</CmdType><SN>6</SN><DeviceID>${NVR}</DeviceID><Result>ok</Result><AlarmStatus num="1"><Item><DeviceID>1</DeviceID></Item></AlarmStatus></Response>`).body, { result: 'OK', online: undefined, alarms: [{ deviceId: '1', dutyStatus: '' }] });
});

const FULL_ITEM: CatalogItem = {
  deviceId: CAMERA,
  name: '北门枪机',
  manufacturer: 'ACME',
  model: 'IPC-2M',
  owner: 'Owner',
  civilCode: '330106',
  block: '330106000000',
  address: 'Gate N',
  parental: '0',
  parentId: NVR,
  safetyWay: '0',
  registerWay: '1',
  certNum: '1',
  certifiable: '1',
  errCode: '400',
  endTime: '2030-01-01T00:00:00',
  securityLevelCode: 'A',
  secrecy: '0',
  ipAddress: '192.0.2.81',
  port: '5060',
  password: 'x',
  status: 'ON',
  longitude: '120.13',
  latitude: '30.27',
  businessGroupId: '33010000002150000001',
  info: { ptzType: '3', positionType: '1', roomType: '1', useType: '1', resolution: '6/5', downloadSpeed: '1/2/4', streamNumberList: '0/1', grassrootsCode: '000000', pointType: '1', mac: '00-11-22-33-44-55' },
};

const readItem = (text: string): CatalogItem | undefined => {
  const parsed = parseXml(text);
  return parsed.ok ? readCatalogItem(parsed.value.root, new SharedText()) : undefined;
};

await t.test('catalogue items: every field, by edition, in schema order', async t => {
  const names = (text: string): string[] => [...text.matchAll(/<([A-Za-z]+)>/g)].map(match => match[1]!).filter(name => name !== 'Item');
  t.same(
    names(formatCatalogItem(FULL_ITEM, '2016')),
    'DeviceID Name Manufacturer Model Owner CivilCode Block Address Parental ParentID SafetyWay RegisterWay CertNum Certifiable ErrCode EndTime Secrecy IPAddress Port Password Status Longitude Latitude BusinessGroupID Info PTZType PositionType RoomType UseType Resolution DownloadSpeed'.split(' '),
  );
  t.same(
    names(formatCatalogItem(FULL_ITEM, '2022')),
    'DeviceID Name Manufacturer Model CivilCode Block Address Parental ParentID RegisterWay SecurityLevelCode Secrecy IPAddress Port Password Status Longitude Latitude BusinessGroupID Info PTZType RoomType Resolution StreamNumberList DownloadSpeed GrassrootsCode PointType MAC'.split(' '),
  );
  const both = { ...readItem(formatCatalogItem(FULL_ITEM, '2016')), ...readItem(formatCatalogItem(FULL_ITEM, '2022')) };
  t.same(Object.keys(both).sort(), Object.keys(FULL_ITEM).sort());
  t.same(names(formatCatalogItem({ ...FULL_ITEM, deviceId: '330106' }, '2016')), ['DeviceID', 'Name'], 'a region has a code and a name');
  t.same(names(formatCatalogItem({ ...FULL_ITEM, deviceId: '33010000002160000001' }, '2022')), ['DeviceID', 'Name', 'CivilCode', 'ParentID', 'BusinessGroupID']);
  t.same(names(formatCatalogItem({ deviceId: CAMERA, event: 'OFF' }, '2016')), ['DeviceID', 'Event']);
});

await t.test('catalogue items: as they come', async t => {
  const item = readItem(`<Item><deviceid>${CAMERA}</deviceid><Event>add</Event><Name>a</Name><Name>b</Name><Model></Model><Status>online</Status><INFO><ptztype>1</ptztype><BusinessGroupID>g</BusinessGroupID></INFO><Vendor x="1"><Deep>y</Deep></Vendor></Item>`);
  t.match(item, { deviceId: CAMERA, event: 'ADD', name: 'a', status: 'ON', businessGroupId: 'g', info: { ptzType: '1' }, extras: [{ name: 'Vendor', children: [{ text: 'y' }] }] });
  t.notOk(item && 'model' in item, 'an empty element is an absent one');
  for (const [word, status] of [['ON', 'ON'], ['OK', 'ON'], ['OFF', 'OFF'], ['OFFLINE', 'OFF'], ['VLOST', 'OFF']] as const) t.equal(readItem(`<Item><DeviceID>1</DeviceID><Status>${word}</Status></Item>`)?.status, status);
  t.equal(readItem('<Item><Name>nobody</Name></Item>'), undefined);
});

await t.test('catalogue messages', async t => {
  const page = must(write.buildCatalogResponse(HEAD, 3, [FULL_ITEM, { ...FULL_ITEM, deviceId: '33010000001320000702' }], '2016'));
  t.match(page.body, { kind: 'catalog', sumNum: 3, num: 2, dropped: 0, items: [{ deviceId: CAMERA }, { deviceId: '33010000001320000702' }] });
  t.notMatch(write.buildCatalogPage(HEAD, 0, []), 'DeviceList', 'SumNum 0 has no list');
  t.match(must(write.buildCatalogPage(HEAD, 0, [])).body, { sumNum: 0, num: undefined, items: [] });
  const odd = must(`<Notify><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>${NVR}</DeviceID><Status>OK</Status><SumNum>-3</SumNum><DeviceList Num=" 2 "><Item><DeviceID>${CAMERA}</DeviceID><Event>OFF</Event></Item><Item><Name>none</Name></Item></DeviceList></Notify>`);
  t.match(odd.body, { sumNum: undefined, num: 2, dropped: 1, items: [{ deviceId: CAMERA, event: 'OFF' }] });
});

await t.test('10,000 items in one message', async t => {
  const items = Array.from({ length: 10_000 }, (_, i) => ({ ...FULL_ITEM, deviceId: `33010000001320${String(i).padStart(6, '0')}`, name: `北门枪机${i}` }));
  const text = write.buildCatalogResponse(HEAD, items.length, items, '2016');
  const { body } = must(text);
  t.equal(body.kind === 'catalog' && body.items.length, 10_000);
  t.equal(body.kind === 'catalog' && body.items[9999]?.name, '北门枪机9999');
});

await t.test('IDs (gb28181.md 1)', async t => {
  t.equal(typeCode(CAMERA), 132);
  t.equal(typeCode('330106'), undefined);
  const kinds: readonly (readonly [string, string])[] = [['33010000002000000001', 'system'], ['33010000002090000001', 'system'], ['33', 'civil'], ['33010602', 'civil'], ['330', 'device'], ['33010000002150000001', 'business-group'], ['33010000002160000001', 'virtual-org'], [CAMERA, 'device'], ['330100000013200701', 'device']];
  for (const [id, kind] of kinds) t.equal(kindOf(id), kind, id);
  t.ok(isVideoChannel(CAMERA, true));
  t.ok(isVideoChannel('33010000001310000001', false));
  t.ok(isVideoChannel(NVR, false), 'an NVR that is its own only channel');
  t.notOk(isVideoChannel(NVR, true));
  for (const id of ['33010000001340000701', '33010000001370000701', '33010000002160000001', '330106']) t.notOk(isVideoChannel(id, false), id);
  t.ok(isVideoChannel('330100000013200701', false), '18 digits of an old site');
  const codes: readonly (readonly [string, string | undefined])[] = [['330100', '3301'], ['33000000', '33'], ['3310', '3310'], ['330106', '330106'], ['00', undefined], ['0001', undefined], ['331', undefined], ['CivilCode', undefined], ['', undefined]];
  for (const [code, normal] of codes) t.equal(normalizeCivilCode(code), normal, code);
  t.equal(civilCodeOf('33010602001320000001'), '33010602');
  t.equal(civilCodeOf(CAMERA), '3301');
  t.equal(parentCivilCode('33'), undefined);
  t.same(civilPath('330106'), ['33', '3301', '330106']);
});

await t.test('times: Beijing, lenient (quirk 33)', async t => {
  const at = 1773100800000;
  t.equal(formatGbTime(wallMs(at)), '2026-03-10T08:00:00');
  t.equal(formatGbTime(wallMs(at + 123), true), '2026-03-10T08:00:00.123');
  for (const text of ['2026-03-10T08:00:00', '2026-03-10 08:00:00', '2026-3-10T8:0:0', '2026-03-10T08:00:00.000', '2026-03-10T08:00:00+08:00', '2026-03-10T00:00:00Z', '2026-03-09T19:00:00-0500', ' 2026-03-10T08:00:00 ']) t.equal(parseGbTime(text), at, text);
  for (const text of ['', 'now', '2026-02-29T00:00:00', '2026-13-01T00:00:00', '2026-00-01T00:00:00', '2026-04-31T00:00:00', '2026-01-01T24:00:00', '1969-12-31T00:00:00', '2026-01-01', 'x'.repeat(100)]) t.equal(parseGbTime(text), undefined, text.slice(0, 30));
  fc.assert(fc.property(fc.integer({ min: 0, max: 7_000_000_000_000 }), wall => parseGbTime(formatGbTime(wallMs(wall), true)) === wall));
});

await t.test('Subject both ways', async t => {
  const text = `${CAMERA}:0100000001,33010000002000000001:0`;
  t.same(parseSubject(text), { senderId: CAMERA, senderStream: '0100000001', receiverId: '33010000002000000001', receiverStream: '0' });
  t.equal(formatSubject(parseSubject(text)!), text);
  t.match(parseSubject(` ${CAMERA} `), { senderId: CAMERA, senderStream: '', receiverId: '' });
  for (const bad of ['', ',', ':0', '<x>:0', 'x'.repeat(300)]) t.equal(parseSubject(bad), undefined, bad.slice(0, 10));
});

await t.test('editions and lengths', async t => {
  for (const [header, version] of [['3.0', '2022'], ['2.0', '2016'], [' 4.1', '2022'], [undefined, '2016'], ['', '2016'], ['x', '2016']] as const) t.equal(versionOf(header), version);
  t.equal(encodedLength('a北é', 'utf-8'), 6);
  t.equal(encodedLength('a北', 'gb2312'), 3);
  t.equal(encodedLength('😀', 'gb18030'), 4);
  t.equal(encodedLength('😀', 'utf-8'), 4);
});

await t.test('SSRCs: class, domain, serial; resting before they come back', async t => {
  const ssrcs = new SsrcAllocator('33010000002000000001');
  const take = (kind: 'live' | 'history', at = 0): number => {
    const taken = ssrcs.take(kind, ms(at));
    return taken.ok ? taken.value : -1;
  };
  t.equal(take('live'), 100000001, 'gb28181.md 6.1');
  t.equal(take('history'), 1100000001);
  ssrcs.adopt(100000002);
  t.equal(take('live'), 100000003, 'one that a session brought along is not given out');
  for (let i = 4; i <= 9999; i++) take('live');
  t.equal(take('live'), -1, 'all in use');
  ssrcs.release(100000005, ms(1000));
  ssrcs.release(100000005, ms(5000));
  t.equal(take('live', 1000 + SSRC_QUARANTINE_MS - 1), -1, 'resting');
  t.equal(take('live', 1000 + SSRC_QUARANTINE_MS), 100000005);
  t.equal(ssrcs.inUse, 10_000);
  t.ok(new SsrcAllocator('abc').take('live', ms(0)).ok, 'a domain that is no number');
});
