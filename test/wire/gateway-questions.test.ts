/** Forwarded questions and controls between strangers on bare sockets: odd cameras, liars, slow ones (gb28181.md 3.7, 8.2, 11 rows 24, 25, 31-37; faults.md 22, 41, 42, 48). */
import t from 'tap';
import { LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { GbDevice, GbPlatform, item, xml } from '../rig/gb-peer.ts';
import type { SipText } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);
const sipPort = await freePort('127.0.0.1');
const PLATFORM = '33010000002000000001';
const OURS = '33010000002000000099';
const NVR = '34020000001180000001';
const OTHER = '34020000001180000002';
const CAMERA = '34020000001320000005';
const SECOND = '34020000001320000006';

await using above = await GbPlatform.open({ id: PLATFORM, address: '127.0.0.41' }, { address: '127.0.0.1', port: sipPort });
await using lab = await LabGateway.open({
  sipPort,
  config: { upstreams: [{ name: 'city', id: PLATFORM, localId: OURS, address: '127.0.0.41', port: above.raw.port, password: 'x', retryS: 1 }] },
});
await using rpc = await lab.rpc();
await using nvr = await GbDevice.open(lab, { id: NVR, address: '127.0.0.42' });
await using other = await GbDevice.open(lab, { id: OTHER, address: '127.0.0.43', transport: 'TCP' });
nvr.items = [item(CAMERA), item(SECOND)];
other.items = [item(CAMERA, 'same ID')];
// Who comes first keeps its ID above; the other one's camera gets another.
for (const [device, total] of [[other, 1], [nvr, 3]] as const) {
  t.equal((await device.register()).status, 200);
  await until('channels', async () => (await rpc.call('listChannels', {})).total === total);
}
await until('registered', async () => (await rpc.call('listUpstreams', {}))[0]!.state === 'online');
const { rows } = await rpc.call('listChannels', {});
const idOf = (deviceId: string, channelId: string): string => rows.find(row => row.deviceId === deviceId && row.channelId === channelId)!.mapped[0]!.id;
const [mine, second, theirs] = [idOf(NVR, CAMERA), idOf(NVR, SECOND), idOf(OTHER, CAMERA)];
const counter = async (name: string): Promise<number> => (await rpc.call('counters', {}))[name] ?? 0;

let sn = 1000;
/** Asks, and waits for what the camera gets to see. */
async function ask(device: GbDevice, cmdType: string, id: string, content = '', root = 'Query'): Promise<{ sn: number; asked: SipText }> {
  const number = (sn += 1);
  const known = device.raw.heard.length;
  t.equal(await above.message(xml(root, cmdType, number, id, content), {}, OURS), 200);
  return { sn: number, asked: await device.raw.wait(message => message.method === 'MESSAGE' && message.xml('CmdType') === cmdType && device.raw.heard.indexOf(message) >= known, `${cmdType} at ${device.id}`) };
}
const answered = (cmdType: string, number: number): Promise<SipText> => above.raw.wait(message => message.xml('CmdType') === cmdType && message.xml('SN') === String(number), `the answer to ${cmdType} ${number}`, 15_000);
const says = (device: GbDevice, cmdType: string, number: string | number, content: string, id = CAMERA): Promise<number> => device.message(xml('Response', cmdType, number, id, content));
const segment = (index: number, over = ''): string => `<Item><DeviceID>${CAMERA}</DeviceID><Name>seg</Name><StartTime>2026-03-${10 + (index % 10)}T08:00:00</StartTime><EndTime>2026-03-${10 + (index % 10)}T08:30:00</EndTime>${over}<Secrecy>0</Secrecy></Item>`;
const SPAN = '<StartTime>2026-03-10T00:00:00</StartTime><EndTime>2026-03-20T00:00:00</EndTime><Type>all</Type>';
const sumOf = (message: SipText): string => message.xml('SumNum');

/** Takes as long as the patience with a camera: told beside the others. */
const silent = ask(nvr, 'SDCardStatus', mine);

await t.test('the camera sees its own ID and an SN of ours; the platform its own of both', async t => {
  const { sn: number, asked } = await ask(nvr, 'PresetQuery', mine);
  t.not(mine, CAMERA);
  t.equal(asked.xml('DeviceID'), CAMERA);
  t.not(asked.xml('SN'), String(number));
  t.equal(asked.user('From'), '34020000002000000001');
  t.equal(asked.uriUser, NVR);
  t.equal(await says(nvr, 'PresetQuery', asked.xml('SN'), '<presetlist num=" 1 "><Item><PresetID>5</PresetID><PresetName>\xb1\xb1</PresetName></Item></presetlist>', NVR), 200);
  const answer = await answered('PresetQuery', number);
  t.equal(answer.xml('DeviceID'), mine);
  t.equal(answer.user('From'), OURS);
  t.match(answer.body.toString('latin1'), '<PresetList Num="1"><Item><PresetID>5</PresetID>', 'in the right spelling');
});

await t.test('answers of others count for nothing, however well they guess', async t => {
  const before = await counter('device.unasked.PTZPosition');
  const { sn: number, asked } = await ask(nvr, 'PTZPosition', mine);
  await says(other, 'PTZPosition', asked.xml('SN'), '<Pan>666</Pan>');
  await says(nvr, 'PTZPosition', Number(asked.xml('SN')) + 1, '<Pan>666</Pan>');
  await says(nvr, 'PresetQuery', asked.xml('SN'), '<Pan>666</Pan>');
  await says(nvr, 'PTZPosition', asked.xml('SN'), '<Pan>1</Pan>');
  t.match((await answered('PTZPosition', number)).body.toString(), '<Pan>1</Pan>');
  await says(nvr, 'PTZPosition', asked.xml('SN'), '<Pan>2</Pan>');
  t.equal(await counter('device.unasked.PTZPosition'), before + 3);
  await says(nvr, 'Vendor', 1, '<X>1</X>');
  t.equal(await counter('device.unasked.Vendor'), 0, 'names that a device invents are not counted each');
});

await t.test('ConfigDownload: one block a message, another name than asked (quirk 25), nothing of our link', async t => {
  const { sn: number, asked } = await ask(nvr, 'ConfigDownload', mine, '<ConfigType>BasicParam/VideoParamOpt</ConfigType>');
  t.equal(asked.xml('ConfigType'), 'BasicParam/VideoParamOpt');
  await says(nvr, 'ConfigDownload', asked.xml('SN'), '<Result>OK</Result><BasicParam><Name>n</Name><DeviceID>34020000001320000005</DeviceID><SIPServerIP>127.0.0.1</SIPServerIP><Password>hunter2</Password></BasicParam>');
  await says(nvr, 'ConfigDownload', asked.xml('SN'), '<Result>OK</Result><UniviewParam><A>1</A></UniviewParam>');
  const [first, next] = [await answered('ConfigDownload', number), await answered('ConfigDownload', number)];
  t.match(first.body.toString(), `<Name>n</Name><DeviceID>${mine}</DeviceID>`);
  t.notMatch(first.body.toString(), /hunter2|SIPServer/);
  t.match(next.body.toString(), '<UniviewParam><A>1</A></UniviewParam>');
});

await t.test('recordings: no message over 1300 octets, one answer whatever the parts were', async t => {
  const { sn: number, asked } = await ask(nvr, 'RecordInfo', mine, `<Type>all</Type><IndistinctQuery>0</IndistinctQuery>${SPAN.replace('<Type>all</Type>', '')}`);
  t.match(asked.body.toString(), /<StartTime>2026-03-10T00:00:00<\/StartTime>\s*<EndTime>2026-03-20T00:00:00<\/EndTime>\s*<Type>all<\/Type>\s*<IndistinctQuery>0/, 'elements in schema order');
  const part = (from: number, count: number): string => `<Name>cam</Name><SumNum>10</SumNum><RecordList Num="${count}">${Array.from({ length: count }, (_, index) => segment(from + index, '<FilePath>../../etc/shadow</FilePath>')).join('')}</RecordList>`;
  await says(nvr, 'RecordInfo', asked.xml('SN'), part(5, 5), NVR);
  await says(nvr, 'RecordInfo', asked.xml('SN'), part(0, 5));
  const parts: SipText[] = [];
  const items = (): string[] => parts.flatMap(message => [...message.body.toString().matchAll(/<StartTime>(.*?)<\/StartTime>/g)].map(match => match[1]!));
  while (items().length < 10) parts.push(await answered('RecordInfo', number));
  t.ok(parts.every(message => message.bytes.length <= 1300 && sumOf(message) === '10' && message.xml('DeviceID') === mine));
  t.same(items(), [...items()].sort(), 'in the order of time');
  t.notMatch(parts.map(message => message.body.toString()).join(), CAMERA);
  t.match(parts[0]!.body.toString(), '../../etc/shadow');
});

await t.test('recordings of one device one after the other, of another at the same time (quirk 36)', async t => {
  const first = await ask(nvr, 'RecordInfo', mine, SPAN);
  sn += 1;
  const waiting = sn;
  await above.message(xml('Query', 'RecordInfo', waiting, second, SPAN), {}, OURS);
  const meanwhile = await ask(other, 'RecordInfo', theirs, SPAN);
  t.equal(meanwhile.asked.xml('DeviceID'), CAMERA);
  t.notOk(nvr.raw.heard.some(message => message.xml('CmdType') === 'RecordInfo' && message.xml('DeviceID') === SECOND), 'the second waits');
  await says(other, 'RecordInfo', meanwhile.asked.xml('SN'), '<SumNum>0</SumNum>');
  t.equal(sumOf(await answered('RecordInfo', meanwhile.sn)), '0');
  await says(nvr, 'RecordInfo', first.asked.xml('SN'), '<RecordList/>');
  const none = await answered('RecordInfo', first.sn);
  t.equal(sumOf(none), '0', 'an empty list is no error (quirk 34)');
  t.notMatch(none.body.toString(), /RecordList|ERROR/);
  const next = await nvr.raw.wait(message => message.xml('CmdType') === 'RecordInfo' && message.xml('DeviceID') === SECOND, 'its turn');
  await says(nvr, 'RecordInfo', first.asked.xml('SN'), `<SumNum>1</SumNum><RecordList Num="1">${segment(1)}</RecordList>`);
  await says(nvr, 'RecordInfo', next.xml('SN'), `<SumNum>2</SumNum><RecordList Num="2">${segment(2)}${segment(3)}</RecordList>`, SECOND);
  t.equal(sumOf(await answered('RecordInfo', waiting)), '2', 'what came late for the first is not in it');
});

await t.test('a camera that refuses, and one that says nothing: the wait of the platform ends', { timeout: 30_000 }, async t => {
  const status = ask(nvr, 'DeviceStatus', mine);
  const begun = performance.now();
  const known = await answered('DeviceStatus', (await status).sn);
  t.match(known.body.toString(), '<Online>ONLINE</Online>', 'of a status we know something ourselves');
  t.ok(performance.now() - begun < 6000);
  const late = await answered('SDCardStatus', (await silent).sn);
  t.match(late.body.toString(), /<Result>ERROR<\/Result>\s*<SumNum>0<\/SumNum>/);
  const usual = other.raw.onRequest;
  other.raw.onRequest = request => {
    if (request.method !== 'MESSAGE') return false;
    other.raw.answer(request, 403);
    return true;
  };
  sn += 1;
  await above.message(xml('Query', 'HomePositionQuery', sn, theirs), {}, OURS);
  t.match((await answered('HomePositionQuery', sn)).body.toString(), '<Result>ERROR</Result>');
  other.raw.onRequest = usual;
});

await t.test('floods: controls and questions of one channel are cut, the next channel is served', async t => {
  const before = nvr.raw.heard.length;
  const statuses = await Promise.all(Array.from({ length: 100 }, (_, index) => above.message(xml('Query', 'CruiseTrackListQuery', 5000 + index, mine), {}, OURS)));
  t.ok(statuses.every(status => status === 200));
  await until('the others are told at once', () => above.raw.heard.filter(message => message.xml('CmdType') === 'CruiseTrackListQuery' && message.body.includes('ERROR')).length >= 75);
  const asked = nvr.raw.heard.slice(before).filter(message => message.xml('CmdType') === 'CruiseTrackListQuery').length;
  t.ok(asked >= 10 && asked <= 25, `${asked} of 100 reached the camera`);
  const { asked: next } = await ask(nvr, 'CruiseTrackListQuery', second);
  t.equal(next.xml('DeviceID'), SECOND);
});

await t.test('missing, doubled and senseless elements: 400 or ERROR, and nothing reaches the camera (fault 41)', async t => {
  const before = nvr.raw.heard.filter(message => message.method === 'MESSAGE').length;
  const body = (inner: string): string => `<?xml version="1.0"?>\r\n<Control>${inner}</Control>`;
  t.equal(await above.message(body(`<CmdType>DeviceControl</CmdType><DeviceID>${mine}</DeviceID><PTZCmd>A50F0102400000F7</PTZCmd>`), {}, OURS), 400, 'no SN');
  t.equal(await above.message(body('<CmdType>DeviceControl</CmdType><SN>1</SN><PTZCmd>A50F0102400000F7</PTZCmd>'), {}, OURS), 400, 'no DeviceID');
  t.equal(await above.message(body(`<CmdType>DeviceControl</CmdType><SN>1</SN><SN>2</SN><DeviceID>${mine}</DeviceID><PTZCmd>A50F0102400000F7</PTZCmd>`), {}, OURS), 400, 'two SNs');
  for (const content of ['', `<PTZCmd>${'A5'.repeat(4000)}</PTZCmd>`, '<PTZCmd>A50F0103404000D8</PTZCmd>', '<IFameCmd>Send</IFameCmd><IFrameCmd>Send</IFrameCmd>', '<DragZoomIn><Length>9</Length></DragZoomIn>']) t.equal(await above.message(xml('Control', 'DeviceControl', 9000, mine, content), {}, OURS), 200, content.slice(0, 40));
  t.equal(await above.message(xml('Control', 'SelfDestruct', 9001, mine), {}, OURS), 200, 'fault 42');
  sn += 1;
  t.equal(await above.message(xml('Control', 'DeviceControl', sn, mine, '<PTZCmd>A50F0100000000B5</PTZCmd>'), {}, OURS), 200);
  await nvr.raw.wait(message => message.xml('PTZCmd') === 'A50F0100000000B5', 'the stop behind all that');
  t.equal(nvr.raw.heard.filter(message => message.method === 'MESSAGE').length, before + 1);
});
