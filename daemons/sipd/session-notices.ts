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
import type { Counters } from './counters.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';

/** An upgrade may take a night. */
const WAIT_MS = 24 * 3_600_000;
/** Sessions that are waited for; the oldest is forgotten. */
const MAX_SESSIONS = 10_000;
const MAX_SESSION_ID = 128;
const NOTICES: ReadonlySet<string> = new Set(['DeviceUpgradeResult', 'UploadSnapShotFinished']);
/** Blocks of controls and configurations that carry a SessionID. */
const CARRIERS: ReadonlySet<string> = new Set(['deviceupgrade', 'snapshotconfig']);

interface Asked {
  readonly upstream: string;
  readonly mappedId: string;
  readonly atMs: number;
}

export interface SessionNoticesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly upstreams: Upstreams;
}

export class SessionNotices {
  readonly #deps: SessionNoticesDeps;
  /** By SessionID, oldest first. */
  readonly #asked = new Map<string, Asked>();
  #sn = 0;

  constructor(deps: SessionNoticesDeps) {
    this.#deps = deps;
  }

  /** Every command of a platform; most have no session. */
  command({ config }: UpstreamLink, message: Manscdp): void {
    if (message.root !== 'Control') return;
    for (const block of message.element.children) {
      const sessionId = CARRIERS.has(block.key) ? sessionOf(block) : undefined;
      const known = sessionId === undefined ? undefined : this.#asked.get(sessionId);
      // Nobody takes over what another platform waits for.
      if (sessionId === undefined || (known !== undefined && known.upstream !== config.name)) continue;
      this.#asked.delete(sessionId);
      this.#asked.set(sessionId, { upstream: config.name, mappedId: message.deviceId, atMs: this.#deps.clock.now() });
      if (this.#asked.size > MAX_SESSIONS) this.#asked.delete(this.#asked.keys().next().value!);
    }
  }

  /** A notice of a device, already answered with 200. False: it is another one. */
  notice(deviceId: string, message: Manscdp): boolean {
    const { clock, counters, log, upstreams } = this.#deps;
    if (message.root !== 'Notify' || !NOTICES.has(message.cmdType)) return false;
    const sessionId = sessionOf(message.element);
    const asked = sessionId === undefined ? undefined : this.#asked.get(sessionId);
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

function sessionOf(element: XmlElement): string | undefined {
  const text = textOf(element, 'sessionid');
  return text !== undefined && text !== '' && text.length <= MAX_SESSION_ID ? text : undefined;
}
