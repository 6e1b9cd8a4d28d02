/** Where the sip bench plays: a gateway with one upstream, the load beside it, all on loopback addresses of their own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SipdRequests } from '#contracts/sipd.ts';
import { Closer } from '#kit/closer.ts';
import type { RpcClient } from '#kit/rpc.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../../lab/gateway.ts';
import { Load } from './child.ts';
import { Inspector } from './inspector.ts';
import { cpuSeconds, waitedSeconds } from './usage.ts';

const GATEWAY_ADDRESS = '127.0.0.1';
export const UPSTREAM_ADDRESS = '127.0.0.2';
const CAMERA_ADDRESS = '127.0.0.3';
const UPSTREAM_ID = '44010000002000000001';
const LOCAL_ID = '44010000002000000099';
const LOOK_EVERY_MS = 100;
/** Ports rest after each call: enough for all calls of the bench. */
const MEDIA_PORTS = { first: 12_000, last: 19_999 };
/** The inspector answers when it is asked for; until then nothing of it runs. */
const ENV = { NODE_OPTIONS: '--inspect-port=0' };

/** CPU of the daemon during some work, and how long the work took. */
export interface Cost<T> {
  readonly result: T;
  readonly cpuS: number;
  /** That signalling and media daemon waited for a core, together. */
  readonly waitedS: number;
  readonly wallS: number;
}

export class Scene implements AsyncDisposable {
  readonly load: Load;
  readonly lab: LabGateway;
  readonly inspector: Inspector;
  readonly #rpc: RpcClient<SipdRequests>;
  readonly #closer: Closer;
  readonly #profileTo: string | undefined;

  private constructor(parts: Pick<Scene, 'load' | 'lab' | 'inspector'>, rpc: RpcClient<SipdRequests>, closer: Closer, profileTo: string | undefined) {
    ({ load: this.load, lab: this.lab, inspector: this.inspector } = parts);
    this.#rpc = rpc;
    this.#closer = closer;
    this.#profileTo = profileTo;
  }

  /** `profileTo`: a directory that gets a profile of every stretch of work. `mediaPerS`: packets a second of every call. `upstreamOver`, `devicesOver`: more of the configuration. */
  static async open(cameras: number, channels: number, profileTo: string | undefined, { mediaPerS, upstreamOver = {}, devicesOver = {} }: { readonly mediaPerS?: number; readonly upstreamOver?: Readonly<Record<string, string>>; readonly devicesOver?: Readonly<Record<string, number>> } = {}): Promise<Scene> {
    await using opening = new Closer();
    const load = opening.use(new Load());
    const [port, sipPort] = await Promise.all([freePort(UPSTREAM_ADDRESS), freePort(GATEWAY_ADDRESS)]);
    const gateway = { address: GATEWAY_ADDRESS, port: sipPort };
    // The upstream first: a gateway whose registration fails waits a minute.
    await load.order('cameras', { gateway: { ...gateway, id: LAB_ID }, password: LAB_PASSWORD, address: CAMERA_ADDRESS, count: cameras, channels, ...(mediaPerS !== undefined && { mediaPerS }) });
    await load.order('upstream', { id: UPSTREAM_ID, address: UPSTREAM_ADDRESS, port, gateway: { ...gateway, id: LOCAL_ID } });
    const upstream = { name: 'bench', id: UPSTREAM_ID, address: UPSTREAM_ADDRESS, port, transport: 'tcp', localId: LOCAL_ID, password: 'none', ...upstreamOver };
    const config = { devices: { media: { lingerS: 0 }, ...devicesOver }, upstreams: [upstream] };
    const lab = opening.use(await LabGateway.open({ env: ENV, mediaPorts: MEDIA_PORTS, address: GATEWAY_ADDRESS, sipPort, config }));
    const rpc = opening.use(await lab.rpc());
    const inspector = opening.use(await Inspector.open(lab.sipd, join(lab.directory, 'sipd.log')));
    return new Scene({ load, lab, inspector }, rpc, opening.release(), profileTo);
  }

  get rpc(): RpcClient<SipdRequests> {
    return this.#rpc;
  }

  /** Of the daemons that a call goes through. */
  get pids(): readonly number[] {
    return [this.lab.sipd, ...this.lab.mediads].map(({ pid }) => pid);
  }

  /** Runs `work` and says what the signalling daemon spent meanwhile. */
  async cost<T>(name: string, work: () => Promise<T>): Promise<Cost<T>> {
    if (this.#profileTo !== undefined) await this.inspector.startProfile();
    const { sipd } = this.lab;
    const waited = (): number => waitedSeconds(this.pids);
    const cpuBefore = cpuSeconds(sipd.pid);
    const waitedBefore = waited();
    const startedAt = performance.now();
    const result = await work();
    const cost = { result, cpuS: cpuSeconds(sipd.pid) - cpuBefore, waitedS: waited() - waitedBefore, wallS: (performance.now() - startedAt) / 1000 };
    if (this.#profileTo !== undefined) await writeFile(join(this.#profileTo, `${name}.cpuprofile`), JSON.stringify(await this.inspector.stopProfile()));
    return cost;
  }

  /** Until a counter of the daemon has risen to `least`; throws after `limitS`. */
  async counted(counter: string, least: number, limitS: number): Promise<void> {
    const until = performance.now() + limitS * 1000;
    for (;;) {
      const reached = (await this.#rpc.call('counters', {}))[counter] ?? 0;
      if (reached >= least) return;
      if (performance.now() > until) throw new Error(`${counter} is ${reached}, not ${least}, after ${limitS} s`);
      await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer[Symbol.asyncDispose]();
  }
}
