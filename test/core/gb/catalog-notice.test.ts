import fc from 'fast-check';
import t from 'tap';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { applyNotice } from '#core/gb/catalog-notice.ts';

const RULES = { ignoresStates: false, maxItems: 5 };
const known = (): Map<string, CatalogItem> => new Map([['a', { deviceId: 'a', name: 'A', status: 'ON' }], ['b', { deviceId: 'b', name: 'B', status: 'OFF', fault: 'VLOST' }]]);
const apply = (notices: readonly CatalogItem[], rules = RULES) => {
  const items = known();
  const { changed, states, gone, unknown } = applyNotice(items, notices, rules);
  return { items: [...items.values()], effect: [[...changed], [...states], [...gone], [...unknown]] };
};
const A = { deviceId: 'a', name: 'A', status: 'ON' };
const B = { deviceId: 'b', name: 'B', status: 'OFF', fault: 'VLOST' };

t.test('states', async t => {
  t.same(apply([{ deviceId: 'a', event: 'OFF' }]), { items: [{ ...A, status: 'OFF' }, B], effect: [[], ['a'], [], []] });
  t.same(apply([{ deviceId: 'a', event: 'DEFECT' }]), { items: [{ ...A, status: 'OFF', fault: 'DEFECT' }, B], effect: [[], ['a'], [], []] });
  t.same(apply([{ deviceId: 'b', event: 'ON' }]), { items: [A, { deviceId: 'b', name: 'B', status: 'ON' }], effect: [[], ['b'], [], []] });
  t.same(apply([{ deviceId: 'b', event: 'OFF' }]).items[1], { deviceId: 'b', name: 'B', status: 'OFF' }, 'off is no longer lost video');
  t.same(apply([{ deviceId: 'a', event: 'ON' }, { deviceId: 'b', event: 'VLOST' }]).effect, [[], [], [], []], 'nothing new');
  t.same(apply([{ deviceId: 'c', event: 'ON' }]), { items: [A, B], effect: [[], [], [], ['c']] }, 'nothing is made from a state');
  t.same(apply([{ deviceId: 'a', event: 'OFF' }, { deviceId: 'c', event: 'ON' }], { ...RULES, ignoresStates: true }), { items: [A, B], effect: [[], [], [], []] }, 'quirk 4');
});

t.test('items', async t => {
  t.same(apply([{ deviceId: 'c', event: 'ADD', name: 'C', status: 'ON', extras: [] }]), { items: [A, B, { deviceId: 'c', name: 'C', status: 'ON' }], effect: [['c'], [], [], []] });
  t.same(apply([{ deviceId: 'a', event: 'UPDATE', civilCode: '33' }]).items[0], { ...A, civilCode: '33' }, 'fields that are not named stay');
  t.same(apply([{ deviceId: 'b', event: 'UPDATE', name: 'N', status: 'ON' }]).items[1], { deviceId: 'b', name: 'N', status: 'ON' });
  t.same(apply([{ deviceId: 'b', event: 'UPDATE', name: 'N' }]).items[1], { ...B, name: 'N' });
  t.same(apply([{ deviceId: 'b', event: 'UPDATE', status: 'ON' }], { ...RULES, ignoresStates: true }).items[1], B);
  t.same(apply([{ deviceId: 'a', event: 'DEL' }, { deviceId: 'x', event: 'DEL' }]), { items: [B], effect: [[], [], ['a'], []] });
  t.same(apply([{ deviceId: 'a', event: 'OFF' }, { deviceId: 'a', event: 'DEL' }, { deviceId: 'a', event: 'ADD', name: 'new' }]), { items: [B, { deviceId: 'a', name: 'new' }], effect: [['a'], [], [], []] }, 'in order');
  t.same(apply([{ deviceId: 'c', name: 'C' }]).effect, [['c'], [], [], []], 'a list without events (2011)');
  t.same(apply([{ deviceId: 'a', event: 'WHATEVER', name: 'x' }]), { items: [A, B], effect: [[], [], [], []] });
  t.equal(apply('cdefgh'.split('').map(deviceId => ({ deviceId, event: 'ADD' }))).items.length, 5, 'bounded');
});

t.test('property: every change is told, and nothing else', async () => {
  const notice = fc.record({ deviceId: fc.constantFrom('a', 'b', 'c', 'd'), event: fc.constantFrom('ON', 'OFF', 'VLOST', 'DEFECT', 'ADD', 'UPDATE', 'DEL'), name: fc.constantFrom('A', 'B') });
  fc.assert(
    fc.property(fc.array(notice, { maxLength: 12 }), notices => {
      const before = known();
      const after = known();
      const { changed, states, gone } = applyNotice(after, notices, RULES);
      const told = new Set([...changed, ...states, ...gone]);
      const differ = [...new Set([...before.keys(), ...after.keys()])].filter(id => JSON.stringify(before.get(id)) !== JSON.stringify(after.get(id)));
      return differ.every(id => told.has(id)) && [...gone].every(id => !after.has(id)) && [...changed, ...states].every(id => after.has(id)) && ![...states].some(id => changed.has(id));
    }),
  );
});
