/** A catalogue that stands in the state of a node before it starts, as one that was told long ago. */
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { createLog } from '#kit/log.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';

/** Of one NVR. */
const CHANNELS = 100;

export function stockChannels(stateDirectory: string, count: number): void {
  if (count === 0) return;
  using store = new SqliteStore(stateDirectory, { log: createLog('bench', 'silent') });
  for (let first = 0; first < count; first += CHANNELS) {
    const deviceId = `340200000011800${String(10_000 + first / CHANNELS)}`;
    const rows = Array.from({ length: Math.min(CHANNELS, count - first) }, (_, ordinal) => {
      const item: CatalogItem = { deviceId: `3402000000131${String(first + ordinal).padStart(7, '0')}`, name: `摄像机 ${first + ordinal}`, manufacturer: 'Maker', model: 'M', civilCode: '340200', address: `Road ${first}`, parental: '0', parentId: deviceId, registerWay: '1', secrecy: '0', status: 'ON' };
      return { deviceId, channelId: item.deviceId, ordinal, name: item.name!, status: 'ON' as const, civilCode: '340200', parentId: deviceId, manufacturer: 'Maker', itemJson: JSON.stringify(item) };
    });
    store.putDevice({ id: deviceId, name: `NVR ${first}`, manufacturer: 'Maker', model: 'M', firmware: '1', channelCount: rows.length, infoJson: null });
    store.putChannels(deviceId, rows, { replace: true });
  }
}
