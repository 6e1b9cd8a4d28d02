/**
 * What sipd must find again after a restart (faults.md 1): the port, without its implementation. Writes never block on
 * success and never throw for storage trouble (fault 108): they are queued, then refused and counted; `health` tells.
 * `load*` answers everything written before, and is meant for the start.
 */

export interface DeviceStateRow {
  readonly id: string;
  readonly name: string | null;
  readonly manufacturer: string | null;
  readonly model: string | null;
  readonly firmware: string | null;
  readonly channelCount: number | null;
  /** Whatever else DeviceInfo said. */
  readonly infoJson: string | null;
}

export interface BindingStateRow {
  readonly deviceId: string;
  readonly contactUri: string;
  readonly transport: 'UDP' | 'TCP';
  /** Observed source. */
  readonly address: string;
  readonly port: number;
  readonly callId: string;
  readonly cseq: number;
  readonly expiresAtWallMs: number;
  readonly savedAtWallMs: number;
  readonly lastKeepaliveWallMs: number | null;
}

export interface ChannelStateRow {
  readonly deviceId: string;
  readonly channelId: string;
  /** Place in the device's own catalogue. */
  readonly ordinal: number;
  readonly name: string;
  readonly status: 'ON' | 'OFF';
  readonly civilCode: string | null;
  readonly parentId: string | null;
  readonly manufacturer: string | null;
  /** The catalogue item as parsed. */
  readonly itemJson: string;
}

/** The ID that one upstream knows a channel by. */
export interface MappingStateRow {
  readonly upstream: string;
  /** Unique within the upstream. */
  readonly mappedId: string;
  readonly deviceId: string;
  readonly channelId: string;
  /** Serial part of the ID. Given once and never again, even when the mapping is deleted. */
  readonly serial: number;
}

export interface SessionStateRow {
  readonly sessionId: string;
  readonly kind: string;
  readonly json: string;
}

/** Something that one upstream has yet to accept. */
export interface OutboxStateRow {
  readonly id: number;
  readonly upstream: string;
  /** 1 is the highest. */
  readonly priority: number;
  readonly json: string;
}

/** An alarm that was accepted, by its place in a ring. */
export interface HeardStateRow {
  readonly slot: number;
  readonly mark: string;
  readonly atWallMs: number;
}

export interface StoreHealth {
  /** `failing`: writes wait in memory. `volatile`: the file could not be opened, nothing survives a restart. */
  readonly state: 'ok' | 'failing' | 'volatile';
  readonly queued: number;
  /** Writes that were given up because the queue was full. */
  readonly refused: number;
  readonly lastError: string | null;
  /** What was found at the start: `from-backup` and `anew` after damage. */
  readonly origin: 'whole' | 'from-backup' | 'anew';
}

export interface StateStore extends Disposable {
  loadDevices(): readonly DeviceStateRow[];
  putDevice(row: DeviceStateRow): void;
  /** With its binding and its channels; mappings stay, so that IDs are not given anew. */
  deleteDevice(id: string): void;

  loadBindings(): readonly BindingStateRow[];
  /** May be written up to 200 ms later. */
  putBinding(row: BindingStateRow): void;
  /** May be written up to 5 s later. Nothing when there is no binding. */
  touchBinding(deviceId: string, lastKeepaliveWallMs: number): void;
  deleteBinding(deviceId: string): void;

  /** By device, then in the device's own order. */
  loadChannels(): readonly ChannelStateRow[];
  /** All or nothing. `replace`: channels of the device that are not among the rows are deleted. */
  putChannels(deviceId: string, rows: readonly ChannelStateRow[], options: { readonly replace: boolean }): void;
  deleteChannels(deviceId: string, channelIds: readonly string[]): void;

  loadMappings(): readonly MappingStateRow[];
  /** On disk when it returns. STORE_FAILED when a mappedId belongs to another channel of that upstream. */
  putMappings(rows: readonly MappingStateRow[]): void;
  deleteMappings(rows: readonly Pick<MappingStateRow, 'upstream' | 'deviceId' | 'channelId'>[]): void;
  /** Highest serial ever given in this upstream; 0 when none. */
  lastSerial(upstream: string): number;

  loadSessions(): readonly SessionStateRow[];
  /** Survives the process at once, a power cut after 200 ms. */
  putSession(row: SessionStateRow): void;
  deleteSession(sessionId: string): void;

  /** What a subscriber was told of each item, as core/gb/catalog-changes writes it. */
  loadTold(subscriptionId: string): readonly (readonly [itemId: string, mark: number])[];
  /** All or nothing; null forgets the item. Survives the process at once, a power cut after 200 ms. */
  putTold(subscriptionId: string, rows: readonly (readonly [itemId: string, mark: number | null])[]): void;
  /** Of one subscription. */
  deleteTold(subscriptionId: string): void;

  /** By id. */
  loadOutbox(): readonly OutboxStateRow[];
  loadHeard(): readonly HeardStateRow[];
  /** All or nothing, with the alarm that they are of. Survives the process at once, a power cut after 200 ms. */
  putOutbox(rows: readonly OutboxStateRow[], heard?: HeardStateRow): void;
  deleteOutbox(ids: readonly number[]): void;

  getMeta(key: string): string | undefined;
  putMeta(key: string, value: string): void;

  /** Runs this when everything written so far is past a power cut, or at once where the disk takes nothing; holds up nobody. */
  whenSynced(run: () => void): void;
  /** Everything written so far is on disk when it returns, unless `health` says otherwise. */
  flush(): void;
  readonly health: StoreHealth;
}
