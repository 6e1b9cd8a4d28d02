/** Viewers of the platform above who stay through all runs: over UDP, and over TCP, who ask again like anybody when they are sent away. */
import { systemClock as clock } from '#kit/clock.ts';
import { pause } from '../../simulators/common/names.ts';
import type { Platform } from '../../simulators/platform/platform.ts';
import type { Play } from '../../simulators/platform/play.ts';
import { gapSince } from '../../lab/pair-scene.ts';

const LOOK_MS = 10;
const AGAIN_MS = 100;
const PICTURES_FIRST = 10;
/** As many at a time are asked for. */
const AT_ONCE = 8;

interface Viewer {
  readonly channelId: string;
  readonly transport: 'udp' | 'tcp-passive';
  play: Play | undefined;
}

export interface Seen {
  /** Longest time without a picture, of the worst UDP session that was kept. */
  readonly gapMs: number;
  /** Of the UDP sessions, without a new INVITE. */
  readonly kept: number;
  /** Until each TCP session showed pictures again; Infinity: it did not. */
  readonly tcpBackMs: readonly number[];
}

export class Viewers {
  readonly #platform: Platform;
  readonly #viewers: readonly Viewer[];

  constructor(platform: Platform, ids: readonly string[], overTcp: number) {
    this.#platform = platform;
    this.#viewers = ids.map((channelId, i) => ({ channelId, transport: i < ids.length - overTcp ? 'udp' : 'tcp-passive', play: undefined }));
  }

  /** Everybody sees pictures; who does not asks anew. */
  async complete(limitMs: number): Promise<void> {
    const until = clock.now() + limitMs;
    const missing = this.#viewers.filter(viewer => viewer.play === undefined || viewer.play.state === 'ended' || !isLively(viewer.play));
    const next = async (): Promise<void> => {
      for (let viewer = missing.shift(); viewer !== undefined; viewer = missing.shift()) await this.#again(viewer, until);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    for (const { play } of this.#viewers) play!.markers.splice(0);
    await Promise.all(this.#viewers.map(({ play }) => pictures(play!, PICTURES_FIRST, until)));
  }

  /** What everybody saw from the strike on; returns when all is well again, or after the limit. */
  async watch(strickenAt: number, isServed: () => boolean, limitMs: number): Promise<Seen> {
    const until = strickenAt + limitMs;
    const of = (transport: Viewer['transport']): readonly Viewer[] => this.#viewers.filter(viewer => viewer.transport === transport);
    const before = new Map(this.#viewers.map(({ play }) => [play!, play!.markers.length - 1]));
    let servedAt: number | undefined;
    const tcp = Promise.all(of('tcp-passive').map(viewer => this.#backAfter(viewer, strickenAt, () => servedAt, until)));
    while (!isServed() && clock.now() < until) await pause(clock, LOOK_MS);
    servedAt = clock.now();
    await Promise.all(of('udp').map(({ play }) => pictures(play!, PICTURES_FIRST, until, servedAt).catch(() => undefined)));
    const tcpBackMs = await tcp;
    const resumedAt = servedAt;
    const kept = of('udp').filter(({ play }) => play!.state === 'playing' && (play!.markers.at(-1)?.atMs ?? 0) >= resumedAt);
    const gaps = kept.map(({ play }) => gapSince(play!, play!.markers[before.get(play!)!]?.atMs ?? strickenAt));
    return { gapMs: Math.max(0, ...gaps), kept: kept.length / of('udp').length, tcpBackMs };
  }

  async #again(viewer: Viewer, until: number): Promise<void> {
    await viewer.play?.stop();
    viewer.play = undefined;
    while (viewer.play === undefined) {
      try {
        viewer.play = await this.#platform.play(viewer.channelId, { transport: viewer.transport });
      } catch (error) {
        if (clock.now() >= until) throw error;
        await pause(clock, AGAIN_MS);
      }
    }
  }

  /** Its pictures may come again on what it has, or it is told of the end and asks anew; well is who sees them for a while without a gap. */
  async #backAfter(viewer: Viewer, strickenAt: number, served: () => number | undefined, until: number): Promise<number> {
    const earlier: number[] = [];
    for (; clock.now() < until; await pause(clock, LOOK_MS)) {
      if (viewer.play === undefined || viewer.play.state === 'ended') {
        earlier.push(...(viewer.play?.markers ?? []).map(({ atMs }) => atMs));
        await this.#again(viewer, until).catch(() => undefined);
      }
      const times = [strickenAt, ...earlier, ...(viewer.play?.markers ?? []).map(({ atMs }) => atMs)].filter(atMs => atMs >= strickenAt);
      const begin = times.findLast((at, i) => i === 0 || at - times[i - 1]! > SILENT_MS)!;
      const servedAt = served();
      if (servedAt !== undefined && times.length > 1 && clock.now() - times.at(-1)! < SILENT_MS && times.at(-1)! - Math.max(begin, servedAt) >= WELL_MS) return begin - strickenAt;
    }
    return Infinity;
  }
}

/** Pictures come every 40 ms. */
const SILENT_MS = 200;
const WELL_MS = 500;

const isLively = ({ markers }: Play): boolean => clock.now() - (markers.at(-1)?.atMs ?? 0) < 5 * SILENT_MS;

async function pictures(play: Play, count: number, until: number, since = 0): Promise<void> {
  while (play.markers.filter(({ atMs }) => atMs >= since).length < count) {
    if (clock.now() > until || play.state === 'ended') throw new Error(`no pictures of a session that is ${play.state}: ${JSON.stringify(play.report)}`);
    await pause(clock, LOOK_MS);
  }
}
