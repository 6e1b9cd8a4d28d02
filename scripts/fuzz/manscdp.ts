/** A MESSAGE body from its octets to what the gateway believes: charset, XML, command, catalogue. */
import { stateOf } from '#core/gb/catalog-changes.ts';
import { CatalogCollector } from '#core/gb/catalog-collector.ts';
import { formatCatalogItem } from '#core/gb/catalog-item.ts';
import { applyNotice } from '#core/gb/catalog-notice.ts';
import { nodesAbove, resolveParents, videoChannels } from '#core/gb/catalog-parents.ts';
import { CatalogTree } from '#core/gb/catalog-tree.ts';
import { normalizeCivilCode } from '#core/gb/device-id.ts';
import { buildCatalogResponse, buildDeviceStatusResponse, buildKeepalive } from '#core/gb/manscdp-write.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { formatRoute, parseRoute } from '#core/gb/origin.ts';
import { publishedGroups } from '#core/gb/published-groups.ts';
import { ms } from '#core/units.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const NVR = '33010000001180000007';
const HEAD = { sn: 1, deviceId: NVR };
const CAMERAS = [
  { deviceId: '33010000001320000701', name: '北门枪机', parentId: `${NVR}/33010000002160000001`, civilCode: '330106', status: 'ON', info: { ptzType: '1' } },
  { deviceId: '330106', name: '西湖区' },
  { deviceId: '33010000002150000001', name: '交通', parentId: NVR },
  { deviceId: '33010000002160000001', name: '路口', businessGroupId: '33010000002150000001' },
  { deviceId: '33010000001320000702', parentId: '33010000001320000702', event: 'OFF' },
] as const;

export default {
  name: 'manscdp',
  seeds: [
    encodeBody(buildKeepalive(HEAD, 'OK', [NVR]), 'gb2312'),
    encodeBody(buildCatalogResponse(HEAD, 3, CAMERAS, '2016'), 'gb18030'),
    encodeBody(buildDeviceStatusResponse(HEAD, { online: true, status: 'OK', alarms: [{ deviceId: NVR, dutyStatus: 'ALARM' }] }), 'utf-8'),
  ],
  run(input: Uint8Array): void {
    const parsed = parseManscdp(decodeBody(input).text);
    if (!parsed.ok || parsed.value.body.kind !== 'catalog') return;
    const { body } = parsed.value;
    resolveParents(body.items, NVR);
    const above = nodesAbove(body.items, NVR);
    const groups = publishedGroups(body.items, NVR);
    const channels = videoChannels(body.items, NVR).map(item => ({ mappedId: item.deviceId, item, name: item.name ?? '', state: stateOf(item, true), region: item.civilCode && normalizeCivilCode(item.civilCode), memberOf: groups.membershipOf(item), route: above(item).join('-') }));
    for (const { route } of body.items) {
      const ids = parseRoute(route);
      if (ids !== undefined && parseRoute(formatRoute(NVR, ids))?.length !== ids.length + 1) throw new Error('a way that is lost');
    }
    for (const shape of ['civil', 'groups', 'flat'] as const) {
      const tree = new CatalogTree({ localId: NVR, name: 'x', manufacturer: 'x', model: 'x', shape, composite: shape === 'groups' }, channels, [...groups.nodes.values()]);
      for (const item of tree.items) formatCatalogItem(item, '2022');
      for (const item of tree.items.slice(0, 8)) if (tree.select(item.deviceId)?.includes(item) === false && tree.get(item.deviceId) === item) throw new Error('an item that does not find itself');
    }
    const known = new Map(body.items.slice(1).map(item => [item.deviceId, item]));
    const { changed, states, gone } = applyNotice(known, body.items, { ignoresStates: false, maxItems: 10 });
    if ([...changed, ...states].some(id => !known.has(id)) || [...gone].some(id => known.has(id))) throw new Error('told what is not');
    const collector = new CatalogCollector(ms(0));
    collector.part(body, ms(1));
    if (collector.tick(collector.deadline).length !== 1) throw new Error('a catalogue that never ends');
  },
};
