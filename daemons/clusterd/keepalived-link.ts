/** keepalived as clusterd sees it: a veto in a file that it watches, and a pipe in which it says what it became. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { type ClusterFiles, noticeOf } from '#core/cluster/keepalived.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';

/** Nobody writes into the pipe: keepalived is not there. */
const LOOK_EVERY_MS = 100;
const MAX_LINE = 200;

export type KeepalivedState = 'master' | 'backup' | 'fault' | 'stopped';

export interface KeepalivedOptions {
  readonly files: ClusterFiles;
  readonly config: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onState: (state: KeepalivedState) => void;
}

export class KeepalivedLink implements Disposable {
  readonly #options: KeepalivedOptions;
  #socket: Socket | undefined;
  #again: Disposable | undefined;
  #state: KeepalivedState;
  #line = '';

  /** `resumes`: this node has the addresses already; nothing is vetoed. */
  constructor(options: KeepalivedOptions, resumes: boolean) {
    this.#options = options;
    this.#state = resumes ? 'master' : 'stopped';
    const { files, config } = options;
    mkdirSync(dirname(files.keepalived), { recursive: true, mode: 0o750 });
    if (!resumes || !existsSync(files.veto)) writeFileSync(files.veto, resumes ? '0\n' : '1\n', { mode: 0o644 });
    writeFileSync(files.keepalived, config, { mode: 0o644 });
    if (!existsSync(files.notify)) execFileSync('mkfifo', ['-m', '600', files.notify]);
    this.#look();
  }

  /** In place, without a moment in which the file is empty. */
  veto(on: boolean): void {
    const file = openSync(this.#options.files.veto, 'r+');
    try {
      writeSync(file, on ? '1\n' : '0\n', 0);
    } finally {
      closeSync(file);
    }
  }

  [Symbol.dispose](): void {
    this.#again?.[Symbol.dispose]();
    this.#again = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  /** The end of the pipe means that its only writer is gone. */
  #look(): void {
    const { files, clock } = this.#options;
    const socket = new Socket({ fd: openSync(files.notify, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (this.#socket !== socket) return;
      this.#became('stopped');
      this.#again = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), () => this.#look());
    });
    socket.once('end', () => socket.destroy());
  }

  #read(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop()!.slice(-MAX_LINE);
    for (const line of lines) {
      const state = noticeOf(line);
      if (state !== undefined) this.#became(state);
    }
  }

  #became(state: KeepalivedState): void {
    if (state === this.#state) return;
    this.#options.log.info({ from: this.#state, to: state }, 'keepalived.state');
    this.#state = state;
    this.#options.onState(state);
  }
}
