/** Who may register below us: a pure function of the configuration (faults.md 14, 15, 23). Denied unless somebody said so. */
import type { DeviceConfig, GatewayConfig } from '../config/schema.ts';
import { isGbId } from './device-id.ts';
import type { DeviceSwitches } from './dialects/switches.ts';
import { type Network, contains, parseIp, parseNetwork } from '../ip.ts';

/** Either secret; which algorithm an ha1 is of shows by its length. */
export interface Credentials {
  readonly password: string | undefined;
  readonly ha1: string | undefined;
}

/** What of a device's configuration the registrar and its sessions go by; defaults for devices admitted by a rule. */
export type DevicePolicy = Pick<DeviceConfig, 'contactElsewhere' | 'nat' | 'transport' | 'mediaNetworks'> & DeviceSwitches & { readonly dialect?: string | undefined };

export type Admission =
  | { readonly how: 'digest'; readonly credentials: Credentials; readonly policy: DevicePolicy; readonly known: boolean }
  | { readonly how: 'open'; readonly policy: DevicePolicy; readonly known: boolean }
  | { readonly how: 'denied'; readonly why: string };

type Rule = GatewayConfig['devices']['admit'][number];
type Secret = Pick<DeviceConfig, 'password' | 'ha1' | 'digest'>;

/** The configuration prepared for look-ups: made once per reload. */
export class Admissions {
  readonly #known: ReadonlyMap<string, { readonly device: DeviceConfig; readonly networks: readonly Network[] }>;
  readonly #rules: readonly { readonly rule: Rule; readonly networks: readonly Network[] }[];
  /** Our own IDs and those of platforms above us: nobody below may use one unless listed by name. */
  readonly #reserved: ReadonlySet<string>;

  constructor(config: GatewayConfig) {
    this.#known = new Map(config.devices.known.map(device => [device.id, { device, networks: readNetworks(device.networks) }]));
    this.#rules = config.devices.admit.map(rule => ({ rule, networks: readNetworks(rule.networks) }));
    this.#reserved = new Set([config.sip.id, ...config.upstreams.flatMap(upstream => [upstream.id, upstream.localId])]);
  }

  /** Whether there is an address from which this ID would be admitted. */
  couldAdmit(deviceId: string): boolean {
    if (this.#known.has(deviceId)) return true;
    return !this.#reserved.has(deviceId) && isGbId(deviceId) && this.#rules.some(({ rule }) => deviceId.startsWith(rule.prefix));
  }

  /** Whether somebody is expected to register from here: an address in a network that the configuration names. */
  expects(address: string): boolean {
    const ip = parseIp(address);
    if (ip === undefined) return false;
    const names = ({ networks }: { readonly networks: readonly Network[] }): boolean => networks.some(network => contains(network, ip));
    return this.#rules.some(names) || [...this.#known.values()].some(names);
  }

  isKnown(deviceId: string): boolean {
    return this.#known.has(deviceId);
  }

  /** `address`: where the REGISTER came from. A listed device is judged by its own entry only. */
  admit(deviceId: string, address: string): Admission {
    const ip = parseIp(address);
    if (ip === undefined) return { how: 'denied', why: `${address} is not an address` };
    const known = this.#known.get(deviceId);
    if (known !== undefined) {
      const { device, networks } = known;
      if (device.networks.length > 0 && !networks.some(network => contains(network, ip))) return { how: 'denied', why: `${address} is not among its networks` };
      return judge(device, device, true);
    }
    if (this.#reserved.has(deviceId)) return { how: 'denied', why: 'the ID is a platform of ours or above us' };
    if (!isGbId(deviceId)) return { how: 'denied', why: 'the ID has not 20 digits' };
    const match = this.#rules.find(({ rule, networks }) => deviceId.startsWith(rule.prefix) && networks.some(network => contains(network, ip)));
    return match === undefined ? { how: 'denied', why: 'no rule admits it' } : judge(match.rule, { contactElsewhere: match.rule.contactElsewhere, nat: match.rule.nat, dialect: match.rule.dialect, mediaNetworks: [] }, false);
  }
}

function judge({ digest, password, ha1 }: Secret, policy: DevicePolicy, known: boolean): Admission {
  if (!digest) return { how: 'open', policy, known };
  if (password === undefined && ha1 === undefined) return { how: 'denied', why: 'no password is configured for it' };
  return { how: 'digest', credentials: { password, ha1 }, policy, known };
}

const readNetworks = (cidrs: readonly string[]): Network[] => cidrs.flatMap(cidr => parseNetwork(cidr) ?? []);
