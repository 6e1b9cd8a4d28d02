import t from 'tap';
import { checkConfig } from '#core/config/check.ts';
import { gatewaySchema } from '#core/config/schema.ts';

const upstream = { name: 'up', id: '33000000002000000001', address: '10.0.0.1', localId: '33010000002000000001', enabled: false };
const problems = (view: object, more: object = {}): string[] => {
  const parsed = gatewaySchema.safeParse({ upstreams: [{ ...upstream, view }], ...more });
  if (!parsed.success) return parsed.error.issues.map(({ path }) => `schema ${path.slice(3).join('.')}`);
  return checkConfig(parsed.data).map(({ path, why }) => `${path.slice(path[0] === 'channels' ? 0 : 3).join('.')}: ${why}`);
};
const org = (serial: number, parent?: number): object => ({ id: `3301000000216000000${serial}`, name: 'o', ...(parent !== undefined && { parent: `3301000000216000000${parent}` }) });
const group = (organisations: readonly object[], serial = 1): object => ({ id: `3301000000215000000${serial}`, name: 'g', organisations });

t.test('a view that is sound', async t => {
  t.same(problems({}), []);
  t.same(problems({ groups: [group([org(2, 1), org(1)]), group([org(3)], 2)], rules: [{ allow: [{ what: ['live'], from: '22:00', to: '06:00' }] }], fixed: [{ channel: '1', device: '2', id: '33010000001320000001' }, { channel: '1', device: '3', name: 'x' }] }), []);
});

t.test('what one field cannot know of another', async t => {
  t.same(problems({ groups: [group([org(1, 2)])] }), ['groups.0.organisations.0.parent: this group has no organisation 33010000002160000002']);
  t.same(problems({ groups: [group([org(1, 1)])] }), ['groups.0.organisations.0.parent: organisation 33010000002160000001 would stand above itself']);
  t.equal(problems({ groups: [group([org(1, 2), org(2, 3), org(3, 1)])] }).length, 3, 'a ring');
  t.match(problems({ groups: [group([org(1)]), group([org(1)], 2)] }), ['groups.1.organisations.0.id: organisation 33010000002160000001 is already there']);
  t.match(problems({ groups: [group([]), group([])] }), [/groups\.1\.id: group .* is already there/]);
  t.match(problems({ rules: [{ allow: [{ what: ['live'], from: '08:00', to: '08:00' }] }] }), [/rules\.0\.allow\.0\.to: no time between/]);
  const fixed = (id: string): object => ({ channel: id.slice(-3), id });
  t.match(problems({ fixed: [fixed(upstream.id)] }), [/is the ID of a platform/]);
  t.match(problems({ groups: [group([org(1)])], fixed: [fixed('33010000002160000001')] }), [/is the ID of a group/]);
  t.match(problems({ fixed: [{ ...fixed('33010000001320000001'), channel: 'a' }, { ...fixed('33010000001320000001'), channel: 'b' }] }), [/fixed\.1\.id: ID 33010000001320000001 is already given/]);
  t.match(problems({ fixed: [{ channel: 'a' }, { channel: 'a' }] }), [/fixed\.1\.channel/]);
  t.match(problems({}, { channels: [{ id: '1' }, { id: '1', device: '2' }, { id: '1' }] }), [/channels\.2\.id: channel 1 is already described/]);
});

t.test('bounds', async t => {
  const bad: readonly (readonly [object, string])[] = [
    [{ tree: 'star' }, 'tree'],
    [{ rules: [{ names: ['a\nb'] }] }, 'rules.0.names.0'],
    [{ rules: [{ tags: ['a b'] }] }, 'rules.0.tags.0'],
    [{ rules: [{ civilCodes: ['331'] }] }, 'rules.0.civilCodes.0'],
    [{ rules: [{ ids: ['*'] }] }, 'rules.0.ids.0'],
    [{ rules: [{ allow: [{ what: [] }] }] }, 'rules.0.allow.0.what'],
    [{ rules: [{ allow: [{ what: ['live'], from: '24:00' }, { what: ['live'], to: '25:00' }] }] }, 'rules.0.allow.1.to'],
    [{ rules: Array(257).fill({}) }, 'rules'],
    [{ groups: [{ ...group([]), id: '33010000002160000001' }] }, 'groups.0.id'],
    [{ groups: [group([{ ...org(1), id: '33010000002150000001' }])] }, 'groups.0.organisations.0.id'],
    [{ idPrefix: '33' }, 'idPrefix'],
    [{ fixed: [{ channel: '1', id: '2' }] }, 'fixed.0.id'],
    [{ quota: { mbps: -1 } }, 'quota.mbps'],
    [{ unknown: 1 }, ''],
  ];
  for (const [view, where] of bad) t.same(problems(view), [`schema ${where}`], JSON.stringify(view).slice(0, 80));
  t.ok(gatewaySchema.safeParse({ channels: [{ id: '1', longitude: 181 }] }).success === false);
});
