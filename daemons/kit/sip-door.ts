/**
 * Who comes in: octets of a source, weighed before they are parsed, parsed once, and looked at before they cost anything more.
 */
import type { Offence } from '#core/host/ban-policy.ts';
import { type SipMessage, header } from '#core/sip/message.ts';
import { type ParseMode, type SipParseError, parseMessage } from '#core/sip/parse.ts';
import { SourceBuckets } from '#core/rate-limit.ts';
import type { Clock } from './clock.ts';
import { CountedLog } from './log.ts';
import type { SipEndpointOptions, SipGate } from './sip-api.ts';

const DEFAULT_UNKNOWN_TOTAL_PER_S = 4000;
/** What the usual scanners call themselves (faults.md 4). */
const SCANNERS = ['friendly-scanner', 'friendly-request', 'scanner', 'sipcli', 'sipvicious', 'vaxsipuseragent', 'pplsip', 'sundayddr', 'sip-scan', 'sipsak', 'iwar', 'sivus'];
/** CRLF, NULs and the like that keep a NAT binding open (faults.md 5). */
const MAX_KEEPALIVE_OCTETS = 4;
/** A flood is one piece of evidence a second, not one a datagram. */
const FLOOD_REPORTS_PER_S = 1;
const MAX_FIRST_LINE = 160;

export type Admission =
  | { readonly type: 'message'; readonly message: SipMessage; readonly trusted: boolean }
  | { readonly type: 'malformed'; readonly error: SipParseError }
  /** Not a word: neither an answer nor work. */
  | undefined;

export class SipDoor {
  readonly #clock: Clock;
  readonly #isTrusted: (address: string) => boolean;
  readonly #hasWrongLengths: (address: string) => boolean;
  readonly #count: (name: string) => void;
  readonly #scanners: readonly string[];
  readonly #perSource: SourceBuckets | undefined;
  readonly #allSources: SourceBuckets;
  readonly #floodReports: SourceBuckets;
  readonly #gate: SipGate | undefined;
  readonly #malformed: CountedLog;

  constructor(options: SipEndpointOptions, count: (name: string) => void) {
    const { clock, random } = options;
    this.#clock = clock;
    this.#count = count;
    this.#isTrusted = options.isTrusted ?? ((): boolean => true);
    this.#hasWrongLengths = options.hasWrongLengths ?? ((): boolean => false);
    this.#scanners = (options.scannerAgents ?? SCANNERS).map(word => word.toLowerCase());
    this.#perSource = options.unknownRequestsPerS === undefined ? undefined : new SourceBuckets(options.unknownRequestsPerS, random.int(2 ** 32));
    this.#allSources = new SourceBuckets(options.unknownTotalPerS ?? DEFAULT_UNKNOWN_TOTAL_PER_S, 0);
    this.#floodReports = new SourceBuckets(FLOOD_REPORTS_PER_S, random.int(2 ** 32));
    this.#gate = options.gate;
    this.#malformed = new CountedLog(options.log, clock, 'sip.malformed');
  }

  isTrusted(address: string): boolean {
    return this.#isTrusted(address);
  }

  /** Not a word with this one. */
  isBanned(address: string): boolean {
    return this.#gate?.isBanned(address) === true && !this.#isTrusted(address);
  }

  admit(bytes: Uint8Array, address: string, mode: ParseMode): Admission {
    const trusted = this.#isTrusted(address);
    if (!trusted && this.#gate?.isBanned(address) === true) return this.#refuse('sip.dropped.banned');
    const offended = (offence: Offence): void => (trusted ? undefined : this.#gate?.offence({ address, offence, proven: mode === 'stream-frame', line: () => firstLine(bytes) }));
    if (!trusted && !this.#isWithinRate(address, offended)) return undefined;
    if (isKeepalive(bytes)) return this.#refuse('sip.keepalive');
    const parsed = parseMessage(bytes, mode, { lenientLength: this.#hasWrongLengths(address) });
    if (!parsed.ok) {
      this.noteMalformed(address, parsed.error.why);
      offended('malformed');
      return { type: 'malformed', error: parsed.error };
    }
    const message = parsed.value;
    if (!trusted && message.type === 'request' && this.#isScanner(message)) {
      offended('scanner');
      return this.#refuse('sip.dropped.scanner');
    }
    this.#count(message.type === 'request' ? 'sip.in.requests' : 'sip.in.responses');
    return { type: 'message', message, trusted };
  }

  noteMalformed(address: string, why: string): void {
    this.#count('sip.malformed');
    this.#malformed.count({ from: address, why });
  }

  #isWithinRate(address: string, offended: (offence: Offence) => void): boolean {
    const now = this.#clock.now();
    if (this.#perSource?.take(address, now) === false) {
      this.#count('sip.dropped.rate');
      if (this.#floodReports.take(address, now)) offended('flood');
    } else if (!this.#allSources.take('', now)) this.#count('sip.dropped.rate-total');
    else return true;
    return false;
  }

  #refuse(counter: string): undefined {
    this.#count(counter);
    return undefined;
  }

  #isScanner(message: SipMessage): boolean {
    const agent = header(message, 'User-Agent')?.toLowerCase();
    return agent !== undefined && this.#scanners.some(word => agent.includes(word));
  }
}

const isKeepalive = (bytes: Uint8Array): boolean => bytes.length <= MAX_KEEPALIVE_OCTETS && bytes.every(octet => octet <= 0x20 || octet === 0x30);

function firstLine(bytes: Uint8Array): string {
  const end = bytes.findIndex(octet => octet === 0x0d || octet === 0x0a);
  return String.fromCharCode(...bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, MAX_FIRST_LINE)));
}
