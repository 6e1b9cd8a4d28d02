import fc from 'fast-check';
import t from 'tap';
import { type ResourceChannel, type ResourceSettings, ResourceTable } from '#core/gb/resource.ts';

const NVR = '34020000001180000001';
const CAMERA = '34020000001320000501';
const PEER = '34020000002000000077';
const channel = (deviceId: string, channelId: string, item: ResourceChannel['item'] = {}): ResourceChannel => ({ deviceId, channelId, item });
const settings = (rules: Partial<ResourceSettings['rules']>, list: ResourceSettings['list'] = []): ResourceSettings => ({ list, rules: { sameId: false, sameName: false, sameAddress: false, ...rules } });
const sources = (table: ResourceTable): string[][] => table.all.map(resource => resource.sources.map(({ deviceId, channelId }) => `${deviceId}/${channelId}`));

t.test('each rule joins what it says, and none does unless it is switched on', t => {
  const id = channel(NVR, '34020000001320000001');
  const same = channel(PEER, '34020000001320000001');
  const named = [channel(NVR, '34020000001320000002', { name: 'North gate', civilCode: '330106' }), channel(CAMERA, '34020000001320000003', { name: ' North gate', civilCode: '33010600' })];
  const placed = [channel(NVR, '34020000001320000004', { ipAddress: '10.0.0.4', port: '8000' }), channel(CAMERA, '34020000001320000005', { ipAddress: '10.0.0.4', port: 8000 })];
  const all = [same, id, ...named, ...placed];
  t.same(new ResourceTable(all, settings({})).all, []);
  t.same(sources(new ResourceTable(all, settings({ sameId: true }))), [[`${NVR}/${id.channelId}`, `${PEER}/${id.channelId}`]], 'a platform that has it from somebody comes last');
  t.same(sources(new ResourceTable(all, settings({ sameName: true }))), [[`${NVR}/34020000001320000002`, `${CAMERA}/34020000001320000003`]]);
  t.same(sources(new ResourceTable(all, settings({ sameAddress: true }))), [[`${NVR}/34020000001320000004`, `${CAMERA}/34020000001320000005`]]);
  t.equal(new ResourceTable(all, settings({ sameId: true, sameName: true, sameAddress: true })).all.length, 3);
  t.same(sources(new ResourceTable(all, settings({ sameAddress: true }), [CAMERA]))[0]?.[0], `${CAMERA}/34020000001320000005`, 'in the order of the configuration');
  t.end();
});

t.test('what looks alike and is not one camera stays apart', t => {
  const default4 = [1, 2].map(serial => channel(NVR, `3402000000132000000${serial}`, { name: 'Camera 01', civilCode: '3301' }));
  t.same(new ResourceTable(default4, settings({ sameName: true })).all, [], 'two channels of one device');
  const many = [1, 2, 3, 4, 5].map(serial => channel(`3402000000118000000${serial}`, `3402000000132000000${serial}`, { name: 'Camera 01', civilCode: '3301' }));
  t.same(new ResourceTable(many, settings({ sameName: true })).all, [], 'a name that five devices give');
  const nowhere = [channel(NVR, 'a', { ipAddress: '0.0.0.0', port: '5060' }), channel(CAMERA, 'b', { ipAddress: '0.0.0.0', port: '5060' })];
  const portless = [channel(NVR, 'a', { ipAddress: '10.0.0.1', port: '' }), channel(CAMERA, 'b', { ipAddress: '10.0.0.1' })];
  t.same(new ResourceTable([...nowhere, ...portless], settings({ sameAddress: true })).all, []);
  t.same(new ResourceTable([channel(NVR, '1'), channel(CAMERA, '1')], settings({ sameId: true })).all, [], 'IDs that are no national ones are given twice everywhere');
  t.same(new ResourceTable([channel(NVR, 'a', { name: 'x' }), channel(CAMERA, 'b', { name: 'x' })], settings({ sameName: true })).all, [], 'a name without a region');
  t.end();
});

t.test("the engineer's list goes first", t => {
  const all = [channel(NVR, '34020000001320000001'), channel(CAMERA, '34020000001320000001'), channel(PEER, '34020000001320000001')];
  const one = (id: string, ...devices: string[]): ResourceSettings['list'][number] => ({ id, name: 'Gate', sources: devices.map(device => ({ device, channel: '34020000001320000001' })) });
  const apart = new ResourceTable(all, settings({ sameId: true }, [one('34020000001320009001', CAMERA)]));
  t.same(apart.of(all[1]!)?.id, '34020000001320009001', 'one that is listed alone');
  t.same(apart.of(all[0]!)?.sources.length, 2, 'and the rule joins the others');
  const chosen = new ResourceTable(all, settings({ sameId: true }, [one('34020000001320009001', PEER, CAMERA, NVR)]));
  t.same(chosen.all.length, 1);
  t.same(chosen.sourcesOf(all[0]!).map(({ deviceId }) => deviceId), [PEER, CAMERA, NVR], 'in the order that was written');
  const stranger = new ResourceTable([], settings({}, [one('34020000001320009001', PEER)]));
  t.same(stranger.all[0]?.sources.length, 1, 'also what no catalogue lists yet');
  t.same(stranger.sourcesOf(all[1]!), [all[1]], 'a channel of no resource stands for itself');
  t.end();
});

t.test('any catalogues: every channel is in one resource at most, and no resource has two of one device by itself', t => {
  const text = fc.constantFrom('', 'North gate', 'Camera 01');
  const item = fc.record({ name: text, civilCode: fc.constantFrom('', '3301', '330106', 'x'), ipAddress: fc.constantFrom('', '10.0.0.1', '0.0.0.0'), port: fc.constantFrom('', '0', '5060', 'x') });
  const some = fc.record({ deviceId: fc.constantFrom(NVR, CAMERA, PEER), channelId: fc.constantFrom('34020000001320000001', '34020000001320000002', 'odd'), item });
  const flags = fc.record({ sameId: fc.boolean(), sameName: fc.boolean(), sameAddress: fc.boolean() });
  fc.assert(
    fc.property(fc.uniqueArray(some, { selector: one => `${one.deviceId}/${one.channelId}` }), flags, (channels, rules) => {
      const table = new ResourceTable(channels, settings(rules));
      const keys = sources(table).flat();
      if (new Set(keys).size !== keys.length) return false;
      return table.all.every(resource => resource.sources.every(source => table.of(source) === resource) && new Set(resource.sources.map(({ deviceId }) => deviceId)).size === resource.sources.length);
    }),
  );
  t.end();
});
