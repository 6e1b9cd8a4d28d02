/** MANSCDP that is broken, hostile or wrong, of registered devices and of platforms (faults 38-42, 44-47). */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { GbDevice, GbPlatform, item, xml } from '../rig/gb-peer.ts';
import type { Place, SipText } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const LOCAL_ID = '34020000002000000002';
const sipPort = await freePort('127.0.0.1');
const gateway = { address: '127.0.0.1', port: sipPort };
await using platform = await GbPlatform.open({ id: '34020000002000000099', address: '127.0.0.10', transport: 'TCP' }, gateway);
await using lab = await LabGateway.open({
  sipPort,
  config: { upstreams: [{ name: 'up', id: platform.id, localId: LOCAL_ID, address: '127.0.0.10', port: platform.raw.port, transport: 'tcp', charset: 'utf-8' }] },
});
await using rpc = await lab.rpc();
const counter = async (name: string): Promise<number> => (await rpc.call('counters', {}))[name] ?? 0;
const catalogOf = async (id: string) => (await rpc.call('listDevices', {})).find(row => row.id === id)?.catalog;
const channelsOf = async (deviceId: string) => (await rpc.call('listChannels', { deviceId })).rows;
const rssMiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.sipd.pid}/status`, 'utf8'))![1]) / 1024;
const channelId = (serial: number): string => `340200000013${String(20_000_000 + serial)}`;

await using bystander = await GbDevice.open(lab, { id: '34020000001180000001', address: '127.0.0.21' });
await bystander.register();
await until('we are registered above', () => platform.registers.length > 0);

/** A device whose catalogue query is left to the test. */
async function openDevice(serial: number, transport: 'UDP' | 'TCP' = 'UDP'): Promise<{ device: GbDevice; sn: string }> {
  const device = await GbDevice.open(lab, { id: `340200000011800${String(serial).padStart(5, '0')}`, address: `127.0.1.${serial}`, transport });
  device.items = undefined;
  await device.register();
  return { device, sn: (await device.raw.wait(message => message.xml('CmdType') === 'Catalog', 'the query')).xml('SN') };
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const responsesTo = (sn: string): SipText[] => platform.raw.heard.filter(message => message.method === 'MESSAGE' && message.xml('SN') === sn);

/** Told while the others run: where items cannot be read, the end comes by silence. */
const { device: knotted, sn: knottedSn } = await openDevice(44);
const [a, b, c, d] = [1, 2, 3, 4].map(serial => channelId(4400 + serial)) as [string, string, string, string];
await knotted.message(knotted.page(knottedSn, 7, [item(a, 'a', b), item(b, 'b', a), item(c, 'c', c), item(d, 'd', '34020000002160000999')]));
await knotted.message(knotted.page(knottedSn, 7, [item(a, 'a again', 'null'), item('', 'no ID'), '<Item><Name>neither</Name></Item>']));

await t.test('fault 38: DOCTYPE and entities are refused before anything is read', async t => {
  let fetched = 0;
  const web = createServer((_request, response) => {
    fetched += 1;
    response.end('stolen');
  });
  const { port } = await new Promise<Place>(resolve => web.listen(0, '127.0.0.1', () => resolve(web.address() as Place)));
  const secret = join(lab.directory, 'secret');
  writeFileSync(secret, 'secret-of-the-file');
  const { device, sn } = await openDevice(38);
  const lol = Array.from({ length: 9 }, (_, level) => `<!ENTITY l${level + 1} "${`&l${level};`.repeat(10)}">`).join('');
  const body = device.page(sn, 1, [item(channelId(38), '&x;')]).replace(/^<\?xml[^>]*\?>/, '');
  for (const declaration of [`<!DOCTYPE r [<!ENTITY x SYSTEM "file://${secret}">]>`, `<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1:${port}/x">]>`, `<!DOCTYPE r [<!ENTITY l0 "lol">${lol}<!ENTITY x "&l9;">]>`, `<!DOCTYPE r [<!ENTITY x "${'A'.repeat(20_000)}">]>`, `<!DOCTYPE r SYSTEM "http://127.0.0.1:${port}/dtd">`]) {
    for (const peer of [device, platform]) {
      const began = performance.now();
      t.equal(await peer.message(`<?xml version="1.0"?>${declaration}${body}`, {}, LOCAL_ID), 400, declaration.slice(0, 50));
      t.ok(performance.now() - began < 100);
    }
  }
  t.equal(fetched, 0, 'nothing was fetched');
  t.notOk(platform.raw.heard.concat(device.raw.heard).some(message => message.bytes.includes('secret-of-the-file')));
  t.same(await channelsOf(device.id), []);
  t.ok((await counter('manscdp.malformed')) >= 10);
  await device[Symbol.asyncDispose]();
  await new Promise<void>(resolve => web.close(() => resolve()));
});

await t.test('fault 39: size without measure is refused, others are not kept waiting', async t => {
  const { device, sn } = await openDevice(39, 'TCP');
  const huge: [string, string][] = [
    ['60,000 levels', '<a>'.repeat(60_000)],
    ['an attribute of a megabyte', `<Item x="${'y'.repeat(1 << 20)}"></Item>`],
    ['200,000 numeric references', `<Name>${'&#65;'.repeat(200_000)}</Name>`],
    ['610,000 elements', '<b/>'.repeat(610_000)],
    ['a megabyte of loose ends', '< & >'.repeat(200_000)],
  ];
  for (const [what, content] of huge) {
    const answer = device.message(device.page(sn, 1, [content]));
    const began = performance.now();
    t.equal(await bystander.keepalive(), 200);
    t.ok(performance.now() - began < 3000, `${what}: a keepalive beside it took ${Math.round(performance.now() - began)} ms`);
    t.ok([200, 400, 413].includes(await answer), what);
  }
  t.same(await channelsOf(device.id), []);
  await device[Symbol.asyncDispose]();
});

await t.test('fault 40: bytes that are not in the charset that they claim', async t => {
  const { device, sn } = await openDevice(40);
  const north = '\xb1\xb1\xc3\xc5';
  const names: [claimed: string, bytes: Buffer, read: string | RegExp][] = [
    ['GB2312', latin1(north), '北门'],
    ['GB2312', Buffer.from('北门'), '北门'],
    ['UTF-8', latin1(north), '北门'],
    ['UTF-8', Buffer.from('北门'), '北门'],
    ['GB2312', latin1(`${north}\xb1`), /^北门/],
    ['GB18030', latin1('\x82\x31\xa2\x33'), /./],
    ['KOI8-R', latin1(north), '北门'],
  ];
  for (const [index, [claimed, bytes]] of names.entries()) {
    const [before, after] = device.page(sn, names.length, [item(channelId(400 + index), '@')]).replace('GB2312', claimed).split('@') as [string, string];
    t.equal(await device.message(Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)])), 200);
  }
  await until('the catalogue', async () => (await channelsOf(device.id)).length === names.length);
  for (const [index, row] of (await channelsOf(device.id)).entries()) t.match(row.name, names[index]![2], `${names[index]![0]}: ${row.name}`);
  await device[Symbol.asyncDispose]();
});

await t.test('fault 41: what is missing or there twice: 400, and a platform that asked also gets Result ERROR', async t => {
  const good = xml('Query', 'Catalog', 4100, LOCAL_ID);
  const without = (name: string): string => good.replace(new RegExp(`<${name}>.*</${name}>`), '');
  for (const [what, body] of [['no CmdType', without('CmdType')], ['no SN', without('SN')], ['no DeviceID', without('DeviceID').replace('4100', '4101')], ['two DeviceIDs', good.replace('</Query>', `<DeviceID>x</DeviceID></Query>`).replace('4100', '4102')], ['two SNs', good.replace('</Query>', '<SN>1</SN></Query>').replace('4100', '4103')], ['an SN that is no number', good.replace('4100', 'four')], ['another root', good.replaceAll('Query', 'Question')], ['nothing', ''], ['words', 'hello'], ['half', good.slice(0, 90)]] as const) {
    t.equal(await platform.message(body, {}, LOCAL_ID), 400, `${what}, of a platform`);
    t.equal(await bystander.message(body), 400, `${what}, of a device`);
  }
  for (const sn of ['4101', '4102', '4103']) {
    const response = await until(`Result ERROR to ${sn}`, () => responsesTo(sn)[0]);
    t.equal(response.xml('Result'), 'ERROR');
  }
  t.equal((await platform.ask('MESSAGE', LOCAL_ID, { body: good, contentType: 'text/plain' })).status, 415);
  t.equal(await bystander.keepalive(), 200);
});

await t.test('fault 7: a datagram of 50 KB is one message', async t => {
  const before = await counter('catalog.unasked');
  t.equal(await bystander.message(bystander.page(70_000, 150, Array.from({ length: 150 }, (_, index) => item(channelId(7000 + index))))), 200);
  t.equal(await counter('catalog.unasked'), before + 1, 'read to its end, and not asked for');
});

await t.test('fault 42: commands that nobody knows, or not in this direction', async t => {
  t.equal(await bystander.message(xml('Notify', 'CoffeeReady', 1, bystander.id)), 200);
  t.equal(await counter('device.ignored.unknown'), 1);
  t.equal(await bystander.message(xml('Notify', 'Alarm', 2, bystander.id, '<AlarmPriority>1</AlarmPriority>')), 200);
  t.equal(await bystander.message(xml('Query', 'Catalog', 3, LOCAL_ID)), 200, 'a device asks us: heard, and not served');
  t.equal(await platform.message(xml('Query', 'CoffeeLevel', 4200, LOCAL_ID), {}, LOCAL_ID), 200);
  t.equal(await counter('upstream.Query.unknown'), 1);
  t.equal(await platform.message(xml('Control', 'DeviceControl', 4201, LOCAL_ID, '<PTZCmd>A50F0108FF0000BC</PTZCmd>'), {}, LOCAL_ID), 200);
  t.equal((await until('Result ERROR', () => responsesTo('4201')[0])).xml('Result'), 'ERROR', 'what we do not serve yet ends in an ERROR, not in waiting');
  t.notOk(bystander.raw.heard.some(message => message.xml('CmdType') === 'DeviceControl'));
  t.same(responsesTo('4200'), []);
});

await t.test('fault 44: ten thousand items in a ring, and three thousand more than were announced, one by one', async t => {
  const { device, sn } = await openDevice(45, 'TCP');
  const before = rssMiB();
  const total = 10_000;
  const ring = Array.from({ length: total }, (_, index) => item(channelId(100_000 + index), `ring ${index}`, channelId(100_000 + ((index + 1) % total))));
  for (let at = 0; at < total; at += 500) t.equal(await device.message(device.page(sn, total, ring.slice(at, at + 500))), 200);
  await until('ten thousand channels', async () => (await catalogOf(device.id))?.state === 'complete', 10_000);
  t.equal((await rpc.call('listChannels', { deviceId: device.id })).total, total);

  let slowest = 0;
  const late: Promise<SipText>[] = [];
  for (let index = 0; index < 3000; index += 1) {
    const parts = device.parts('MESSAGE', LOCAL_ID, { body: device.page(sn, total, [item(channelId(200_000 + index))]), callId: `late-${index}` });
    device.raw.request(parts);
    late.push(device.raw.final(parts.callId!, parts.seq!, 'MESSAGE', 20_000));
    if (index % 100 !== 0) continue;
    const began = performance.now();
    t.equal(await bystander.keepalive(), 200);
    slowest = Math.max(slowest, performance.now() - began);
  }
  await Promise.all(late);
  await until('every late one', async () => (await rpc.call('listChannels', { deviceId: device.id })).total === total + 3000, 10_000);
  t.ok(slowest < 1500, `the slowest keepalive beside it took ${Math.round(slowest)} ms`);
  t.ok(rssMiB() - before < 200, `${Math.round(rssMiB() - before)} MiB more`);
  await device[Symbol.asyncDispose]();
});

await t.test('faults 46, 47: names and elements that mean something to programs', async t => {
  const { device, sn } = await openDevice(46, 'TCP');
  const names = ['&lt;script&gt;alert(1)&lt;/script&gt;', '../../../etc/passwd', 'nul \0 inside', 'x'.repeat(4096), "'; DROP TABLE channels; --", '\x1b[31mred', ']]&gt;', '&amp;lt;', '$(reboot)', '%s%n'];
  const items = names.map((name, index) => item(channelId(4600 + index), name));
  const poison = '<__proto__><x>polluted</x></__proto__><constructor><prototype><x>polluted</x></prototype></constructor><toString>1</toString><hasOwnProperty>1</hasOwnProperty>';
  const extra = [item('__proto__', 'p'), item('constructor', 'c'), items[0]!.replace('</Item>', `${poison}</Item>`).replace(channelId(4600), channelId(4699))];
  t.equal(await device.message(latin1(device.page(sn, names.length + 3, [...items, ...extra]).replace('</DeviceList>', `</DeviceList>${poison}`))), 200);
  t.equal(await device.message(xml('Response', 'DeviceInfo', sn, device.id, `<Result>OK</Result>${poison}<DeviceName>__proto__</DeviceName>`)), 200);
  await until('its channels', async () => (await channelsOf(device.id)).length === names.length + 3);
  const rows = await channelsOf(device.id);
  t.equal(rows[0]!.name, '<script>alert(1)</script>', 'kept as it is meant; who shows it escapes it');
  t.equal(rows[1]!.name, '../../../etc/passwd');
  t.ok(rows.every(row => row.name.length <= 4096));
  t.ok(rows.every(row => /^\d{20}$/.test(row.mapped[0]!.id)), 'an ID that is none is known above by one that is');
  t.equal((await rpc.call('counters', {}))['x'], undefined);

  await platform.message(xml('Query', 'Catalog', 4600, LOCAL_ID), {}, LOCAL_ID);
  const pages = await until('the catalogue above', () => {
    const came = responsesTo('4600');
    return came.reduce((sum, page) => sum + [...page.body.toString().matchAll(/<Item>/g)].length, 0) === Number(came[0]?.xml('SumNum')) && came.length > 0 ? came : undefined;
  }, 20_000);
  t.ok(pages.every(page => isWellFormed(page.body.toString())), 'what goes up is well-formed for everybody');
  t.ok(pages.some(page => page.body.includes('&lt;script&gt;alert(1)')));
  t.notOk(pages.some(page => page.body.includes('\0') || page.body.includes('\x1b') || page.body.includes('polluted')));
  await device[Symbol.asyncDispose]();
});

await t.test('faults 44, 45: loops, orphans, repeated IDs, counts that are none, and a parent that is itself', async t => {
  const catalog = await until('the end of the catalogue', async () => {
    const found = await catalogOf(knotted.id);
    return found?.state === 'complete' || found?.state === 'partial' ? found : undefined;
  }, 12_000);
  t.match(catalog, { state: 'partial', expected: 7, received: 4 }, 'two items could not be read: nothing that is missing is deleted');
  t.match((await channelsOf(knotted.id)).map(row => row.name).sort(), ['a again', 'b', 'c', 'd'], 'each is there, the last word on a counts');
  t.ok((await counter('catalog.duplicates')) >= 1);

  for (const [sumNum, items] of [['0', []], ['-5', [item(a)]], ['many', [item(b)]], ['99999999999999999999', [item(c)]]] as const) t.equal(await knotted.message(knotted.page('77', sumNum, items)), 200, `SumNum ${sumNum}, and an SN that nobody gave`);
  t.ok((await counter('catalog.unasked')) >= 4);
  t.equal((await channelsOf(knotted.id)).length, 4);
  await knotted[Symbol.asyncDispose]();
});

await t.test('the same process, everybody served', async t => {
  t.equal(lab.sipd.restarts, 0);
  t.equal(await bystander.keepalive(), 200);
  t.equal((await platform.ask('OPTIONS', LOCAL_ID)).status, 200);
});

/** As strict as XML 1.0 is, for what has neither comments nor CDATA: balanced tags, escaped text, no forbidden character. */
function isWellFormed(text: string): boolean {
  const open: string[] = [];
  const token = /<\?xml [^<>]*\?>|<(\/?)([A-Za-z]\w*)((?: \w+="[^"<&]*")*)(\/?)>|(?:[^<&\0-\x08\x0b\x0c\x0e-\x1f]|&(?:amp|lt|gt|quot|apos);)+/gy;
  let roots = 0;
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    if (match === null) return false;
    const [, end, name, , empty] = match;
    if (name === undefined) continue;
    if (end === '/') {
      if (open.pop() !== name) return false;
    } else if (empty !== '/') {
      if (open.length === 0) roots += 1;
      open.push(name);
    }
  }
  return open.length === 0 && roots === 1;
}
