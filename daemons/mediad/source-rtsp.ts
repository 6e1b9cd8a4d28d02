/**
 * Pulls one RTSP stream into a bridge for as long as that is open, and comes back when the connection is lost.
 *
 *   connecting ──playing──► playing ──lost──► waiting (doubles up to a limit) ──► connecting
 *       │ the first one fails: told to who opened it ──► ended; one that was open on another node is tried again
 *   any ── the bridge is closed ──► ended
 */
import type { InletConfig } from '#core/config/schema.ts';
import type { OpenInletParams } from '#contracts/mediad.ts';
import { isIp } from '#core/ip.ts';
import { GatewayError, type ErrorCode } from '#core/result.ts';
import type { ClientFailure } from '#core/rtsp/client-session.ts';
import { parseRtspUrl } from '#core/rtsp/url.ts';
import { addMs } from '#core/units.ts';
import type { PullWorld } from './pull-world.ts';
import { RtspLink } from './rtsp-link.ts';
import type { UnitSource } from './unit-source.ts';

export type { PullWorld } from './pull-world.ts';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** Cameras lock out who asks often with a wrong password. */
const UNAUTHORIZED_WAIT_MS = 60_000;
/** A connection that stood so long begins with the first wait again. */
const STEADY_MS = 30_000;
/** What sipd and an engineer are told when the first connection fails. */
const CODES: Readonly<Record<ClientFailure | 'unreachable', ErrorCode>> = {
  'unreachable': 'PEER_OFFLINE',
  'unauthorized': 'SIP_REJECTED',
  'not-found': 'SIP_REJECTED',
  'refused': 'SIP_REJECTED',
  'unusable': 'SIP_REJECTED',
  'no-answer': 'SIP_TIMEOUT',
  'ended': 'PEER_OFFLINE',
};

export interface RtspTarget {
  readonly url: string;
  readonly address: string;
  readonly port: number;
}

/** Address of the stream of an inlet. Names are not resolved: the gateway asks no DNS. */
export function rtspTarget(inlet: InletConfig, streamNumber: number): RtspTarget {
  const url = streamNumber === 0 ? inlet.url : inlet.subUrl;
  if (url === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { inletId: inlet.id, streamNumber, why: streamNumber === 0 ? 'no url' : 'no subUrl' });
  const parsed = parseRtspUrl(url);
  if (!parsed.ok || !isIp(parsed.value.host)) throw new GatewayError('CONFIG_INVALID', { inletId: inlet.id, why: 'url: expected rtsp://ADDRESS[:PORT]/PATH with an IP address' });
  return { url, address: parsed.value.host, port: parsed.value.port };
}

export class RtspPull {
  readonly #inlet: InletConfig;
  readonly #target: RtspTarget;
  readonly #world: PullWorld;
  readonly #source: UnitSource;
  readonly #first = Promise.withResolvers<void>();
  #link: RtspLink | undefined;
  #retry: Disposable | undefined;
  #waitMs = FIRST_WAIT_MS;
  #playingSince: number | undefined;
  #everPlayed: boolean;
  #stopped = false;

  private constructor(inlet: InletConfig, params: OpenInletParams, world: PullWorld) {
    this.#inlet = inlet;
    this.#world = world;
    this.#target = rtspTarget(inlet, params.streamNumber);
    const { address, port } = this.#target;
    const { bridgeId, silenceMs, label, reopened = false } = params;
    this.#everPlayed = reopened;
    this.#source = world.openUnitBridge({ bridgeId, label, reopened, transport: inlet.transport === 'udp' ? 'udp' : 'tcp-active', remote: { address, port }, silenceMs, onClosed: () => this.#stop() });
  }

  /** Settles when it plays; rejects when it cannot, and then there is no bridge. */
  static async open(inlet: InletConfig, params: OpenInletParams, world: PullWorld): Promise<null> {
    const pull = new RtspPull(inlet, params, world);
    pull.#connect();
    if (params.reopened === true) pull.#first.resolve();
    try {
      await pull.#first.promise;
      return null;
    } catch (error) {
      await world.closeBridge(params.bridgeId);
      throw error;
    }
  }

  #connect(): void {
    const { random, hashes } = this.#world;
    const { username, password = '', transport, id } = this.#inlet;
    const credentials = username === '' ? undefined : { username, password, hashes, cnonce: () => random.hex(8) };
    this.#playingSince = undefined;
    this.#world.count('inlet.rtsp.connects');
    this.#link = new RtspLink({
      world: this.#world,
      ...this.#target,
      client: { url: this.#target.url, credentials, transport, userAgent: 'ViewLink Gateway' },
      source: this.#source,
      onPlaying: tracks => {
        this.#playingSince = this.#world.clock.now();
        this.#everPlayed = true;
        this.#world.log.info({ inletId: id, transport, tracks: tracks.map(({ format }) => format) }, 'inlet.playing');
        this.#first.resolve();
      },
      onEnded: (failure, why) => this.#onEnded(failure, why),
    });
  }

  #onEnded(failure: ClientFailure | 'unreachable' | null, why: string): void {
    const { clock, log, count } = this.#world;
    if (this.#stopped || failure === null) return;
    count(`inlet.rtsp.failed.${failure}`);
    log.warn({ inletId: this.#inlet.id, failure, why }, 'inlet.lost');
    if (!this.#everPlayed) return this.#first.reject(new GatewayError(CODES[failure], { inletId: this.#inlet.id, why }));
    this.#source.lost();
    if (this.#playingSince !== undefined && clock.now() - this.#playingSince > STEADY_MS) this.#waitMs = FIRST_WAIT_MS;
    const waitMs = failure === 'unauthorized' ? UNAUTHORIZED_WAIT_MS : this.#waitMs;
    this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 2);
    this.#retry = clock.schedule(addMs(clock.now(), waitMs), () => this.#connect());
  }

  #stop(): void {
    this.#stopped = true;
    this.#retry?.[Symbol.dispose]();
    this.#first.reject(new GatewayError('MEDIA_UNAVAILABLE', { inletId: this.#inlet.id, why: 'closed while it opened' }));
    void this.#link?.stop();
  }
}
