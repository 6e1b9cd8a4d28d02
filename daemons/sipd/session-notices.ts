/**
 * What a device says when something that takes long is done: an upgrade, a snapshot that it uploaded (2022, gb28181.md A.4). It goes to
 * the platform that asked for it, and to nobody else.
 *
 *   Control or configuration with a SessionID -> asked ... Notify with the same SessionID -> that platform, under the ID that it knows
 */
import type { Manscdp } from '#core/gb/manscdp.ts';
import { relayResponse } from '#core/gb/relayed-content.ts';
import { type XmlElement, textOf } from '#core/gb/xml.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

/** An upgrade may take a night. */
const WAIT_MS = 24 * 3_600_000;
/** Sessions that are waited for; the oldest is forgotten. */
const MAX_SESSIONS = 10_000;
/** Cameras that were told to do the same under one number. */
const MAX_CHANNELS = 64;
const MAX_SESSION_ID = 128;
const NOTICES: ReadonlySet<string> = new Set(['DeviceUpgradeResult', 'UploadSnapShotFinished']);
/** Blocks of controls and configurations that carry a SessionID. */
const CARRIERS: ReadonlySet<string> = new Set(['deviceupgrade', 'snapshotconfig']);

interface Asked {
  readonly channel: ChannelRef;
  readonly upstream: string;
  readonly mappedId: string;
  readonly atMs: number;
}

export interface SessionNoticesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly upstreams: Upstreams;
  readonly views: Views;
}

export class SessionNotices {
  readonly #deps: SessionNoticesDeps;
  /** By SessionID, oldest first; some platforms give one to many cameras. */
  readonly #asked = new Map<string, readonly Asked[]>();
  #sn = 0;

  constructor(deps: SessionNoticesDeps) {
    this.#deps = deps;
  }

  /** Every command of a platform; most have no session. */
  command({ config }: UpstreamLink, message: Manscdp): void {
    const channel = message.root === 'Control' ? this.#deps.views.resolve(config.name, message.deviceId) : 'unknown';
    if (typeof channel === 'string') return;
    for (const block of message.element.children) {
      const sessionId = CARRIERS.has(block.key) ? sessionOf(block) : undefined;
      const known = sessionId === undefined ? [] : (this.#asked.get(sessionId) ?? []);
      // Nobody takes over what another platform waits for.
      if (sessionId === undefined || known.some(({ upstream }) => upstream !== config.name)) continue;
      const others = known.filter(({ mappedId }) => mappedId !== message.deviceId).slice(1 - MAX_CHANNELS);
      this.#asked.delete(sessionId);
      this.#asked.set(sessionId, [...others, { upstream: config.name, mappedId: message.deviceId, channel, atMs: this.#deps.clock.now() }]);
      if (this.#asked.size > MAX_SESSIONS) this.#asked.delete(this.#asked.keys().next().value!);
    }
  }

  /** A notice of a device, already answered with 200. False: it is another one. */
  notice(deviceId: string, message: Manscdp): boolean {
    const { clock, counters, log, upstreams } = this.#deps;
    if (message.root !== 'Notify' || !NOTICES.has(message.cmdType)) return false;
    const sessionId = sessionOf(message.element);
    const asked = sessionId === undefined ? undefined : meantBy(this.#asked.get(sessionId) ?? [], { deviceId, channelId: message.deviceId });
    const link = asked === undefined || clock.now() - asked.atMs > WAIT_MS ? undefined : upstreams.link(asked.upstream);
    if (asked === undefined || link === undefined) {
      counters.add('session-notice.nobody-asked');
      return true;
    }
    // What follows in the same session, such as a second snapshot, is told too.
    const { mappedId } = asked;
    const mapId = (id: string): string | undefined => (id === message.deviceId ? mappedId : id.startsWith(message.deviceId) ? `${mappedId}${id.slice(message.deviceId.length)}` : undefined);
    counters.add(`session-notice.${message.cmdType}`);
    log.info({ upstream: asked.upstream, deviceId, channelId: message.deviceId, cmdType: message.cmdType, sessionId }, 'session-notice.relayed');
    for (const xml of relayResponse(message, { sn: (this.#sn += 1), deviceId: mappedId }, mapId, () => true, link.config.gap.unknownElements)) void link.message(xml);
    return true;
  }
}

/** Of several cameras the one that speaks; of one it may come another way, or under the ID of its device. */
function meantBy(asked: readonly Asked[], { deviceId, channelId }: ChannelRef): Asked | undefined {
  const ofDevice = asked.filter(({ channel }) => channel.deviceId === deviceId);
  const ofChannel = asked.find(({ channel, mappedId }) => channel.channelId === channelId || mappedId === channelId);
  return ofDevice.find(({ channel }) => channel.channelId === channelId) ?? (ofDevice.length === 1 ? ofDevice[0] : undefined) ?? ofChannel ?? (asked.length === 1 ? asked[0] : undefined);
}

function sessionOf(element: XmlElement): string | undefined {
  const text = textOf(element, 'sessionid');
  return text !== undefined && text !== '' && text.length <= MAX_SESSION_ID ? text : undefined;
}
