/** A MESSAGE body from its octets to what the gateway believes: charset, XML, command, catalogue. */
import { CatalogCollector } from '#core/gb/catalog-collector.ts';
import { formatCatalogItem } from '#core/gb/catalog-item.ts';
import { applyNotice } from '#core/gb/catalog-notice.ts';
import { resolveParents, videoChannels } from '#core/gb/catalog-parents.ts';
import { CatalogTree } from '#core/gb/catalog-tree.ts';
import { buildCatalogResponse, buildDeviceStatusResponse, buildKeepalive } from '#core/gb/manscdp-write.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { ms } from '#core/units.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const NVR = '33010000001180000007';
const HEAD = { sn: 1, deviceId: NVR };
const CAMERAS = [
  { deviceId: '33010000001320000701', name: '北门枪机', parentId: `${NVR}/33010000002160000001`, civilCode: '330106', status: 'ON', info: { ptzType: '1' } },
  { deviceId: '330106', name: '西湖区' },
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
    const channels = videoChannels(body.items, NVR).map(item => ({ mappedId: item.deviceId, item, online: true }));
    const tree = new CatalogTree({ localId: NVR, name: 'x', manufacturer: 'x', model: 'x', civilTree: true }, channels);
    for (const item of tree.items) formatCatalogItem(item, '2022');
    const known = new Map(body.items.slice(1).map(item => [item.deviceId, item]));
    const { changed, states, gone } = applyNotice(known, body.items, { ignoresStates: false, maxItems: 10 });
    if ([...changed, ...states].some(id => !known.has(id)) || [...gone].some(id => known.has(id))) throw new Error('told what is not');
    const collector = new CatalogCollector(ms(0));
    collector.part(body, ms(1));
    if (collector.tick(collector.deadline).length !== 1) throw new Error('a catalogue that never ends');
  },
};
