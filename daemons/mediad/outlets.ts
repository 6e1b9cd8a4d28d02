/**
 * The door of all outlets of this instance: who may watch, and one lease at sipd for each channel that is watched
 * (sipd/outlets.ts is the other end).
 *
 * Closing order: outlets that listen close before this; then the leases, then the link to sipd.
 */
import type { MediadRequests, OutletRow } from '#contracts/mediad.ts';
import type { OpenOutletParams, SipdRequests } from '#contracts/sipd.ts';
import type { OutletsConfig } from '#core/config/schema.ts';
import { ShareRule } from '#core/gb/share-rule.ts';
import { type OutletPath, parseOutletPath } from '#core/outlets/outlet-path.ts';
import { checkToken, signToken, type TokenMac } from '#core/outlets/outlet-token.ts';
import { outletUrls } from '#core/outlets/outlet-urls.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { isWildcard, ownAddress } from '#kit/net.ts';
import type { Random } from '#kit/random.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { OutletDoor, OutletLease, OutletUser, OutletViewer } from './outlet-door.ts';
import { SharedLease } from './shared-lease.ts';
import type { Endable, StrainWatch } from './strain-watch.ts';
import type { UnitStream } from './unit-stream.ts';

/** A camera may take its time to answer and to send (devices.media), and sipd says why it did not. */
const OPEN_TIMEOUT_MS = 260_000;
/** Twice the longest wait of an RPC link (kit/rpc-link). */
const LINK_WAIT_MS = 4000;

export interface OutletsOptions {
  readonly instance: string;
  readonly sipdSocket: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  config(): OutletsConfig;
  /** Of a bridge of this instance. */
  units(bridgeId: string): UnitStream | undefined;
  /** Of viewers who say no name (devices.localPriority), and what keeps new ones out; default: nothing does. */
  readonly priority?: (() => number) | undefined;
  readonly strain?: Pick<StrainWatch, 'admit'> | undefined;
  /** What a rendition makes of a stream; without it none is known. */
  readonly render?: (stream: UnitStream, path: OutletPath) => Promise<RenderedStream>;
}

export interface RenderedStream extends Disposable {
  readonly stream: UnitStream;
}

interface Viewer {
  readonly path: OutletPath;
  readonly viewer: OutletViewer;
  readonly lease: SharedLease;
  readonly since: Ms;
  /** Its stream ends, for this reason. */
  end(why: string): void;
}

export class Outlets implements OutletDoor, AsyncDisposable {
  readonly #options: OutletsOptions;
  readonly #link: RpcLink<SipdRequests>;
  readonly #leases = new Map<string, SharedLease>();
  readonly #viewers = new Set<Viewer>();
  readonly #counters = new Map<string, number>();
  readonly #keys = new Map<string, Uint8Array>();
  /** Those who wait for the link to sipd. */
  readonly #waiting = new Set<() => void>();
  /** Of viewers that have left. */
  #leftBytes = 0;

  constructor(options: OutletsOptions) {
    this.#options = options;
    const { sipdSocket, clock, log } = options;
    this.#link = new RpcLink<SipdRequests>(sipdSocket, { clock, log, onUp: () => this.#claimAll() });
  }

  /** Goes on trying when sipd is not there yet. */
  start(): Promise<void> {
    return this.#link.start();
  }

  tokenFits(path: OutletPath): boolean {
    const mac = this.#mac();
    if (mac === undefined || path.token === null) return false;
    return checkToken(path.token, path, this.#options.clock.wall(), mac).ok;
  }

  user(name: string, path: OutletPath): OutletUser | undefined {
    const found = this.#options.config().users.find(user => user.name === name);
    if (found === undefined) return undefined;
    const { deviceId, channelId } = path;
    return new ShareRule(found.channels).covers({ deviceId: deviceId ?? channelId, channelId }) ? { name: found.name, ha1: found.ha1 } : undefined;
  }

  async open(path: OutletPath, viewer: OutletViewer): Promise<OutletLease> {
    try {
      return await this.#open(path, viewer);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.count(`outlet.${viewer.protocol}.refused.${error.code}`);
      this.#options.log.info({ protocol: viewer.protocol, remote: viewer.remote, channel: path.channel, code: error.code, why: error.message }, 'outlet.refused');
      throw error;
    }
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  counters(): Record<string, number> {
    return { ...Object.fromEntries(this.#counters), 'outlet.viewers': this.#viewers.size, 'outlet.leases': this.#leases.size, 'outlet.bytes': this.sentBytes };
  }

  /** To all viewers since the start. */
  get sentBytes(): number {
    let bytes = this.#leftBytes;
    for (const { viewer } of this.#viewers) bytes += viewer.report?.().sentBytes ?? 0;
    return bytes;
  }

  count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }

  rows(): readonly OutletRow[] {
    const now = this.#options.clock.now();
    return [...this.#viewers].map(({ path, viewer, lease, since }) => {
      const report = viewer.report?.();
      return {
        protocol: viewer.protocol,
        remote: viewer.remote,
        channel: path.channel,
        streamNumber: path.streamNumber,
        rendition: path.rendition,
        bridgeId: lease.bridgeId,
        ageMs: Math.round(now - since),
        sentBytes: report?.sentBytes ?? null,
        droppedUnits: report?.droppedUnits ?? null,
      };
    });
  }

  /** All viewers, for strain-watch.ts. */
  endables(): readonly Endable[] {
    const { priority = () => 0, config } = this.#options;
    const named = new Map(config().users.map(user => [user.name, user.priority]));
    const priorityOf = ({ user }: OutletViewer): number => (user === undefined ? undefined : named.get(user)) ?? priority();
    return [...this.#viewers].map(({ viewer, since, end }) => ({ kind: kindOf(viewer), priority: priorityOf(viewer), since, end }));
  }

  urls({ channel, streamNumber, minutes }: Parameters<MediadRequests['outletUrls']>[0]): ReturnType<MediadRequests['outletUrls']> {
    const config = this.#options.config();
    const mac = this.#mac();
    if (!parseOutletPath(`/live/${channel}`).ok) throw new GatewayError('BAD_REQUEST', { channel, why: 'not a channel' });
    if (config.address === '') throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'no outlet is on: set outlets.address and a port' });
    if (mac === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'outlets.tokenKey is not set: no token can be signed' });
    const expiresAtS = Math.floor(this.#options.clock.wall() / 1000) + minutes * 60;
    const own = Number(this.#options.instance) - 1;
    const port = (first: number): number => (first === 0 ? 0 : first + own);
    const ports = { rtspPort: port(config.rtspPort), rtmpPort: port(config.rtmpPort), httpPort: port(config.httpPort), webrtcPort: port(config.webrtcPort) };
    const host = isWildcard(config.address) ? ownAddress() : config.address;
    return { expiresAtWallMs: expiresAtS * 1000, urls: outletUrls({ host, ports, channel, streamNumber, token: signToken({ channel, streamNumber }, expiresAtS, mac) }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
  }

  async #open(path: OutletPath, viewer: OutletViewer): Promise<OutletLease> {
    const { clock, config, log } = this.#options;
    if (path.rendition !== null && this.#options.render === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { rendition: path.rendition });
    const { maxViewers } = config();
    if (this.#viewers.size >= maxViewers) throw new GatewayError('CAPACITY_EXHAUSTED', { maxViewers });
    this.#options.strain?.admit(kindOf(viewer));
    const lease = this.#leaseOf(path);
    let ended: string | undefined;
    let told: ((why: string) => void) | undefined;
    const end = (why: string): void => {
      if (ended !== undefined) return;
      ended = why;
      leave();
      told?.(why);
    };
    const row: Viewer = { path, viewer, lease, since: clock.now(), end };
    this.#viewers.add(row);
    const seat = lease.enter(end);
    let rendered: RenderedStream | undefined;
    const leave = (): void => {
      if (!this.#viewers.delete(row)) return;
      this.#leftBytes += viewer.report?.().sentBytes ?? 0;
      rendered?.[Symbol.dispose]();
      seat[Symbol.dispose]();
      log.info({ protocol: viewer.protocol, remote: viewer.remote, channel: path.channel, ageMs: Math.round(clock.now() - row.since), why: ended ?? 'left' }, 'outlet.left');
    };
    try {
      const whole = await lease.opened;
      if (path.rendition !== null) rendered = await this.#options.render!(whole, path);
      if (ended !== undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { why: ended });
      this.count(`outlet.${viewer.protocol}.opened`);
      log.info({ protocol: viewer.protocol, remote: viewer.remote, channel: path.channel, bridgeId: lease.bridgeId, openMs: Math.round(clock.now() - row.since) }, 'outlet.joined');
      const given: OutletLease = { stream: rendered?.stream ?? whole, onEnd: () => undefined, [Symbol.dispose]: leave };
      told = why => given.onEnd(why);
      return given;
    } catch (error) {
      leave();
      rendered?.[Symbol.dispose]();
      throw error;
    }
  }

  #leaseOf({ channel, deviceId, channelId, streamNumber }: OutletPath): SharedLease {
    const key = `${channel}/${streamNumber}`;
    const known = this.#leases.get(key);
    if (known !== undefined) return known;
    const { instance, random, clock, units } = this.#options;
    const lease = new SharedLease(
      { leaseId: `o${instance}-${random.hex(8)}`, instance, deviceId, channelId, streamNumber, label: `outlets of mediad@${instance}` },
      {
        clock,
        units,
        open: params => this.#askSipd(params),
        close: leaseId => void this.#link.call('closeOutlet', { leaseId }).catch(() => undefined),
        closed: (closed, why) => {
          if (this.#leases.get(key) === closed) this.#leases.delete(key);
          this.#options.log.info({ leaseId: closed.params.leaseId, channel, why }, 'outlet.closed');
        },
      },
    );
    this.#leases.set(key, lease);
    return lease;
  }

  /** A sipd that is just coming back is waited for. */
  async #askSipd(params: OpenOutletParams): Promise<{ readonly bridgeId: string }> {
    const { clock } = this.#options;
    if (!this.#link.up) {
      const tried = Promise.withResolvers<void>();
      this.#waiting.add(tried.resolve);
      using _limit = clock.schedule(addMs(clock.now(), LINK_WAIT_MS), tried.resolve);
      await tried.promise;
      this.#waiting.delete(tried.resolve);
    }
    return this.#link.call('openOutlet', params, { timeoutMs: OPEN_TIMEOUT_MS });
  }

  /** sipd restarted: it keeps its sources for a moment, until their viewers said that they are still there. */
  #claimAll(): void {
    for (const resolve of this.#waiting) resolve();
    for (const lease of this.#leases.values()) void lease.claim();
  }

  #mac(): TokenMac | undefined {
    const { tokenKey } = this.#options.config();
    if (tokenKey === undefined) return undefined;
    let key = this.#keys.get(tokenKey);
    if (key === undefined) {
      this.#keys.clear();
      this.#keys.set(tokenKey, (key = new TextEncoder().encode(tokenKey)));
    }
    const bytes = key;
    return text => this.#options.hashes.hmacSha256(bytes, text);
  }
}

/** A push is a line that somebody has configured; everybody else looks on. */
const kindOf = ({ protocol }: OutletViewer): 'preview' | 'pass-through' => (protocol === 'push' ? 'pass-through' : 'preview');
