/** Two platforms with views of their own of the same cameras: trees, IDs, names, permissions, quota, priority; and what never goes round (gb28181.md 1.7, 8.4, 8.5). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { formatDeviceControl } from '#core/gb/device-control.ts';
import { PTZ_STOP, type PtzCommand } from '#core/gb/ptz.ts';
import { CITY_ID, CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { GbDevice, GbPlatform, item, xml } from '../rig/gb-peer.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);
const camera = (serial: number) => ({ id: `340200000013200000${String(serial).padStart(2, '0')}`, name: `断桥 ${serial}`, online: true });
const GROUP = '33010000002150000001';
const [WEST, ROAD] = ['33010000002160000001', '33010000002160000002'];
const OWN = [CITY_LOCAL_ID, `${CITY_LOCAL_ID.slice(0, -2)}98`] as const;

/** The city: groups, our own IDs, no way to steer cameras of the road. The county: regions, IDs of the devices, half of the cameras. */
const CITY = {
  version: '2022', charset: 'gb18030', priority: 200,
  catalog: { notifyAfterMs: 100 },
  view: {
    tree: 'groups', ids: 'own', compositeParents: true, replace: [{ find: '断桥', with: 'Bridge' }],
    rules: [{ names: ['*4'], allow: [{ what: ['live'] }] }, {}],
    groups: [{ id: GROUP, name: 'Traffic', organisations: [{ id: ROAD, name: 'Road', parent: WEST, ids: ['34020000001180000002'] }, { id: WEST, name: 'West', names: ['北*'] }] }],
  },
};
const COUNTY = { priority: 50, transport: 'tcp', catalog: { notifyAfterMs: 100, itemsPerMessage: 2 }, view: { rules: [{ show: false, names: ['* 2'] }, { tags: ['county'] }, { nodes: ['34020000001180000002'] }], status: 'always-on', devices: true, quota: { streams: 1 } } };
const SECTIONS = { channels: [{ id: camera(1).id, tags: ['county'], civilCode: '340203', name: '北门' }, { id: camera(2).id, tags: ['county'] }] };
const DEVICES = { catalogEveryS: 0, media: { lingerS: 0 } };

await using rig = await openRelayRig({
  cameras: [{ channelList: [camera(1), camera(2), camera(3)] }, { id: '34020000001180000002', channelList: [camera(3), camera(4)] }],
  platforms: 2,
  devices: DEVICES,
  sections: SECTIONS,
  upstreams: [CITY, COUNTY],
});
const [city, county] = rig.platforms as [(typeof rig.platforms)[number], (typeof rig.platforms)[number]];
const counter = async (name: string): Promise<number> => (await rig.rpc.call('counters', {}))[name] ?? 0;
const listed = (items: readonly CatalogItem[]): string[] => items.map(({ deviceId, name }) => `${deviceId} ${name}`);
const move: PtzCommand = { ...PTZ_STOP, pan: 'left', panSpeed: 9 };
const steer = (command: PtzCommand, priority?: number): string => formatDeviceControl({ kind: 'ptz', instruction: { command, address: 1 }, ...(priority !== undefined && { priority }) }, '2016');
const moving = (device: number, channel: number): unknown => rig.cameras[device]!.device.frontEnd.of(rig.cameras[device]!.device.channels[channel]!.id).moving;

await t.test('the same cameras, two catalogues', async t => {
  const above = await city.catalog();
  const ids = [0, 1, 2].map(channel => rig.idOf(0, channel)).concat([0, 1].map(channel => rig.idOf(1, channel)));
  t.equal(new Set(ids).size, 5, 'the same channel ID under two devices is two');
  t.ok(ids.every(id => id.startsWith('3301000000132')), 'none of theirs');
  t.same(listed(above.items), [`${OWN[0]} gateway`, `${GROUP} Traffic`, `${WEST} West`, `${ROAD} Road`, ...[[0, '北门'], [1, 'Bridge 2'], [2, 'Bridge 3'], [3, 'Bridge 3'], [4, 'Bridge 4']].map(([at, name]) => `${ids[at as number]} ${name}`)]);
  t.match(above.items[3], { parentId: WEST, businessGroupId: GROUP, civilCode: '3301' });
  t.match(above.items[7], { parentId: `${OWN[0]}/${ROAD}`, businessGroupId: GROUP, info: { grassrootsCode: '000000', pointType: '9' } });
  t.equal(above.items[8]?.owner, undefined, '2022 has no Owner');
  t.equal(above.sumNum, 9);

  const below = await county.catalog();
  t.same(below.items.slice(1, 5).map(({ deviceId }) => deviceId), ['34', '3301', '3402', '340203']);
  t.same(below.items.slice(7).map(({ name }) => name), ['北门', '断桥 3', '断桥 4']);
  t.equal(below.messages, 5, 'two items a message over TCP');
  const [nvr, gate, shared] = below.items.slice(6);
  t.match(nvr, { deviceId: '34020000001180000002', parental: '1', parentId: OWN[1], civilCode: '3402' });
  t.match(gate, { deviceId: camera(1).id, civilCode: '340203', parentId: '34020000001180000001' });
  t.match(shared, { parentId: '34020000001180000002', civilCode: '3402' });
});

await t.test('an answer for every kind of ID', async t => {
  const count = async (platform: typeof city, deviceId: string): Promise<number> => (await platform.catalog({ deviceId, timeoutMs: 3000 })).items.length;
  const inCity = [[GROUP, 6], [WEST, 5], [ROAD, 3], ['34', 5], ['340203', 1], ['34020300', 1], [rig.idOf(1, 1), 1], [OWN[0], 9], ['33', 0], ['4401', 0], ['34020000001320000099', 0], [camera(1).id, 0], ['33010000002150000009', 0]] as const;
  for (const [id, items] of inCity) t.equal(await count(city, id), items, `city ${id}`);
  const inCounty = [['34020000001180000002', 3], ['34020000001180000001', 2], ['3402', 7], ['340203', 2], ['33', 1], [camera(1).id, 1], [camera(2).id, 0], [GROUP, 0]] as const;
  for (const [id, items] of inCounty) t.equal(await count(county, id), items, `county ${id}`);
});

await t.test('a query that is not one is answered so, and the next one as ever', async t => {
  const bad = [
    '<Query><CmdType>Catalog</CmdType><SN>1</SN></Query>',
    '<Query><CmdType>Catalog</CmdType><DeviceID>3402</DeviceID></Query>',
    '<Query><SN>1</SN><DeviceID>3402</DeviceID></Query>',
    `<Query><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>${OWN[0]}</DeviceID><DeviceID>3402</DeviceID></Query>`,
    `<Query><CmdType>Catalog</CmdType><SN>1</SN><SN>2</SN><DeviceID>${OWN[0]}</DeviceID></Query>`,
    `<Query><CmdType>Catalog</CmdType><SN>one</SN><DeviceID>${OWN[0]}</DeviceID></Query>`,
    `<Query><CmdType>Catalog</CmdType><SN>99999999999</SN><DeviceID>${OWN[0]}</DeviceID></Query>`,
    `<Query><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>${'3'.repeat(65)}</DeviceID></Query>`,
    `<Query><CmdType>Catalog</CmdType><SN>1</SN><DeviceID><Item/></DeviceID></Query>`,
    `<!DOCTYPE q [<!ENTITY x SYSTEM "file:///etc/passwd">]><Query><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>&x;</DeviceID></Query>`,
  ];
  const before = await counter('manscdp.malformed');
  for (const xml of bad) t.match(await city.message(xml, OWN[0]).then(() => 'taken', (error: Error) => error.message), /400/, xml.slice(0, 90));
  t.equal(await counter('manscdp.malformed'), before + bad.length);
  for (const content of ['<StartTime>yesterday</StartTime>', `<EndTime>${'9'.repeat(9000)}</EndTime>`, '<StartTime/><StartTime/>', '<__proto__>x</__proto__>']) {
    await county.message(`<Query><CmdType>Catalog</CmdType><SN>4000000000</SN><DeviceID>3402</DeviceID>${content}</Query>`, OWN[1]);
  }
  t.equal((await city.catalog()).items.length, 9);
  t.equal((await county.catalog()).items.length, 10);
  const asked = await Promise.all(Array.from({ length: 20 }, () => county.catalog({ deviceId: '3402' })));
  t.ok(asked.every(({ complete, items }) => complete && items.length === 7), 'twenty at once');
});

await t.test('permissions: live only, and by rule', async t => {
  const road = rig.idOf(1, 1);
  await city.control(road, steer(move));
  await until('the refusal', async () => (await counter('control.refused')) > 0);
  t.equal(moving(1, 1), undefined);
  const play = await city.play(road, { transport: 'udp' });
  await play.waitFrames(2);
  await play.stop();
  await city.control(rig.idOf(1, 0), steer(move));
  await until('it moves', () => moving(1, 0) !== undefined);
  await city.control(rig.idOf(1, 0), steer(PTZ_STOP));
  await until('it stands', () => moving(1, 0) === undefined);
  const alarm = { priority: 1, method: '5', time: '2026-03-10T08:14:02', description: 'road', longitude: undefined, latitude: undefined, type: '6', eventType: undefined };
  await rig.cameras[1]!.device.sendAlarm({ source: camera(4).id, alarm });
  await rig.cameras[1]!.device.sendAlarm({ source: camera(3).id, alarm: { ...alarm, description: 'other' } });
  await until('both at the county, one at the city', () => county.notices.length === 2 && city.notices.length === 1);
  t.equal(city.notices[0]!.deviceId, rig.idOf(1, 0), 'no alarm of what it may only look at');
  t.match(await city.ask('Query', 'PresetQuery', road).then(({ body }) => body), { kind: 'other' });
  await t.rejects(county.play(camera(2).id, { transport: 'udp' }), /403/, 'not in its view');
  await t.rejects(county.play('34020000001320000077', { transport: 'udp' }), /404/, 'nowhere');
  await t.rejects(city.play(camera(1).id, { transport: 'udp' }), /403/, 'an ID that it does not know it by');
});

await t.test('a right that is withdrawn ends what it was for', async t => {
  const watching = await county.play(rig.idOf(1, 0, 1), { transport: 'udp' });
  await watching.waitFrames(2);
  await rig.rewrite({ devices: DEVICES, upstreams: [CITY, { ...COUNTY, permissions: { live: false } }] });
  await watching.waitEnded(5000);
  await t.rejects(county.play(rig.idOf(1, 0, 1), { transport: 'udp' }), /403/);
  t.equal((await county.catalog()).items.length, 10, 'what it may not watch it still sees');
  await rig.rewrite({ devices: DEVICES, upstreams: [CITY, COUNTY] });
});

await t.test('quota: one stream, then 486', async t => {
  const first = await county.play(rig.idOf(1, 0, 1), { transport: 'udp' });
  await t.rejects(county.play(rig.idOf(1, 1, 1), { transport: 'udp' }), /486/);
  t.equal(await counter('relay.over-quota.streams'), 1);
  const rows = await rig.rpc.call('listUpstreams', {});
  t.match(rows, [{ name: 'city0', sharedChannels: 5, onlineChannels: 5, accessedChannels: 2, playingChannels: 0 }, { name: 'city1', sharedChannels: 3, playingChannels: 1, accessedChannels: 2 }]);
  t.match(await rig.rpc.call('totals', {}), { channels: 5, shared: 5, accessed: 2, online: 5, playing: 1 });
  await first.stop();
  await until('it has ended', async () => (await rig.rpc.call('listUpstreams', {}))[1]!.sessions === 0);
  await rig.rewrite({ devices: DEVICES, upstreams: [CITY, { ...COUNTY, view: { ...COUNTY.view, quota: { mbps: 7, streamMbps: 4 } } }] });
  const measured = await county.play(rig.idOf(1, 0, 1), { transport: 'udp' });
  await t.rejects(county.play(rig.idOf(1, 1, 1), { transport: 'udp' }), /503/, 'no room in its Mbit/s');
  await until('its rate', async () => ((await rig.rpc.call('listUpstreams', {}))[1]!.bitrateBps ?? 0) > 0, 15_000);
  const second = await county.play(rig.idOf(1, 1, 1), { transport: 'udp' });
  t.pass('as measured it fits');
  await Promise.all([measured.stop(), second.stop()]);
});

await t.test('priority: who is below waits; STOP passes; an audit line says so', async t => {
  const [high, low] = [rig.idOf(1, 0), rig.idOf(1, 0, 1)];
  await city.control(high, steer(move));
  await until('it moves', () => moving(1, 0) !== undefined);
  await county.control(low, steer({ ...move, pan: 'right' }, 255));
  await until('the lower one is refused', async () => (await counter('control.outranked')) === 1);
  await county.control(low, steer(PTZ_STOP));
  await until('a stop passes', () => moving(1, 0) === undefined);
  const log = await readFile(join(rig.gateway.directory, 'sipd.log'), 'utf8');
  const line = log.split('\n').find(each => each.includes('"control.outranked"'));
  t.match(JSON.parse(line!), { upstream: 'city1', priority: 50, commandPriority: 255, heldBy: 'city0', heldPriority: 200, command: /pan=right/ });
  await rig.rewrite({ devices: { ...DEVICES, ptzHoldS: 0 }, upstreams: [CITY, COUNTY] });
  await county.control(low, steer(move));
  await until('without a hold it may', () => moving(1, 0) !== undefined);
  await county.control(low, steer(PTZ_STOP));
});

await t.test('a changed view: shown before, then ADD, DEL and UPDATE in order, under the same IDs', async t => {
  const subscription = city.subscribe('Catalog', { deviceId: GROUP, expiresS: 600 });
  await subscription.when('the first NOTIFY', ({ notifications }) => notifications.length === 1);
  subscription.know((await city.catalog({ deviceId: GROUP })).items);
  const [gate, road] = [rig.idOf(0, 0), rig.idOf(1, 1)];
  const next = { ...CITY, view: { ...CITY.view, name: '[{civil}] {name}', rules: [{ show: false, names: ['*4'] }, {}], groups: [{ id: GROUP, name: 'Traffic', organisations: [{ id: WEST, name: 'West', names: ['*'] }] }] } };
  const candidate = stringify({ ...rig.configOf({ devices: DEVICES, upstreams: [next, COUNTY] }), sip: { listen: [] } });
  t.match(await rig.rpc.call('view', { upstream: 'city0', candidate }), { problems: [/sip/] }, 'another sip section would not be taken');
  const base = parse(await readFile(rig.gateway.configPath, 'utf8')) as object;
  const report = await rig.rpc.call('view', { upstream: 'city0', candidate: stringify({ ...base, ...rig.configOf({ upstreams: [next, COUNTY] }), devices: (base as { devices: object }).devices }) });
  t.same(report.problems, []);
  t.same(report.changes!.map(({ type, before, after }) => `${type} ${(before ?? after)!.id}`).sort(), ['changed', 'changed', 'changed', 'changed'].map((type, at) => `${type} ${[gate, rig.idOf(0, 1), rig.idOf(0, 2), rig.idOf(1, 0)][at]}`).concat([`removed ${ROAD}`, `removed ${road}`]).sort());
  t.same(report.changes!.find(({ after }) => after?.id === gate)?.fields, ['name']);
  t.equal(subscription.notifications.length, 1, 'and nobody was told');

  await rig.rewrite({ devices: DEVICES, upstreams: [next, COUNTY] });
  await subscription.when('all of it', ({ events }) => events.length >= 6);
  t.same(subscription.events, [`UPDATE ${gate}`, `ADD ${rig.idOf(0, 1)}`, `ADD ${rig.idOf(0, 2)}`, `UPDATE ${rig.idOf(1, 0)}`, `DEL ${road}`, `DEL ${ROAD}`]);
  const shown = (await city.catalog({ deviceId: GROUP })).items.map(({ deviceId, name, parentId }) => `${deviceId} ${name} ${parentId}`).sort();
  t.same([...subscription.picture.values()].map(({ item }) => `${item?.deviceId} ${item?.name} ${item?.parentId}`).sort(), shown, 'the picture is the catalogue');
  t.match(await rig.rpc.call('view', { upstream: 'city0' }).then(({ rows }) => rows.map(({ name }) => name)), ['gateway', 'Traffic', 'West', '[340203] 北门']);
  t.same((await rig.rpc.call('view', { upstream: 'city0', hidden: true })).hidden, [{ deviceId: '34020000001180000002', channelId: camera(4).id, name: '断桥 4', why: 'rule 1 hides it' }]);
  t.same((await rig.rpc.call('view', { upstream: 'city1', hidden: true })).hidden.map(({ name, why }) => `${name} ${why}`), ['断桥 2 rule 1 hides it', '断桥 3 no rule shows it']);
  t.match(await rig.rpc.call('view', { upstream: 'city0', candidate: 'upstreams: 3\n' }), { changes: null, problems: [/upstreams/] });
  await t.rejects(rig.rpc.call('view', { upstream: 'nobody' }), /PEER_UNKNOWN/);
  await subscription.unsubscribe();
});

await t.test('hide-offline: what is not there is DEL, and ADD when it is back', async t => {
  await rig.rewrite({ devices: DEVICES, upstreams: [{ ...CITY, view: { status: 'hide-offline', tree: 'flat' } }, COUNTY] });
  const before = (await city.catalog()).items.length;
  t.equal(before, 5);
  const subscription = city.subscribe('Catalog', { expiresS: 600 });
  await subscription.when('the first NOTIFY', ({ notifications }) => notifications.length === 1);
  t.same(subscription.events, []);
  await rig.cameras[1]!.device.registration.stop(true);
  await subscription.when('DEL', ({ events }) => events.length === 2);
  t.same([...subscription.events].sort(), [`DEL ${rig.idOf(1, 0)}`, `DEL ${rig.idOf(1, 1)}`].sort());
  t.equal((await city.catalog()).items.length, 3);
  t.ok((await county.catalog()).items.every(({ status }) => status !== 'OFF'), 'to the county they are ON for ever');
  rig.cameras[1]!.device.registration.start();
  await subscription.when('ADD', ({ events }) => events.length === 4);
  t.same(subscription.events.slice(2).sort(), [`ADD ${rig.idOf(1, 0)}`, `ADD ${rig.idOf(1, 1)}`].sort());
});

const published = (id: string, name: string, more = ''): string => `<Item><DeviceID>${id}</DeviceID><Name>${name}</Name>${more}</Item>`;

/** A device whose catalogue the test writes, as soon as its channels are known. */
async function register(id: string, items: readonly string[], channels: number): Promise<GbDevice> {
  const device = await GbDevice.open(rig.gateway, { id });
  device.items = items;
  t.equal((await device.register()).status, 200);
  await until('its channels', async () => (await rig.rpc.call('listChannels', { deviceId: id })).total === channels);
  return device;
}

await t.test('groups as devices publish them: the same ID of two devices is two', async t => {
  await rig.rewrite({ devices: DEVICES, upstreams: [{ ...CITY, view: { tree: 'groups', groupsFrom: 'devices', ungrouped: 'hidden' } }, COUNTY] });
  t.same(listed((await city.catalog()).items), [`${OWN[0]} gateway`], 'what is in no organisation is hidden');
  const [group, outer, inner] = ['34020000002150000001', '34020000002160000001', '34020000002160000002'];
  const catalogue = (which: string, serial: number): string[] => [
    item(`3402000000132000010${serial}`, `of ${which}`, `${inner}`),
    published(inner, `inner ${which}`, `<ParentID>${outer}</ParentID>`),
    published(outer, `outer ${which}`, `<BusinessGroupID>${group}</BusinessGroupID>`),
    published(group, `group ${which}`),
    published('34020000002160000009', 'empty'),
  ];
  await using _one = await register('34020000001180000003', catalogue('one', 1), 1);
  await using _two = await register('34020000001180000004', catalogue('two', 2), 1);
  await using loose = await register('34020000001180000005', [item('34020000001320000105', 'loose', '34020000002160000005'), published('34020000002160000005', 'of no group')], 1);
  const { items } = await city.catalog();
  const byName = new Map(items.map(each => [each.name, each]));
  t.equal(new Set(items.map(({ deviceId }) => deviceId)).size, items.length);
  t.equal(items.length, 1 + 2 * 4 + 3, 'system, two groups with two organisations and a camera each, and one whose group is ours');
  for (const which of ['one', 'two']) {
    const [top, above, below, leaf] = ['group', 'outer', 'inner', 'of'].map(name => byName.get(`${name} ${which}`)!);
    t.match(above, { parentId: undefined, businessGroupId: top!.deviceId });
    t.match(below, { parentId: above!.deviceId, businessGroupId: top!.deviceId });
    t.match(leaf, { parentId: below!.deviceId, businessGroupId: top!.deviceId });
    t.same((await city.catalog({ deviceId: top!.deviceId })).items.map(({ name }) => name), [`group ${which}`, `outer ${which}`, `inner ${which}`, `of ${which}`]);
  }
  t.match(byName.get('of no group')?.businessGroupId, /^3301000000215/);
  t.notOk(byName.has('empty'), 'an organisation of nobody that it sees is none of its business');
  loose.items = [];
  await rig.rpc.call('refreshCatalog', { deviceId: loose.id });
  await until('it is empty', async () => (await rig.rpc.call('listChannels', { deviceId: loose.id })).total === 0);
});

await t.test('what came from a platform does not go back to it, and what comes back is not new', async t => {
  const devices = { ...DEVICES, known: [{ id: CITY_ID, password: LAB_PASSWORD }] };
  await rig.rewrite({ devices, upstreams: [{ catalog: { civilTree: false } }, { catalog: { civilTree: false } }] });
  const ours = { city: (await city.catalog()).items.map(({ deviceId }) => deviceId), county: (await county.catalog()).items.map(({ deviceId }) => deviceId) };
  const theirs = '44030000001320000001';
  // The city, in its lower role.
  await using mutual = await register(CITY_ID, [item(theirs, 'of the city'), item(ours.city[0]!, 'ours, as the city knows it')], 2);
  t.same((await city.catalog()).items.map(({ deviceId }) => deviceId), ours.city, 'nothing of the city goes back to the city');
  t.same((await county.catalog()).items.map(({ deviceId }) => deviceId).sort(), [...ours.county, theirs].sort(), 'what is its own goes to the county');
  // The far end of a ring: our cameras come back under native IDs, under IDs that we made, and with the way that they took.
  const far = ['44030000001320000011', '44030000001320000012'] as const;
  await using ring = await register('44030000002000000002', [item(camera(2).id, 'came back'), item(ours.city.find(id => id.startsWith('3301'))!, 'came back'), item(far[0], 'new'), item(far[1], 'went round').replace('</Item>', '<ViewLinkRoute>44030000002000000002-34020000002000000001</ViewLinkRoute></Item>')], 4);
  t.same((await county.catalog()).items.map(({ deviceId }) => deviceId).sort(), [...ours.county, theirs, far[0]].sort(), 'only what is new');
  t.same((await city.catalog()).items.map(({ deviceId }) => deviceId).sort(), [...ours.city, far[0]].sort());
  await t.rejects(city.play(theirs, { transport: 'udp' }), /403/, 'nor can it be played there');
  t.same((await rig.rpc.call('view', { upstream: 'city0', hidden: true })).hidden.map(({ why }) => why).sort(), [...Array<string>(3).fill('44030000002000000002 has it from us'), `${CITY_ID} has it from us`, 'it came from this platform, or through it'].sort());
  await rig.rewrite({ devices, upstreams: [{ catalog: { civilTree: false }, view: { route: true } }, { catalog: { civilTree: false } }] });
  const routes = new Map((await city.catalog()).items.map(({ deviceId, route }) => [deviceId, route]));
  t.equal(routes.get(far[0]), '34020000002000000001-44030000002000000002', 'the way of what goes on');
  t.equal(routes.get(ours.city[0]!), '34020000002000000001');
  for (const device of [mutual, ring]) t.ok((await device.keepalive()) === 200);
});

await t.test('large answers over TCP where the platform listens, in datagrams where it does not', async t => {
  const devices = DEVICES;
  await using deaf = await GbPlatform.open({ id: '33010000002000000009' }, { address: rig.gateway.address, port: rig.gateway.sipPort });
  const config = (large: string): object => {
    const all = rig.configOf({ devices, upstream: { catalog: { civilTree: false, large } } }) as { upstreams: object[] };
    return { ...all, upstreams: [...all.upstreams, { name: 'deaf', id: deaf.id, address: deaf.raw.place.address, port: deaf.raw.place.port, localId: OWN[0].replace('0099', '0090'), catalog: { civilTree: false, large } }] };
  };
  const apply = async (large: string): Promise<void> => {
    await rig.gateway.rewrite(config(large) as never);
    t.equal((await rig.rpc.call('reload', { sections: [] })).refused, null);
  };
  await apply('tcp');
  const { items, messages } = await city.catalog();
  t.equal(messages, 1, 'the whole of it at once');
  t.equal((await city.catalog({ deviceId: items[0]!.deviceId })).items.length, 1, 'a small one goes as ever');
  await until('the third platform has us', () => deaf.registers.length > 0);
  t.equal(await deaf.message(xml('Query', 'Catalog', 7, OWN[0].replace('0099', '0090')), {}, OWN[0].replace('0099', '0090')), 200);
  await until('it falls back', async () => (await counter('upstream.catalog-no-tcp')) === 1, 20_000);
  await apply('udp');
  const datagrams = await city.catalog();
  t.same(listed(datagrams.items), listed(items));
  t.ok(datagrams.messages > 1);
});

await t.test('a platform that asks without end gets four answers at a time, and is told when no more can wait', async t => {
  await rig.rewrite({ devices: DEVICES, upstream: { catalog: { pauseMs: 2000 } } });
  const ask = (sn: number): Promise<void> => city.message(`<Query><CmdType>Catalog</CmdType><SN>${sn}</SN><DeviceID>${OWN[0]}</DeviceID></Query>`, OWN[0]);
  for (let sn = 1; sn <= 40; sn++) await ask(2_000_000 + sn);
  t.equal(await counter('upstream.catalog-refused'), 4, 'four under way, thirty-two wait');
  const repeated = await counter('upstream.catalog-repeated');
  await ask(2_000_001);
  t.equal((await counter('upstream.catalog-repeated')) - repeated, 1, 'asked again while it is being answered');
  t.equal((await county.catalog({ deviceId: rig.idOf(1, 0, 1), timeoutMs: 1500 })).items.length, 1, 'nobody else waits for it');
});
