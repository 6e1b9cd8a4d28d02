/** Channels with names of our own, and waiting until a gateway has them. */
import type { ChannelRow } from '#contracts/sipd.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Channel } from '../simulators/camera/catalogue.ts';
import { pause } from '../simulators/common/names.ts';
import type { LabGateway } from './gateway.ts';

const LIMIT_MS = 30_000;
const LOOK_MS = 50;

export const channelsFor = (names: readonly string[], firstSerial = 1): Channel[] => names.map((name, index) => ({ id: `34020000001320${String(firstSerial + index).padStart(6, '0')}`, name, online: true }));

/** All channels of the gateway, as soon as there are `count` that an upstream sees. */
export async function catalogued(gateway: LabGateway, count: number): Promise<readonly ChannelRow[]> {
  await using rpc = await gateway.rpc();
  for (const limit = clock.now() + LIMIT_MS; ; await pause(clock, LOOK_MS)) {
    const { rows } = await rpc.call('listChannels', {});
    const shared = rows.filter(({ mapped }) => mapped.length > 0);
    if (shared.length >= count) return shared;
    if (clock.now() > limit) throw new Error(`${shared.length} of ${count} channels within ${LIMIT_MS} ms`);
  }
}
