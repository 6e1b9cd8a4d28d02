import fc from 'fast-check';
import t from 'tap';
import { type CatalogItem, formatCatalogItem } from '#core/gb/catalog-item.ts';
import { nodesAbove } from '#core/gb/catalog-parents.ts';
import { type TreeChannel, type TreeNode, type TreeOptions, CatalogTree } from '#core/gb/catalog-tree.ts';
import { kindOf } from '#core/gb/device-id.ts';
import { IdMapping, type MappingUpstream, type Share } from '#core/gb/id-mapping.ts';
import { publishedGroups } from '#core/gb/published-groups.ts';
import { diffViews, viewRows } from '#core/gb/view-rows.ts';

const LOCAL = '33010000002000000001';
const NVR = '33010600001180000007';
const GROUP = '33010000002150000001';
const ORG = (serial: number): string => `3301000000216000000${serial}`;
const camera = (serial: number): string => `33010600001320${String(serial).padStart(6, '0')}`;

const OPTIONS: TreeOptions = { localId: LOCAL, name: 'Gateway', manufacturer: 'ViewLink', model: 'VLG', shape: 'groups', composite: false, civilNames: new Map([['330106', '西湖区']]) };
const leaf = (serial: number, memberOf: readonly string[] = [], more: Partial<TreeChannel> = {}): TreeChannel => ({ mappedId: camera(serial), item: { deviceId: camera(serial), ipAddress: '10.0.0.1' }, name: `camera ${serial}`, region: '330106', state: 'ON', memberOf, ...more });
const NODES: readonly TreeNode[] = [
  { id: GROUP, kind: 'business-group', name: 'Traffic' },
  // A child in front of its parent.
  { id: ORG(2), kind: 'virtual-org', name: 'Road 7', group: GROUP, parent: ORG(1) },
  { id: ORG(1), kind: 'virtual-org', name: 'District', group: GROUP, region: '330106' },
];
const ids = (items: readonly CatalogItem[] | undefined): string[] | undefined => items?.map(({ deviceId }) => deviceId);

await t.test('groups: the worked example (gb28181.md 1.7 mode B), parents first', async t => {
  const tree = new CatalogTree(OPTIONS, [leaf(1, [ORG(2)]), leaf(2)], NODES);
  t.same(ids(tree.items), [LOCAL, GROUP, ORG(1), ORG(2), camera(1), camera(2)]);
  const [, group, district, road, inside, outside] = tree.items;
  t.match(group, { parentId: LOCAL, businessGroupId: undefined });
  t.match(district, { businessGroupId: GROUP, parentId: undefined }, 'directly under the group: no ParentID');
  t.match(road, { businessGroupId: GROUP, parentId: ORG(1) });
  t.match(inside, { parentId: ORG(2), businessGroupId: GROUP, civilCode: '330106' });
  t.match(outside, { parentId: LOCAL, businessGroupId: undefined, civilCode: '330106' });
  const [, , , , composite] = new CatalogTree({ ...OPTIONS, composite: true }, [leaf(1, [ORG(2), ORG(1)])], NODES).items;
  t.equal(composite?.parentId, `${LOCAL}/${ORG(2)}/${ORG(1)}`, 'the real parent first');
  t.match(new CatalogTree(OPTIONS, [leaf(1, [GROUP])], NODES).get(camera(1)), { parentId: GROUP, businessGroupId: GROUP }, 'directly in a group');
});

await t.test('groups: an answer for every kind of query', async t => {
  const tree = new CatalogTree(OPTIONS, [leaf(1, [ORG(2)]), leaf(2, [ORG(1)], { region: '330105' }), leaf(3)], NODES);
  t.same(ids(tree.select(LOCAL)), ids(tree.items));
  t.same(ids(tree.select(GROUP)), [GROUP, ORG(1), ORG(2), camera(1), camera(2)]);
  t.same(ids(tree.select(ORG(1))), [ORG(1), ORG(2), camera(1), camera(2)], 'its organisations and what is in them');
  t.same(ids(tree.select(ORG(2))), [ORG(2), camera(1)]);
  t.same(ids(tree.select('330106')), [camera(1), camera(3)], 'a region has no item here, but what lies in it');
  t.same(ids(tree.select('33')), [camera(1), camera(2), camera(3)]);
  t.same(ids(tree.select('33010600')), [camera(1), camera(3)]);
  t.same(ids(tree.select(camera(2))), [camera(2)]);
  for (const unknown of ['44', '33010000002150000009', ORG(9), camera(9), '', '3', 'x'.repeat(64), '0000']) t.equal(tree.select(unknown), undefined, unknown.slice(0, 20));
});

await t.test('devices as items: their channels under them, in every tree', async t => {
  const device: TreeNode = { id: NVR, kind: 'device', name: 'NVR 7', region: '330106', state: 'OFF', manufacturer: 'ACME' };
  const channels = [leaf(1, [ORG(1)], { device: NVR }), leaf(2)];
  const civil = new CatalogTree({ ...OPTIONS, shape: 'civil' }, channels, [...NODES, device]);
  t.same(ids(civil.items), [LOCAL, '3301', '330106', NVR, camera(1), camera(2)]);
  t.match(civil.get(NVR), { parental: '1', parentId: LOCAL, civilCode: '330106', status: 'OFF', manufacturer: 'ACME' });
  t.match(civil.get(camera(1)), { parental: '0', parentId: NVR, businessGroupId: undefined });
  t.same(ids(civil.select(NVR)), [NVR, camera(1)], 'a device and its children');
  t.equal(civil.get('330106')?.name, '西湖区');
  const groups = new CatalogTree({ ...OPTIONS, composite: true }, channels, [...NODES, device]);
  t.equal(groups.get(camera(1))?.parentId, `${NVR}/${ORG(1)}`);
  t.same(ids(groups.select(ORG(1))), [ORG(1), ORG(2), camera(1)]);
  t.same(ids(new CatalogTree({ ...OPTIONS, shape: 'flat' }, channels, [device]).items), [NVR, camera(1), camera(2)]);
});

await t.test('fields of both editions (gb28181.md 3.4): neither more nor less, and nothing of the network below', async t => {
  const full = leaf(1, [ORG(2)], { item: { deviceId: camera(1), owner: 'O', certNum: '1', securityLevelCode: 'A', ipAddress: '10.0.0.1', port: '80', password: 'p', route: 'x', info: { ptzType: '1', useType: '1', mac: '00' } } });
  const tree = new CatalogTree(OPTIONS, [full], NODES);
  const [old, young] = (['2016', '2022'] as const).map(version => tree.items.map(item => formatCatalogItem(item, version)).join(''));
  for (const text of [old!, young!]) t.notMatch(text, /10\.0\.0\.1|<Password>|<Port>|ViewLinkRoute/);
  for (const field of ['Owner', 'SafetyWay', 'CertNum', 'UseType']) t.same([old!.includes(`<${field}>`), young!.includes(`<${field}>`)], [true, false], field);
  for (const field of ['SecurityLevelCode', 'MAC', 'GrassrootsCode', 'PointType']) t.same([old!.includes(`<${field}>`), young!.includes(`<${field}>`)], [false, true], field);
  const [, group, district] = tree.items;
  t.same([formatCatalogItem(group!, '2016').includes('CivilCode'), formatCatalogItem(group!, '2022').includes('CivilCode')], [false, true], 'of groups since 2022');
  t.notMatch(formatCatalogItem(district!, '2022'), /Status|Parental|Info/, 'a virtual item has no others');
});

const PUBLISHED: readonly CatalogItem[] = [
  { deviceId: GROUP, name: 'G' },
  { deviceId: ORG(1), name: 'one', businessGroupId: GROUP },
  { deviceId: ORG(2), name: 'two', parentId: ORG(1) },
  { deviceId: ORG(3), name: 'three', parentId: ORG(4) },
  { deviceId: ORG(4), name: 'four', parentId: ORG(3) },
  { deviceId: camera(1), parentId: `${NVR}/${ORG(2)}` },
  { deviceId: camera(2), parentId: `${NVR}/${ORG(1)}/${ORG(2)}/${ORG(9)}` },
  { deviceId: camera(3), businessGroupId: GROUP },
  { deviceId: camera(4), parentId: ORG(3) },
];

await t.test('groups as a device publishes them: loops cut, strangers left out (fault 44)', async t => {
  const { nodes, membershipOf } = publishedGroups(PUBLISHED, NVR);
  t.match(nodes.get(ORG(2)), { group: GROUP, parent: ORG(1) }, 'its group is that of the one above it');
  t.equal(nodes.get(GROUP)?.group, undefined);
  t.equal([nodes.get(ORG(3)), nodes.get(ORG(4))].filter(node => node?.parent === undefined).length, 1, 'the loop is cut once');
  t.same(PUBLISHED.slice(5).map(membershipOf), [[ORG(2)], [ORG(1), ORG(2)], [GROUP], [ORG(3)]]);
  const above = nodesAbove(PUBLISHED, NVR);
  t.same(above(PUBLISHED[5]!), [ORG(2), ORG(1), GROUP, NVR]);
  t.same(above({ deviceId: camera(9) }), [NVR]);
  const anyItem = fc.record({ id: fc.integer({ min: 0, max: 6 }), parent: fc.integer({ min: 0, max: 8 }), group: fc.boolean() });
  fc.assert(
    fc.property(fc.array(anyItem, { maxLength: 12 }), items => {
      const catalog = items.map(({ id, parent, group }) => ({ deviceId: ORG(id), parentId: ORG(parent), ...(group && { businessGroupId: GROUP }) }));
      const { nodes: found } = publishedGroups([{ deviceId: GROUP }, ...catalog], NVR);
      return [...found.values()].every(node => {
        let here = node.parent;
        for (let steps = 0; here !== undefined && steps < 20; steps++) here = found.get(here)?.parent;
        return here === undefined;
      });
    }),
  );
  const chain = Array.from({ length: 50_000 }, (_, i): CatalogItem => ({ deviceId: `3301000000216${String(i).padStart(7, '0')}`, parentId: `3301000000216${String(i + 1).padStart(7, '0')}` }));
  const began = performance.now();
  t.equal(nodesAbove(chain, NVR)(chain[0]!).length, 33, 'so many levels count');
  t.ok(performance.now() - began < 2000);
});

const U1: MappingUpstream = { name: 'u1', localId: LOCAL, reserved: [LOCAL] };
const share = (device: number, serial: number): Share => ({ deviceId: `3301000000118000000${device}`, channelId: camera(serial) });

await t.test('the same channel ID under two devices is two items, in every tree', async () => {
  fc.assert(
    fc.property(fc.constantFrom('civil' as const, 'groups' as const, 'flat' as const), fc.boolean(), fc.uniqueArray(fc.record({ device: fc.integer({ min: 1, max: 4 }), serial: fc.integer({ min: 1, max: 6 }) }), { maxLength: 16, selector: ({ device, serial }) => `${device}/${serial}` }), (shape, ownIds, channels) => {
      const mapping = new IdMapping([]);
      const nodes = [1, 2, 3, 4].map((device): Share => ({ deviceId: `3301000000118000000${device}`, channelId: ORG(1), isNode: true }));
      mapping.assign({ ...U1, ownIds }, [...nodes, ...channels.map(({ device, serial }) => share(device, serial))]);
      const orgs = nodes.map((node): TreeNode => ({ id: mapping.idOf('u1', node)!, kind: 'virtual-org', name: 'the same name', group: GROUP }));
      const leaves = channels.map(({ device, serial }): TreeChannel => ({ ...leaf(serial), mappedId: mapping.idOf('u1', share(device, serial))!, memberOf: [orgs[device - 1]!.id] }));
      const tree = new CatalogTree({ ...OPTIONS, shape }, leaves, [NODES[0]!, ...orgs]);
      const listed = ids(tree.items)!;
      const isWhole = new Set(listed).size === listed.length && channels.every(({ device, serial }) => mapping.resolve('u1', mapping.idOf('u1', share(device, serial))!)?.deviceId === share(device, serial).deviceId);
      // Every parent is there, and in front.
      const isOrdered = shape === 'flat' || tree.items.every((item, at) => [item.parentId, item.businessGroupId].every(id => id === undefined || listed.slice(0, at).includes(id)));
      return isWhole && isOrdered && orgs.every(({ id }) => kindOf(id) === 'virtual-org') && (!ownIds || leaves.every(({ mappedId }) => mappedId.startsWith('3301000000')));
    }),
  );
});

await t.test('mapping: the engineer goes first, and whoever had the ID gets another', async t => {
  const mapping = new IdMapping([]);
  const both = [share(1, 1), share(2, 2)];
  mapping.assign(U1, both);
  const fixed = (id: string, device: number, serial: number): MappingUpstream => ({ ...U1, fixedIds: new Set([id]), fixedIdOf: each => (each.deviceId === share(device, serial).deviceId && each.channelId === camera(serial) ? id : undefined) });
  const taken = mapping.assign(fixed(camera(2), 1, 1), both);
  t.same(taken.rows.map(row => [row.channelId, row.mappedId]), [[camera(1), camera(2)], [camera(2), '33010000001320000001']]);
  t.same(taken.released.map(({ channelId }) => channelId).sort(), [camera(1), camera(2)]);
  t.same(mapping.assign(fixed(camera(2), 1, 1), both), { rows: [], released: [], failed: [] }, 'and then it stays');
  t.equal(mapping.resolve('u1', camera(1)), undefined, 'the ID that it had is nobody');
  t.same(mapping.assign(U1, both).rows, [], 'IDs that were given stay when the engineer says nothing more');
  const ambiguous: MappingUpstream = { ...U1, fixedIds: new Set(['34010000001320000001']), fixedIdOf: () => '34010000001320000001' };
  t.same(mapping.assign(ambiguous, both).rows.map(({ channelId }) => channelId), [camera(1)], 'of two with the same one the first has it');
  t.same(mapping.assign(ambiguous, both), { rows: [], released: [], failed: [] });
});

await t.test('mapping: IDs of our own, for channels that had kept theirs too; a copy gives nothing away', async t => {
  const mapping = new IdMapping([], () => 5);
  const both = [share(1, 1), share(2, 2)];
  mapping.assign(U1, both);
  const copy = mapping.copyOf('u1');
  const preview = copy.assign({ ...U1, ownIds: true, prefix: '9901000000' }, both);
  t.same(preview.rows.map(({ mappedId }) => mappedId), ['99010000001320000006', '99010000001320000007']);
  t.equal(mapping.idOf('u1', both[0]!), camera(1), 'untouched');
  t.same(mapping.assign({ ...U1, ownIds: true, prefix: '9901000000' }, both).rows.map(({ mappedId }) => mappedId), ['99010000001320000006', '99010000001320000007'], 'what was shown is what comes');
});

await t.test('rows for people, and the difference of two views', async t => {
  const behind = (id: string) => (kindOf(id) === 'device' ? { deviceId: NVR, channelId: id.slice(0, 20), permitted: ['live'], atTimes: [] } : undefined);
  const civil = viewRows(new CatalogTree({ ...OPTIONS, shape: 'civil' }, [leaf(1), leaf(2, [], { state: 'VLOST' })], []), behind);
  t.same(civil.map(({ id, depth, kind, status }) => [id, depth, kind, status]), [[LOCAL, 0, 'system', 'ON'], ['3301', 1, 'civil', null], ['330106', 2, 'civil', null], [camera(1), 3, 'channel', 'ON'], [camera(2), 3, 'channel', 'OFF']]);
  const groups = viewRows(new CatalogTree(OPTIONS, [leaf(1, [ORG(2)]), leaf(3)], NODES), behind);
  t.same(groups.map(({ id, depth }) => [id, depth]), [[LOCAL, 0], [GROUP, 1], [ORG(1), 2], [ORG(2), 3], [camera(1), 4], [camera(3), 1]]);
  t.same(diffViews(civil, civil), []);
  const changes = diffViews(civil, groups);
  t.same(changes.map(({ type, before, after }) => `${type} ${(before ?? after)!.id}`).sort(), [`added ${camera(3)}`, `added ${GROUP}`, `added ${ORG(1)}`, `added ${ORG(2)}`, `changed ${camera(1)}`, 'removed 3301', 'removed 330106', `removed ${camera(2)}`].sort());
  t.same(changes.find(({ type }) => type === 'changed')?.fields, ['under', 'parentId']);
  const renamed = diffViews(civil, civil.map(row => (row.id === camera(1) ? { ...row, id: camera(7), name: 'x' } : row)));
  t.same(renamed.map(({ type, fields }) => [type, fields]), [['changed', ['id', 'name']]], 'another ID is a change of the same channel');
});
