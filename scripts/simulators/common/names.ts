/** Names and addresses of GB/T 28181 parties in SIP, and what both simulators need to open an endpoint. */
import { domainOf } from '#core/gb/device-id.ts';
import type { HeaderField, NameAddr } from '#core/sip/message.ts';
import { sipUri } from '#core/sip/uri.ts';
import type { SipUri } from '#core/sip/uri.ts';
import { type Clock, systemClock } from '#kit/clock.ts';
import { type Hashes, systemHashes } from '#kit/hashes.ts';
import { type Log, createLog } from '#kit/log.ts';
import { type Random, systemRandom } from '#kit/random.ts';

/** gb28181.md 2.3: only parties of the 2022 edition say their version. */
export const versionHeaders = (version: '2016' | '2022'): HeaderField[] => (version === '2022' ? [{ name: 'X-GB-Ver', value: '3.0' }] : []);

/** `<sip:id@host[:port]>` with an optional tag. */
export function party(id: string, host: string, port?: number, tag?: string): NameAddr {
  return { displayName: undefined, uri: sipUri(id, host, port), params: new Map(tag === undefined ? [] : [['tag', tag]]) };
}

/** Address of record: the domain is the first ten digits of the party's platform. */
export const recordOf = (id: string, domain: string, tag?: string): NameAddr => party(id, domain, undefined, tag);
export const uriOf = (id: string, host: string, port?: number): SipUri => sipUri(id, host, port);
export const defaultDomain = (id: string): string => domainOf(id);

/** `<sip:id@address:port[;transport=tcp]>` for Contact. */
export function contact(id: string, address: string, port: number, transport: 'udp' | 'tcp'): NameAddr {
  return { displayName: undefined, uri: sipUri(id, address, port, transport === 'tcp' ? { transport: 'tcp' } : {}), params: new Map() };
}

/** Time, chance and log of a simulator; tests put their own in. */
export interface Ambience {
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
}

export const quietAmbience = (): Ambience => ({ clock: systemClock, random: systemRandom, hashes: systemHashes, log: createLog('simulator', 'silent', 2) });

/** What happened, for the status lines of the command line and for tests. */
export type Report = (event: string, detail: Readonly<Record<string, string | number | boolean>>) => void;

/** Settles when `clock` has reached now + `delayMs`. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise(resolve => clock.schedule((clock.now() + delayMs) as ReturnType<Clock['now']>, resolve));
}
