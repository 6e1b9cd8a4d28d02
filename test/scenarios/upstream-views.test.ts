/** What upstreams see, over catalogues of the test and a clock that it moves. */
import t from 'tap';
import { type GatewayConfig, gatewaySchema } from '#core/config/schema.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import type { MappingRow } from '#core/gb/id-mapping.ts';
import type { Log } from '#kit/log.ts';
import type { Catalogs, ChannelRef } from '../../daemons/sipd/catalogs.ts';
import { Counters } from '#kit/counters.ts';
import { DeviceCatalog } from '../../daemons/sipd/device-catalog.ts';
import { Resources } from '../../daemons/sipd/resources.ts';
import { Views } from '../../daemons/sipd/views.ts';
import { ManualClock } from '../rig/manual-clock.ts';

const LOCAL = '33010000002000000001';
const NVR = '33010600001180000001';
const PLATFORM = '44030000002000000001';
const camera = (serial: number): string => `33010600001320${String(serial).padStart(6, '0')}`;
/** A Monday, 07:30 in Beijing. */
const MONDAY = Date.parse('2026-03-09T07:30:00+08:00');

/** Views over these catalogues, with the rows that they store. */
function world(view: object, catalogues: Readonly<Record<string, readonly CatalogItem[]>>, more: object = {}) {
  const clock = new ManualClock(MONDAY);
  let config: GatewayConfig = gatewaySchema.parse({ ...more, upstreams: [{ name: 'up', id: '33000000002000000001', address: '10.0.0.1', localId: LOCAL, view }] });
  const devices = new Map<string, DeviceCatalog>();
  const put = (id: string, items: readonly CatalogItem[]): void => {
    const device = new DeviceCatalog(id);
    for (const item of items) device.items.set(item.deviceId, item);
    device.rebuild();
    devices.set(id, device);
  };
  for (const [id, items] of Object.entries(catalogues)) put(id, items);
  const none = new DeviceCatalog('');
  const of = (id: string): DeviceCatalog => devices.get(id) ?? none;
  const catalogs = {
    channels: (id: string) => of(id).channels,
    *allChannels(): Generator<ChannelRef & { item: CatalogItem }> {
      for (const [deviceId, { channels }] of devices) for (const [channelId, item] of channels) yield { deviceId, channelId, item };
    },
    nodesOf: (id: string, item: CatalogItem) => of(id).nodesOf(item),
    groupsOf: (id: string) => of(id).groups,
    facts: (id: string) => of(id).facts,
    civilNames: () => new Map<string, string>(),
  } as unknown as Catalogs;
  const rows = new Map<string, MappingRow>();
  let stored = 0;
  const store = {
    loadMappings: () => [], lastSerial: () => 0,
    putMappings: (list: readonly MappingRow[]) => { stored += list.length; for (const row of list) rows.set(`${row.deviceId}/${row.channelId}`, row); },
    deleteMappings: (list: readonly ChannelRef[]) => { for (const { deviceId, channelId } of list) rows.delete(`${deviceId}/${channelId}`); },
  };
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as Log;
  const resources = new Resources({ catalogs, config: () => config, isOnline: () => true });
  const counters = new Counters();
  let times = 0;
  const views = new Views({ clock, log, counters, store: store as never, catalogs, resources, config: () => config, isOnline: () => true, placeOf: () => undefined, onTime: () => void times++ });
  views.configure();
  const reconfigure = (next: object): void => {
    config = gatewaySchema.parse({ ...more, upstreams: [{ ...config.upstreams[0], view: next }] });
    views.configure();
  };
  return { views, clock, rows, counters, put, reconfigure, get config() { return config; }, get stored() { return stored; }, get times() { return times; }, changed: (id: string): void => { resources.changed(); views.channelsChanged(id); } };
}

const live = [{ allow: [{ what: ['live'], days: ['mon'], from: '08:00', to: '18:00' }] }];

await t.test('a window opens and closes by the clock, and whoever must know is told', async t => {
  const one = world({ rules: live }, { [NVR]: [{ deviceId: camera(1) }] });
  const channel = { deviceId: NVR, channelId: camera(1) };
  const may = (): boolean => one.views.permits('up', channel, 'live');
  t.same([may(), one.views.everPermits('up', channel, 'live'), one.views.resolveFor('up', camera(1), 'live')], [false, true, 'not-shared']);
  one.clock.advance(30 * 60_000 - 1);
  t.notOk(may());
  const before = one.times;
  one.clock.advance(1);
  t.same([may(), one.times > before, one.views.resolveFor('up', camera(1), 'live')], [true, true, channel]);
  one.clock.advance(10 * 3_600_000 - 1);
  t.ok(may());
  const open = one.times;
  one.clock.advance(1);
  t.same([may(), one.times > open], [false, true]);
  one.clock.stepWall(-2 * 3_600_000);
  one.clock.advance(600_000);
  t.ok(one.times > open + 1, 'a clock that was set is noticed within ten minutes');
  t.ok(may());
  one.reconfigure({});
  t.equal(one.clock.scheduled, 0, 'without windows nothing waits for anything');
  one.views[Symbol.dispose]();
});

await t.test('IDs are on disk before anybody hears of them, and a candidate leaves none', async t => {
  const one = world({}, { [NVR]: [{ deviceId: camera(1), name: 'a' }, { deviceId: camera(2), name: 'b' }] });
  t.equal(one.stored, 2);
  one.put('33010600001180000002', [{ deviceId: camera(1), name: 'c' }]);
  one.changed('33010600001180000002');
  t.equal(one.stored, 2, 'not at once: many may come together');
  t.equal(one.views.idOf('up', { deviceId: '33010600001180000002', channelId: camera(1) }), '33010000001320000001', 'but before anybody hears');
  t.equal(one.stored, 3);
  const candidate = one.views.candidate('up', gatewaySchema.parse({ upstreams: [{ ...one.config.upstreams[0], view: { ids: 'own', fixed: [{ channel: camera(2), id: '99000000001320000001' }] } }] }));
  t.same([...candidate!.tree().behind.keys()], ['33010000001320000002', '99000000001320000001', '33010000001320000001'], 'what had one of ours keeps it');
  t.equal(one.stored, 3);
  t.equal(one.views.idOf('up', { deviceId: NVR, channelId: camera(2) }), camera(2));
  t.equal(one.views.candidate('nobody', one.config), undefined);
  one.reconfigure({ ids: 'own', fixed: [{ channel: camera(2), id: '99000000001320000001' }] });
  t.same([...one.rows.values()].map(({ mappedId }) => mappedId).sort(), ['33010000001320000001', '33010000001320000002', '99000000001320000001'], 'applied, it is what was shown');
  t.equal(one.views.resolve('up', camera(2)), 'not-shared', 'the ID that it had is no way in');
});

await t.test('what a platform below has from us is counted, unless the engineer knows better', async t => {
  const catalogues = { [NVR]: [{ deviceId: camera(1) }], [PLATFORM]: [{ deviceId: camera(1) }, { deviceId: camera(2) }] };
  const one = world({}, catalogues);
  one.changed(PLATFORM);
  t.equal(one.views.shares(one.config.upstreams[0]!).length, 2);
  t.equal(one.counters.snapshot()['view.returned'], 1);
  const other = world({}, catalogues, { devices: { known: [{ id: PLATFORM, password: 'x', returned: 'publish' }] } });
  t.equal(other.views.shares(other.config.upstreams[0]!).length, 3);
  t.equal(new Set(other.views.shares(other.config.upstreams[0]!).map(channel => other.views.idOf('up', channel))).size, 3);
});

await t.test('10,000 channels: a tree in well under a second, a look-up in microseconds', async t => {
  const one = world({ tree: 'groups', rules: [{ show: false, names: ['*99'] }, { civilCodes: ['3301'] }], groups: [{ id: '33010000002150000001', name: 'g', organisations: [{ id: '33010000002160000001', name: 'o', ids: ['3301060000132000'] }] }] }, { [NVR]: Array.from({ length: 10_000 }, (_, serial) => ({ deviceId: camera(serial), name: `camera ${serial}`, civilCode: '330106' })) });
  const began = performance.now();
  const tree = one.views.tree(one.config.upstreams[0]!)!;
  const treeMs = performance.now() - began;
  t.equal(tree.items.length, 3 + 9_900);
  t.ok(treeMs < 2000, `${Math.round(treeMs)} ms`);
  const lookedAt = performance.now();
  for (let serial = 0; serial < 10_000; serial++) one.views.resolve('up', camera(serial));
  const lookMs = performance.now() - lookedAt;
  t.ok(lookMs < 2000, `${Math.round(lookMs)} ms for 10,000`);
});
