/**
 * A plain Debian 12 with systemd as its first process, in a container of its own: nothing of this machine but its kernel. The root file
 * system is made once and kept in .cache; each machine gets a copy that goes with it. Needs root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool, type ToolRun } from './run-tool.ts';
import { until } from './until.ts';

const CACHE = join(import.meta.dirname, '../../.cache');
/** What a small server has, and what the package depends on. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'iproute2', 'libstdc++6', 'nftables', 'openssh-server', 'procps'];
const SUITE = 'bookworm';
const SOURCES = '/etc/apt/sources.list.d/debian.sources';
const BUILD_LIMIT_MS = 240_000;
/** The supervisor ends with the test, and its machine with it, however the test ends. */
const START = 'mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec systemd-nspawn --quiet --register=no --keep-unit --private-network --capability=CAP_NET_ADMIN --machine="$2" --directory="$1" --boot systemd.show_status=0';
const ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive', 'SYSTEMD_COLORS=0', 'SYSTEMD_PAGER='];

/** Path of a tar file. Throws with what mmdebstrap said. */
export async function debianRoot(): Promise<string> {
  const key = createHash('sha256').update([SUITE, ...PACKAGES].join(' ')).digest('hex').slice(0, 12);
  const path = join(CACHE, `rootfs-${key}.tar`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  const temporary = `${path}.${process.pid}.tar`;
  // Where this machine gets its own packages from.
  const sources = [SOURCES, '/etc/apt/sources.list'].find(path => existsSync(path) && readFileSync(path, 'utf8').includes(SUITE));
  const without = ['man', 'doc', 'locale', 'info'].map(folder => `--dpkgopt=path-exclude=/usr/share/${folder}/*`);
  const { code, stderr } = await runTool('mmdebstrap', ['--mode=root', '--variant=essential', `--include=${PACKAGES.join(',')}`, '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"', ...(await proxies()), ...without, SUITE, temporary, ...(sources === undefined ? [] : [sources])], BUILD_LIMIT_MS);
  if (code !== 0) throw new Error(`mmdebstrap: ${stderr}`);
  renameSync(temporary, path);
  return path;
}

async function proxies(): Promise<readonly string[]> {
  const { stdout } = await runTool('apt-config', ['dump']);
  return stdout.split('\n').filter(line => /^Acquire::https?::Proxy "[^"]+";$/.test(line)).map(line => `--aptopt=${line}`);
}

export class Machine implements AsyncDisposable {
  /** Its root file system as this machine sees it. */
  readonly root: string;
  readonly #supervisor: ChildProcess;
  readonly #ended: Promise<unknown>;
  #leader = 0;

  private constructor(root: string) {
    this.root = root;
    this.#supervisor = spawn('setpriv', ['--pdeathsig', 'TERM', 'unshare', '--mount', 'sh', '-c', START, 'sh', root, 'viewlink-test'], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } });
    this.#ended = new Promise(resolve => this.#supervisor.once('exit', resolve));
  }

  /** Up: systemd says that it is running. `archive`: of debianRoot. */
  static async boot(archive: string): Promise<Machine> {
    const root = mkdtempSync(join(tmpdir(), 'vl-machine-'));
    const { code, stderr } = await runTool('tar', ['--extract', '--file', archive, '--directory', root], 60_000);
    if (code !== 0) throw new Error(`tar: ${stderr}`);
    const machine = new Machine(root);
    try {
      machine.#leader = await until('the first process of the machine', () => childOf(machine.#supervisor.pid ?? 0, 'systemd'), 10_000);
      await until('systemd of the machine', async () => (await machine.run('systemctl', 'is-system-running')).stdout === 'running\n', 30_000);
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

  /** Halts as if somebody had pressed the button, then takes its disk away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#supervisor.kill('SIGTERM');
    const limit = until('the end of the machine', () => this.#supervisor.exitCode !== null || this.#supervisor.signalCode !== null, 30_000);
    await Promise.race([this.#ended, limit]).catch(() => {
      if (this.#leader !== 0) process.kill(this.#leader, 'SIGKILL');
      this.#supervisor.kill('SIGKILL');
    });
    await limit.catch(() => undefined);
    rmSync(this.root, { recursive: true, force: true });
  }
}

function childOf(pid: number, name: string): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(text => text !== '');
  return children.map(Number).find(child => readFileSync(`/proc/${child}/comm`, 'utf8').trim() === name);
}
