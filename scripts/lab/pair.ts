/**
 * A pair of nodes with everything real: two network namespaces, keepalived, Redis and our daemons in each, and this process as the rest
 * of the world. Root. The caller runs in a namespace of its own (`enterWorld`), which holds the switch that both nodes hang on.
 *
 *        world: 10.97.0.254 on the switch, cameras, platforms, witness
 *           |                     |
 *        eth0 10.97.0.1        eth0 10.97.0.2     SIP address of the pair: 10.97.0.100
 *         node a ---- link ------ node b          10.98.0.1 -- 10.98.0.2
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ClusterReport, ClusterdRequests } from '#contracts/clusterd.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { newPairTrust, trustPath, writeTrust } from '#kit/pair-trust.ts';
import { systemRandom } from '#kit/random.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { pause } from '../simulators/common/names.ts';
import { DaemonProcess } from './daemon-process.ts';
import { LAB_ID, LAB_PASSWORD, NO_STRAIN } from './gateway.ts';

export const WORLD = '10.97.0.254';
export const SIP_ADDRESS = '10.97.0.100';
/** Of node a and node b. */
export const MEDIA_ADDRESSES = ['10.97.0.101', '10.97.0.102'] as const;
const WITNESS_PORT = 7;
const NODE_NAMES = ['a', 'b'] as const;
const LOOK_MS = 10;
const ONE_AT_A_TIME = join(tmpdir(), 'viewlink-pair.lock');
/** As their units say. */
const HURRIED: ReadonlySet<string> = new Set(['clusterd', 'keepalived']);
export const PAIR_KEY = 'a-secret-of-the-pair-that-nobody-guesses';
/** Of the two nodes. */
export const LINKS = [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1' }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2' }] as const;
/** For PairOptions.cluster: each node has a media address of its own. */
export const BOTH_CARRY_MEDIA = { nodes: LINKS.map((node, index) => ({ ...node, mediaAddress: `${MEDIA_ADDRESSES[index]}/24` })) };
const UNIT = new URL('../../systemd/viewlink-pair-addresses.service', import.meta.url);

/**
 * Runs this program again in a namespace that it owns, and ends with it; true: it is in there already. However the other one ends,
 * nothing of it stays: no process, no namespace, no file.
 *
 * One pair at a time on a machine: two of them take the time from each other in which a node has to answer. `beside`: this one measures
 * no such time, and waits for nobody. `networkOnly`: all that is mounted here, cgroups among it, is there too.
 */
export function enterWorld({ beside = false, networkOnly = false } = {}): boolean {
  if (process.env['VIEWLINK_WORLD'] !== undefined) {
    ip('link', 'add', 'switch', 'type', 'bridge');
    ip('link', 'set', 'switch', 'up');
    ip('address', 'add', `${WORLD}/24`, 'dev', 'switch');
    return true;
  }
  const name = `vlw${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), 'viewlink-world-'));
  process.once('exit', () => removeWorld(name, directory));
  execFileSync('ip', ['netns', 'add', name]);
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  const into = networkOnly ? ['nsenter', `--net=/run/netns/${name}`] : ['ip', 'netns', 'exec', name];
  const command = [...into, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const [program, ...words] = beside ? command : ['flock', '--no-fork', ONE_AT_A_TIME, ...command];
  const child = spawn(program!, words, { stdio: 'inherit', env: { ...process.env, VIEWLINK_WORLD: name, VIEWLINK_WORLD_DIRECTORY: directory } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void child.kill(signal));
  child.once('exit', code => void (process.exitCode = code ?? 1));
  return false;
}

function removeWorld(name: string, directory: string): void {
  for (const each of [name, ...NODE_NAMES.map(node => `${name}${node}`)]) {
    const { stdout } = spawnSync('ip', ['netns', 'pids', each], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    for (const pid of stdout.split('\n').filter(line => line !== '')) spawnSync('kill', ['-9', pid], { stdio: 'ignore' });
    spawnSync('ip', ['netns', 'del', each], { stdio: 'ignore' });
  }
  if (process.env['VIEWLINK_KEEP'] === undefined) rmSync(directory, { recursive: true, force: true });
}

const ip = (...words: readonly string[]): void => void execFileSync('ip', words, { stdio: 'ignore' });

export interface PairOptions {
  /** Sections over those of the lab. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Keys over those of its section `cluster`. */
  readonly cluster?: Readonly<Record<string, unknown>>;
  /** Called with the state directory of each node before anything runs there. */
  readonly stock?: ((stateDirectory: string) => void) | undefined;
}

export class PairNode {
  readonly name: string;
  readonly index: number;
  readonly namespace: string;
  readonly directory: string;
  /** By name, in the order of their start. */
  readonly daemons = new Map<string, DaemonProcess>();

  constructor(index: number, world: string, directory: string) {
    this.index = index;
    this.name = NODE_NAMES[index]!;
    this.namespace = `${world}${this.name}`;
    this.directory = join(directory, this.name);
  }

  daemon(name: string): DaemonProcess {
    return this.daemons.get(name)!;
  }

  clusterd(): Promise<RpcClient<ClusterdRequests>> {
    return connectRpc<ClusterdRequests>(join(this.directory, 'run', 'clusterd.sock'));
  }

  sipd(): Promise<RpcClient<SipdRequests>> {
    return connectRpc<SipdRequests>(join(this.directory, 'run', 'sipd.sock'));
  }

  async report(): Promise<ClusterReport | undefined> {
    try {
      await using client = await this.clusterd();
      return await client.call('report', {});
    } catch {
      return undefined;
    }
  }

  /** Addresses of its side of the switch, as its kernel has them. */
  get addresses(): readonly string[] {
    return execFileSync('ip', ['-n', this.namespace, '-o', '-4', 'address', 'show', 'dev', 'eth0'], { encoding: 'utf8' }).split('\n').flatMap(line => /inet ([\d.]+)/.exec(line)?.[1] ?? []);
  }

  get serves(): boolean {
    return this.addresses.includes(SIP_ADDRESS);
  }

  cable(up: boolean): void {
    ip('-n', this.namespace, 'link', 'set', 'eth0', up ? 'up' : 'down');
  }

  link(up: boolean): void {
    ip('-n', this.namespace, 'link', 'set', 'eth1', up ? 'up' : 'down');
  }

  /** What its kernel does with packets, as lines of nft, each behind `input` or `output`; none: nothing. Interfaces stay up. */
  filter(...rules: readonly string[]): void {
    const chain = (hook: string): string => [`chain ${hook} {`, `type filter hook ${hook} priority -300`, ...rules.flatMap(rule => (rule.startsWith(`${hook} `) ? rule.slice(hook.length + 1) : [])), '}'].join('\n');
    const table = rules.length === 0 ? [] : ['table inet lab {', chain('input'), chain('output'), '}'];
    execFileSync('ip', ['netns', 'exec', this.namespace, 'nft', '-f', '-'], { input: ['table inet lab {}', 'delete table inet lab', ...table, ''].join('\n') });
  }

  /** Every process of it stands still, or goes on. Its kernel does not. */
  freeze(on: boolean): void {
    for (const pid of execFileSync('ip', ['netns', 'pids', this.namespace], { encoding: 'utf8' }).split('\n')) if (pid !== '') process.kill(Number(pid), on ? 'SIGSTOP' : 'SIGCONT');
  }
}

/** For `filter`: everything is dropped, and no interface knows. */
export const SEVERED: readonly string[] = ['input iifname "eth*" drop', 'output oifname "eth*" drop'];

export class PairLab implements AsyncDisposable {
  readonly nodes: readonly [PairNode, PairNode];
  readonly #closer: Closer;

  private constructor(nodes: readonly [PairNode, PairNode], closer: Closer) {
    this.nodes = nodes;
    this.#closer = closer;
  }

  static async open({ config = {}, cluster = {}, stock }: PairOptions = {}): Promise<PairLab> {
    await using opening = new Closer();
    const world = process.env['VIEWLINK_WORLD']!;
    const directory = mkdtempSync(join(process.env['VIEWLINK_WORLD_DIRECTORY']!, 'pair-'));
    if (process.env['VIEWLINK_KEEP'] === undefined) opening.defer(() => rmSync(directory, { recursive: true, force: true }));
    const nodes = [new PairNode(0, world, directory), new PairNode(1, world, directory)] as const;
    wire(nodes, opening);
    const witness = createServer(socket => socket.destroy());
    opening.defer(() => witness.close());
    await new Promise<void>(resolve => witness.listen(WITNESS_PORT, WORLD, resolve));
    for (const [i, half] of newPairTrust(['a', 'b'], systemRandom).entries()) writeTrust(trustPath(join(nodes[i]!.directory, 'state')), half);
    for (const node of nodes) stock?.(join(node.directory, 'state'));
    for (const node of nodes) await startNode(node, nodeConfig(node, config, cluster), opening);
    return new PairLab(nodes, opening.release());
  }

  /** The node that serves; waits for it. */
  async active(limitMs = 15_000): Promise<PairNode> {
    for (const limit = clock.now() + limitMs; clock.now() < limit; await pause(clock, LOOK_MS)) {
      for (const node of this.nodes) if ((await node.report())?.state.sipd?.state === 'active') return node;
    }
    throw new Error(`nobody is active: ${JSON.stringify(await Promise.all(this.nodes.map(node => node.report())))}`);
  }

  other(node: PairNode): PairNode {
    return this.nodes[1 - node.index]!;
  }

  /** The standby has everything, and could take over. */
  async ready(limitMs = 20_000): Promise<PairNode> {
    const standby = this.other(await this.active());
    for (const limit = clock.now() + limitMs; clock.now() < limit; await pause(clock, LOOK_MS)) {
      const report = await standby.report();
      const seen = await this.other(standby).report();
      if (report?.state.whole === true && report.keepalived === 'fault' && seen?.peer.fitness === 100 && seen.peer.hearsUs && seen.state.sipd?.waiting === 0) return standby;
    }
    throw new Error(`the standby is not ready: ${JSON.stringify(await standby.report())}`);
  }

  /** The other node than this one serves. */
  async taken(from: PairNode, limitMs: number): Promise<void> {
    const next = this.other(from);
    for (const limit = clock.now() + limitMs; (await next.report())?.state.sipd?.state !== 'active' || !next.serves; await pause(clock, LOOK_MS)) if (clock.now() > limit) throw new Error(`${next.name} did not take over`);
  }

  /** Power is cut: everything at once, addresses included. */
  kill(node: PairNode): void {
    for (const daemon of node.daemons.values()) daemon.halt();
    node.cable(false);
    node.link(false);
    for (const address of [SIP_ADDRESS, ...MEDIA_ADDRESSES]) spawnSync('ip', ['-n', node.namespace, 'address', 'del', `${address}/24`, 'dev', 'eth0'], { stdio: 'ignore' });
  }

  /** Its daemons are stopped as systemd stops them; the machine goes on. */
  async stop(node: PairNode): Promise<void> {
    await Promise.all([...node.daemons.values()].map(daemon => daemon.stop()));
  }

  /** Power is back. */
  async revive(node: PairNode): Promise<void> {
    rmSync(join(node.directory, 'run'), { recursive: true, force: true });
    node.cable(true);
    node.link(true);
    const { clusterd, ...others } = Object.fromEntries(node.daemons);
    await clusterd!.again();
    await configured(node);
    await Promise.all(Object.values(others).map(daemon => daemon.again()));
  }

  /** Both are on the switch, and neither reaches the other there or on the link. */
  isolate(on: boolean): void {
    for (const node of this.nodes) execFileSync('bridge', ['link', 'set', 'dev', `port-${node.name}`, 'isolated', on ? 'on' : 'off']);
    this.nodes[0].link(!on);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closer[Symbol.asyncDispose]();
  }
}

/** Namespaces, cables and addresses, and nothing in them. */
export function wire(nodes: readonly PairNode[], closer: Closer): void {
  for (const { namespace, name, index } of nodes) {
    ip('netns', 'add', namespace);
    closer.defer(() => ip('netns', 'del', namespace));
    ip('link', 'add', `port-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    ip('link', 'set', `port-${name}`, 'master', 'switch', 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    ip('-n', namespace, 'address', 'add', `10.97.0.${index + 1}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  }
  ip('-n', nodes[0]!.namespace, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', nodes[1]!.namespace);
  for (const { namespace, index } of nodes) {
    ip('-n', namespace, 'address', 'add', `10.98.0.${index + 1}/24`, 'dev', 'eth1');
    ip('-n', namespace, 'link', 'set', 'eth1', 'up');
  }
}

const nodeConfig = ({ name, directory }: PairNode, over: object, cluster: object): object => ({
  node: { name },
  sip: { id: LAB_ID, listen: [{ transport: 'udp', address: SIP_ADDRESS, port: 5060 }, { transport: 'tcp', address: SIP_ADDRESS, port: 5060 }] },
  devices: { admit: [{ networks: ['10.97.0.0/24'], password: LAB_PASSWORD }], media: { lingerS: 0 } },
  media: { instances: 1, ports: { mode: 'range', first: 20_000, last: 21_999 }, strain: NO_STRAIN },
  cluster: {
    nodes: LINKS,
    key: PAIR_KEY,
    sipAddress: `${SIP_ADDRESS}/24`,
    holdDownS: 2,
    witness: { address: WORLD, port: WITNESS_PORT },
    ...cluster,
  },
  state: { directory: join(directory, 'state') },
  rpc: { directory: join(directory, 'run') },
  ...over,
});

async function startNode(node: PairNode, content: object, closer: Closer): Promise<void> {
  const { directory, namespace, name } = node;
  mkdirSync(join(directory, 'state'), { recursive: true });
  const config = join(directory, 'gateway.yaml');
  writeFileSync(config, stringify(content), { mode: 0o600 });
  const within = (daemon: string): readonly string[] => [...(HURRIED.has(daemon) ? ['nice', '-n', '-10'] : []), 'ip', 'netns', 'exec', namespace];
  const begin = async (daemon: string, more: Pick<Parameters<typeof DaemonProcess.start>[0], 'entry' | 'args' | 'readyEvent'> & { isProgram?: boolean; onExit?: () => void }): Promise<void> => {
    node.daemons.set(daemon, closer.use(await DaemonProcess.start({ name: `${daemon} of ${name}`, logPath: join(directory, `${daemon}.log`), within: within(daemon), ...more })));
  };
  await begin('clusterd', { entry: 'daemons/clusterd/main.ts', args: ['--config', config], readyEvent: 'clusterd.ready' });
  await configured(node);
  await begin('redis', { entry: 'redis-server', args: [join(directory, 'run/cluster/redis.conf')], readyEvent: '', isProgram: true });
  await begin('mediad', { entry: 'daemons/mediad/main.ts', args: ['--config', config, '--instance', '1'], readyEvent: 'mediad.ready' });
  await begin('sipd', { entry: 'daemons/sipd/main.ts', args: ['--config', config], readyEvent: 'sipd.standby' });
  const pids = ['--pid', '--vrrp_pid'].map(option => `${option}=${join(directory, `${option.slice(2)}.pid`)}`);
  await begin('keepalived', { entry: 'keepalived', args: ['--dont-fork', '--dont-respawn', '--log-console', '--vrrp', `--use-file=${join(directory, 'run/cluster/keepalived.conf')}`, ...pids], readyEvent: '', isProgram: true, onExit: () => releaseAddresses(node) });
}

/** clusterd has written what keepalived and Redis begin with. */
async function configured(node: PairNode): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await node.report()) return;
    await pause(clock, LOOK_MS);
  }
  throw new Error(`clusterd of ${node.name} does not answer`);
}

/** What the unit does when keepalived has ended, word for word. */
function releaseAddresses({ namespace, directory }: PairNode): void {
  const command = /^ExecStopPost=\/bin\/sh -c '(.*)'$/m.exec(readFileSync(UNIT, 'utf8'))![1]!;
  const script = command.replaceAll('\\\\', '\\').replaceAll('$$', '$').replaceAll('/run/viewlink', join(directory, 'run'));
  spawnSync('ip', ['netns', 'exec', namespace, '/bin/sh', '-c', script], { stdio: 'ignore' });
  for (const pid of ['pid', 'vrrp_pid']) rmSync(join(directory, `${pid}.pid`), { force: true });
}
