import fc from 'fast-check';
import t from 'tap';
import { FIRST_PART_MS, GIVE_UP_MS, MAX_CATALOG_ITEMS, QUIET_MS, SETTLE_MS, type CatalogOutput, type CatalogResult, CatalogCollector } from '#core/gb/catalog-collector.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { type PagerInput, type PagerOptions, type PagerOutput, CatalogPager, fitsOnePage } from '#core/gb/catalog-pages.ts';
import { resolveParents, videoChannels } from '#core/gb/catalog-parents.ts';
import { stateOf } from '#core/gb/catalog-changes.ts';
import { type TreeChannel, type TreeOptions, CatalogTree } from '#core/gb/catalog-tree.ts';
import { civilCodeOf, normalizeCivilCode } from '#core/gb/device-id.ts';
import { PROLOGUE_BYTES, encodedLength } from '#core/gb/dialect.ts';
import { type MappingRow, type MappingUpstream, IdMapping } from '#core/gb/id-mapping.ts';
import { type CatalogBody, parseManscdp } from '#core/gb/manscdp.ts';
import { type Ms, ms } from '#core/units.ts';

const LOCAL = '33010000002000000001';
const NVR = '33010000001180000007';
const camera = (serial: number): string => `33010000001320${String(serial).padStart(6, '0')}`;
const item = (serial: number, more: Partial<CatalogItem> = {}): CatalogItem => ({ deviceId: camera(serial), name: `camera ${serial}`, ...more });
const body = (sumNum: number | undefined, items: readonly CatalogItem[], dropped = 0): CatalogBody => ({ kind: 'catalog', sumNum, num: items.length, items, dropped });
const range = (from: number, to: number): CatalogItem[] => Array.from({ length: to - from }, (_, i) => item(from + i));

/** Feeds parts at their times and jumps from deadline to deadline until it is done. */
function collect(parts: readonly (readonly [number, CatalogBody])[]): { at: Ms; result: CatalogResult; collector: CatalogCollector } {
  const collector = new CatalogCollector(ms(0));
  const outputs: CatalogOutput[] = [];
  const queue = [...parts];
  for (let steps = 0; steps < 100; steps++) {
    const next = queue[0];
    if (next !== undefined && next[0] < collector.deadline) outputs.push(...collector.part(queue.shift()![1], ms(next[0])));
    else {
      const at = collector.deadline;
      for (const output of collector.tick(at)) if (output.type === 'done') return { at, result: output.result, collector };
    }
  }
  throw new Error('never done');
}

await t.test('collector: complete, however many messages', async t => {
  t.match(collect([[100, body(3, range(0, 2))], [300, body(3, range(2, 3))]]), { at: 300 + SETTLE_MS, result: { state: 'complete', why: 'complete', expected: 3, items: range(0, 3), duplicates: 0 } });
  t.match(collect([[100, body(0, [])]]), { result: { state: 'complete', items: [] } });
  t.match(collect([[119_999, body(1, range(0, 1))]]).result, { state: 'complete' }, 'the first part may be late (quirk 30)');
  t.match(collect([[100, body(2, range(0, 2))], [200, body(2, range(2, 4))]]).result, { state: 'complete', items: range(0, 4) }, 'a device that counts each message');
  t.match(collect([[100, body(2, range(0, 1))], [200, body(3, range(1, 2))], [300, body(2, range(2, 3))]]).result, { state: 'complete', expected: 3 }, 'the highest SumNum counts');
});

await t.test('collector: partial, and nothing that is missing may go (fault 43)', async t => {
  t.match(collect([[1000, body(10, range(0, 7))]]), { at: 1000 + GIVE_UP_MS, result: { state: 'partial', why: 'items-missing', expected: 10, items: range(0, 7) } });
  t.match(collect([]), { at: FIRST_PART_MS, result: { state: 'partial', why: 'no-answer', expected: 0, items: [] } });
  t.match(collect([[0, body(3, range(0, 2), 1)]]), { at: SETTLE_MS, result: { state: 'partial', why: 'items-unreadable', dropped: 1 } });
  t.match(collect([[0, body(undefined, range(0, 2))]]), { at: GIVE_UP_MS, result: { state: 'partial', why: 'items-missing' } }, 'no SumNum at all');
});

await t.test('collector: repeated IDs (fault 45)', async t => {
  const renamed = item(1, { name: 'renamed' });
  t.match(collect([[0, body(3, [item(0), item(1), renamed])]]), { at: QUIET_MS, result: { state: 'complete', duplicates: 1, items: [item(0), renamed] } }, 'the last wins');
  t.match(collect([[0, body(4, range(0, 2))], [10, body(4, range(0, 2))]]), { at: 10 + GIVE_UP_MS, result: { state: 'partial', duplicates: 0 } }, 'a message sent again brings nothing');
});

await t.test('collector: late and too much', async t => {
  const { collector, at } = collect([[0, body(1, range(0, 1))]]);
  t.same(collector.part(body(1, range(1, 2)), ms(at + 50)), [{ type: 'extra', items: range(1, 2) }]);
  t.same(collector.part(body(1, []), ms(at + 60)), []);
  t.same(collector.tick(ms(1e9)), []);
  t.same(collector.progress, { running: false, expected: 1, received: 0 });
  const flood = new CatalogCollector(ms(0));
  for (let page = 0; page <= 10; page++) flood.part(body(200_000, range(page * 10_000, (page + 1) * 10_000)), ms(page));
  const [done] = flood.tick(flood.deadline);
  t.match(done, { type: 'done', result: { state: 'partial', why: 'too-many' } });
  t.equal(done?.type === 'done' && done.result.items.length, MAX_CATALOG_ITEMS);
});

await t.test('parents: loops, strangers, composites (fault 44; quirks 26, 27, 29)', async t => {
  const org = '33010000002160000001';
  const parents = resolveParents(
    [
      item(1, { parentId: camera(2) }),
      item(2, { parentId: camera(3) }),
      item(3, { parentId: camera(1) }),
      item(4, { parentId: camera(4) }),
      item(5, { parentId: 'null' }),
      item(6, { parentId: camera(99) }),
      item(7, { parentId: `${NVR}/${org}` }),
      item(8, { parentId: `${org}/${camera(98)}` }),
      item(9),
      { deviceId: org, parentId: NVR },
      { deviceId: '3301' },
      { deviceId: '330106' },
      { deviceId: '4403' },
    ],
    NVR,
  );
  const expected: Readonly<Record<string, string>> = { [camera(4)]: NVR, [camera(5)]: NVR, [camera(6)]: NVR, [camera(7)]: org, [camera(8)]: org, [camera(9)]: NVR, [org]: NVR, '330106': '3301', '3301': NVR, '4403': NVR };
  for (const [id, parent] of Object.entries(expected)) t.equal(parents.get(id), parent, id);
  t.same([1, 2, 3].map(serial => parents.get(camera(serial))).filter(parent => parent === NVR).length, 1, 'the loop is cut once');
  const anyItem = fc.record({ id: fc.integer({ min: 0, max: 12 }), parent: fc.integer({ min: 0, max: 14 }) });
  fc.assert(
    fc.property(fc.array(anyItem, { maxLength: 30 }), items => {
      const found = resolveParents(items.map(({ id, parent }) => item(id, { parentId: camera(parent) })), NVR);
      return [...found.keys()].every(id => {
        let here = id;
        for (let steps = 0; here !== NVR && steps < 20; steps++) here = found.get(here) ?? 'lost';
        return here === NVR;
      });
    }),
  );
  const chain = Array.from({ length: 100_000 }, (_, i) => item(i, { parentId: camera(i + 1) }));
  t.equal(resolveParents(chain, NVR).size, 100_000, 'a chain of 100,000 does not overflow or crawl');
});

await t.test('channels of a device', async t => {
  const ids = (items: readonly CatalogItem[]): string[] => videoChannels(items, NVR).map(each => each.deviceId);
  t.same(ids([{ deviceId: NVR }, item(1), { deviceId: '33010000001340000701' }, { deviceId: '330106' }, { deviceId: '33010000002160000001' }]), [camera(1)]);
  t.same(ids([{ deviceId: NVR }]), [NVR], 'a device that is its own channel');
  const subNvr = '33010000001180000008';
  t.same(ids([item(1, { parentId: subNvr }), { deviceId: subNvr }]), [camera(1)]);
});

const TREE: TreeOptions = { localId: LOCAL, name: 'Gateway domain', manufacturer: 'ViewLink', model: 'VLG', shape: 'civil', composite: false, civilNames: new Map([['330106', '西湖区']]) };
const asSeen = (mappedId: string, seen: CatalogItem, online = true): TreeChannel => ({
  mappedId, item: seen, name: seen.name ?? mappedId, state: stateOf(seen, online), memberOf: [],
  region: (seen.civilCode === undefined ? undefined : normalizeCivilCode(seen.civilCode)) ?? civilCodeOf(seen.deviceId),
});
const shared = (serial: number, more: Partial<CatalogItem> = {}, online = true): TreeChannel => asSeen(`3301000000132100${String(serial).padStart(4, '0')}`, item(serial, more), online);

await t.test('tree: system, regions, channels; parents first (gb28181.md 1.7 A)', async t => {
  const channels = [shared(1, { civilCode: '330106' }), shared(2, { civilCode: '44030500' }), shared(3, { civilCode: 'CivilCode' }, false), shared(4, { civilCode: '330100', status: 'OFF' })];
  const tree = new CatalogTree(TREE, channels);
  t.same(tree.items.map(each => each.deviceId), [LOCAL, '44', '3301', '4403', '330106', '440305', ...channels.map(channel => channel.mappedId)]);
  t.match(tree.items.slice(0, 5), [{ name: 'Gateway domain', civilCode: '3301', registerWay: '1', secrecy: '0', status: 'ON' }, { name: '44' }, {}, {}, { name: '西湖区' }]);
  t.notOk('parentId' in tree.items[0]!, 'our own system has no parent');
  t.same(tree.items.slice(6).map(each => [each.civilCode, each.status]), [['330106', 'ON'], ['440305', 'ON'], ['3301', 'OFF'], ['3301', 'OFF']]);
  for (const channel of tree.items.slice(6)) t.match(channel, { parentId: LOCAL, parental: '0', registerWay: '1', secrecy: '0', manufacturer: 'ViewLink', owner: 'Gateway domain' });
});

await t.test('tree: nothing of the network below goes up', async t => {
  const secret: Partial<CatalogItem> = { ipAddress: '10.1.1.1', port: '5060', password: 'p', parentId: NVR, businessGroupId: 'g', event: 'ADD', extras: [], info: { ptzType: '1' }, longitude: '120.13' };
  const [published] = new CatalogTree({ ...TREE, shape: 'flat' }, [{ ...shared(1, secret), manufacturer: 'ACME', model: 'N16' }]).items;
  for (const field of ['ipAddress', 'port', 'password', 'businessGroupId', 'event', 'extras']) t.notOk(field in published!, field);
  t.match(published, { deviceId: shared(1).mappedId, parentId: LOCAL, info: { ptzType: '1' }, longitude: '120.13', manufacturer: 'ACME', model: 'N16' });
});

await t.test('tree: queries', async t => {
  const channels = [shared(1, { civilCode: '330106' }), shared(2, { civilCode: '330105' })];
  const tree = new CatalogTree(TREE, channels);
  const ids = (queried: string): string[] | undefined => tree.select(queried)?.map(each => each.deviceId);
  t.equal(tree.select(LOCAL), tree.items);
  t.same(ids('330106'), ['330106', channels[0]!.mappedId]);
  t.same(ids('330100'), ['3301', '330105', '330106', ...channels.map(channel => channel.mappedId)]);
  t.same(ids(channels[1]!.mappedId), [channels[1]!.mappedId]);
  for (const unknown of ['44', camera(1), 'x', '']) t.equal(ids(unknown), undefined, unknown);
  t.same(new CatalogTree({ ...TREE, shape: 'flat' }, channels).items.map(each => each.deviceId), channels.map(channel => channel.mappedId), 'flat');
});

const PAGES: PagerOptions = { head: { sn: 9, deviceId: LOCAL }, items: range(0, 7), version: '2016', charset: 'gb2312', itemsPerMessage: 3 };
const sent = (outputs: readonly PagerOutput[]): { page: number; ids: string[]; sumNum: number | undefined; body: string }[] =>
  outputs.flatMap(output => {
    if (output.type !== 'send') return [];
    const parsed = parseManscdp(output.body);
    if (!parsed.ok || parsed.value.body.kind !== 'catalog') throw new Error('not a catalogue');
    return [{ page: output.page, ids: parsed.value.body.items.map(each => each.deviceId), sumNum: parsed.value.body.sumNum, body: output.body }];
  });

/** An upstream that answers every page in its way; returns everything that was sent. */
function play(options: PagerOptions, outcome: (page: number, attempt: number) => PagerInput['type'] | 'silence'): { outputs: PagerOutput[]; now: Ms } {
  const pager = new CatalogPager(options);
  const outputs: PagerOutput[] = pager.handle({ type: 'start' }, ms(0));
  const attempts = new Map<number, number>();
  let now = ms(0);
  for (let steps = 0; steps < 100_000; steps++) {
    const last = outputs.at(-1)!;
    if (last.type === 'done') return { outputs, now };
    const attempt = (attempts.get(last.page) ?? 0) + 1;
    attempts.set(last.page, attempt);
    const answer = outcome(last.page, attempt);
    if (answer === 'silence') now = pager.deadline;
    outputs.push(...pager.handle(answer === 'silence' ? { type: 'tick' } : { type: answer as 'accepted' | 'failed', page: last.page }, now));
  }
  throw new Error('never done');
}

await t.test('pages: each after the 200 of the one before', async t => {
  const { outputs } = play(PAGES, () => 'accepted');
  t.same(sent(outputs).map(({ page, ids, sumNum }) => [page, ids.length, sumNum]), [[1, 3, 7], [2, 3, 7], [3, 1, 7]]);
  t.same(sent(outputs).flatMap(({ ids }) => ids), range(0, 7).map(each => each.deviceId));
  t.match(outputs.at(-1), { type: 'done', pages: 3, accepted: 3, gaveUp: false });
  t.match(play({ ...PAGES, items: [] }, () => 'accepted').outputs, [{ type: 'send', body: /<SumNum>0</ }, { type: 'done', pages: 1 }]);
  const pager = new CatalogPager(PAGES);
  pager.handle({ type: 'start' }, ms(0));
  t.same(pager.handle({ type: 'accepted', page: 2 }, ms(1)), [], 'an outcome of another page');
  t.same(pager.handle({ type: 'start' }, ms(1)), []);
  t.same(pager.handle({ type: 'tick' }, ms(1)), []);
});

await t.test('pages: a pause between two', async t => {
  const pager = new CatalogPager({ ...PAGES, pauseMs: 200 });
  pager.handle({ type: 'start' }, ms(0));
  t.same(pager.handle({ type: 'accepted', page: 1 }, ms(10)), []);
  t.same([...pager.handle({ type: 'accepted', page: 1 }, ms(11)), ...pager.handle({ type: 'failed', page: 1 }, ms(12)), ...pager.handle({ type: 'tick' }, ms(209))], [], 'whatever is said of a page that is over');
  t.equal(pager.deadline, 210);
  t.match(pager.handle({ type: 'tick' }, ms(210)), [{ type: 'send', page: 2 }]);
  pager.handle({ type: 'accepted', page: 2 }, ms(220));
  pager.handle({ type: 'tick' }, ms(420));
  t.match(pager.handle({ type: 'accepted', page: 3 }, ms(430)), [{ type: 'done', accepted: 3 }], 'none behind the last');
  t.same([fitsOnePage(PAGES), fitsOnePage({ ...PAGES, itemsPerMessage: 7 }), fitsOnePage({ ...PAGES, itemsPerMessage: 7, bodyBudget: 400 }), fitsOnePage({ ...PAGES, items: [], bodyBudget: 800 })], [false, true, false, true]);
});

await t.test('pages: twice again, then the next, and in the end not at all', async t => {
  const lossy = play(PAGES, (page, attempt) => (page === 2 && attempt < 3 ? 'failed' : 'accepted'));
  t.same(sent(lossy.outputs).map(({ page }) => page), [1, 2, 2, 2, 3]);
  t.match(lossy.outputs.at(-1), { accepted: 3, gaveUp: false });
  const deaf = play(PAGES, page => (page === 2 ? 'silence' : 'accepted'));
  t.match(deaf.outputs.at(-1), { pages: 3, accepted: 2, gaveUp: false });
  t.equal(deaf.now, 18_000);
  const gone = play({ ...PAGES, items: range(0, 30) }, () => 'failed');
  t.same(sent(gone.outputs).map(({ page }) => page), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
  t.match(gone.outputs.at(-1), { accepted: 0, gaveUp: true });
});

await t.test('pages: as many as the budget lets in, one at least (12.3)', async t => {
  const items = range(0, 40).map(each => ({ ...each, name: '西湖区北门枪机', address: '西湖区'.repeat(each.deviceId.endsWith('7') ? 400 : 3) }));
  const { outputs } = play({ ...PAGES, items, itemsPerMessage: 100, bodyBudget: 800 }, () => 'accepted');
  const pages = sent(outputs);
  t.same(pages.flatMap(({ ids }) => ids), items.map(each => each.deviceId));
  t.ok(pages.length < 40 && pages.some(({ ids }) => ids.length > 1));
  for (const { ids, body: text } of pages) if (ids.length > 1) t.ok(encodedLength(text, 'gb2312') + PROLOGUE_BYTES <= 800, `${ids.length} items`);
});

await t.test('10,000 channels: tree and pages', async t => {
  const channels = Array.from({ length: 10_000 }, (_, i) => asSeen(camera(i), item(i, { civilCode: `3301${String(10 + (i % 50))}` })));
  const tree = new CatalogTree(TREE, channels);
  t.equal(tree.items.length, 1 + 51 + 10_000);
  const { outputs } = play({ ...PAGES, items: tree.items, itemsPerMessage: 100 }, () => 'accepted');
  t.match(outputs.at(-1), { pages: 101, accepted: 101 });
});

const U1: MappingUpstream = { name: 'u1', localId: LOCAL, reserved: [LOCAL, '33000000002000000001'] };
const share = (device: number, channelId: string): { deviceId: string; channelId: string } => ({ deviceId: `3301000000118000000${device}`, channelId });

await t.test('mapping: native where it can be, ours where not, for ever', async t => {
  const mapping = new IdMapping([]);
  const first = mapping.assign(U1, [share(1, camera(1)), share(1, camera(2)), share(2, camera(2)), share(2, '330100000013200701'), share(2, LOCAL)]);
  t.same(first.rows.map(({ mappedId, serial }) => [mappedId, serial]), [
    [camera(1), 0],
    ['33010000001320000003', 3],
    ['33010000001320000004', 4],
    ['33010000001320000005', 5],
    ['33010000001320000006', 6],
  ], 'serials 1 and 2 are native IDs of channels here');
  t.same(mapping.assign(U1, [share(1, camera(1)), share(2, camera(2))]).rows, [], 'once given, given');
  t.equal(mapping.idOf('u1', share(1, camera(2))), '33010000001320000003');
  t.same(mapping.resolve('u1', '33010000001320000004'), share(2, camera(2)));
  t.equal(mapping.resolve('u1', camera(2)), undefined, 'an ambiguous ID is nobody');
  t.equal(mapping.resolve('u2', camera(1)), undefined, 'each upstream for itself');
  const late = mapping.assign(U1, [share(3, camera(1)), share(3, camera(4))]);
  t.same(late.rows.map(({ mappedId }) => mappedId), ['33010000001320000007', '33010000001320000008'], 'native IDs that somebody was given before');
  t.same(new IdMapping([]).assign(U1, [share(1, '33010000001340000701'), share(2, '33010000001340000701')]).rows.map(({ mappedId }) => mappedId), ['33010000001340000001', '33010000001340000002'], 'a peripheral keeps its type');
});

await t.test('mapping: over a restart, and when the serials end', async t => {
  const rows: MappingRow[] = [{ upstream: 'u1', mappedId: '33010000001320000003', ...share(1, camera(9)), serial: 3 }];
  const mapping = new IdMapping(rows, upstream => (upstream === 'u1' ? 7 : 0));
  t.equal(mapping.idOf('u1', share(1, camera(9))), '33010000001320000003');
  const same = [share(1, camera(20)), share(2, camera(20))];
  t.same(mapping.assign(U1, same).rows.map(({ serial }) => serial), [8, 9], 'deleted mappings keep their serials');
  const worn = new IdMapping([], () => 999_999);
  t.match(worn.assign(U1, [...same, share(1, camera(21))]), { rows: [{ mappedId: camera(21) }], failed: same });
});

await t.test('mapping: never one ID for two, never two IDs for one', async () => {
  const anyShare = fc.record({ device: fc.integer({ min: 1, max: 4 }), channel: fc.integer({ min: 0, max: 8 }) });
  fc.assert(
    fc.property(fc.array(fc.array(anyShare, { maxLength: 12 }), { maxLength: 6 }), rounds => {
      const rows: MappingRow[] = [];
      const mapping = new IdMapping([]);
      for (const round of rounds) {
        const unique = new Map(round.map(({ device, channel }) => [`${device} ${channel}`, share(device, camera(channel))]));
        rows.push(...mapping.assign(U1, [...unique.values()]).rows);
      }
      const ids = new Set(rows.map(row => row.mappedId));
      const keys = new Set(rows.map(row => `${row.deviceId} ${row.channelId}`));
      const again = new IdMapping(rows);
      return ids.size === rows.length && keys.size === rows.length && rows.every(row => again.idOf('u1', row) === row.mappedId && again.resolve('u1', row.mappedId)?.channelId === row.channelId);
    }),
  );
});
