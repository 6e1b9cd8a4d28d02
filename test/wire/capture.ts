/** What went over loopback, as dumpcap saw it and tshark reads it. */
import { statSync } from 'node:fs';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { run, until } from './sip-rig.ts';

export interface Judgement {
  /** Packets in which tshark found SIP. */
  readonly sip: number;
  readonly malformed: readonly string[];
}

export class Capture implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ports: readonly number[];
  readonly #file: string;
  #ended = false;

  private constructor(child: ChildProcess, ports: readonly number[], file: string) {
    this.#child = child;
    this.#ports = ports;
    this.#file = file;
    child.once('close', () => (this.#ended = true));
  }

  /** Captures until `judge`. The first probe that reaches the file shows that the capture runs. */
  static async start(ports: readonly number[], file: string): Promise<Capture> {
    const probePort = 9;
    const filter = [...ports, probePort].map(port => `port ${port}`).join(' or ');
    const child = spawn('dumpcap', ['-q', '-i', 'lo', '-f', filter, '-w', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.on('data', chunk => (words += String(chunk)));
    const capture = new Capture(child, ports, file);
    const probe = createSocket('udp4');
    probe.on('error', () => undefined);
    try {
      await until(`a capture on lo (${words})`, () => {
        if (capture.#ended) throw new Error(`dumpcap: ${words}`);
        probe.send('probe', probePort, '127.0.0.1');
        return sizeOf(file) > 400;
      });
    } finally {
      probe.close();
    }
    return capture;
  }

  async judge(): Promise<Judgement> {
    await this.#stop();
    const decode = this.#ports.flatMap(port => ['-d', `udp.port==${port},sip`, '-d', `tcp.port==${port},sip`]);
    const all = await run('tshark', ['-n', '-r', this.#file, ...decode, '-Y', 'sip', '-T', 'fields', '-e', 'frame.number']).done;
    const bad = await run('tshark', ['-n', '-r', this.#file, ...decode, '-Y', '_ws.malformed', '-T', 'fields', '-e', 'frame.number', '-e', '_ws.col.Info']).done;
    if (all.code !== 0 || bad.code !== 0) throw new Error(`tshark: ${all.output} ${bad.output}`);
    const lines = (text: string): string[] => text.split('\n').filter(line => /^\d/.test(line));
    return { sip: lines(all.output).length, malformed: lines(bad.output) };
  }

  async #stop(): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGINT');
    await until('the end of dumpcap', () => this.#ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
