/**
 * One node of the pair: what comes from the peer, keepalived, the witness and the daemons goes into the role automaton
 * (core/cluster/role.ts), and what it says is done, one after another.
 */
import { writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { ClusterReport, ClusterdRequests } from '#contracts/clusterd.ts';
import { type ClusterNodeConfig, bothCarryMedia, pairOf, withoutPrefix } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { type Heartbeat, NO_MEDIA } from '#core/cluster/heartbeat.ts';
import { clusterFiles, keepalivedConfig, movingAddresses, redisConfig } from '#core/cluster/keepalived.ts';
import { PeerWatch } from '#core/cluster/peer-watch.ts';
import { ROLE_TIMING, RoleAutomaton, type RoleInput, type RoleOutput, type VrrpState } from '#core/cluster/role.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Closer } from '#kit/closer.ts';
import type { Log } from '#kit/log.ts';
import { heartbeatMac, redisPassword } from '#kit/pair-keys.ts';
import type { PairTrust } from '#kit/pair-trust.ts';
import { processFigures } from '#kit/process-figures.ts';
import type { Random } from '#kit/random.ts';
import { STATE_VERSION } from '#kit/store-rows.ts';
import { type HeartbeatPath, Heartbeats } from './heartbeats.ts';
import { KeepalivedLink, SIP } from './keepalived-link.ts';
import { MediaWatch, mediaPlaces } from './media-watch.ts';
import { PeerGate, trustOf } from './peer-gate.ts';
import { Replication } from './replication.ts';
import { RoleFile } from './role-file.ts';
import { RoleOrders } from './role-orders.ts';
import { SelfWatch } from './self-watch.ts';
import { Witness } from './witness.ts';

const BEAT_EVERY_MS = 50;
/** Six heartbeats in a row, on every path. */
const DEAD_MS = 300;
const BOOT_BYTES = 8;
const KEPT_CHANGES = 20;

/** Answered at once. */
export type NodeHandlers = Pick<ClusterdRequests, 'report' | 'switchOver' | 'maintenance' | 'counters'>;

export interface NodeOptions {
  readonly config: GatewayConfig;
  readonly release: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class ClusterNode {
  readonly #options: NodeOptions;
  readonly #own: ClusterNodeConfig;
  readonly #peer: ClusterNodeConfig;
  readonly #watch: PeerWatch;
  readonly #automaton: RoleAutomaton;
  readonly #role: RoleFile;
  readonly #keepalived: KeepalivedLink;
  readonly #heartbeats: Heartbeats;
  readonly #replication: Replication;
  readonly #self: SelfWatch;
  readonly #orders: RoleOrders;
  readonly #gate: PeerGate;
  readonly #witness: Witness | undefined;
  readonly #media: MediaWatch | undefined;
  readonly #changes: ClusterReport['changes'][number][] = [];
  readonly #counters: Record<string, number> = {};
  #timer: Disposable | undefined;
  #queue: RoleInput[] = [];
  #handling = false;
  #closed = false;

  constructor(options: NodeOptions, closer: Closer) {
    this.#options = options;
    const { config, clock, random, log } = options;
    const { cluster, rpc, state } = config;
    const { own, peer } = pairOf(config)!;
    this.#own = own;
    this.#peer = peer;
    this.#role = new RoleFile(`${state.directory}/cluster/role.json`, log);
    const { term, active } = this.#role.kept;
    const resumes = active && hasAddress(cluster.sipAddress);
    this.#watch = new PeerWatch({ newBoot: () => random.hex(BOOT_BYTES), peerName: peer.name, paths: this.#paths.length, streamPath: this.#paths.length - 1, deadMs: DEAD_MS });
    const timing = { ...ROLE_TIMING, holdDownMs: cluster.holdDownS * 1000 };
    this.#automaton = new RoleAutomaton({ name: own.name, peerName: peer.name, hasWitness: cluster.witness.address !== '', stateVersion: STATE_VERSION, term, resumes, timing }, clock.now());
    const files = clusterFiles(rpc.directory);
    const password = redisPassword(cluster.key!);
    const places = [{ of: SIP, veto: files.veto, state: resumes ? 'master' : 'stopped' } as const, ...(bothCarryMedia(cluster) ? mediaPlaces(own, peer, files, hasAddress) : [])];
    this.#keepalived = closer.use(new KeepalivedLink({ files, config: keepalivedConfig(cluster, own, peer, files), places, clock, log, onState: (of, state) => this.#keepalivedSays(of, state) }));
    writeFileSync(files.redis, redisConfig(cluster, own, files, password), { mode: 0o600 });
    this.#replication = closer.use(new Replication({ place: { host: '127.0.0.1', port: cluster.redisPort, password }, own: own.link, peer: { host: peer.link, port: cluster.redisPort }, clock, log }, resumes ? 'primary' : 'replica'));
    this.#self = closer.use(new SelfWatch({ runDirectory: rpc.directory, stateDirectory: state.directory, instances: config.media.instances, addresses: [own.link, own.lan], inSync: () => this.#inSync(), clock, log, onSipd: () => this.#sipdCame(), onFitness: fitness => this.#looked(fitness.value) }));
    this.#media = bothCarryMedia(cluster) ? new MediaWatch({ cluster, own, peer, keepalived: this.#keepalived, self: this.#self, hasAddress, clock, log }) : undefined;
    this.#heartbeats = closer.use(new Heartbeats({ paths: this.#paths, port: cluster.heartbeatPort, dials: own.name < peer.name, mac: heartbeatMac(cluster.key!), clock, log, onBeat: beat => this.#heard(beat) }));
    this.#gate = closer.use(new PeerGate({ runDirectory: rpc.directory, instances: config.media.instances, own: own.link, peer: peer.link, port: cluster.gatePort, clock, log }, trustOf(state.directory, own.name, peer.name, log)));
    if (cluster.witness.address !== '') this.#witness = closer.use(new Witness({ ...cluster.witness, local: { node: own.lan, pair: withoutPrefix(cluster.sipAddress) }, clock, onChange: view => this.#feed({ type: 'witness', ...view }) }));
    this.#orders = new RoleOrders({ replication: this.#replication, sipd: this.#self.sipd, log, isActive: of => this.#automaton.role === 'active' && this.#automaton.term === of, onPrimary: () => void this.#media?.tell(), onNotPromoted: (of, why) => this.#feed({ type: 'not-promoted', term: of, why }), onDemoted: () => this.#feed({ type: 'demoted' }) });
    closer.defer(() => this.#close());
  }

  async start(): Promise<void> {
    await this.#self.start();
    this.#beatAgain();
  }

  handlers(): NodeHandlers {
    return {
      report: () => this.report(),
      switchOver: () => this.#order({ type: 'switch' }),
      maintenance: ({ on }) => this.#order({ type: 'maintenance', on }),
      counters: () => ({ ...this.#counters, ...Object.fromEntries(Object.entries(this.#heartbeats.counters).map(([name, value]) => [`cluster.heartbeats.${name}`, value])), ...this.#gate.counters(), ...processFigures() }),
    };
  }

  /** Whom this node believes from now on. */
  trust(trust: PairTrust | undefined): Promise<void> {
    return this.#gate.renew(trust);
  }

  /** cluster.key is about to be this one; until all of us have started anew with it, Redis takes both. */
  async rekey(key: string): Promise<void> {
    const { config } = this.#options;
    const files = clusterFiles(config.rpc.directory);
    writeFileSync(files.redis, redisConfig(config.cluster, this.#own, files, redisPassword(key)), { mode: 0o600 });
    await this.#replication.alsoTakes(redisPassword(key));
  }

  get peerAlive(): boolean {
    return this.#watch.view(this.#options.clock.now()).alive;
  }

  report(): ClusterReport {
    const { config, clock } = this.#options;
    const { role, term, veto, vrrp, heldDownUntil } = this.#automaton;
    const now = clock.now();
    const heldMs = heldDownUntil === undefined ? 0 : heldDownUntil - now;
    return {
      node: this.#own.name, role, term, veto, keepalived: vrrp, addresses: movingAddresses(config.cluster), media: this.#media?.rows(this.#watch.view(now)) ?? [],
      fitness: this.#self.fitness.value, lacks: this.#self.fitness.lacks, witness: config.cluster.witness.address === '' ? null : this.#automaton.witness,
      heldDownMs: heldMs > 0 ? Math.round(heldMs) : null,
      state: { redis: this.#replication.role, whole: this.#isWhole(), sipd: this.#self.duty },
      peer: this.#peerReport(),
      configuration: this.#self.configuration,
      changes: this.#changes,
    };
  }

  get #paths(): readonly HeartbeatPath[] {
    const { link, lan } = this.#own;
    return [{ path: 'link', local: link, remote: this.#peer.link }, { path: 'lan', local: lan, remote: this.#peer.lan }, { path: 'stream', local: lan, remote: this.#peer.lan }];
  }

  #peerReport(): ClusterReport['peer'] {
    const { alive, beat, hearsUs, paths } = this.#watch.view(this.#options.clock.now());
    return {
      node: this.#peer.name, alive, hearsUs, role: beat?.role ?? null, term: beat?.term ?? null, fitness: beat?.fitness ?? null, loadPercent: beat?.load ?? null, release: beat?.version ?? null, gate: this.#gate.state,
      paths: paths.map((path, index) => ({ ...this.#paths[index]!, alive: path.alive, ageMs: path.ageMs === null ? null : Math.round(path.ageMs), beats: path.beats })),
    };
  }

  #isWhole(): boolean {
    return this.#self.duty?.replication === 'in-step' && this.#replication.inSync;
  }

  /** There is somebody to be in step with only while another node is active. */
  #inSync(): boolean | null {
    const peer = this.#watch.view(this.#options.clock.now());
    return this.#automaton.role === 'active' || !peer.alive || peer.beat!.role !== 'active' ? null : this.#isWhole();
  }

  // --- in --------------------------------------------------------------------------------------------------------------

  #keepalivedSays(of: string, state: VrrpState): void {
    if (of === SIP) this.#feed({ type: 'vrrp', state });
    else this.#lookAtMedia();
  }

  /** After the role: what is said of media never holds that up. */
  #lookAtMedia(): void {
    if (this.#closed) return;
    const { role, witness, yielded } = this.#automaton;
    if (this.#media?.look(this.#watch.view(this.#options.clock.now()), { maintenance: role === 'maintenance', witness, yielded }) === true) this.#beat();
  }

  #heard(beat: Heartbeat): void {
    const verdict = this.#watch.receive(beat, this.#options.clock.now());
    if (verdict === 'taken' || verdict === 'unproven') this.#feed({ type: 'peer' });
    if (verdict === 'taken') this.#lookAtMedia();
    if (verdict !== 'taken') this.#count(`cluster.beats.${verdict}`);
  }

  #beatAgain(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#timer = clock.schedule(addMs(clock.now(), BEAT_EVERY_MS), () => {
      this.#witness?.step(this.#watch.view(clock.now()).silentMs, this.#automaton.vrrp === 'master');
      this.#feed({ type: 'tick' });
      void this.#gate.heard(this.#watch.view(clock.now()).paths[0]!.ageMs);
      this.#lookAtMedia();
      this.#beat();
      this.#beatAgain();
    });
  }

  #order(input: RoleInput): null {
    const refused = this.#feed(input).find(output => output.type === 'refused');
    if (refused !== undefined) throw new GatewayError('NOT_PERMITTED', { why: refused.why });
    return null;
  }

  /** Its own start says nothing of ours: one that comes back to an active node is made active again. */
  #sipdCame(): void {
    void this.#media?.tell();
    if (this.#automaton.role === 'active') this.#orders.promote(this.#automaton.term);
  }

  /** A sipd that stands by under an active role lost it some other way: it gets it again. */
  #looked(fitness: number): void {
    this.#feed({ type: 'fitness', value: fitness });
    const { role, leaving, term } = this.#automaton;
    if (role === 'active' && !leaving && this.#self.duty?.state === 'standby') this.#orders.promote(term);
  }

  /** What comes while outputs are carried out waits for its turn. */
  #feed(input: RoleInput): RoleOutput[] {
    this.#queue.push(input);
    if (this.#handling || this.#closed) return [];
    this.#handling = true;
    const all: RoleOutput[] = [];
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const now = this.#options.clock.now();
        const outputs = this.#automaton.handle(next, this.#watch.view(now), now);
        all.push(...outputs);
        for (const output of outputs) this.#carryOut(output);
      }
    } finally {
      this.#handling = false;
    }
    return all;
  }

  // --- out -------------------------------------------------------------------------------------------------------------

  #carryOut(output: RoleOutput): void {
    switch (output.type) {
      case 'veto':
        this.#options.log.info({ why: output.why }, output.why === null ? 'veto.lifted' : 'veto.laid');
        return this.#keepalived.veto(SIP, output.why !== null);
      case 'term':
        return this.#role.keep({ term: output.term, active: true });
      case 'promote':
        return this.#orders.promote(output.term);
      case 'demote':
        return this.#orders.demote(output.why);
      case 'role':
        return this.#entered(output);
      case 'beat':
        return this.#beat();
      case 'refused':
        return;
      default:
        return assertNever(output);
    }
  }

  #entered({ role, why }: Extract<RoleOutput, { readonly type: 'role' }>): void {
    const { log, clock } = this.#options;
    const { term } = this.#automaton;
    log.warn({ role, term, why }, 'role.changed');
    this.#count(`cluster.role.${role}`);
    this.#changes.unshift({ atWallMs: clock.wall(), role, term, why });
    this.#changes.length = Math.min(this.#changes.length, KEPT_CHANGES);
    if (role !== 'active') this.#role.keep({ active: false });
  }

  #beat(): void {
    const { clock, release } = this.#options;
    const { role, fitness, candidate, witness, leaving, term } = this.#automaton;
    const heard = this.#watch.heard(clock.now());
    this.#heartbeats.send(path => ({ role, fitness, candidate, witness, leaving, media: this.#media?.word ?? NO_MEDIA, term, heard, path, load: this.#self.load, stateVersion: STATE_VERSION, ...this.#watch.next(), name: this.#own.name, version: release }));
  }

  #count(name: string): void {
    this.#counters[name] = (this.#counters[name] ?? 0) + 1;
  }

  /** The addresses stay where they are: clusterd alone may be started anew. */
  #close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }
}

const hasAddress = (placed: string): boolean => Object.values(networkInterfaces()).some(each => each!.some(({ address }) => address === withoutPrefix(placed)));
