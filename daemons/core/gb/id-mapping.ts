/**
 * The ID by which each upstream knows a channel (gb28181.md 1.7, 8.5): never two channels under one ID, never another ID for one
 * channel, no serial given twice. The native ID is kept where nobody else could be meant by it.
 */
import { domainOf, isGbId, networkOf, typeCode } from './device-id.ts';

const MAX_SERIAL = 999_999;
/** Peripherals (131-199) keep their type; anything else is published as a network camera. */
const DEFAULT_TYPE = 132;

export interface ChannelKey {
  readonly deviceId: string;
  readonly channelId: string;
}

export interface Share extends ChannelKey {
  /** Kept as a native ID would be; default: the channel's own. */
  readonly wantedId?: string | undefined;
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
}

export interface Assignment {
  /** To be stored before they are told to anybody. */
  readonly rows: readonly MappingRow[];
  /** Channels that got none because the serials ran out. */
  readonly failed: readonly ChannelKey[];
}

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

  /** Gives an ID to every share that has none yet. `shares`: all that this upstream sees. */
  assign(upstream: MappingUpstream, shares: readonly Share[]): Assignment {
    const ids = this.#of(upstream.name);
    const natives = new Map<string, number>();
    for (const { channelId, wantedId = channelId } of shares) natives.set(wantedId, (natives.get(wantedId) ?? 0) + 1);
    const reserved = new Set([...upstream.reserved, upstream.localId]);
    const rows: MappingRow[] = [];
    const failed: ChannelKey[] = [];
    for (const { deviceId, channelId, wantedId = channelId } of shares) {
      if (ids.byChannel.has(keyOf({ deviceId, channelId }))) continue;
      const keep = isGbId(wantedId) && natives.get(wantedId) === 1 && !ids.byId.has(wantedId) && !reserved.has(wantedId);
      const mappedId = keep ? wantedId : allocate(ids, upstream.localId, channelId, id => reserved.has(id) || natives.has(id));
      if (mappedId === undefined) {
        failed.push({ deviceId, channelId });
        continue;
      }
      const row: MappingRow = { upstream: upstream.name, mappedId, deviceId, channelId, serial: keep ? 0 : ids.lastSerial };
      rows.push(row);
      this.#add(row);
    }
    return { rows, failed };
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
function allocate(ids: UpstreamIds, localId: string, channelId: string, isTaken: (id: string) => boolean): string | undefined {
  const native = typeCode(channelId) ?? DEFAULT_TYPE;
  const type = native >= 131 && native <= 199 ? native : DEFAULT_TYPE;
  const prefix = `${/^\d{10}/.test(localId) ? domainOf(localId) : '0000000000'}${type}${networkOf(localId) ?? '0'}`;
  while (ids.lastSerial < MAX_SERIAL) {
    const id = `${prefix}${String(++ids.lastSerial).padStart(6, '0')}`;
    if (!ids.byId.has(id) && !isTaken(id)) return id;
  }
  return undefined;
}
