/** A network of our own around virtual machines: a namespace with one address, and a tap for each machine, all on one bridge. */
import { type ChildProcess, spawn } from 'node:child_process';
import { run } from './vm.ts';

export const HOST = '10.9.0.1';
const PREFIX = 24;

export class Site implements Disposable {
  readonly name: string;
  readonly #taps: number;
  readonly #children: ChildProcess[] = [];

  constructor(name: string, taps: number) {
    this.name = name;
    this.#taps = taps;
    this[Symbol.dispose]();
    run('ip', ['netns', 'add', name]);
    const inside = (...args: readonly string[]): void => run('ip', ['-n', name, ...args]);
    inside('link', 'set', 'lo', 'up');
    inside('link', 'add', 'br0', 'type', 'bridge');
    inside('addr', 'add', `${HOST}/${PREFIX}`, 'dev', 'br0');
    inside('link', 'set', 'br0', 'up');
    for (let index = 0; index < taps; index++) {
      run('ip', ['netns', 'exec', name, 'ip', 'tuntap', 'add', `tap${index}`, 'mode', 'tap']);
      inside('link', 'set', `tap${index}`, 'master', 'br0', 'up');
    }
  }

  /** Arguments of QEMU for a machine at this tap. */
  plug(index: number): readonly string[] {
    return ['-netdev', `tap,id=n0,ifname=tap${index},script=no,downscript=no`, '-device', `virtio-net-pci,netdev=n0,mac=52:54:00:09:00:0${index}`];
  }

  /** A program of ours, in the namespace; its lines go to `line`. Ended with the site. */
  spawn(program: string, args: readonly string[], line: (text: string) => void): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.name, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.push(child);
    let rest = '';
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split('\n');
      rest = lines.pop()!;
      lines.forEach(line);
    });
    return child;
  }

  /** Everything that a program says until it ends; rejects when it fails. */
  async output(program: string, args: readonly string[]): Promise<readonly string[]> {
    const lines: string[] = [];
    const child = this.spawn(program, args, text => void lines.push(text));
    const code = await new Promise(resolve => child.once('close', resolve));
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${String(code)}\n${lines.join('\n')}`);
    return lines;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGTERM');
    try {
      run('ip', ['netns', 'del', this.name]);
    } catch {
      // It was not there.
    }
  }

  get taps(): number {
    return this.#taps;
  }
}
