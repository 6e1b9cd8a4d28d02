/**
 * A virtual machine that starts from an image of the appliance, and its console. What is written to the disk goes to a layer of its
 * own, so that every machine begins with the image as built; `powerCut` leaves that layer as a real cut would.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import { addMs } from '#core/units.ts';

const FIRMWARE = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const FIRMWARE_VARS = '/usr/share/OVMF/OVMF_VARS_4M.fd';
/** Larger than the image: the data partition has something to grow into. */
const DISK_SIZE = '6G';
const SLEEP_LIMIT_MS = 300_000;
const KEPT_CHARS = 4_000_000;

/** What a machine leaves in its folder, for others to begin with. */
export const layerIn = (folder: string): string => join(folder, 'disk.qcow2');
export const varsIn = (folder: string): string => join(folder, 'vars.fd');
export const memoryIn = (folder: string): string => join(folder, 'memory');
/** Colours: what a program says is looked at without them (ECMA-48, 8.3.117). */
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[mK]`, 'g');
/** Places for drives that come later. */
const PORTS = 4;

export interface Drive {
  /** Name of the device. */
  readonly id: string;
  readonly file: string;
  readonly driver?: 'virtio-blk-pci' | 'nvme';
  readonly serial?: string;
}

export interface VmOptions {
  /** Folder for what belongs to this machine. */
  readonly folder: string;
  /** Raw, or a layer that another machine left (.qcow2). */
  readonly disk: string;
  /** What the firmware remembers, as another machine left it. */
  readonly vars?: string | undefined;
  readonly memoryMb?: number;
  readonly cpus?: number;
  /** More arguments of QEMU: network. */
  readonly extra?: readonly string[];
  readonly drives?: readonly Drive[];
  /** A memory that another machine of the same kind left (`sleep`): it goes on from there at its first start. */
  readonly memory?: string | undefined;
  /** Everything that the console says, as it comes. */
  readonly echo?: (text: string) => void;
}

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

export class Vm {
  readonly #options: VmOptions;
  #process: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #console = '';
  /** Of the text that was waited for last. */
  #seen = 0;
  #listeners = new Set<() => void>();
  #commands = 0;
  #asleep: boolean;

  constructor(options: VmOptions) {
    this.#options = options;
    this.#asleep = options.memory !== undefined;
    mkdirSync(options.folder, { recursive: true });
    if (!existsSync(this.#layer)) run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', options.disk, '-F', options.disk.endsWith('.qcow2') ? 'qcow2' : 'raw', this.#layer, DISK_SIZE]);
    if (!existsSync(this.#vars)) copyFileSync(options.vars ?? FIRMWARE_VARS, this.#vars);
  }

  get #layer(): string {
    return layerIn(this.#options.folder);
  }
  get #vars(): string {
    return varsIn(this.#options.folder);
  }
  get #qmp(): string {
    return join(this.#options.folder, 'qmp.sock');
  }

  get folder(): string {
    return this.#options.folder;
  }

  start(incoming: readonly string[] = []): void {
    const { memoryMb = 1536, cpus = 2, extra = [] } = this.#options;
    this.#seen = this.#console.length;
    // With other drives than before the firmware would look for the system in the network first: it looks anew.
    if (incoming.length === 0) copyFileSync(FIRMWARE_VARS, this.#vars);
    const child = spawn(
      'qemu-system-x86_64',
      [
        ...['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'Nehalem', '-machine', 'q35', '-smp', String(cpus), '-m', String(memoryMb)],
        ...['-nographic', '-nodefaults', '-serial', 'stdio', '-monitor', 'none', '-qmp', `unix:${this.#qmp},server=on,wait=off`, '-no-reboot'],
        ...['-device', 'i6300esb', '-action', 'watchdog=reset'],
        ...['-drive', `if=pflash,format=raw,readonly=on,file=${FIRMWARE}`, '-drive', `if=pflash,format=raw,file=${this.#vars}`],
        // `writeback` keeps the order of flushes: what the guest was told is on the disk survives the end of QEMU.
        ...['-drive', `file=${this.#layer},if=virtio,cache=writeback,format=qcow2`],
        ...Array.from({ length: PORTS }, (_, index) => ['-device', `pcie-root-port,id=port${index},chassis=${index + 1},slot=${index + 1}`]).flat(),
        ...extra,
        ...(incoming.length > 0 ? incoming : this.#drives().flatMap(([node, device]) => ['-blockdev', JSON.stringify(node), '-device', JSON.stringify(device)])),
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    this.#process = child;
    this.#exited = new Promise(resolve => child.once('exit', resolve));
    const take = (bytes: Buffer): void => {
      const text = bytes.toString('latin1');
      this.#options.echo?.(text);
      const drop = Math.max(0, this.#console.length + text.length - KEPT_CHARS);
      this.#console = this.#console.slice(drop) + text;
      this.#seen = Math.max(0, this.#seen - drop);
      for (const listener of [...this.#listeners]) listener();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
  }

  /** Goes on where the machine was whose memory this one has; its drives are plugged in then. */
  async resume(): Promise<void> {
    if (!this.#asleep) throw new Error('it has no memory');
    this.#asleep = false;
    this.start(['-incoming', `exec:cat ${this.#options.memory!}`]);
    await this.#until('the memory is there', async () => ['paused', 'postmigrate', 'running'].includes(((await this.qmp('query-status').catch(() => ({}))) as { status?: string }).status ?? ''));
    await this.qmp('cont');
    for (const [node, device] of this.#drives()) {
      await this.qmp('blockdev-add', node);
      await this.qmp('device_add', device);
    }
    this.type('\n');
    await this.run('true');
  }

  /** Stands still, and leaves disk and memory in a folder for others; `wake` lets it go on. */
  async sleep(folder: string): Promise<void> {
    await this.qmp('stop');
    await this.qmp('migrate', { uri: `exec:cat >${memoryIn(folder)}` });
    await this.#until('the memory is written', async () => ((await this.qmp('query-migrate')) as { status?: string }).status === 'completed');
    copyFileSync(this.#layer, layerIn(folder));
    copyFileSync(this.#vars, varsIn(folder));
  }

  async wake(): Promise<void> {
    await this.qmp('cont');
  }

  async #until(what: string, look: () => Promise<boolean>): Promise<void> {
    for (const limit = addMs(clock.now(), SLEEP_LIMIT_MS); !(await look()); await this.pause(500)) if (clock.now() > limit) throw new Error(`${what}: not within ${SLEEP_LIMIT_MS} ms`);
  }

  #drives(): readonly (readonly [Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>])[] {
    return (this.#options.drives ?? []).map(({ id, file, driver = 'virtio-blk-pci', serial }, index) => [
      { driver: 'raw', 'node-name': `node-${id}`, file: { driver: 'file', filename: file } },
      { driver, id, bus: `port${index}`, drive: `node-${id}`, ...(serial !== undefined && { serial }) },
    ]);
  }

  /** The console since what was waited for last, up to and with the match; rejects at the limit with the last lines. */
  async waitFor(pattern: RegExp, limitMs: number): Promise<RegExpExecArray> {
    const found = Promise.withResolvers<RegExpExecArray>();
    const look = (): void => {
      const match = pattern.exec(this.#console.slice(this.#seen));
      if (match === null) return;
      this.#seen += match.index + match[0].length;
      found.resolve(match);
    };
    this.#listeners.add(look);
    void this.#exited.then(() => found.reject(new Error(`the machine ended before ${String(pattern)}:\n${this.tail()}`)));
    using _limit = clock.schedule(addMs(clock.now(), limitMs), () => found.reject(new Error(`no ${String(pattern)} within ${limitMs} ms:\n${this.tail()}`)));
    look();
    try {
      return await found.promise;
    } finally {
      this.#listeners.delete(look);
    }
  }

  /** Numbers that the console has said so far, in the first group of a pattern. */
  everything(pattern: RegExp): readonly number[] {
    return [...this.#console.matchAll(pattern)].map(match => Number(match[1]));
  }

  /** The machine goes on for so long. */
  pause(ms: number): Promise<void> {
    return new Promise(resolve => void clock.schedule(addMs(clock.now(), ms), resolve));
  }

  tail(lines = 25): string {
    return this.#console.split('\n').slice(-lines).join('\n');
  }

  type(text: string): void {
    this.#process?.stdin?.write(text);
  }

  /** Logs in on the console and becomes root. */
  async logIn(user: string, password: string, limitMs = 300_000): Promise<void> {
    await this.waitFor(/login: /, limitMs);
    this.type(`${user}\n`);
    await this.waitFor(/Password: /, 60_000);
    this.type(`${password}\n`);
    await this.waitFor(/\$ /, 60_000);
    this.type(`sudo -i\n`);
    await this.waitFor(/password for .*: /, 60_000);
    this.type(`${password}\n`);
    await this.waitFor(/# /, 60_000);
    // What systemd's tools say goes through no pager.
    this.type("stty -echo cols 500; PS1=; export PAGER=cat SYSTEMD_PAGER=cat SYSTEMD_COLORS=0; bind 'set enable-bracketed-paste off'\n");
    await this.run('true');
  }

  /** A command of the shell that `logIn` left; in one of its own, so that it may `exit`. */
  async run(command: string, limitMs = 120_000): Promise<Outcome> {
    const mark = `vm-${(this.#commands += 1)}-${clock.now()}`;
    this.type(`echo; echo '<''${mark}>'; ( ${command}\n) </dev/null 2>&1; echo "<${mark}=$?>"\n`);
    await this.waitFor(new RegExp(`<${mark}>\\r?\\n`), limitMs);
    const from = this.#seen;
    const [, code] = await this.waitFor(new RegExp(`<${mark}=(\\d+)>`), limitMs);
    const output = this.#console.slice(from, this.#console.lastIndexOf(`<${mark}=`)).replaceAll('\r', '').replaceAll(COLOUR, '').trim();
    return { code: Number(code), output };
  }

  /** As `run`; a command that fails ends the test. */
  async must(command: string, limitMs?: number): Promise<string> {
    const { code, output } = await this.run(command, limitMs);
    if (code !== 0) throw new Error(`${command}: exit code ${code}\n${output}`);
    return output;
  }

  /** One command of the QEMU machine protocol, and what it answers. */
  async qmp(execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const socket = connect(this.#qmp);
    const answers = Promise.withResolvers<unknown>();
    let text = '';
    let step = 0;
    socket.on('error', answers.reject).on('data', bytes => {
      text += bytes.toString();
      const lines = text.split('\n');
      text = lines.pop()!;
      for (const line of lines) {
        if (line.includes('"QMP"')) socket.write('{"execute":"qmp_capabilities"}\n');
        else if (line.includes('"error"')) answers.reject(new Error(line));
        else if (line.includes('"return"') && (step += 1) === 1) socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
        else if (line.includes('"return"')) answers.resolve((JSON.parse(line) as { return: unknown }).return);
      }
    });
    try {
      return await answers.promise;
    } finally {
      socket.destroy();
    }
  }

  /** The disk as a power cut at this moment would leave it; `take` runs while the machine stands still. */
  copyDisk<T>(path: string, take: () => T): T {
    this.#process?.kill('SIGSTOP');
    try {
      const taken = take();
      copyFileSync(this.#layer, path);
      return taken;
    } finally {
      this.#process?.kill('SIGCONT');
    }
  }

  /** The plug is pulled. */
  async powerCut(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#exited;
  }

  /** Resolves when the machine has switched itself off or, with -no-reboot, wanted to start anew. */
  async ended(limitMs: number): Promise<void> {
    const late = Promise.withResolvers<never>();
    using _limit = clock.schedule(addMs(clock.now(), limitMs), () => late.reject(new Error(`still on after ${limitMs} ms:\n${this.tail()}`)));
    await Promise.race([this.#exited, late.promise]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerCut();
  }
}

export function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, [...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}
