/** A whole gateway, every daemon of it, under many streams: to kill one daemon after another, and see what each takes with it. */
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import type { LoadedFootage } from '../media/footage.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import { Platform } from '../simulators/platform/platform.ts';
import type { Play } from '../simulators/platform/play.ts';
import { DaemonProcess } from './daemon-process.ts';
import { freePort, LAB_ID, LAB_PASSWORD, LabGateway } from './gateway.ts';
import { startHealthd } from './healthd.ts';

const CITY = { id: '33010000002000000001', localId: '33010000002000000099', password: 'city-secret' };
const KNOWN_MS = 60_000;
const LOOK_MS = 20;
const AT_ONCE = 8;
/** Of each stream, after a strike. */
const PACKETS_AFTER = 50;
const AFTER_MS = 60_000;

export interface CrowdOptions {
  readonly streams: number;
  /** Media processes. */
  readonly instances: number;
  readonly pictures?: LoadedFootage;
}

export interface Struck {
  /** From SIGKILL until it is ready again, with the pause of its unit. */
  readonly backMs: number;
  /** Streams that went over it, and are ended. */
  readonly ended: number;
  /** Streams that went on. */
  readonly stayed: number;
  /** Of those. */
  readonly lostPackets: number;
  readonly damagedPictures: number;
}

export class Crowd implements AsyncDisposable {
  readonly lab: LabGateway;
  /** By the name of their sockets, in the order of their start. */
  readonly daemons: ReadonlyMap<string, DaemonProcess>;
  readonly #platform: Platform;
  readonly #closer: Closer;
  #plays: readonly Play[] = [];

  private constructor(lab: LabGateway, daemons: ReadonlyMap<string, DaemonProcess>, platform: Platform, closer: Closer) {
    this.lab = lab;
    this.daemons = daemons;
    this.#platform = platform;
    this.#closer = closer;
  }

  /** Returns when every stream shows pictures. */
  static async open({ streams, instances, pictures }: CrowdOptions): Promise<Crowd> {
    await using opening = new Closer();
    const platform = opening.use(await Platform.open({ id: CITY.id, password: CITY.password }));
    const api = { listen: [{ address: '127.0.0.1', port: await freePort('127.0.0.1') }] };
    const upstreams = [{ name: 'city', address: platform.address, port: platform.port, ...CITY, retryS: 1 }];
    // Of its own: more ports than other labs need.
    const mediaPorts = { first: 50_000, last: 50_000 + 8 * streams - 1 };
    const lab = opening.use(await LabGateway.open({ instances, mediaPorts, config: { upstreams, api, devices: { media: { lingerS: 0 } } } }));
    const daemons = new Map(lab.mediads.map((mediad, i) => [`mediad-${i + 1}`, mediad]));
    daemons.set('sipd', lab.sipd);
    const start = (name: string, ...more: readonly string[]): Promise<DaemonProcess> => DaemonProcess.start({ name, entry: `daemons/${name}/main.ts`, args: ['--config', lab.configPath, ...more], readyEvent: `${name}.ready`, logPath: join(lab.directory, `${name}.log`) });
    daemons.set('configd', opening.use(await start('configd', '--state', join(lab.directory, 'configd'))));
    daemons.set('healthd', opening.use(await startHealthd(lab)));
    daemons.set('apid', opening.use(await start('apid')));
    const camera = opening.use(await CameraSimulator.open({ platform: { id: LAB_ID, address: lab.address, port: lab.sipPort }, password: LAB_PASSWORD, channels: streams, ...(pictures !== undefined && { pictures }) }));
    await Promise.all([camera.registered(), platform.waitRegistered(CITY.localId, KNOWN_MS)]);
    const crowd = new Crowd(lab, daemons, platform, opening.release());
    try {
      await crowd.#playAll(await crowd.#channels(streams));
      return crowd;
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #channels(count: number): Promise<readonly string[]> {
    await using rpc = await this.lab.rpc();
    for (const limit = clock.now() + KNOWN_MS; clock.now() < limit; await pause(clock, LOOK_MS)) {
      const { rows } = await rpc.call('listChannels', { limit: count });
      const ids = rows.flatMap(({ mapped }) => mapped[0]?.id ?? []);
      if (ids.length === count) return ids;
    }
    throw new Error(`not every channel within ${KNOWN_MS} ms`);
  }

  async #playAll(ids: readonly string[]): Promise<void> {
    const left = [...ids];
    const plays: Play[] = [];
    const next = async (): Promise<void> => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        const play = await this.#platform.play(id, { transport: 'udp' });
        plays.push(play);
        await play.waitFrames(3, KNOWN_MS);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    this.#plays = [...this.#plays, ...plays];
  }

  /** kill -9, and the way back; who lost his stream by it has another one when it returns. */
  async strike(name: string): Promise<Struck> {
    const over = await this.#over(name);
    const others = this.#plays.filter(play => !over.includes(play));
    const before = others.map(({ report: { lost, damaged, packets } }) => ({ lost, damaged, packets }));
    const struckAt = clock.now();
    await this.daemons.get(name)!.crash();
    const backMs = clock.now() - struckAt;
    await Promise.all(over.map(play => play.waitEnded(AFTER_MS)));
    await Promise.all(others.map((play, i) => play.waitPackets(before[i]!.packets + PACKETS_AFTER, AFTER_MS)));
    const grown = (pick: 'lost' | 'damaged'): number => others.reduce((sum, { report }, i) => sum + report[pick] - before[i]![pick], 0);
    const stayed = others.filter(({ report }) => report.ended === undefined).length;
    this.#plays = others;
    await this.#playAll(over.map(({ report }) => report.channelId));
    return { backMs, ended: over.length, stayed, lostPackets: grown('lost'), damagedPictures: grown('damaged') };
  }

  /** Streams that this media process carries; none: it is no media process. */
  async #over(name: string): Promise<readonly Play[]> {
    await using rpc = await this.lab.rpc();
    const ids = new Set((await rpc.call('listSessions', {})).filter(({ instance }) => `mediad-${instance}` === name).map(({ mappedId }) => mappedId));
    return this.#plays.filter(({ report }) => ids.has(report.channelId));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer[Symbol.asyncDispose]();
  }
}
