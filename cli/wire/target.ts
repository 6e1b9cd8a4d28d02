/** What an engineer means by a channel, a device, an upstream or a Call-ID, and which recorded messages belong to it. */
import type { ChannelRow, DeviceRow, SipdRequests, UpstreamRow } from '#contracts/sipd.ts';
import type { Party } from '#core/diagnose/ladder.ts';
import { type Passed, concerning, idsOf, relatedTo } from '#core/diagnose/passed.ts';
import { GatewayError } from '#core/result.ts';
import type { RpcClient } from '#kit/rpc.ts';
import { allChannels } from '../all-channels.ts';

/** What the recorder looks for at once. */
const MAX_NEEDLES = 200;

/** Who is known, to tell above from below. */
export interface Inventory {
  readonly devices: readonly DeviceRow[];
  readonly channels: readonly ChannelRow[];
  readonly upstreams: readonly UpstreamRow[];
}

export interface Target {
  readonly kind: 'all' | 'call' | 'upstream' | 'device' | 'channel';
  /** As it is called in headings. */
  readonly name: string;
  /** For the recorder: messages with one of these texts, or of one of these peers. Empty: all. */
  readonly needles: readonly string[];
  readonly peers: readonly string[];
  readonly channel?: ChannelRow;
  /** Of what the recorder gave. */
  select(all: readonly Passed[]): readonly Passed[];
}

export async function inventoryOf(client: RpcClient<SipdRequests>): Promise<Inventory> {
  const [devices, upstreams] = await Promise.all([client.call('listDevices', {}), client.call('listUpstreams', {})]);
  return { devices, channels: await allChannels(client), upstreams };
}

export const idsOfChannel = ({ channelId, mapped }: ChannelRow): string[] => [...new Set([channelId, ...mapped.map(({ id }) => id)])];

export function targetOf(text: string | undefined, inventory: Inventory): Target {
  if (text === undefined) return { kind: 'all', name: 'everything', needles: [], peers: [], select: all => all };
  const upstream = inventory.upstreams.find(({ name, id }) => name === text || id === text);
  if (upstream !== undefined) return partyTarget('upstream', upstream.name, [upstream.id], [upstream.address]);
  const device = inventory.devices.find(({ id }) => id === text);
  const byId = inventory.channels.filter(row => `${row.deviceId}-${row.channelId}` === text || idsOfChannel(row).includes(text));
  // A camera may have its own ID as its only channel: its registration belongs to it too.
  if (device !== undefined) return deviceTarget(device, inventory);
  const found = byId.length > 0 ? byId : inventory.channels.filter(({ name }) => name.includes(text));
  if (found.length > 1) throw new GatewayError('BAD_REQUEST', { target: text, why: `${found.length} channels fit; name one as DEVICE-CHANNEL, e.g. ${found[0]!.deviceId}-${found[0]!.channelId}` });
  if (found.length === 1) return channelTarget(found[0]!);
  if (/^\d{20}$/.test(text)) return partyTarget('device', text, [text], []);
  return callTarget(text, inventory);
}

function partyTarget(kind: 'upstream' | 'device', name: string, ids: readonly string[], peers: readonly string[]): Target {
  return { kind, name, needles: ids, peers, select: all => concerning(all, ids, peers) };
}

/** With what is said to its channels; those of a large one are told by its address alone. */
function deviceTarget({ id, address }: DeviceRow, { channels, upstreams }: Inventory): Target {
  const own = channels.filter(({ deviceId }) => deviceId === id).map(({ channelId }) => channelId);
  const target = partyTarget('device', id, own.length > MAX_NEEDLES ? [id] : [...new Set([id, ...own])], address === null ? [] : [address]);
  const above = new Set(upstreams.map(upstream => upstream.address));
  return { ...target, select: all => target.select(all).filter(({ remote }) => !above.has(`${remote.address}:${remote.port}`)) };
}

function channelTarget(row: ChannelRow): Target {
  const ids = idsOfChannel(row);
  return { kind: 'channel', name: `${row.name} ${row.channelId}`, needles: ids, peers: [], channel: row, select: all => concerning(all, ids) };
}

/** Both legs: the other one is found by the channel that it is about. */
function callTarget(callId: string, { channels }: Inventory): Target {
  const channelsOf = (id: string): readonly string[] => channels.filter(row => idsOfChannel(row).includes(id)).flatMap(idsOfChannel);
  return { kind: 'call', name: `Call-ID ${callId}`, needles: [], peers: [], select: all => relatedTo(all, [callId], channelsOf) };
}

/** By address first; a stranger stands below, under his ID if he names one. */
export function partyFinder({ devices, channels, upstreams }: Inventory): (message: Passed) => Party {
  const places = new Map<string, Party>();
  for (const { id, address } of devices) if (address !== null) places.set(address, { key: id, name: id, side: 'below' });
  for (const { name, address } of upstreams) places.set(address, { key: `\0${name}`, name, side: 'above' });
  const byId = new Map<string, Party>([
    ...channels.map(({ channelId, deviceId }): [string, Party] => [channelId, { key: deviceId, name: deviceId, side: 'below' }]),
    ...devices.map(({ id }): [string, Party] => [id, { key: id, name: id, side: 'below' }]),
    ...upstreams.map(({ id, name }): [string, Party] => [id, { key: `\0${name}`, name, side: 'above' }]),
  ]);
  return message => {
    const place = `${message.remote.address}:${message.remote.port}`;
    const known = places.get(place) ?? [...idsOf(message)].map(id => byId.get(id)).find(party => party !== undefined);
    return known ?? { key: place, name: place, side: 'below' };
  };
}
