/**
 * Simulated cameras and NVRs: `CameraSimulator.open` starts one or many devices in this process. They share endpoints (sockets),
 * one pacing loop and one footage in memory.
 */
import type { Clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { userOf } from '#core/sip/message.ts';
import type { Charset } from '#core/gb/dialect.ts';
import { type IncomingInvite, type IncomingRequest, type SipEndpoint, type Target, openSipEndpoint } from '#kit/sip-endpoint.ts';
import type { ImpairmentRules } from '../../impairment/rules.ts';
import { type FootageName, type LoadedFootage, loadFootage } from '../../media/footage.ts';
import { type Ambience, type Report, defaultDomain, pause, quietAmbience } from '../common/names.ts';
import { UdpRelay } from '../common/udp-relay.ts';
import { within } from '../common/waiting.ts';
import { type Channel, channelsOf } from './catalogue.ts';
import { CameraDevice } from './device.ts';
import { Pacer } from './pacer.ts';
import { NO_QUIRKS, type Quirk, type Quirks } from './quirks.ts';
import type { CameraSession, SessionHost } from './session.ts';
import { rewriteSip, rewritesSip } from './sip-quirks.ts';

export interface CameraOptions {
  /** 20-digit ID of the first device; the following ones count its serial up. */
  readonly id?: string;
  /** SIP domain of the devices; default: first ten digits of the platform's ID. */
  readonly domain?: string;
  readonly platform: { readonly id: string; readonly address: string; readonly port: number; readonly domain?: string };
  /** Undefined: no credentials, a challenge is the end. */
  readonly password?: string | undefined;
  readonly transport?: 'udp' | 'tcp';
  /** Our address for SIP and media. */
  readonly localAddress?: string;
  /** 0: the system picks. With several endpoints the following ones count up. */
  readonly localPort?: number;
  readonly mediaAddress?: string;
  readonly devices?: number;
  readonly channels?: number;
  /** Overrides the generated ones of the first device. */
  readonly channelList?: readonly Channel[];
  /** Endpoints that the devices share. */
  readonly sockets?: number;
  readonly version?: '2016' | '2022';
  readonly charset?: Charset;
  readonly expiresS?: number;
  readonly keepaliveS?: number;
  readonly retryS?: number;
  readonly itemsPerMessage?: number;
  readonly catalogPauseMs?: number;
  /** CmdTypes that can be subscribed at the devices; default: Catalog and Alarm. */
  readonly topics?: readonly string[];
  readonly footage?: FootageName;
  /** In place of it: pictures of the caller's own. */
  readonly pictures?: LoadedFootage;
  readonly maxPayloadBytes?: number;
  /** The network between us and the platform, for media over UDP: of each channel. */
  readonly impair?: (channel: Channel) => ImpairmentRules | undefined;
  /** Registrations begun per second; 0: all at once. */
  readonly rampPerS?: number;
  /** Default true; false: `device.registration.start()` begins it. */
  readonly register?: boolean;
  readonly userAgent?: string;
  readonly quirks?: Quirks | readonly Quirk[];
  readonly report?: Report;
  readonly ambience?: Ambience;
}

const DEFAULT_ID = '34020000001180000001';
/** A platform that answers nothing does not hold up our end. */
const FAREWELL_MS = 3000;
const MAX_SERIAL = 999_999;

export class CameraSimulator implements AsyncDisposable {
  readonly devices: readonly CameraDevice[];
  readonly endpoints: readonly SipEndpoint[];
  readonly #closer: Closer;
  readonly #clock: Clock;
  #unregisterOnClose = true;

  private constructor(devices: readonly CameraDevice[], endpoints: readonly SipEndpoint[], closer: Closer, clock: Clock) {
    this.#clock = clock;
    this.devices = devices;
    this.endpoints = endpoints;
    this.#closer = closer;
  }

  static async open(options: CameraOptions): Promise<CameraSimulator> {
    const ambience = options.ambience ?? quietAmbience();
    const footage = options.pictures ?? (await loadFootage(options.footage ?? 'h264-g711a'));
    await using closer = new Closer();
    const pacer = closer.use(new Pacer(ambience.clock));
    const doors: Door[] = [];
    for (let index = 0; index < (options.sockets ?? 1); index += 1) doors.push(await Door.open(options, ambience, index, closer));
    const devices = makeDevices(options, ambience, doors, pacer, footage);
    const simulator = new CameraSimulator(devices, doors.map(door => door.endpoint), closer.release(), ambience.clock);
    if (options.register ?? true) void simulator.#registerAll(options.rampPerS ?? 0, ambience);
    return simulator;
  }

  /** The first device: the only one unless `devices` says otherwise. */
  get device(): CameraDevice {
    return this.devices[0]!;
  }

  get sessions(): CameraSession[] {
    return this.devices.flatMap(device => [...device.sessions]);
  }

  /** Settles when every device is registered. */
  async registered(): Promise<void> {
    await Promise.all(this.devices.map(device => device.registration.registered()));
  }

  async #registerAll(rampPerS: number, ambience: Ambience): Promise<void> {
    for (const [index, device] of this.devices.entries()) {
      device.registration.start();
      if (rampPerS > 0 && index % 10 === 9) await pause(ambience.clock, 10_000 / rampPerS);
    }
  }

  /** Goes away like a camera whose plug is pulled: no BYE, no unregister. */
  async vanish(): Promise<void> {
    this.#unregisterOnClose = false;
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#unregisterOnClose) {
      const farewell = Promise.all(this.devices.map(device => device.stop(true)));
      await within(this.#clock, FAREWELL_MS, () => 'BYE and unregister unanswered', farewell).catch(() => undefined);
    }
    this.#unregisterOnClose = false;
    await Promise.all(this.devices.map(device => device.vanish()));
    await this.#closer[Symbol.asyncDispose]();
  }
}

/** One endpoint and the way from it to the platform; finds the device of a request. */
class Door {
  readonly endpoint: SipEndpoint;
  readonly target: Target;
  readonly #devices = new Map<string, CameraDevice>();

  private constructor(endpoint: SipEndpoint, target: Target) {
    this.endpoint = endpoint;
    this.target = target;
    endpoint.onRequest = incoming => this.#route(incoming, device => device.onRequest(incoming));
    endpoint.onFlowClosed = flow => {
      if (flow.remoteAddress === target.address && flow.remotePort === target.port) for (const device of new Set(this.#devices.values())) device.registration.connectionLost();
    };
    endpoint.onInvite = invite => this.#route(invite, device => device.onInvite(invite));
    endpoint.onSubscribe = incoming => this.#route(incoming, device => device.onSubscribe(incoming));
  }

  static async open(options: CameraOptions, ambience: Ambience, index: number, closer: Closer): Promise<Door> {
    const { platform, transport = 'udp', localAddress = '127.0.0.1', localPort = 0, userAgent = 'ViewLink Camera Simulator' } = options;
    const quirks = quirksOf(options);
    const port = localPort === 0 ? 0 : localPort + index;
    const endpoint = closer.use(await openSipEndpoint({ ...ambience, listen: [{ transport, address: localAddress, port }], userAgent, isTrusted: () => true }));
    const outbound = (datagram: Buffer): Buffer => rewriteSip(datagram, quirks);
    const relay = transport === 'udp' && rewritesSip(quirks) ? closer.use(await UdpRelay.open({ peer: platform, address: localAddress, outbound })) : undefined;
    const { address, port: remotePort } = relay ?? platform;
    return new Door(endpoint, { transport: transport === 'udp' ? 'UDP' : 'TCP', address, port: remotePort });
  }

  admit(device: CameraDevice): void {
    this.#devices.set(device.id, device);
    for (const channel of device.channels) this.#devices.set(channel.id, device);
  }

  #route(incoming: IncomingRequest | IncomingInvite, handle: (device: CameraDevice) => void): void {
    const { uri, to } = incoming.request;
    const device = this.#devices.get(userOf({ uri })) ?? this.#devices.get(userOf(to));
    if (device === undefined) incoming.respond(404);
    else handle(device);
  }
}

const quirksOf = (options: CameraOptions): Quirks => (options.quirks === undefined ? NO_QUIRKS : new Set(options.quirks));

function makeDevices(options: CameraOptions, ambience: Ambience, doors: readonly Door[], pacer: Pacer, footage: LoadedFootage): CameraDevice[] {
  const { id = DEFAULT_ID, devices: count = 1, channels = 1, platform, transport = 'udp', version = '2016', localAddress = '127.0.0.1' } = options;
  const firstSerial = Number(id.slice(14));
  if (!/^\d{20}$/.test(id)) throw new RangeError(`not a 20-digit ID: ${id}`);
  if (firstSerial + count - 1 > MAX_SERIAL || count * channels > MAX_SERIAL) throw new RangeError('more devices or channels than there are serials');
  const quirks = quirksOf(options);
  const platformDomain = platform.domain ?? defaultDomain(platform.id);
  const report = options.report ?? ((): void => undefined);
  const devices: CameraDevice[] = [];
  const host: Omit<SessionHost, 'send'> = {
    ambience, report, pacer, footage, quirks,
    mediaAddress: options.mediaAddress ?? localAddress,
    maxPayloadBytes: options.maxPayloadBytes,
    impair: channel => options.impair?.(channel),
    isBusy: channelId => devices.some(device => [...device.sessions].filter(session => session.channel.id === channelId).length > 1),
  };
  for (let index = 0; index < count; index += 1) {
    const deviceId = `${id.slice(0, 14)}${String(firstSerial + index).padStart(6, '0')}`;
    const door = doors[index % doors.length]!;
    const list = index === 0 ? options.channelList : undefined;
    const device = new CameraDevice(
      {
        deviceId, domain: options.domain ?? platformDomain, platformId: platform.id, platformDomain, password: options.password, transport, version, quirks,
        expiresS: options.expiresS ?? 3600, keepaliveS: options.keepaliveS ?? 60, retryS: options.retryS ?? 60,
        facts: { id: deviceId, name: `NVR-${index + 1}`, manufacturer: 'ViewLink', model: 'SIM-NVR', firmware: '1.0', version },
        channels: list ?? channelsOf(deviceId, channels, 1 + index * channels),
        charset: options.charset ?? (version === '2022' ? 'gb18030' : 'gb2312'),
        itemsPerMessage: options.itemsPerMessage ?? (transport === 'udp' ? 1 : 100), catalogPauseMs: options.catalogPauseMs ?? 0, topics: options.topics ?? ['Catalog', 'Alarm'],
      },
      door.endpoint, door.target, host,
    );
    door.admit(device);
    devices.push(device);
  }
  return devices;
}
