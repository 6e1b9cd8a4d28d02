/**
 * The daemons of the other node as sockets of ours, `peer/NAME.sock`: whatever our daemons say there is carried to it. While the
 * other node cannot be reached nobody listens there: who connects is refused at once.
 */
import { lstatSync, mkdirSync, chmodSync, unlinkSync } from 'node:fs';
import { type Server, type Socket, createServer } from 'node:net';
import { join } from 'node:path';
import { formatTarget } from '#core/cluster/peer-target.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { Accounts } from '#kit/accounts.ts';
import type { Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import type { PairTrust } from '#kit/pair-trust.ts';
import { type PeerPlace, dialPeer } from '#kit/peer-tls.ts';
import { admit } from '#kit/rpc-peers.ts';
import { publishSocket } from '#kit/socket-file.ts';
import { carry } from './peer-carry.ts';

const DIAL_MS = 2000;
const MAX_CONNECTIONS = 256;
/** All daemons share one group. */
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o750;

export interface PeerSocketsOptions {
  readonly runDirectory: string;
  readonly targets: readonly string[];
  readonly place: PeerPlace;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
  readonly accounts?: Accounts;
}

export class PeerSockets implements AsyncDisposable {
  readonly #options: PeerSocketsOptions;
  readonly #directory: string;
  readonly #accounts: Accounts;
  readonly #servers = new Set<Server>();
  /** On this side, and those to the other node. */
  readonly #sockets = new Set<Socket>();
  #trust: PairTrust | undefined;
  #open = false;
  /** Opening and closing, one after another. */
  #settling: Promise<void>;

  constructor(options: PeerSocketsOptions) {
    this.#options = options;
    this.#directory = join(options.runDirectory, 'peer');
    this.#accounts = options.accounts ?? new Accounts();
    makeDirectory(this.#directory);
    // So that the files are there from the beginning.
    this.#settling = this.#listen().then(() => this.#refuse());
  }

  get carried(): number {
    return this.#sockets.size / 2;
  }

  /** Null: the other node cannot be reached. What was carried ends. */
  reach(trust: PairTrust | null): Promise<void> {
    this.#trust = trust ?? undefined;
    const open = trust !== null;
    if (open !== this.#open) {
      this.#open = open;
      this.#settling = this.#settling.then(() => (this.#open ? this.#listen() : this.#refuse()));
    }
    if (!open) for (const socket of this.#sockets) socket.destroy();
    return this.#settling;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reach(null);
    for (const name of this.#options.targets) unlinkQuietly(this.#path(name));
  }

  async #listen(): Promise<void> {
    if (this.#servers.size > 0) return;
    for (const name of this.#options.targets) {
      const server = createServer({ allowHalfOpen: true }, socket => this.#asked(name, socket));
      server.maxConnections = MAX_CONNECTIONS;
      try {
        await publishSocket(server, this.#path(name), SOCKET_MODE);
        this.#servers.add(server);
      } catch (error) {
        const why = error instanceof GatewayError ? error.message : ((error as NodeJS.ErrnoException).code ?? (error as Error).message);
        this.#options.log.error({ socket: this.#path(name), why }, 'gate.socket-not-served');
      }
    }
  }

  async #refuse(): Promise<void> {
    const servers = [...this.#servers];
    this.#servers.clear();
    await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  }

  #path(name: string): string {
    return join(this.#directory, `${name}.sock`);
  }

  #asked(name: string, local: Socket): void {
    const { counters } = this.#options;
    local.on('error', () => undefined);
    const trust = this.#trust;
    if (trust === undefined || this.#sockets.size >= 2 * MAX_CONNECTIONS || admit(local, this.#accounts)?.rights !== 'all') {
      counters.add('gate.out.refused');
      return void local.destroy();
    }
    this.#dial(name, local, trust);
  }

  #dial(name: string, local: Socket, trust: PairTrust): void {
    const { place, clock, log, counters } = this.#options;
    const far = dialPeer(trust, place);
    const both = [local, far];
    for (const socket of both) this.#sockets.add(socket);
    const fail = (why: string): void => {
      counters.add('gate.out.failed');
      log.warn({ daemon: name, why }, 'gate.not-reached');
      for (const socket of both) socket.destroy();
    };
    const limit = clock.schedule(addMs(clock.now(), DIAL_MS), () => fail(`no answer within ${DIAL_MS} ms`));
    const onError = (error: NodeJS.ErrnoException): void => fail(error.code ?? error.message);
    const ended = (): void => {
      limit[Symbol.dispose]();
      for (const socket of both) this.#sockets.delete(socket);
      local.destroy();
    };
    const gaveUp = (): void => void far.destroy();
    far.once('error', onError).once('close', ended);
    local.once('close', gaveUp);
    far.once('secureConnect', () => {
      limit[Symbol.dispose]();
      far.off('error', onError).off('close', ended);
      local.off('close', gaveUp);
      counters.add('gate.out.carried');
      far.write(formatTarget(name));
      carry(local, far, () => both.forEach(socket => this.#sockets.delete(socket)));
    });
  }
}

/** Readable to the group, whatever the unit's umask says. */
function makeDirectory(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === false) unlinkSync(path);
  mkdirSync(path, { recursive: true });
  chmodSync(path, DIRECTORY_MODE);
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is gone already, with its directory perhaps.
  }
}
