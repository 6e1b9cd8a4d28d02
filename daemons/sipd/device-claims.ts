/** What each device says of itself, and how it is spoken to because of it. Kept over restarts: a device says it only when it registers. */
import { type ChosenDialect, chooseDialect } from '#core/gb/dialects/index.ts';
import { type GbVersion, versionOf } from '#core/gb/dialect.ts';
import { type SipRequest, header } from '#core/sip/message.ts';
import type { Log } from '#kit/log.ts';
import type { StateStore } from '#kit/state-store.ts';

const MAX_CHARS = 128;

/** Written as JSON. */
interface Claims {
  readonly version: GbVersion;
  readonly userAgent: string | undefined;
}

export interface DeviceClaimsDeps {
  readonly store: StateStore;
  readonly log: Log;
  /** As its DeviceInfo said. */
  manufacturerOf(deviceId: string): string | null;
}

export class DeviceClaims {
  readonly #deps: DeviceClaimsDeps;
  readonly #claims = new Map<string, Claims | undefined>();

  constructor(deps: DeviceClaimsDeps) {
    this.#deps = deps;
  }

  /** Of a REGISTER that was accepted. */
  heard(deviceId: string, request: SipRequest): void {
    const claims: Claims = { version: versionOf(header(request, 'X-GB-Ver')), userAgent: header(request, 'User-Agent')?.slice(0, MAX_CHARS) };
    const before = this.#of(deviceId);
    if (before?.version === claims.version && before.userAgent === claims.userAgent) return;
    this.#claims.set(deviceId, claims);
    this.#deps.store.putMeta(keyOf(deviceId), JSON.stringify(claims));
    this.#deps.log.info({ deviceId, ...claims }, 'device.claims');
  }

  /** 2016 before it has said anything. */
  version(deviceId: string): GbVersion {
    return this.#of(deviceId)?.version ?? '2016';
  }

  userAgent(deviceId: string): string | null {
    return this.#of(deviceId)?.userAgent ?? null;
  }

  dialect(deviceId: string, configured: string | undefined): ChosenDialect {
    return chooseDialect(configured ?? 'auto', { userAgent: this.#of(deviceId)?.userAgent, manufacturer: this.#deps.manufacturerOf(deviceId) ?? undefined });
  }

  #of(deviceId: string): Claims | undefined {
    if (this.#claims.has(deviceId)) return this.#claims.get(deviceId);
    const json = this.#deps.store.getMeta(keyOf(deviceId));
    const claims = json === undefined ? undefined : (JSON.parse(json) as Claims);
    this.#claims.set(deviceId, claims);
    return claims;
  }
}

const keyOf = (deviceId: string): string => `device.claims.${deviceId}`;
