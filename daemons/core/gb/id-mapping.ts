/**
 * The ID by which each upstream knows a channel (gb28181.md 1.7, 8.5): never two channels under one ID, never another ID for one
 * channel, no serial given twice. The native ID is kept where nobody else could be meant by it.
 */
import { domainOf, isGbId, networkOf, typeCode } from './device-id.ts';

const MAX_SERIAL = 999_999;
/** Peripherals (131-199) keep their type; any other channel is published as a network camera. */
const DEFAULT_TYPE = 132;

export interface ChannelKey {
  readonly deviceId: string;
  readonly channelId: string;
}

export interface Share extends ChannelKey {
  /** Kept as a native ID would be; default: the channel's own. */
  readonly wantedId?: string | undefined;
  /** No channel but a node of the tree: it keeps the type of its ID. */
  readonly isNode?: boolean | undefined;
}

export interface MappingRow extends ChannelKey {
  readonly upstream: string;
  readonly mappedId: string;
  /** 0 when the native ID was kept. */
  readonly serial: number;
}

export interface MappingUpstream {
  readonly name: string;
  /** Our 20-digit ID toward it: its first ten digits and its network digit go into IDs that we make. */
  readonly localId: string;
  /** IDs that no channel may have: platforms of ours and above us. */
  readonly reserved: readonly string[];
  /** The engineer's ID for a channel here: whoever else has it gives it up. Of two with the same one the first has it. */
  readonly fixedIdOf?: (channel: ChannelKey) => string | undefined;
  /** All of them. */
  readonly fixedIds?: ReadonlySet<string>;
  /** Every channel gets an ID of ours, also those that had kept theirs. */
  readonly ownIds?: boolean;
  /** First ten digits of IDs that we make; empty or absent: those of localId. */
  readonly prefix?: string;
}

export interface Assignment {
  /** To be stored before they are told to anybody. */
  readonly rows: readonly MappingRow[];
  /** Their ID is another one now, or none: to be deleted before `rows` are stored. */
  readonly released: readonly ChannelKey[];
  /** Channels that got none because the serials ran out. */
  readonly failed: readonly ChannelKey[];
}

const NO_IDS: ReadonlySet<string> = new Set();
const nothingFixed = (): undefined => undefined;

interface UpstreamIds {
  readonly byChannel: Map<string, string>;
  readonly byId: Map<string, ChannelKey>;
  lastSerial: number;
}

const keyOf = ({ deviceId, channelId }: ChannelKey): string => `${deviceId}\n${channelId}`;

export class IdMapping {
  readonly #upstreams = new Map<string, UpstreamIds>();
  readonly #storedSerial: (upstream: string) => number;

  /** `lastSerial`: highest one ever given at an upstream, deleted mappings included. */
  constructor(rows: readonly MappingRow[], lastSerial: (upstream: string) => number = () => 0) {
    this.#storedSerial = lastSerial;
    for (const row of rows) this.#add(row);
  }

  /** ID of a channel at an upstream; undefined before it was assigned. */
  idOf(upstream: string, channel: ChannelKey): string | undefined {
    return this.#upstreams.get(upstream)?.byChannel.get(keyOf(channel));
  }

  /** The channel that an upstream means. Whether it is still shared is the caller's question. */
  resolve(upstream: string, mappedId: string): ChannelKey | undefined {
    return this.#upstreams.get(upstream)?.byId.get(mappedId);
  }

  /** What is given at one upstream, apart: to see what another configuration would give. */
  copyOf(upstream: string): IdMapping {
    const ids = this.#of(upstream);
    const rows = [...ids.byId].map(([mappedId, key]): MappingRow => ({ upstream, mappedId, ...key, serial: 0 }));
    return new IdMapping(rows, () => ids.lastSerial);
  }

  /** Gives an ID to every share that has none yet, or has one that it may not keep. `shares`: all that this upstream sees. */
  assign(upstream: MappingUpstream, shares: readonly Share[]): Assignment {
    const ids = this.#of(upstream.name);
    const { fixedIds = NO_IDS, fixedIdOf = nothingFixed } = upstream;
    const natives = new Map<string, number>();
    for (const { channelId, wantedId = channelId } of shares) natives.set(wantedId, (natives.get(wantedId) ?? 0) + 1);
    const reserved = new Set([...upstream.reserved, upstream.localId]);
    const released = this.#release(ids, upstream, shares, reserved);
    const rows: MappingRow[] = [];
    const failed: ChannelKey[] = [];
    const give = (channel: ChannelKey, mappedId: string, serial: number): void => {
      const row: MappingRow = { upstream: upstream.name, mappedId, deviceId: channel.deviceId, channelId: channel.channelId, serial };
      rows.push(row);
      this.#add(row);
    };
    const isFree = (id: string): boolean => isGbId(id) && !ids.byId.has(id) && !reserved.has(id);
    const isOpen = (share: Share): boolean => !ids.byChannel.has(keyOf(share));
    for (const share of shares) {
      const fixedId = fixedIdOf(share);
      if (fixedId !== undefined && isOpen(share) && isFree(fixedId)) give(share, fixedId, 0);
    }
    for (const share of shares) {
      if (!isOpen(share)) continue;
      const wantedId = share.wantedId ?? share.channelId;
      const keeps = upstream.ownIds !== true && natives.get(wantedId) === 1 && isFree(wantedId) && !fixedIds.has(wantedId);
      const mappedId = keeps ? wantedId : allocate(ids, upstream, share, id => reserved.has(id) || natives.has(id) || fixedIds.has(id));
      if (mappedId === undefined) failed.push({ deviceId: share.deviceId, channelId: share.channelId });
      else give(share, mappedId, keeps ? 0 : ids.lastSerial);
    }
    return { rows, released, failed };
  }

  /** Takes back what the configuration gives to somebody else, and kept IDs where every channel is to have one of ours. */
  #release(ids: UpstreamIds, { fixedIds = NO_IDS, fixedIdOf = nothingFixed, ownIds = false }: MappingUpstream, shares: readonly Share[], reserved: ReadonlySet<string>): ChannelKey[] {
    const released: ChannelKey[] = [];
    const claimed = new Set<string>();
    const release = ({ deviceId, channelId }: ChannelKey): void => {
      const key = keyOf({ deviceId, channelId });
      const current = ids.byChannel.get(key);
      if (current === undefined) return;
      ids.byChannel.delete(key);
      ids.byId.delete(current);
      released.push({ deviceId, channelId });
    };
    for (const share of shares) {
      const { wantedId = share.channelId } = share;
      const current = ids.byChannel.get(keyOf(share));
      const fixedId = fixedIdOf(share);
      if (fixedId !== undefined && isGbId(fixedId) && !reserved.has(fixedId)) {
        const holder = ids.byId.get(fixedId);
        if (current === fixedId || claimed.has(fixedId) || (holder !== undefined && fixedIdOf(holder) === fixedId)) continue;
        claimed.add(fixedId);
        if (holder !== undefined) release(holder);
        release(share);
      } else if (current !== undefined && (fixedIds.has(current) || (ownIds && current === wantedId))) release(share);
    }
    return released;
  }

  #of(upstream: string): UpstreamIds {
    let ids = this.#upstreams.get(upstream);
    if (ids === undefined) {
      ids = { byChannel: new Map(), byId: new Map(), lastSerial: this.#storedSerial(upstream) };
      this.#upstreams.set(upstream, ids);
    }
    return ids;
  }

  #add(row: MappingRow): void {
    const ids = this.#of(row.upstream);
    const { deviceId, channelId, mappedId } = row;
    ids.byChannel.set(keyOf(row), mappedId);
    ids.byId.set(mappedId, { deviceId, channelId });
    ids.lastSerial = Math.max(ids.lastSerial, row.serial);
  }
}

/** `<centre8><industry2><type3><network1><serial6>`; serials whose ID somebody already has are passed over for good. */
function allocate(ids: UpstreamIds, { localId, prefix = '' }: MappingUpstream, { channelId, isNode }: Share, isTaken: (id: string) => boolean): string | undefined {
  const native = typeCode(channelId) ?? DEFAULT_TYPE;
  const type = isNode === true || (native >= 131 && native <= 199) ? native : DEFAULT_TYPE;
  const first = prefix !== '' ? prefix : /^\d{10}/.test(localId) ? domainOf(localId) : '0000000000';
  const head = `${first}${type}${networkOf(localId) ?? '0'}`;
  while (ids.lastSerial < MAX_SERIAL) {
    const id = `${head}${String(++ids.lastSerial).padStart(6, '0')}`;
    if (!ids.byId.has(id) && !isTaken(id)) return id;
  }
  return undefined;
}
