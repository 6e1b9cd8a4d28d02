/** Two nodes in virtual time: the real heartbeat, peer watch and role automaton, a model of keepalived, and links that lose one way. */
import { type Heartbeat, NO_MEDIA, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';
import { PeerWatch } from '#core/cluster/peer-watch.ts';
import { ROLE_TIMING, RoleAutomaton, type RoleInput, type RoleOutput, type VrrpState } from '#core/cluster/role.ts';
import { WitnessWatch } from '#core/cluster/witness-watch.ts';
import { ms } from '#core/units.ts';
import type { Dice } from '../../scripts/lib/dice.ts';

export const BEAT_MS = 50;
export const DEAD_MS = 300;
const STEP_MS = 5;
const ADVERT_MS = 100;
const PATHS = 3;
/** Keeps what it cannot deliver; here it loses it, as the others do. */
const STREAM_PATH = 2;
/** keepalived speaks over this one. */
const VRRP_PATH = 1;
/** The cheapest that depends on every character. */
export const simMac = (text: string): string => {
  let hash = 7;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0;
  return hash.toString(16).padStart(64, '0');
};

interface SimOptions {
  readonly hasWitness?: boolean;
  readonly stateVersions?: readonly [number, number];
  readonly dice: Dice;
}

export class SimNode {
  readonly index: number;
  readonly name: string;
  automaton!: RoleAutomaton;
  watch!: PeerWatch;
  witnessed!: WitnessWatch;
  readonly log: { readonly at: number; readonly output: RoleOutput }[] = [];
  /** `frozen`: its kernel goes on answering for what it owned, nothing else does. */
  state: 'up' | 'dead' | 'frozen' = 'up';
  witness = true;
  fitness = 100;
  /** What sipd makes of a promotion. */
  promotes = true;
  vrrp: VrrpState = 'stopped';
  vrrpAt = 0;
  beatAt = 0;
  boots = 0;
  term = 0;

  constructor(index: number) {
    this.index = index;
    this.name = index === 0 ? 'a' : 'b';
  }

  get owns(): boolean {
    return this.state === 'up' && this.vrrp === 'master';
  }

  get serves(): boolean {
    return this.owns && this.automaton.role === 'active';
  }
}

export class ClusterSim {
  now = 0;
  readonly nodes = [new SimNode(0), new SimNode(1)] as const;
  /** loss[from][path] */
  readonly loss = [[0, 0, 0], [0, 0, 0]];
  /** Whom the witness answers at the address of the pair: who announced it last over a network that reaches it. */
  #announced: number | undefined;
  readonly #options: SimOptions;
  /** Of a question to the witness, or of its answer. */
  witnessLoss = 0;
  /** Longest time that both owned the addresses, and for how long now. */
  longestOverlapMs = 0;
  #overlapMs = 0;
  /** Longest time that nobody served since somebody first did. */
  longestGapMs = 0;
  #gapMs = 0;
  #served = false;
  switches = 0;
  #lastServer: number | undefined;

  constructor(options: SimOptions) {
    this.#options = options;
    for (const node of this.nodes) this.boot(node);
  }

  boot(node: SimNode): void {
    const other = 1 - node.index;
    node.boots += 1;
    node.state = 'up';
    node.vrrp = 'fault';
    const boot = `${node.index}${node.boots}`.padStart(16, '0');
    node.watch = new PeerWatch({ newBoot: () => boot, peerName: this.nodes[other]!.name, paths: PATHS, streamPath: STREAM_PATH, deadMs: DEAD_MS });
    node.automaton = new RoleAutomaton({ name: node.name, peerName: this.nodes[other]!.name, hasWitness: this.#options.hasWitness ?? true, stateVersion: this.#options.stateVersions?.[node.index] ?? 1, term: node.term, timing: ROLE_TIMING }, ms(this.now));
    node.witnessed = new WitnessWatch();
    node.beatAt = this.now;
  }

  /** Everything of the node at once, as with a power cut. */
  kill(node: SimNode): void {
    node.state = 'dead';
    node.vrrp = 'stopped';
  }

  freeze(node: SimNode): void {
    node.state = 'frozen';
  }

  thaw(node: SimNode): void {
    node.state = 'up';
  }

  /** Both directions of one path, or of all, or one direction only. */
  cut(loss: number, { path, from }: { readonly path?: number; readonly from?: number } = {}): void {
    for (const each of [0, 1]) for (let p = 0; p < PATHS; p++) if ((path ?? p) === p && (from ?? each) === each) this.loss[each]![p] = loss;
  }

  feed(node: SimNode, input: RoleInput): RoleOutput[] {
    const outputs = node.automaton.handle(input, node.watch.view(ms(this.now)), ms(this.now));
    for (const output of outputs) this.#carryOut(node, output);
    return outputs;
  }

  #carryOut(node: SimNode, output: RoleOutput): void {
    if (output.type !== 'beat') node.log.push({ at: this.now, output });
    if (output.type === 'beat') this.#beat(node);
    if (output.type === 'term') node.term = output.term;
    if (output.type === 'veto') this.#veto(node, output.why !== null);
    if (output.type === 'demote') this.feed(node, { type: 'demoted' });
    if (output.type === 'promote' && !node.promotes) this.feed(node, { type: 'not-promoted', term: output.term, why: 'a test' });
  }

  get server(): SimNode | undefined {
    return this.nodes.find(node => node.serves);
  }

  run(forMs: number): this {
    for (const end = this.now + forMs; this.now < end; ) {
      this.now += STEP_MS;
      for (const node of this.nodes) if (node.state === 'up') this.#step(node);
      this.#measure();
    }
    return this;
  }

  #step(node: SimNode): void {
    if (this.now - node.beatAt >= BEAT_MS) {
      this.#askWitness(node);
      this.feed(node, { type: 'fitness', value: node.fitness });
      this.feed(node, { type: 'tick' });
      this.#beat(node);
      node.beatAt = this.now;
    }
    if (node.vrrp === 'backup' && this.now >= node.vrrpAt) this.#setVrrp(node, 'master');
    if (node.vrrp === 'master' && this.now >= node.vrrpAt) {
      node.vrrpAt = this.now + ADVERT_MS;
      this.#advert(node, false);
    }
  }

  /** It answers at once. */
  #askWitness(node: SimNode): void {
    const now = ms(this.now);
    for (const from of node.witnessed.step(node.watch.view(now).silentMs, node.vrrp === 'master', now)) {
      if (node.witness && !this.#options.dice.hits(this.witnessLoss) && (from === 'node' || this.#announced === node.index)) node.witnessed.answered(from, now);
    }
    this.feed(node, { type: 'witness', ...node.witnessed.view(now) });
  }

  #beat(node: SimNode): void {
    for (let path = 0; path < PATHS; path++) {
      const { automaton, watch } = node;
      const beat: Heartbeat = {
        role: automaton.role, fitness: automaton.fitness, load: 0, candidate: automaton.candidate, witness: automaton.witness, leaving: automaton.leaving, media: NO_MEDIA,
        stateVersion: this.#options.stateVersions?.[node.index] ?? 1, path, ...watch.next(), term: automaton.term, heard: watch.heard(ms(this.now)), name: node.name, version: '1',
      };
      const peer = this.nodes[1 - node.index]!;
      if (peer.state !== 'up' || this.#options.dice.hits(this.loss[node.index]![path]!)) continue;
      const parsed = parseHeartbeat(encodeHeartbeat(beat, simMac), simMac);
      if (!parsed.ok) throw new Error(parsed.error.why);
      if (peer.watch.receive(parsed.value, ms(this.now)) === 'taken') this.feed(peer, { type: 'peer' });
    }
  }

  // --- keepalived: two adverts, equal priorities, the higher address wins -----------------------------------------

  #setVrrp(node: SimNode, state: VrrpState): void {
    node.vrrp = state;
    if (state === 'master' && node.witness) this.#announced = node.index;
    node.vrrpAt = state === 'backup' ? this.now + 2 * ADVERT_MS + 40 : this.now;
    this.feed(node, { type: 'vrrp', state });
  }

  #veto(node: SimNode, on: boolean): void {
    if (on && node.vrrp === 'master') this.#advert(node, true);
    this.#setVrrp(node, on ? 'fault' : 'backup');
  }

  #advert(node: SimNode, priorityZero: boolean): void {
    const peer = this.nodes[1 - node.index]!;
    if (peer.state !== 'up' || this.#options.dice.hits(this.loss[node.index]![VRRP_PATH]!)) return;
    if (peer.vrrp === 'backup') peer.vrrpAt = this.now + (priorityZero ? 40 : 2 * ADVERT_MS + 40);
    if (peer.vrrp === 'master' && !priorityZero && node.index > peer.index) this.#setVrrp(peer, 'backup');
  }

  #measure(): void {
    this.#overlapMs = this.nodes.every(node => node.owns) ? this.#overlapMs + STEP_MS : 0;
    this.longestOverlapMs = Math.max(this.longestOverlapMs, this.#overlapMs);
    const server = this.server;
    this.#served ||= server !== undefined;
    this.#gapMs = !this.#served || server !== undefined ? 0 : this.#gapMs + STEP_MS;
    this.longestGapMs = Math.max(this.longestGapMs, this.#gapMs);
    if (server !== undefined && this.#lastServer !== undefined && server.index !== this.#lastServer) this.switches += 1;
    this.#lastServer = server?.index ?? this.#lastServer;
  }
}
