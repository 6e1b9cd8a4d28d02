/** keepalived as clusterd sees it: for each address a veto in a file that it watches, and a pipe in which it says what it became. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { type ClusterFiles, type KeepalivedNotice, noticeOf } from '#core/cluster/keepalived.ts';
import type { VrrpState } from '#core/cluster/role.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';

/** Nobody writes into the pipe: keepalived is not there. */
const LOOK_EVERY_MS = 100;
const MAX_LINE = 200;
/** No node is called so: a colon is in no name. */
export const SIP = ':sip';

/** One address that keepalived moves: SIP, or the name of the node whose media address it is. */
export interface MovingPlace {
  readonly of: string;
  /** File of its veto. */
  readonly veto: string;
  /** Until keepalived says something. `master`: this node has it, clusterd alone was started anew, and nothing is vetoed. */
  readonly state: VrrpState;
}

export interface KeepalivedOptions {
  readonly files: ClusterFiles;
  readonly config: string;
  readonly places: readonly MovingPlace[];
  readonly clock: Clock;
  readonly log: Log;
  readonly onState: (of: string, state: VrrpState) => void;
}

export class KeepalivedLink implements Disposable {
  readonly #options: KeepalivedOptions;
  #socket: Socket | undefined;
  #again: Disposable | undefined;
  readonly #states: Map<string, VrrpState>;
  #line = '';

  constructor(options: KeepalivedOptions) {
    this.#options = options;
    const { files, config, places } = options;
    this.#states = new Map(places.map(({ of, state }) => [of, state]));
    mkdirSync(dirname(files.keepalived), { recursive: true, mode: 0o750 });
    for (const { veto, state } of places) if (state !== 'master' || !existsSync(veto)) writeFileSync(veto, state === 'master' ? '0\n' : '1\n', { mode: 0o644 });
    writeFileSync(files.keepalived, config, { mode: 0o644 });
    if (!existsSync(files.notify)) execFileSync('mkfifo', ['-m', '600', files.notify]);
    this.#look();
  }

  state(of: string): VrrpState {
    return this.#states.get(of)!;
  }

  /** In place, without a moment in which the file is empty. */
  veto(of: string, on: boolean): void {
    const file = openSync(this.#options.places.find(place => place.of === of)!.veto, 'r+');
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
      for (const of of this.#states.keys()) this.#became(of, 'stopped');
      this.#again = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), () => this.#look());
    });
    socket.once('end', () => socket.destroy());
  }

  #read(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop()!.slice(-MAX_LINE);
    for (const line of lines) this.#take(noticeOf(line));
  }

  #take(notice: KeepalivedNotice | undefined): void {
    if (notice === undefined) return;
    const of = notice.of === 'sip' ? SIP : notice.of.media;
    if (this.#states.has(of)) this.#became(of, notice.state);
  }

  #became(of: string, state: VrrpState): void {
    const from = this.#states.get(of)!;
    if (state === from) return;
    this.#options.log.info({ of, from, to: state }, 'keepalived.state');
    this.#states.set(of, state);
    this.#options.onState(of, state);
  }
}
