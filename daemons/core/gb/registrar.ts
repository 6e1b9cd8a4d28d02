/**
 * Registrar for the devices below us (gb28181.md 2.3, 2.4, 12.2): decides on facts of a REGISTER or a keepalive, says what
 * changed, and wakes when a registration ends. Digest is checked before; its verdict comes in.
 *
 *                  REGISTER                       REGISTER (same or new Call-ID, other address)
 *     (no binding) ---------> ONLINE <---------+  -> refreshed | rebooted | moved
 *                              |  ^            |
 *        Expires: 0 -----------+  | keepalive within the binding, if it may revive; REGISTER always
 *        expiry                |  |
 *        keepalives missed     v  |
 *        connection closed    OFFLINE (unregistered | expired | keepalive-lost | connection-lost)
 */
import { type Binding, type BindingRow, type ContactAddress, type OfflineReason, type Source, restoreBinding, sameTarget, targetOf } from './binding.ts';
import { Deadlines } from '../deadlines.ts';
import { normalizeHost } from '../ip.ts';
import { type RegisterFacts, type Registered, type RegistrarEvent, type RegistrarOptions, grantExpires, judgeFacts, redirectFor, refuse, usableContact, withVersion } from './register-rules.ts';
import { type Ms, type WallMs, addMs, earliest, ms } from '../units.ts';

export type { AuthVerdict, RegisterAnswer, RegisterFacts, Registered, RegistrarEvent, RegistrarOptions } from './register-rules.ts';

/** Expiry is meant to the second; a refresh that was sent in time is a challenge and some milliseconds late. */
const EXPIRY_SLACK_MS = 2_000;
/** Two addresses for one ID within this are two devices (faults.md 16). */
const DUPLICATE_WINDOW_MS = 60_000;
const MAX_MOVES_PER_WINDOW = 3;
export const MAX_BINDINGS = 100_000;

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Entry = Writable<Binding> & { /** When it changed its address of late. */ moves: Ms[]; /** The refusal of the running window was reported. */ refusalSaid: boolean };

export class Registrar {
  #options: RegistrarOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #deadlines = new Deadlines<string>();
  /** Devices of each connection and of each address. */
  readonly #byConnection = new Map<number, Set<string>>();
  readonly #byAddress = new Map<string, Set<string>>();

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** New limits hold from the next message of each device. */
  configure(options: RegistrarOptions): void {
    this.#options = options;
  }

  get deadline(): Ms {
    return this.#deadlines.next;
  }

  get size(): number {
    return this.#entries.size;
  }

  binding(deviceId: string): Binding | undefined {
    return this.#entries.get(deviceId);
  }

  bindings(): IterableIterator<Binding> {
    return this.#entries.values();
  }

  /** Whether a device is registered from here: its requests are not rate-limited as unknown. */
  isRegisteredAt(address: string): boolean {
    return this.#byAddress.has(normalizeHost(address));
  }

  /** Online devices at an address, for requests whose From is another ID (quirk 63). */
  devicesAt(address: string): readonly string[] {
    return [...(this.#byAddress.get(normalizeHost(address)) ?? [])];
  }

  /** The binding when this ID is online and sends from where it registered; only then is a request of it believed (faults.md 21). */
  recognize(deviceId: string, source: Source): Binding | undefined {
    const entry = this.#entries.get(deviceId);
    return entry !== undefined && entry.online && isFrom(entry, source) ? entry : undefined;
  }

  register(facts: RegisterFacts, now: Ms): Registered {
    const refusal = judgeFacts(facts, this.#options) ?? this.#judgeState(facts, now);
    if (refusal !== undefined) return withVersion(refusal, facts);
    const granted = grantExpires(facts.expiresS, this.#options);
    if (granted === 0) return withVersion({ answer: { status: 200, why: 'unregistered', expiresS: 0, headers: [] }, events: this.#end(facts.deviceId, 'unregistered') }, facts);
    const redirect = redirectFor(facts, this.#options);
    if (redirect !== undefined) return withVersion({ answer: redirect.answer, events: this.#end(facts.deviceId, 'unregistered') }, facts);
    return withVersion({ answer: { status: 200, why: 'registered', expiresS: granted, headers: [] }, events: this.#bind(facts, granted, now) }, facts);
  }

  /** Answer to a keepalive: 404 unknown, 403 not from where it registered or offline beyond revival, so that it registers anew. */
  keepalive(deviceId: string, source: Source, now: Ms): { readonly status: 200 | 403 | 404; readonly events: readonly RegistrarEvent[] } {
    const entry = this.#entries.get(deviceId);
    if (entry === undefined) return { status: 404, events: [] };
    const revivable = entry.reason === 'keepalive-lost' || entry.reason === 'connection-lost';
    const bound = now < entry.expiresAt + EXPIRY_SLACK_MS;
    const mayRevive = this.#options.keepaliveRevives && revivable && bound;
    if (!isFrom(entry, source) || (!entry.online && !mayRevive)) return { status: 403, events: [] };
    const events: RegistrarEvent[] = [];
    if (!entry.online) events.push({ type: 'online', deviceId, how: 'revived' });
    this.#follow(entry, source, entry.contact, events);
    entry.online = true;
    entry.reason = undefined;
    entry.keepaliveAt = now;
    this.#touch(entry, now);
    return { status: 200, events };
  }

  /** Any other message of a recognized device is a sign of life too. */
  seen(deviceId: string, now: Ms): void {
    const entry = this.#entries.get(deviceId);
    if (entry?.online) this.#touch(entry, now);
  }

  /** A TCP connection ended: its devices are offline until they come again (2022 9.1.1). */
  flowClosed(connectionId: number): RegistrarEvent[] {
    return [...(this.#byConnection.get(connectionId) ?? [])].flatMap(deviceId => this.#end(deviceId, 'connection-lost'));
  }

  /** The device is no longer admitted. */
  remove(deviceId: string): RegistrarEvent[] {
    const events = this.#end(deviceId, 'unregistered');
    this.#entries.delete(deviceId);
    this.#deadlines.delete(deviceId);
    return events;
  }

  tick(now: Ms): RegistrarEvent[] {
    const events: RegistrarEvent[] = [];
    for (let deviceId = this.#deadlines.takeDue(now); deviceId !== undefined; deviceId = this.#deadlines.takeDue(now)) {
      const entry = this.#entries.get(deviceId)!;
      const expired = now >= entry.expiresAt + EXPIRY_SLACK_MS;
      events.push(...this.#end(deviceId, expired ? 'expired' : 'keepalive-lost'));
    }
    return events;
  }

  /** Bindings of before a restart; they are online without an event. */
  restore(rows: readonly BindingRow[], now: Ms, wall: WallMs): void {
    for (const row of rows.slice(0, MAX_BINDINGS)) {
      const entry: Entry = { ...restoreBinding(row, now, wall, this.#silenceMs), moves: [], refusalSaid: false };
      this.#entries.set(row.deviceId, entry);
      this.#index(entry);
      this.#touch(entry, now);
    }
  }

  get #silenceMs(): number {
    return this.#options.keepaliveS * this.#options.keepaliveMisses * 1000;
  }

  /** Of two addresses the newest wins, but not more than three times a minute (faults.md 16). */
  #judgeState({ deviceId, source }: RegisterFacts, now: Ms): Registered | undefined {
    const entry = this.#entries.get(deviceId);
    if (entry === undefined) return this.#entries.size >= MAX_BINDINGS ? refuse(503, 'no room for another device') : undefined;
    entry.moves = entry.moves.filter(at => now - at < DUPLICATE_WINDOW_MS);
    if (entry.moves.length < MAX_MOVES_PER_WINDOW) entry.refusalSaid = false;
    if (isFrom(entry, source) || !entry.online || entry.moves.length < MAX_MOVES_PER_WINDOW) return undefined;
    const refused = refuse(503, 'one ID from several addresses', [{ name: 'Retry-After', value: String(DUPLICATE_WINDOW_MS / 1000) }]);
    if (entry.refusalSaid) return refused;
    entry.refusalSaid = true;
    return { ...refused, events: [{ type: 'duplicate-id', deviceId, from: entry.source.address, to: source.address, refused: true }] };
  }

  #bind(facts: RegisterFacts, grantedS: number, now: Ms): RegistrarEvent[] {
    const { deviceId, source, callId, cseq } = facts;
    const contact = usableContact(facts);
    const events: RegistrarEvent[] = [];
    let entry = this.#entries.get(deviceId);
    if (entry === undefined) {
      entry = newEntry(facts, contact, now);
      this.#entries.set(deviceId, entry);
      this.#index(entry);
      events.push({ type: 'online', deviceId, how: 'registered' });
    } else {
      events.push(changeOf(entry, facts, now));
      this.#noteMove(entry, source, now, events);
      this.#follow(entry, source, contact, events);
    }
    Object.assign(entry, { online: true, reason: undefined, contact, callId, cseq, grantedS, registeredAt: now, expiresAt: addMs(now, grantedS * 1000) });
    this.#touch(entry, now);
    return events;
  }

  #noteMove(entry: Entry, source: Source, now: Ms, events: RegistrarEvent[]): void {
    if (isFrom(entry, source) || !entry.online) return;
    entry.moves.push(now);
    const from = entry.source.address;
    if (now - entry.lastSeenAt < DUPLICATE_WINDOW_MS) events.push({ type: 'duplicate-id', deviceId: entry.deviceId, from, to: source.address, refused: false });
  }

  /** Takes over where the device is now. */
  #follow(entry: Entry, source: Source, contact: ContactAddress | undefined, events: RegistrarEvent[]): void {
    const target = targetOf(source, contact);
    // A device that stays where it is, as nearly all do, is found already.
    const elsewhere = !entry.online || entry.source.address !== source.address || entry.source.connectionId !== source.connectionId;
    if (elsewhere) this.#unindex(entry);
    if (!sameTarget(entry.target, target)) events.push({ type: 'moved', deviceId: entry.deviceId, from: entry.target, to: target });
    entry.source = source;
    entry.contact = contact;
    entry.target = target;
    if (elsewhere) this.#index(entry);
  }

  #touch(entry: Entry, now: Ms): void {
    entry.lastSeenAt = now;
    this.#deadlines.set(entry.deviceId, earliest(addMs(entry.expiresAt, EXPIRY_SLACK_MS), addMs(now, this.#silenceMs)));
  }

  #end(deviceId: string, reason: OfflineReason): RegistrarEvent[] {
    const entry = this.#entries.get(deviceId);
    if (!entry?.online) return [];
    entry.online = false;
    entry.reason = reason;
    this.#deadlines.delete(deviceId);
    this.#unindex(entry);
    return [{ type: 'offline', deviceId, reason }];
  }

  #index({ deviceId, source }: Entry): void {
    addTo(this.#byAddress, normalizeHost(source.address), deviceId);
    if (source.connectionId !== undefined) addTo(this.#byConnection, source.connectionId, deviceId);
  }

  #unindex({ deviceId, source }: Entry): void {
    removeFrom(this.#byAddress, normalizeHost(source.address), deviceId);
    if (source.connectionId !== undefined) removeFrom(this.#byConnection, source.connectionId, deviceId);
  }
}

const isFrom = (entry: Entry, source: Source): boolean => normalizeHost(entry.source.address) === normalizeHost(source.address);

function newEntry(facts: RegisterFacts, contact: ContactAddress | undefined, now: Ms): Entry {
  const { deviceId, source, callId, cseq } = facts;
  const times = { grantedS: 0, registeredAt: now, expiresAt: now, lastSeenAt: now, keepaliveAt: undefined };
  return { deviceId, online: false, reason: undefined, source, contact, target: targetOf(source, contact), callId, cseq, ...times, moves: [], refusalSaid: false };
}

/** What a REGISTER for an existing binding means. A lower CSeq in the same Call-ID is a device that began anew. */
function changeOf(entry: Entry, { deviceId, callId, cseq }: RegisterFacts, now: Ms): RegistrarEvent {
  if (!entry.online) return { type: 'online', deviceId, how: 'registered' };
  if (callId === entry.callId && cseq >= entry.cseq) return { type: 'refreshed', deviceId };
  const halfTime = ms(entry.registeredAt + entry.grantedS * 500);
  return { type: 'rebooted', deviceId, refreshWasDue: callId !== entry.callId && now >= halfTime };
}

function addTo<Key>(index: Map<Key, Set<string>>, key: Key, deviceId: string): void {
  const devices = index.get(key);
  if (devices === undefined) index.set(key, new Set([deviceId]));
  else devices.add(deviceId);
}

function removeFrom<Key>(index: Map<Key, Set<string>>, key: Key, deviceId: string): void {
  const devices = index.get(key);
  devices?.delete(deviceId);
  if (devices?.size === 0) index.delete(key);
}
