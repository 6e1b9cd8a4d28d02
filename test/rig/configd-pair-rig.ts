/** Two configds of a pair as processes, with what stands in for clusterd and for what carries their sockets to each other. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ClusterReport, NodeRole } from '#contracts/clusterd.ts';
import type { ConfigdRequests, PairReport, PeerLine } from '#contracts/configd.ts';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import { Closer } from '#kit/closer.ts';
import { createLog } from '#kit/log.ts';
import { reloadSchema } from '#kit/reload.ts';
import { serveRpc } from '#kit/rpc.ts';
import { z } from 'zod';
import { ConfigdProcess } from './configd-rig.ts';
import { until } from './until.ts';

const silent = createLog('test', 'silent');
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;

interface StandInRequests {
  report(params: Record<string, never>): ClusterReport;
}
type StandInConfigd = Pick<ConfigdRequests, 'pair' | 'line' | 'revisionText' | 'auditLog'>;
interface DaemonRequests {
  reload(params: ReloadParams): ReloadAnswer;
}

/** Carries the socket of the other node here, as long as it is not cut; then whoever comes is sent away at once. */
class Carrier implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(target: string) {
    this.#server = createServer(near => {
      if (this.#isCut) return void near.destroy();
      const far = connect(target);
      for (const [one, other] of [[near, far], [far, near]] as const) {
        this.#sockets.add(one);
        one.on('error', () => other.destroy()).on('close', () => (this.#sockets.delete(one), other.destroy()));
        one.pipe(other);
      }
    });
  }

  static async open(path: string, target: string): Promise<Carrier> {
    const carrier = new Carrier(target);
    await new Promise<void>(resolve => carrier.#server.listen(path, resolve));
    return carrier;
  }

  cut(isCut: boolean): void {
    this.#isCut = isCut;
    if (isCut) for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut(true);
    await new Promise(resolve => this.#server.close(resolve));
  }
}

export class PairConfigd implements AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  readonly configPath: string;
  readonly closer = new Closer();
  role: NodeRole = 'standby';
  term = 1;
  configd!: ConfigdProcess;
  carrier!: Carrier;
  /** What its one daemon was told, and what it answers. */
  reloads = 0;
  refuses: string | null = null;

  constructor(name: string, directory: string) {
    this.name = name;
    this.directory = join(directory, name);
    this.configPath = join(this.directory, 'gateway.yaml');
  }

  async open(other: PairConfigd, config: object): Promise<void> {
    const run = join(this.directory, 'run');
    mkdirSync(join(run, 'peer'), { recursive: true });
    writeFileSync(this.configPath, `# ${this.name} begins here\n${stringify(config)}`, { mode: 0o600 });
    this.closer.use(await serveRpc<StandInRequests>(join(run, 'clusterd.sock'), { report: () => ({ role: this.role, term: this.term }) as ClusterReport }, { validate: { report: nothing }, log: silent }));
    this.closer.use(
      await serveRpc<DaemonRequests>(
        join(run, 'sipd.sock'),
        {
          reload: ({ checkOnly }) => {
            if (checkOnly !== true) this.reloads += 1;
            return { refused: this.refuses };
          },
        },
        { validate: { reload: reloadSchema }, log: silent },
      ),
    );
    this.carrier = this.closer.use(await Carrier.open(join(run, 'peer/configd.sock'), join(other.directory, 'run/configd.sock')));
    this.configd = this.closer.use(await ConfigdProcess.start(this.place));
  }

  get place() {
    return { configPath: this.configPath, stateDirectory: join(this.directory, 'configd'), socket: join(this.directory, 'run/configd.sock') };
  }

  /** Another release of configd, as far as the other node speaks to it. */
  standIn(told: PeerLine, textOf: (revision: number) => string): Promise<AsyncDisposable> {
    const loose = z.looseObject({}) as unknown as z.ZodType<never>;
    return serveRpc<StandInConfigd>(this.place.socket, { pair: () => null, line: ({ mark }) => (mark === told.trail[0] ? { ...told, rows: null } : told), revisionText: ({ revision }) => ({ text: textOf(revision) }), auditLog: () => [] }, { validate: { pair: nothing, line: loose, revisionText: loose, auditLog: loose }, log: silent });
  }

  get file(): string {
    return readFileSync(this.configPath, 'utf8');
  }

  async report(): Promise<PairReport> {
    return (await this.configd.call('pair', {}))!;
  }

  async revision(): Promise<number> {
    return (await this.configd.call('status', {})).revision;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.closer[Symbol.asyncDispose]();
  }
}

export interface ConfigdPair extends AsyncDisposable {
  readonly a: PairConfigd;
  readonly b: PairConfigd;
  /** Neither reaches the other. */
  cut(isCut: boolean): void;
  inStep(limitMs?: number): Promise<void>;
}

/** `a` is active. */
export async function openConfigdPair(more: object = {}): Promise<ConfigdPair> {
  await using opening = new Closer();
  const directory = mkdtempSync(join(tmpdir(), 'viewlink-configd-pair-'));
  opening.defer(() => rmSync(directory, { recursive: true, force: true }));
  const [a, b] = [opening.use(new PairConfigd('a', directory)), opening.use(new PairConfigd('b', directory))];
  a.role = 'active';
  const shared = (node: PairConfigd): object => ({
    node: { name: node.name },
    sip: { listen: [{ transport: 'udp', address: '10.97.0.100', port: 5060 }] },
    cluster: { nodes: [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1' }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2' }], key: 'a-secret-of-the-pair-that-nobody-guesses', sipAddress: '10.97.0.100/24' },
    rpc: { directory: join(node.directory, 'run') },
    state: { directory: join(node.directory, 'state') },
    ...more,
  });
  await a.open(b, shared(a));
  await b.open(a, shared(b));
  const cut = (isCut: boolean): void => [a, b].forEach(node => node.carrier.cut(isCut));
  const inStep = async (limitMs = 10_000): Promise<void> => void (await until('both are in step', async () => (await a.report()).inStep && (await b.report()).inStep && (await a.revision()) === (await b.revision()), limitMs));
  const closer = opening.release();
  return { a, b, cut, inStep, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}
