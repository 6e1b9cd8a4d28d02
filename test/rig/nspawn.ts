/**
 * A plain Debian 12 with systemd as its first process, in a container of its own: nothing of this machine but its kernel. The root file
 * system is made once and kept in .cache; each machine gets a copy that goes with it, or a layer of its own over one that is shared.
 * Needs root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool, type ToolRun } from './run-tool.ts';
import { until } from './until.ts';

const CACHE = join(import.meta.dirname, '../../.cache');
/** What a small server has, what the package depends on, and what a pair needs beside it. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'iproute2', 'libstdc++6', 'nftables', 'openssh-server', 'procps', 'keepalived', 'redis-server'];
/** As on the appliance: no package starts by itself what the gateway steers. */
const MASKED = ['redis-server.service', 'keepalived.service'];
const SUITE = 'bookworm';
const SOURCES = '/etc/apt/sources.list.d/debian.sources';
const BUILD_LIMIT_MS = 480_000;
const UNPACK_LIMIT_MS = 60_000;
/** Where version 2 of control groups may be. */
const CONTROL_GROUPS = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
/**
 * The supervisor ends with the test, and its machine with it, however the test ends. Root, name, network, and what it is a layer over.
 * In a control group of its own: two machines in one would take the processes of each other for theirs.
 */
const START = `set -e
for top in ${CONTROL_GROUPS.join(' ')}; do
  [ -f "$top/cgroup.controllers" ] || continue
  mkdir -p "$top/vl-$$"
  echo $$ >"$top/vl-$$/cgroup.procs"
  break
done
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
root=$1
if [ -n "$4" ]; then
  root=$1/root
  mkdir -p "$1/upper" "$1/work" "$root"
  mount -t overlay -o "lowerdir=$4,upperdir=$1/upper,workdir=$1/work" overlay "$root"
fi
exec systemd-nspawn --quiet --register=no --keep-unit "$3" --capability=CAP_NET_ADMIN --machine="$2" --directory="$root" --boot systemd.show_status=0`;
const ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive', 'SYSTEMD_COLORS=0', 'SYSTEMD_PAGER='];

/** Path of a tar file. Throws with what mmdebstrap said. */
export async function debianRoot(): Promise<string> {
  const key = createHash('sha256').update([SUITE, ...PACKAGES, ...MASKED].join(' ')).digest('hex').slice(0, 12);
  const path = join(CACHE, `rootfs-${key}.tar`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  // Two tests at a time may want it, and the second one waits for what the first one makes.
  await using _lock = await Lock.take(`${path}.lock`, BUILD_LIMIT_MS);
  if (existsSync(path)) return path;
  const temporary = `${path}.${process.pid}.tar`;
  // Where this machine gets its own packages from.
  const sources = [SOURCES, '/etc/apt/sources.list'].find(path => existsSync(path) && readFileSync(path, 'utf8').includes(SUITE));
  const without = ['man', 'doc', 'locale', 'info'].map(folder => `--dpkgopt=path-exclude=/usr/share/${folder}/*`);
  const { code, stderr } = await runTool('mmdebstrap', ['--mode=root', '--variant=essential', `--include=${PACKAGES.join(',')}`, '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"', `--customize-hook=chroot "$1" systemctl mask ${MASKED.join(' ')}`, ...(await proxies()), ...without, SUITE, temporary, ...(sources === undefined ? [] : [sources])], BUILD_LIMIT_MS);
  if (code !== 0) throw new Error(`mmdebstrap: ${stderr}`);
  renameSync(temporary, path);
  return path;
}

/** Whatever a package is made of. */
const PACKAGED = ['cli', 'daemons', 'etc', 'scripts', 'systemd', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'package-lock.json'];
const REPOSITORY = join(import.meta.dirname, '../..');

/** Path of the Debian package of this tree: built once for all tests of it. */
export async function packageOfTree(): Promise<string> {
  const hash = createHash('sha256');
  for (const top of PACKAGED) for (const path of filesOf(join(REPOSITORY, top))) hash.update(`${path}\n`).update(readFileSync(path));
  const folder = join(CACHE, `package-${hash.digest('hex').slice(0, 16)}`);
  mkdirSync(CACHE, { recursive: true });
  await using _lock = await Lock.take(join(CACHE, 'package.lock'), BUILD_LIMIT_MS);
  if (!existsSync(folder)) await build(folder);
  return join(folder, readdirSync(folder).find(name => name.endsWith('.deb'))!);
}

async function build(folder: string): Promise<void> {
  for (const old of readdirSync(CACHE)) if (/^(package|building)-/.test(old)) rmSync(join(CACHE, old), { recursive: true, force: true });
  const made = mkdtempSync(join(CACHE, 'building-'));
  const { code, stderr } = await runTool(join(REPOSITORY, 'scripts/package'), ['--quick', made], BUILD_LIMIT_MS);
  if (code !== 0) throw new Error(`scripts/package: ${stderr}`);
  renameSync(made, folder);
}

function filesOf(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).filter(name => !name.startsWith('.')).sort().flatMap(name => filesOf(join(path, name)));
}

/** What it unpacked is a root file system: for a Machine of its own, or one below several of them. */
export async function unpack(archive: string, directory: string): Promise<void> {
  const { code, stderr } = await runTool('tar', ['--extract', '--file', archive, '--directory', directory], UNPACK_LIMIT_MS);
  if (code !== 0) throw new Error(`tar: ${stderr}`);
}

/** Held by a process of its own, which the kernel ends with this one. */
class Lock implements AsyncDisposable {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async take(path: string, limitMs: number): Promise<Lock> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'flock', '--no-fork', path, 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const held = new Promise<true>((resolve, reject) => {
      holder.stdout.once('data', () => resolve(true));
      holder.once('exit', code => reject(new Error(`flock ${path}: ${code}`)));
    });
    const late = AbortSignal.timeout(limitMs);
    await Promise.race([held, new Promise((_, reject) => late.addEventListener('abort', () => reject(new Error(`${path}: not within ${limitMs} ms`))))]);
    holder.removeAllListeners('exit');
    return new Lock(holder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise(resolve => this.#holder.once('exit', resolve));
    this.#holder.kill('SIGKILL');
    await ended;
  }
}

async function proxies(): Promise<readonly string[]> {
  const { stdout } = await runTool('apt-config', ['dump']);
  return stdout.split('\n').filter(line => /^Acquire::https?::Proxy "[^"]+";$/.test(line)).map(line => `--aptopt=${line}`);
}

export interface MachineOptions {
  readonly name?: string;
  /** Path of the network namespace that it has; without one it has none but its loopback. */
  readonly network?: string;
  /** Directory that holds what `archive` does, for several machines: what this one writes stays its own. */
  readonly over?: string;
  /** What it starts by itself may take its time. */
  readonly upWithinMs?: number;
}

export class Machine implements AsyncDisposable {
  /** Its root file system as this machine sees it; of a layer: what holds it, and not the files (`path`). */
  readonly root: string;
  readonly #supervisor: ChildProcess;
  readonly #ended: Promise<unknown>;
  #leader = 0;

  private constructor(root: string, { name = 'viewlink-test', network, over = '' }: MachineOptions) {
    this.root = root;
    this.#supervisor = spawn('setpriv', ['--pdeathsig', 'TERM', 'unshare', '--mount', 'sh', '-c', START, 'sh', root, name, network === undefined ? '--private-network' : `--network-namespace-path=${network}`, over], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } });
    this.#ended = new Promise(resolve => this.#supervisor.once('exit', resolve));
  }

  /** Up: systemd says that it is running. `archive`: of debianRoot. */
  static async boot(archive: string, options: MachineOptions = {}): Promise<Machine> {
    const root = mkdtempSync(join(tmpdir(), 'vl-machine-'));
    if (options.over === undefined) await unpack(archive, root);
    const machine = new Machine(root, options);
    try {
      machine.#leader = await until('the first process of the machine', () => childOf(machine.#supervisor.pid ?? 0, 'systemd'), 10_000);
      await until('systemd of the machine', async () => (await machine.run('systemctl', 'is-system-running')).stdout === 'running\n', options.upWithinMs ?? 30_000);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** A file or socket of the running machine, /run included, as this machine reaches it. */
  path(inside: string): string {
    return `/proc/${this.#leader}/root${inside}`;
  }

  /** A program of the machine, run in it by its root. */
  run(command: string, ...args: readonly string[]): Promise<ToolRun> {
    return runTool('nsenter', ['--target', String(this.#leader), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd', 'env', '-i', ...ENVIRONMENT, command, ...args], 120_000);
  }

  /** What it printed. Throws when it failed. */
  async ask(command: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, ...args);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${code ?? 'killed'}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Its power is cut: the first process of it, and with that every other one. */
  async cut(): Promise<void> {
    process.kill(this.#leader, 'SIGKILL');
    await this.#ended;
  }

  /** Halts as if somebody had pressed the button, then takes its disk away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#supervisor.kill('SIGTERM');
    const limit = until('the end of the machine', () => this.#supervisor.exitCode !== null || this.#supervisor.signalCode !== null, 30_000);
    await Promise.race([this.#ended, limit]).catch(() => {
      if (this.#leader !== 0) process.kill(this.#leader, 'SIGKILL');
      this.#supervisor.kill('SIGKILL');
    });
    await limit.catch(() => undefined);
    for (const top of CONTROL_GROUPS) removeGroup(join(top, `vl-${this.#supervisor.pid ?? 0}`));
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Leaves first. One that somebody is still in stays. */
function removeGroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) if (entry.isDirectory()) removeGroup(join(path, entry.name));
  try {
    rmdirSync(path);
  } catch {
    // Its last process has not been waited for yet.
  }
}

function childOf(pid: number, name: string): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(text => text !== '');
  return children.map(Number).find(child => readFileSync(`/proc/${child}/comm`, 'utf8').trim() === name);
}
