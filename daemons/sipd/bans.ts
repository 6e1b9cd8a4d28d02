/**
 * Who is shut out for a while (core/host/ban-policy.ts): what the door hears goes in, the door asks, people see and pardon. The list
 * stands in a file beside the sockets, for the packet filter, and for the next start.
 */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BanReport } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { BAN_FILE, type BanRow, formatBanFile, parseBanFile, restoredBan } from '#core/host/ban-file.ts';
import { type Ban, BanPolicy, type Evidence, MAX_PATIENCE } from '#core/host/ban-policy.ts';
import { deviceNetworks, spared } from '#core/host/reach.ts';
import { meets } from '#core/host/site.ts';
import { type Network, parseNetwork } from '#core/ip.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { formatUri } from '#core/sip/uri.ts';
import { addMs, earliest, type Ms, NEVER } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { SipGate } from '#kit/sip-endpoint.ts';
import type { Counters } from '#kit/counters.ts';

/** Several bans at once are one write, and one run of the packet filter. */
const WRITE_AFTER_MS = 500;

export interface BansDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  config(): GatewayConfig;
  isRegisteredAt(address: string): boolean;
  /** Where devices are registered now. */
  registeredAddresses(): Iterable<string>;
}

export class Bans implements SipGate, AsyncDisposable {
  readonly #deps: BansDeps;
  readonly #policy: BanPolicy;
  readonly #alarm: Alarm;
  #spared: readonly Network[] = [];
  #expected: readonly Network[] = [];
  #writeAt: Ms = NEVER;
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: BansDeps) {
    this.#deps = deps;
    this.#policy = new BanPolicy({ rules: () => deps.config().host.bans, mayBan: (site, proven, patience) => this.#mayBan(site, proven, patience) });
    this.#alarm = new Alarm(deps.clock, () => this.#onDue());
    this.#readNetworks();
    this.#policy.restore(this.#restored());
    this.#arm();
  }

  /** The configuration changed: whoever it names is let in again. */
  configure(): void {
    this.#readNetworks();
    for (const { site } of this.#policy.review()) this.#ended(site, 'it may not be shut out any more');
  }

  /** What is to be written is written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#alarm[Symbol.dispose]();
    if (this.#writeAt !== NEVER) this.#write();
    await this.#writing;
  }

  isBanned(address: string): boolean {
    return this.#policy.isBanned(address, this.#deps.clock.now());
  }

  offence(evidence: Evidence): void {
    // Whom we know may be odd.
    if (this.#deps.isRegisteredAt(evidence.address)) return;
    const ban = this.#policy.note(evidence, this.#deps.clock.now());
    if (ban === undefined) return;
    this.#deps.counters.add('ban.begun');
    this.#deps.log.warn({ site: ban.site, reason: ban.reason, evidence: ban.count, times: ban.times, first: ban.first, last: ban.last, forS: Math.round((ban.untilMs - ban.lastMs) / 1000) }, 'ban.begun');
    this.#changed();
  }

  rows(): readonly BanReport[] {
    const { clock } = this.#deps;
    return this.#policy.bans.map(ban => ({ ...this.#rowOf(ban), leftMs: Math.max(0, ban.untilMs - clock.now()) }));
  }

  /** False: this address was not shut out. */
  pardon(address: string): boolean {
    const was = this.#policy.pardon(address);
    if (was) this.#ended(address, 'pardoned');
    return was;
  }

  #mayBan(site: string, proven: boolean, patience: number): boolean {
    if (meets(site, this.#spared)) return false;
    // Where devices are expected anybody can be made a scapegoat with a forged datagram; and one whose password was mistyped is no attacker.
    if (meets(site, this.#expected) && !(proven && patience >= MAX_PATIENCE)) return false;
    return !this.#isRegisteredIn(site);
  }

  #isRegisteredIn(site: string): boolean {
    if (!site.includes('/')) return this.#deps.isRegisteredAt(site);
    const networks = [parseNetwork(site)!];
    return [...this.#deps.registeredAddresses()].some(address => meets(address, networks));
  }

  #readNetworks(): void {
    const read = (cidrs: readonly string[]): readonly Network[] => cidrs.flatMap(cidr => parseNetwork(cidr) ?? []);
    this.#spared = read(spared(this.#deps.config()));
    this.#expected = read(deviceNetworks(this.#deps.config()));
  }

  #onDue(): void {
    const now = this.#deps.clock.now();
    for (const { site } of this.#policy.expire(now)) this.#ended(site, 'its time is over');
    if (this.#writeAt <= now) this.#write();
    this.#arm();
  }

  #ended(site: string, why: string): void {
    this.#deps.counters.add('ban.ended');
    this.#deps.log.info({ site, why }, 'ban.ended');
    this.#changed();
  }

  #changed(): void {
    this.#writeAt = earliest(this.#writeAt, addMs(this.#deps.clock.now(), WRITE_AFTER_MS));
    this.#arm();
  }

  #arm(): void {
    this.#alarm.arm(earliest(this.#policy.deadline ?? NEVER, this.#writeAt));
  }

  /** Whole or not at all; one after the other. */
  #write(): void {
    this.#writeAt = NEVER;
    const path = this.#path();
    const text = formatBanFile(this.#policy.bans.map(ban => this.#rowOf(ban)));
    this.#writing = this.#writing.then(async () => {
      try {
        await writeFile(`${path}.new`, text, { mode: 0o640 });
        await rename(`${path}.new`, path);
      } catch (error) {
        this.#deps.log.error({ path, why: (error as Error).message }, 'ban.file-failed');
      }
    });
  }

  #path(): string {
    return join(this.#deps.config().rpc.directory, BAN_FILE);
  }

  #rowOf({ untilMs, firstMs, lastMs, ...ban }: Ban): BanRow {
    const { clock } = this.#deps;
    const wall = (at: Ms): number => Math.max(0, Math.round(clock.wall() + (at - clock.now())));
    return { ...ban, untilWallMs: wall(untilMs), firstWallMs: wall(firstMs), lastWallMs: wall(lastMs) };
  }

  #restored(): readonly Ban[] {
    const { clock } = this.#deps;
    return readText(this.#path()).flatMap(row => restoredBan(row, clock.now(), clock.wall()) ?? []);
  }
}

/** As it would have been on the wire. */
export const requestLine = ({ method, uri }: SipRequest): string => `${method} ${formatUri(uri)}`;

function readText(path: string): readonly BanRow[] {
  try {
    return parseBanFile(readFileSync(path, 'utf8'));
  } catch {
    // Nobody has been shut out yet.
    return [];
  }
}
