import fc from 'fast-check';
import t from 'tap';
import { gatewaySchema } from '#core/config/schema.ts';
import { PERMISSIONS, type ViewRule } from '#core/config/view-schema.ts';
import { ControlPriority } from '#core/gb/control-priority.ts';
import { MAX_HOPS, formatRoute, isReturned, isSamePeer, mayOffer, parseRoute } from '#core/gb/origin.ts';
import { StreamRates, judgeQuota } from '#core/gb/stream-quota.ts';
import { type Seen, View, type ViewChannel, type ViewSettings } from '#core/gb/view.ts';
import { fitsPattern } from '#core/gb/view-match.ts';
import { isAllowed, minutesToChange, weekMinuteOf } from '#core/gb/view-times.ts';
import { type WallMs, ms } from '#core/units.ts';

const NVR = '33010600001180000007';
const channel = (serial: number, more: Partial<ViewChannel['item']> = {}, nodes: readonly string[] = [], tags: readonly string[] = []): ViewChannel => {
  const channelId = `33010600001320${String(serial).padStart(6, '0')}`;
  return { deviceId: NVR, channelId, item: { deviceId: channelId, name: `камера ${serial}`, ...more }, tags, nodes: [...nodes, NVR] };
};

/** What an engineer writes, through the schema. */
function settings(view: object, more: object = {}): ViewSettings {
  const upstream = { name: 'up', id: '33000000002000000001', address: '127.0.0.1', localId: '33010000002000000001', view, ...more };
  return gatewaySchema.parse({ upstreams: [upstream] }).upstreams[0]!;
}
const view = (rules: readonly Partial<ViewRule>[], more: object = {}, upstream: object = {}): View => new View(settings({ rules, ...more }, upstream));
const seen = (one: View, ...channels: readonly ViewChannel[]): boolean[] => channels.map(each => one.isShared(each) && one.see(each) !== undefined);

await t.test('rules: the first that fits decides; every kind of condition must hold; share is the outer bound', async t => {
  const gate = channel(1, { name: '北门枪机', civilCode: '33010601' }, ['33010600002160000001'], ['vip']);
  const road = channel(2, { name: '路口 2', civilCode: '330105' }, [], []);
  t.same(seen(view([]), gate, road), [true, true], 'no rules: all');
  t.same(seen(view([{ names: ['北门*'] }]), gate, road), [true, false], 'what fits none is not seen');
  t.same(seen(view([{ show: false, tags: ['vip'] }, {}]), gate, road), [false, true], 'a rule without conditions fits all');
  t.same(seen(view([{}, { show: false, tags: ['vip'] }]), gate, road), [true, true], 'the first counts');
  t.same(seen(view([{ nodes: ['33010600002160000001'] }]), gate, road), [true, false]);
  t.same(seen(view([{ nodes: [NVR], civilCodes: ['3301'] }]), gate, road), [true, true], 'the device is a node; regions lie in each other');
  t.same(seen(view([{ civilCodes: ['330106'], tags: ['vip', 'other'] }]), gate, road), [true, false]);
  t.same(seen(view([{ ids: [road.channelId] }]), gate, road), [false, true]);
  t.same(seen(view([{ ids: ['33010600001180'] }], {}, { share: ['3301060000132000000'] }), gate, road), [true, true]);
  t.same(seen(view([{}], {}, { share: [road.channelId] }), gate, road), [false, true], 'no rule goes beyond share');
  t.equal(view([{ show: false, tags: ['x'] }, { tags: ['vip'] }]).see(gate)?.rule, 1);
});

await t.test('name patterns: as a regular expression would, in bounded time', async t => {
  const letter = fc.constantFrom('a', 'b', '门');
  const pattern = fc.array(fc.oneof(letter, fc.constantFrom('*', '?')), { maxLength: 8 }).map(parts => parts.join(''));
  fc.assert(
    fc.property(pattern, fc.array(letter, { maxLength: 8 }).map(parts => parts.join('')), (one, text) => fitsPattern(one, text) === new RegExp(`^${one.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'su').test(text)),
  );
  const began = performance.now();
  t.notOk(fitsPattern(`${'*a'.repeat(60)}b`, 'a'.repeat(4000)));
  t.ok(performance.now() - began < 100);
});

await t.test('names: templates, replacements, fixed ones; nothing of them is a pattern', async t => {
  const gate = channel(1, { name: '北门 $& {id}', civilCode: '330106', manufacturer: 'ACME' });
  const nameOf = (one: View): string | undefined => one.see(gate)?.name;
  t.equal(nameOf(view([])), '北门 $& {id}', 'a name is no template');
  t.equal(nameOf(view([], { name: '[{civil}] {name} {manufacturer} {device} {nothing}' })), `[330106] 北门 $& {id} ACME ${NVR} {nothing}`);
  t.equal(nameOf(view([{ name: 'A-{channel}' }], { name: 'B' })), `A-${gate.channelId}`, 'the rule goes first');
  t.equal(nameOf(view([], { replace: [{ find: '北', with: '$1' }, { find: '$1门', with: '南门' }] })), '南门 $& {id}');
  t.equal(nameOf(view([], { fixed: [{ channel: gate.channelId, name: '市局 1' }], replace: [{ find: '市', with: '' }] })), '市局 1');
  t.equal(nameOf(view([], { name: '{constructor}{__proto__}' })), '{constructor}{__proto__}', 'fault 47');
  t.equal(nameOf(view([], { name: ' ' })), gate.channelId, 'never empty');
});

await t.test('status policies', async t => {
  const states = (status: string): unknown[] => {
    const one = view([], { status });
    return [one.stateOf({ deviceId: 'x', status: 'ON' }, true), one.stateOf({ deviceId: 'x', status: 'OFF' }, true), one.stateOf({ deviceId: 'x', status: 'OFF', fault: 'VLOST' }, true), one.stateOf({ deviceId: 'x', status: 'ON' }, false)];
  };
  t.same(states('actual'), ['ON', 'OFF', 'VLOST', 'OFF']);
  t.same(states('always-on'), ['ON', 'ON', 'ON', 'ON']);
  t.same(states('device'), ['ON', 'ON', 'ON', 'OFF']);
  t.same(states('hide-offline'), ['ON', undefined, undefined, undefined]);
});

const at = (iso: string): number => weekMinuteOf(Date.parse(`${iso}+08:00`) as WallMs);

await t.test('permissions by time of day and weekday, Beijing time', async t => {
  t.equal(at('2026-03-09T00:00:00'), 0, 'a Monday');
  t.equal(at('1970-01-01T08:00:00'), 3 * 1440 + 480, 'a Thursday');
  const allow = [
    { what: ['live', 'alarms'] },
    { what: ['ptz'], days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00' },
    { what: ['control'], days: ['sun'], from: '22:00', to: '06:00' },
  ];
  const one = view([{ allow: allow as never }]);
  const rights = (iso: string): string => PERMISSIONS.filter(what => one.permits(one.see(channel(1))!, what, at(iso))).join(' ');
  t.equal(rights('2026-03-10T07:59:59'), 'live alarms');
  t.equal(rights('2026-03-10T08:00:00'), 'live ptz alarms');
  t.equal(rights('2026-03-10T17:59:59'), 'live ptz alarms');
  t.equal(rights('2026-03-10T18:00:00'), 'live alarms');
  t.equal(rights('2026-03-14T10:00:00'), 'live alarms', 'a Saturday');
  t.equal(rights('2026-03-15T22:00:00'), 'live control alarms', 'over midnight');
  t.equal(rights('2026-03-16T05:59:59'), 'live control alarms', 'and over the end of the week');
  t.equal(rights('2026-03-16T06:00:00'), 'live alarms');
  t.same(['ptz', 'query'].map(what => one.everPermits(one.see(channel(1))!, what as 'ptz')), [true, false]);
  const withdrawn = view([{ allow: allow as never }], {}, { permissions: { live: false }, alarms: false });
  t.notOk(withdrawn.permits(withdrawn.see(channel(1))!, 'live', 0), 'no rule gives what the upstream does not have');
  t.notOk(withdrawn.permits(withdrawn.see(channel(1))!, 'alarms', 0));
  const all: Seen['allow'] = [];
  t.same(PERMISSIONS.filter(what => view([]).permits({ allow: all }, what, 0)), PERMISSIONS.filter(what => what !== 'maintenance'), 'without allowances: as permissions say');
});

await t.test('the next edge of a window is the next moment at which anything changes', async t => {
  const time = fc.integer({ min: 0, max: 1439 }).map(minute => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`);
  const days = fc.subarray(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const, { minLength: 1 });
  const allowance = fc.record({ from: time, to: time, days }).map(({ days: list, ...times }): Seen['allow'][number] => ({ what: ['live'], days: [...list], ...times })).filter(({ from, to }) => from !== to);
  fc.assert(
    fc.property(fc.array(allowance, { minLength: 1, maxLength: 3 }), fc.integer({ min: 0, max: 10_079 }), (allow, now) => {
      const wait = minutesToChange(allow, now)!;
      const before = isAllowed(allow, 'live', now);
      for (let minute = 1; minute < wait; minute++) if (isAllowed(allow, 'live', (now + minute) % 10_080) !== before) return false;
      return wait >= 1 && wait <= 10_080;
    }),
    { numRuns: 60 },
  );
  t.equal(minutesToChange([], 0), undefined);
});

await t.test('origin: what came from a platform does not go back, what was ours is not new', async t => {
  t.same(parseRoute('A-B - C'), ['A', 'B', 'C']);
  t.same([parseRoute(undefined), parseRoute(' '), parseRoute('A--B'), parseRoute('A;B'), parseRoute('x'.repeat(3000))], [[], [], undefined, undefined, undefined]);
  t.equal(formatRoute('Z', ['A', 'B']), 'Z-A-B');
  fc.assert(fc.property(fc.array(fc.stringMatching(/^[0-9A-Za-z]{1,20}$/), { maxLength: MAX_HOPS }), ids => String(parseRoute(formatRoute('own', ids))) === String(['own', ...ids])));
  t.same([isReturned(['A', 'B'], new Set(['B'])), isReturned(['A', 'B'], new Set(['C'])), isReturned(Array<string>(MAX_HOPS).fill('A'), new Set())], [true, false, true]);
  const platform = '44030000002000000001';
  const place = { address: '10.0.0.1', port: 5060 };
  t.ok(isSamePeer({ id: platform, at: undefined }, { id: platform, at: undefined }));
  t.ok(isSamePeer({ id: platform, at: place }, { id: '33010000002000000009', at: place }), 'under another ID from the same place');
  t.notOk(isSamePeer({ id: platform, at: place }, { id: '33010000002000000009', at: { ...place, port: 5061 } }));
  t.notOk(isSamePeer({ id: platform, at: place }, { id: NVR, at: place }), 'a recorder is no platform');
  t.same([mayOffer('P', { fromThisPeer: true, route: [] }), mayOffer('P', { fromThisPeer: false, route: ['Q', 'P'] }), mayOffer('P', { fromThisPeer: false, route: ['Q'] })], [false, false, true]);
});

await t.test('priority between operators (issue 4, 3): the upstream first, then the command, for as long as it is held', async t => {
  const camera = { deviceId: NVR, channelId: 'c' };
  const operator = (upstream: string, priority: number, commandPriority?: number) => ({ upstream, priority, commandPriority });
  const held = new ControlPriority();
  t.equal(held.steer(camera, operator('high', 200), 10_000, ms(0)), undefined);
  t.match(held.steer(camera, operator('low', 100, 255), 10_000, ms(9_999)), { upstream: 'high' }, 'whatever its operators claim');
  t.equal(held.steer({ ...camera, channelId: 'd' }, operator('low', 100), 10_000, ms(9_999)), undefined, 'another camera');
  t.equal(held.steer(camera, operator('low', 100), 10_000, ms(10_000)), undefined, 'until the time is over');
  t.equal(held.steer(camera, operator('equal', 100), 10_000, ms(10_001)), undefined, 'an equal one may');
  t.equal(held.steer(camera, operator('equal', 100, 5), 10_000, ms(10_002)), undefined);
  t.match(held.steer(camera, operator('equal', 100, 4), 10_000, ms(10_003)), { commandPriority: 5 }, 'also within one upstream');
  t.equal(held.steer(camera, operator('equal', 100), 10_000, ms(10_003)), undefined, 'a command that claims nothing is not below');
  t.equal(held.steer(camera, operator('high', 200), 10_000, ms(10_004)), undefined);
  held.upstreamGone('high');
  t.equal(held.steer(camera, operator('low', 100), 10_000, ms(10_005)), undefined);
  t.equal(held.steer(camera, operator('lowest', 0), 0, ms(30_000)), undefined);
  t.equal(held.steer(camera, operator('lowest', 0), 0, ms(30_000)), undefined, 'no hold at all');
  for (let n = 0; n < 25_000; n++) held.steer({ deviceId: NVR, channelId: String(n) }, operator('u', 1), 1e9, ms(40_000));
  t.equal(held.size, 20_000, 'bounded');
});

await t.test('quota: streams get 486, Mbit/s get 503', async t => {
  const limits = { streams: 2, mbps: 10, streamMbps: 4 };
  t.equal(judgeQuota(limits, [1e6], undefined), null);
  t.match(judgeQuota(limits, [1e6, 1e6], 0), { status: 486 });
  t.match(judgeQuota({ ...limits, streams: 0 }, [4e6, undefined], undefined), { status: 503, why: /12\.0 of 10/ });
  t.equal(judgeQuota({ ...limits, streams: 0 }, [4e6, undefined], 2e6), null, 'a measured one counts as it is');
  t.equal(judgeQuota({ streams: 0, mbps: 0, streamMbps: 4 }, Array(1000).fill(9e9) as number[], 9e9), null, 'no limits');
  const rates = new StreamRates();
  rates.sample([['a', 1000], ['b', 0]], ms(0));
  t.equal(rates.rateOf('a'), undefined);
  rates.sample([['a', 251_000], ['c', 5]], ms(2000));
  t.equal(rates.rateOf('a'), 1_000_000);
  rates.sample([['a', 10]], ms(3000));
  t.equal(rates.rateOf('a'), undefined, 'it began anew');
  t.equal(rates.size, 1);
});
