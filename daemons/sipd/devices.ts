/**
 * The devices below us: REGISTER and keepalive through the registrar, and the way back to each of them.
 *
 *   REGISTER -> admission -> digest -> core/gb/registrar -> answer, events -> store, catalogue, relay
 */
import type { GatewayConfig } from '#core/config/schema.ts';
import { type Admission, Admissions, type DevicePolicy } from '#core/gb/admission.ts';
import { type Binding, type Source, bindingRow, rowOfStored, storedBinding } from '#core/gb/binding.ts';
import type { GbVersion } from '#core/gb/dialect.ts';
import { deviceSwitchesOf } from '#core/gb/dialects/index.ts';
import type { EffectiveDeviceSwitches } from '#core/gb/dialects/switches.ts';
import { formatGbTime } from '#core/gb/gb-time.ts';
import { grantedContact, registerFieldsOf } from '#core/gb/register-request.ts';
import { Registrar } from '#core/gb/registrar.ts';
import type { RegisterAnswer, RegistrarEvent, RegistrarOptions } from '#core/gb/register-rules.ts';
import type { Offence } from '#core/host/ban-policy.ts';
import { ha1Of } from '#core/sip/digest.ts';
import { DigestGuard, type Ha1Lookup } from '#core/sip/digest-guard.ts';
import { nameAddr } from '#core/sip/headers.ts';
import type { HeaderField, NameAddr } from '#core/sip/message.ts';
import { sipUri } from '#core/sip/uri.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { nonceSecret } from '#kit/pair-keys.ts';
import type { Random } from '#kit/random.ts';
import type { Flow, IncomingRequest, Target } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Counters } from '#kit/counters.ts';
import { DeviceClaims } from './device-claims.ts';
import { DeviceRefusals } from './device-refusals.ts';
import type { Refusal } from './why.ts';

/** Keepalives are noted on disk at most so often for one device: after a restart the expiry counts, not this. */
const NOTE_KEEPALIVE_MS = 60_000;

/** Where a device that is online can be asked, and how it wants to be treated. */
export interface DeviceReach {
  readonly id: string;
  readonly target: Target;
  /** Configuration, dialect and defaults together. */
  readonly config: DevicePolicy & EffectiveDeviceSwitches;
  /** As its last REGISTER said. */
  readonly version: GbVersion;
  /** It is a gateway of ours. */
  readonly isOurs: boolean;
}

/** User-Agent of a gateway of ours, unless somebody named it otherwise (sip.userAgent). */
const OURS = /\bviewlink\b/i;

/** `new`: it began anew and knows nothing of old dialogs. `refreshed`: it may have. `back`: it was silent for a while. */
export type Arrival = 'new' | 'refreshed' | 'back';

export interface DevicesDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  config(): GatewayConfig;
  /** As its DeviceInfo said. */
  manufacturerOf(deviceId: string): string | null;
  onOnline(deviceId: string, how: Arrival): void;
  onOffline(deviceId: string, reason: string): void;
  /** Somebody who is not admitted, or has the wrong password. `proven`: he answered to our nonce. */
  onOffence(offence: Offence, incoming: IncomingRequest, proven: boolean): void;
}

export class Devices implements Disposable {
  readonly #deps: DevicesDeps;
  readonly #registrar: Registrar;
  readonly #alarm: Alarm;
  readonly #notedAtMs = new Map<string, number>();
  /** Our address that each device talks to: it may reach no other one. */
  readonly #localAddress = new Map<string, string>();
  readonly #refusals: DeviceRefusals;
  readonly #claims: DeviceClaims;
  #admissions: Admissions;
  #guard: DigestGuard;
  #realm = '';

  constructor(deps: DevicesDeps) {
    this.#deps = deps;
    this.#refusals = new DeviceRefusals(deps.log, deps.clock);
    this.#claims = new DeviceClaims(deps);
    this.#registrar = new Registrar(registrarOptions(deps.config()));
    this.#admissions = new Admissions(deps.config());
    this.#guard = this.#newGuard();
    this.#alarm = new Alarm(deps.clock, () => this.#tick());
    this.#registrar.restore(deps.store.loadBindings().map(rowOfStored), deps.clock.now(), deps.clock.wall());
    this.#alarm.arm(this.#registrar.deadline);
  }

  /** New policy from the next message on; a device that is no longer admitted is put off at once. */
  configure(): void {
    const config = this.#deps.config();
    this.#registrar.configure(registrarOptions(config));
    this.#admissions = new Admissions(config);
    // A new guard would void every nonce that is out.
    if (this.#realm !== realmOf(config)) this.#guard = this.#newGuard();
    for (const binding of [...this.#registrar.bindings()]) {
      if (this.#admissions.admit(binding.deviceId, binding.source.address).how !== 'denied') continue;
      this.#apply(this.#registrar.remove(binding.deviceId));
      this.#deps.store.deleteBinding(binding.deviceId);
    }
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  /** Whether this ID could register here from some address: what cannot is no device of ours any more. */
  mayRegister(deviceId: string): boolean {
    return this.#admissions.couldAdmit(deviceId);
  }

  /** A request to this user from this address is meant for us: ours by ID, or by none, and from where somebody is expected. */
  isMeant(user: string, address: string): boolean {
    const { sip, upstreams } = this.#deps.config();
    const ours = user === '' || user === sip.id || upstreams.some(({ localId }) => localId === user);
    return ours && this.#admissions.expects(address);
  }

  /** Where registered devices send from. */
  *addresses(): Generator<string> {
    for (const { source } of this.#registrar.bindings()) yield source.address;
  }

  isRegisteredAt(address: string): boolean {
    return this.#registrar.isRegisteredAt(address);
  }

  /** The device that a request comes from: the ID it names, at the address where that ID registered. */
  recognize(deviceId: string, flow: Flow): Binding | undefined {
    return this.#registrar.recognize(deviceId, sourceOf(flow));
  }

  /** For requests whose From is another ID than the registered one (quirk 63): the only device at that address, if there is only one. */
  onlyDeviceAt(address: string): string | undefined {
    const ids = this.#registrar.devicesAt(address);
    return ids.length === 1 ? ids[0] : undefined;
  }

  ids(): string[] {
    return [...this.#registrar.bindings()].map(binding => binding.deviceId);
  }

  binding(deviceId: string): Binding | undefined {
    return this.#registrar.binding(deviceId);
  }

  reach(deviceId: string): DeviceReach | null {
    const binding = this.#registrar.binding(deviceId);
    if (!binding?.online) return null;
    return { id: deviceId, target: { ...binding.target, localAddress: this.#localAddress.get(deviceId) }, config: this.policy(deviceId, binding.source.address), version: this.#claims.version(deviceId), isOurs: OURS.test(this.#claims.userAgent(deviceId) ?? '') };
  }

  policy(deviceId: string, address: string): DeviceReach['config'] {
    const admission = this.#admissions.admit(deviceId, address);
    const policy = admission.how === 'denied' ? { contactElsewhere: false, nat: false, mediaNetworks: [] } : admission.policy;
    return { ...policy, ...deviceSwitchesOf(policy, this.#claims.dialect(deviceId, policy.dialect)) };
  }

  /** For people: how it is spoken to and why. */
  speech(deviceId: string): { readonly version: GbVersion; readonly userAgent: string | null; readonly dialect: string; readonly by: string } {
    const admission = this.#admissions.admit(deviceId, this.#registrar.binding(deviceId)?.source.address ?? '');
    const { file, by } = this.#claims.dialect(deviceId, admission.how === 'denied' ? undefined : admission.policy.dialect);
    return { version: this.#claims.version(deviceId), userAgent: this.#claims.userAgent(deviceId), dialect: file.name, by };
  }

  /** Latest refusal of each device, newest last. */
  refusals(): Refusal[] {
    return this.#refusals.rows();
  }

  register(incoming: IncomingRequest): void {
    const { request, flow } = incoming;
    const { clock, counters } = this.#deps;
    const asked = registerFieldsOf(request);
    const { deviceId } = asked;
    const admission = this.#admissions.admit(deviceId, flow.remoteAddress);
    const verdict = admission.how === 'digest' ? this.#guard.check(request, flow.remoteAddress, this.#lookup(admission), clock.now(), deviceId) : undefined;
    const usernameIsOther = verdict?.type === 'accepted' && verdict.username !== deviceId && this.#admissions.isKnown(verdict.username);
    const { answer, events } = this.#registrar.register({ ...asked, source: sourceOf(flow), admission, verdict, usernameIsOther }, clock.now());
    counters.add(`register.${answer.status ?? 'silent'}`);
    this.#refusals.answered(deviceId, answer, flow);
    if (verdict?.type === 'refused') this.#deps.onOffence('password', incoming, true);
    else if (admission.how === 'denied') this.#deps.onOffence('stranger', incoming, false);
    if (answer.status === 200) {
      this.#localAddress.set(deviceId, flow.localAddress);
      this.#claims.heard(deviceId, request);
      this.#save(deviceId);
    }
    this.#answer(incoming, answer);
    this.#apply(events);
  }

  /** Answers a keepalive before anything else is done with it. */
  keepalive(incoming: IncomingRequest, deviceId: string): void {
    const { clock, counters, store } = this.#deps;
    const { status, events } = this.#registrar.keepalive(deviceId, sourceOf(incoming.flow), clock.now());
    incoming.respond(status);
    counters.add(`keepalive.${status}`);
    if (status === 200) {
      this.#localAddress.set(deviceId, incoming.flow.localAddress);
      const noted = this.#notedAtMs.get(deviceId) ?? -Infinity;
      if (clock.now() - noted >= NOTE_KEEPALIVE_MS) {
        this.#notedAtMs.set(deviceId, clock.now());
        store.touchBinding(deviceId, clock.wall());
      }
    }
    this.#apply(events);
  }

  seen(deviceId: string): void {
    this.#registrar.seen(deviceId, this.#deps.clock.now());
    this.#alarm.arm(this.#registrar.deadline);
  }

  flowClosed(flow: Flow): void {
    if (flow.connectionId !== undefined) this.#apply(this.#registrar.flowClosed(flow.connectionId));
  }

  #tick(): void {
    this.#apply(this.#registrar.tick(this.#deps.clock.now()));
  }

  #apply(events: readonly RegistrarEvent[]): void {
    for (const event of events) this.#applyOne(event);
    this.#alarm.arm(this.#registrar.deadline);
  }

  #applyOne(event: RegistrarEvent): void {
    const { log, counters, store } = this.#deps;
    switch (event.type) {
      case 'online':
        log.info({ deviceId: event.deviceId, how: event.how, address: this.binding(event.deviceId)?.source.address }, 'device.online');
        counters.add('device.online');
        return this.#deps.onOnline(event.deviceId, event.how === 'registered' ? 'new' : 'back');
      case 'rebooted':
        // With a refresh due anyway it may only be a device that takes a new Call-ID each time: it is asked again, its sessions stay.
        log.info({ deviceId: event.deviceId, refreshWasDue: event.refreshWasDue }, 'device.rebooted');
        counters.add('device.rebooted');
        return this.#deps.onOnline(event.deviceId, event.refreshWasDue ? 'refreshed' : 'new');
      case 'moved':
        log.info({ deviceId: event.deviceId, from: `${event.from.address}:${event.from.port}`, to: `${event.to.address}:${event.to.port}` }, 'device.moved');
        return this.#save(event.deviceId);
      case 'offline':
        log.warn({ deviceId: event.deviceId, reason: event.reason }, 'device.offline');
        counters.add(`device.offline.${event.reason}`);
        if (event.reason === 'unregistered' || event.reason === 'expired') store.deleteBinding(event.deviceId);
        this.#notedAtMs.delete(event.deviceId);
        this.#localAddress.delete(event.deviceId);
        return this.#deps.onOffline(event.deviceId, event.reason);
      case 'duplicate-id':
        counters.add('device.duplicate-id');
        return log.error({ deviceId: event.deviceId, from: event.from, to: event.to, refused: event.refused }, 'device.duplicate-id');
      case 'refreshed':
        return;
    }
  }

  #answer(incoming: IncomingRequest, answer: RegisterAnswer): void {
    if (answer.status === null) return incoming.drop();
    if (answer.status !== 200) return incoming.respond(answer.status, { headers: answer.headers });
    const expires = answer.expiresS ?? 0;
    const date: HeaderField[] = this.#deps.config().sip.dateHeader ? [{ name: 'Date', value: formatGbTime(this.#deps.clock.wall(), true) }] : [];
    const contact = grantedContact(incoming.request, expires);
    incoming.respond(200, { expires, headers: [...date, ...answer.headers], ...(contact !== undefined && { contact }) });
  }

  #save(deviceId: string): void {
    const binding = this.#registrar.binding(deviceId);
    if (!binding?.online) return;
    this.#deps.store.putBinding({ ...storedBinding(bindingRow(binding, this.#deps.clock.now(), this.#deps.clock.wall())), lastKeepaliveWallMs: null });
  }

  /** The digest user is whatever the device says it is (quirk 9); the password is that of the ID that registers. */
  #lookup({ credentials }: Admission & { how: 'digest' }): Ha1Lookup {
    const { hashes } = this.#deps;
    return (username, realm, algorithm) => {
      if (credentials.password !== undefined) return ha1Of(hashes, { password: credentials.password }, algorithm, username, realm);
      return credentials.ha1 === undefined ? undefined : ha1Of(hashes, { ha1: credentials.ha1 }, algorithm, username, realm);
    };
  }

  #newGuard(): DigestGuard {
    this.#realm = realmOf(this.#deps.config());
    const { clock, random, hashes } = this.#deps;
    const { sip, cluster } = this.#deps.config();
    const shared = cluster.nodes.length === 0 ? { secret: random.bytes(32) } : { secret: nonceSecret(cluster.key ?? ''), clockOffsetMs: Math.round(clock.wall() - clock.now()) };
    return new DigestGuard({ realm: this.#realm, algorithms: sip.digestAlgorithms, hashes, ...shared });
  }
}

export const sourceOf = (flow: Flow): Source => ({ transport: flow.transport, address: flow.remoteAddress, port: flow.remotePort, connectionId: flow.connectionId });

const registrarOptions = ({ sip, devices }: GatewayConfig): RegistrarOptions => ({ ownId: sip.id, ...devices });

/** Our SIP domain toward devices is the digest realm too (gb28181.md 2.3). */
const realmOf = ({ sip }: GatewayConfig): string => sip.domain || sip.id.slice(0, 10);

/** From and To of our own requests to a device. */
export const ownAddress = (config: GatewayConfig): NameAddr => nameAddr(sipUri(config.sip.id, realmOf(config)));

