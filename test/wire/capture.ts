/** What went over loopback, as dumpcap saw it and tshark reads it. */
import { readFileSync } from 'node:fs';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { type Ran, run, until } from './sip-rig.ts';

export interface Judgement {
  /** Packets in which tshark found SIP. */
  readonly sip: number;
  readonly malformed: readonly string[];
}

/** Discard: nobody listens there, and its packets show how far the capture has come. */
const PROBE_PORT = 9;

export class Capture implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ports: readonly number[];
  readonly #file: string;
  #words = '';
  #ended = false;

  private constructor(ports: readonly number[], file: string) {
    const filter = [...ports, PROBE_PORT].map(port => `port ${port}`).join(' or ');
    this.#child = spawn('dumpcap', ['-q', '-i', 'lo', '-f', filter, '-w', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.on('data', chunk => (this.#words += String(chunk)));
    this.#child.once('error', error => (this.#words += error.message));
    this.#child.once('close', () => (this.#ended = true));
    this.#ports = ports;
    this.#file = file;
  }

  /** Captures from when this resolves until `judge`. */
  static async start(ports: readonly number[], file: string): Promise<Capture> {
    const capture = new Capture(ports, file);
    await capture.#sees('the capture begins');
    return capture;
  }

  async judge(): Promise<Judgement> {
    await this.#sees('the capture ends');
    await this.#stop();
    const decode = this.#ports.flatMap(port => ['-d', `udp.port==${port},sip`, '-d', `tcp.port==${port},sip`]);
    const fields = ['-T', 'fields', '-e', 'frame.number', '-e', '_ws.col.Info'];
    const read = (filter: string): Promise<Ran> => run('tshark', ['-n', '-r', this.#file, ...decode, '-Y', filter, ...fields]).done;
    const [all, bad] = await Promise.all([read('sip'), read('_ws.malformed')]);
    if (all.code !== 0 || bad.code !== 0) throw new Error(`tshark: ${all.output} ${bad.output}`);
    const lines = (text: string): string[] => text.split('\n').filter(line => /^\d/.test(line));
    return { sip: lines(all.output).length, malformed: lines(bad.output) };
  }

  /** Packets reach the file in order and some time later: sends a word until it stands there. */
  async #sees(word: string): Promise<void> {
    const probe = createSocket('udp4');
    probe.on('error', () => undefined);
    try {
      await until(word, () => {
        if (this.#ended) throw new Error(`dumpcap: ${this.#words}`);
        probe.send(word, PROBE_PORT, '127.0.0.1');
        return contentOf(this.#file).includes(word);
      });
    } finally {
      probe.close();
    }
  }

  async #stop(): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGINT');
    await until('the end of dumpcap', () => this.#ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
}
