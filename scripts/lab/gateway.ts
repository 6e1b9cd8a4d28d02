/** A whole gateway on loopback with real daemons in a directory of its own: for the demo, the benches and the tests. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { MediadEvent, MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import { Closer } from '#kit/closer.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from './daemon-process.ts';
import { unitFlags } from './unit-flags.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface LabOptions {
  /** Merged over the lab's own configuration, section by section. */
  readonly config?: Readonly<Record<string, Json>>;
  readonly instances?: number;
  readonly address?: string;
  readonly sipPort?: number;
  /** Kept when given; else a temporary directory that goes with the lab. */
  readonly directory?: string;
  /** First and last media port; default: a range of the lab's own. */
  readonly mediaPorts?: { readonly first: number; readonly last: number };
  /** Where the media daemons look for /proc and /sys; default: the machine itself. */
  readonly sysroot?: string;
  /** Added to the environment of the daemons. */
  readonly env?: Readonly<Record<string, string>>;
}

export const LAB_ID = '34020000002000000001';
export const LAB_PASSWORD = 'lab-device-secret';

/** How busy the machine of a lab is, is not its subject. */
export const NO_STRAIN = { memoryPercent: 0, memoryStallPercent: 0, cpuStallPercent: 0, stealPercent: 0, lateMs: 0 };

let labs = 0;

export class LabGateway implements AsyncDisposable {
  readonly directory: string;
  readonly configPath: string;
  readonly address: string;
  readonly sipPort: number;
  readonly sipd: DaemonProcess;
  readonly mediads: readonly DaemonProcess[];
  readonly #closer: Closer;
  readonly #base: Readonly<Record<string, Json>>;

  private constructor(fields: Pick<LabGateway, 'directory' | 'configPath' | 'address' | 'sipPort' | 'sipd' | 'mediads'>, base: Readonly<Record<string, Json>>, closer: Closer) {
    ({ directory: this.directory, configPath: this.configPath, address: this.address, sipPort: this.sipPort, sipd: this.sipd, mediads: this.mediads } = fields);
    this.#base = base;
    this.#closer = closer;
  }

  static async open(options: LabOptions = {}): Promise<LabGateway> {
    await using opening = new Closer();
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'viewlink-lab-')));
    if (options.directory === undefined) opening.defer(() => rm(directory, { recursive: true, force: true }));
    await mkdir(directory, { recursive: true });
    const { address = '127.0.0.1', instances = 1, env = {} } = options;
    const sipPort = options.sipPort ?? (await freePort(address));
    const base = baseConfig(directory, address, sipPort, instances, options.mediaPorts ?? nextPorts());
    const configPath = join(directory, 'gateway.yaml');
    await writeConfig(configPath, merge(base, options.config ?? {}));
    const mediads: DaemonProcess[] = [];
    for (let instance = 1; instance <= instances; instance += 1) mediads.push(opening.use(await startMediad({ directory, configPath, instance, sysroot: options.sysroot ?? '', env })));
    const sipd = opening.use(await startSipd(directory, configPath, env));
    return new LabGateway({ directory, configPath, address, sipPort, sipd, mediads }, base, opening.release());
  }

  rpc(): Promise<RpcClient<SipdRequests>> {
    return connectRpc<SipdRequests>(join(this.directory, 'run', 'sipd.sock'));
  }

  mediadRpc(instance = 1, onEvent?: (event: MediadEvent) => void): Promise<RpcClient<MediadRequests>> {
    return connectRpc<MediadRequests, MediadEvent>(join(this.directory, 'run', `mediad-${instance}.sock`), onEvent === undefined ? {} : { onEvent });
  }

  /** Writes another configuration; the daemons read it when they are told to reload. */
  async rewrite(config: Readonly<Record<string, Json>>): Promise<void> {
    await writeConfig(this.configPath, merge(this.#base, config));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer[Symbol.asyncDispose]();
  }
}

const startMediad = ({ directory, configPath, instance, sysroot, env }: { readonly directory: string; readonly configPath: string; readonly instance: number; readonly sysroot: string; readonly env: Readonly<Record<string, string>> }): Promise<DaemonProcess> =>
  DaemonProcess.start({
    name: `mediad@${instance}`,
    entry: 'daemons/mediad/main.ts',
    args: ['--config', configPath, '--instance', String(instance), '--sysroot', sysroot],
    readyEvent: 'mediad.ready',
    logPath: join(directory, `mediad-${instance}.log`),
    env,
  });

const startSipd = (directory: string, configPath: string, env: Readonly<Record<string, string>>): Promise<DaemonProcess> =>
  DaemonProcess.start({ name: 'sipd', entry: 'daemons/sipd/main.ts', args: ['--config', configPath], readyEvent: 'sipd.ready', logPath: join(directory, 'sipd.log'), env, nodeFlags: unitFlags('sipd') });

function baseConfig(directory: string, address: string, sipPort: number, instances: number, ports: { first: number; last: number }): Record<string, Json> {
  return {
    sip: { id: LAB_ID, listen: [{ transport: 'udp', address, port: sipPort }, { transport: 'tcp', address, port: sipPort }] },
    devices: { admit: [{ networks: [address.includes(':') ? '::1/128' : '127.0.0.0/8'], password: LAB_PASSWORD }] },
    media: { instances, ports: { mode: 'range', first: ports.first, last: ports.last }, strain: NO_STRAIN },
    state: { directory: join(directory, 'state') },
    rpc: { directory: join(directory, 'run') },
  };
}

function merge(base: Readonly<Record<string, Json>>, over: Readonly<Record<string, Json>>): Record<string, Json> {
  const merged: Record<string, Json> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isObject(below) && isObject(value) ? merge(below, value) : value;
  }
  return merged;
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value);

const writeConfig = (path: string, config: Json): Promise<void> => writeFile(path, stringify(config), { mode: 0o600 });

/** Ranges that do not meet, for labs that run at the same time in different processes. */
function nextPorts(): { first: number; last: number } {
  const slot = (process.pid * 7 + labs) % 24;
  labs += 1;
  return { first: 20_000 + slot * 500, last: 20_000 + slot * 500 + 499 };
}

/** A port that was free for UDP and TCP a moment ago. */
export async function freePort(address: string): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = await new Promise<number>(resolve => server.listen(0, address, () => resolve((server.address() as { port: number }).port)));
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const free = await new Promise<boolean>(resolve => socket.once('error', () => resolve(false)).bind(port, address, () => resolve(true)));
    await Promise.all([new Promise(resolve => server.close(resolve)), new Promise<void>(resolve => (free ? socket.close(resolve) : resolve()))]);
    if (free) return port;
  }
}
