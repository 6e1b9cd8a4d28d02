import t from 'tap';
import { type Heartbeat, NO_MEDIA } from '#core/cluster/heartbeat.ts';
import { type Guests, MEDIA_TIMING, type MediaFacts, MediaPlaces } from '#core/cluster/media-places.ts';
import type { PeerView } from '#core/cluster/peer-watch.ts';
import type { VrrpState } from '#core/cluster/role.ts';
import { ms } from '#core/units.ts';

const STEP_MS = 10;
const BEAT_MS = 50;
const DEAD_MS = 300;
const TAKEN_MS = 240;
const RETURN_MS = 60_000;

interface SimNode {
  readonly name: string;
  readonly places: MediaPlaces;
  up: boolean;
  lives: boolean;
  maintenance: boolean;
  witness: boolean;
  yielded: boolean;
  guests: Guests;
  /** Of the addresses of node 0 and 1. */
  vrrp: [VrrpState, VrrpState];
  /** When keepalived becomes master. */
  masterAt: [number, number];
  heard: { at: number; media: typeof NO_MEDIA };
}

/** Two nodes with their vetoes, and keepalived between them: a veto gives up at once, its end takes what nobody advertises. */
class Pair {
  readonly nodes: readonly [SimNode, SimNode];
  now = 0;
  path = true;
  /** Longest time with two owners, over both addresses. */
  overlapMs = 0;
  #overlap = [0, 0];

  constructor() {
    const node = (name: string, peerName: string): SimNode => ({
      name, places: new MediaPlaces({ name, peerName, hasWitness: true, returnMs: RETURN_MS, timing: MEDIA_TIMING }, ms(0)), up: true, lives: true, maintenance: false, witness: true, yielded: false, guests: 'none',
      vrrp: ['fault', 'fault'], masterAt: [0, 0], heard: { at: -DEAD_MS, media: NO_MEDIA },
    });
    this.nodes = [node('a', 'b'), node('b', 'a')];
  }

  view(index: number): PeerView {
    const { at, media } = this.nodes[index]!.heard;
    const beat = { media } as Heartbeat;
    return { alive: this.now - at < DEAD_MS, claimsActive: false, beat, silentMs: this.now - at, hearsUs: true, paths: [] };
  }

  run(forMs: number): this {
    for (const end = this.now + forMs; this.now < end; ) {
      this.now += STEP_MS;
      for (const index of [0, 1] as const) if (this.nodes[index].up) this.#step(index);
      for (const address of [0, 1] as const) {
        this.#overlap[address] = this.nodes.every(node => node.up && node.vrrp[address] === 'master') ? this.#overlap[address]! + STEP_MS : 0;
        this.overlapMs = Math.max(this.overlapMs, this.#overlap[address]);
      }
    }
    return this;
  }

  #step(index: 0 | 1): void {
    const node = this.nodes[index];
    const peer = this.nodes[1 - index]!;
    const { lives, maintenance, witness, yielded, guests } = node;
    const facts: MediaFacts = { lives, maintenance, witness, yielded, guests, own: node.vrrp[index], other: node.vrrp[1 - index]! };
    const vetoes = node.places.handle(facts, this.view(index), ms(this.now));
    for (const address of [0, 1] as const) {
      const vetoed = (address === index ? vetoes.own : vetoes.other) !== null;
      if (vetoed) node.vrrp[address] = 'fault';
      else if (node.vrrp[address] === 'fault') [node.vrrp[address], node.masterAt[address]] = ['backup', this.now + TAKEN_MS];
      // Adverts of the other one: of higher priority they win, else they keep us waiting only where home is not ours.
      const advertised = this.path && peer.up && peer.vrrp[address] === 'master';
      if (node.vrrp[address] === 'backup' && advertised && address !== index) node.masterAt[address] = this.now + TAKEN_MS;
      if (node.vrrp[address] === 'master' && advertised && address !== index) node.vrrp[address] = 'backup';
      if (node.vrrp[address] === 'backup' && this.now >= node.masterAt[address]) node.vrrp[address] = 'master';
    }
    if (this.now % BEAT_MS === 0 && this.path) peer.heard = { at: this.now, media: node.places.word };
  }

  /** `ab`: each has its own. */
  get owners(): string {
    return ([0, 1] as const).map(address => this.nodes.filter(node => node.up && node.vrrp[address] === 'master').map(({ name }) => name).join('+') || '-').join('');
  }
}

t.test('each has its own; a dead node leaves its address, and has it back when nothing runs on it', async t => {
  const pair = new Pair().run(1500);
  const [a, b] = pair.nodes;
  t.equal(pair.owners, 'ab');
  t.same(a.places.owners(pair.view(0)), { a: 'a', b: 'b' });
  b.up = false;
  pair.run(700);
  t.equal(pair.owners, 'aa', 'after three tenths to know it and two adverts to take it');
  t.same(a.places.owners(pair.view(0)), { a: 'a', b: 'a' });
  a.guests = 'bound';
  [b.up, b.vrrp] = [true, ['fault', 'fault']];
  pair.run(2 * RETURN_MS);
  t.equal(pair.owners, 'aa', 'sessions that cannot be moved keep it');
  t.same(b.places.owners(pair.view(1)), { a: 'a', b: 'a' });
  a.guests = 'none';
  pair.run(1000);
  t.equal(pair.owners, 'ab');
  t.equal(pair.overlapMs, 0);
});

t.test('sessions that can be moved go home after a while, and not at once', async t => {
  const pair = new Pair().run(1500);
  const [a, b] = pair.nodes;
  a.up = false;
  pair.run(1000);
  b.guests = 'movable';
  [a.up, a.vrrp] = [true, ['fault', 'fault']];
  pair.run(RETURN_MS - 2000);
  t.equal(pair.owners, 'bb');
  pair.run(4000);
  t.equal(pair.owners, 'ab');
  t.equal(pair.overlapMs, 0);
});

t.test('both live and reach the witness, and not each other: who leaves the SIP address to the other one leaves media to it too', async t => {
  const pair = new Pair().run(1500);
  const [a, b] = pair.nodes;
  pair.path = false;
  pair.run(700);
  t.equal(pair.owners, 'a+ba+b', 'neither can tell it from a death');
  a.yielded = true;
  pair.run(RETURN_MS);
  t.equal(pair.owners, 'bb');
  a.yielded = false;
  pair.path = true;
  pair.run(1000);
  t.equal(pair.owners, 'ab');
  t.equal(b.places.owners(pair.view(1))['a'], 'a');
});

t.test('without a mediad, in maintenance, or cut off from everybody a node gives its address up; a restart of mediad does not count', async t => {
  const pair = new Pair().run(1500);
  const [a, b] = pair.nodes;
  a.lives = false;
  pair.run(1900);
  t.equal(pair.owners, 'ab');
  pair.run(700);
  t.equal(pair.owners, 'bb');
  a.lives = true;
  pair.run(4000);
  t.equal(pair.owners, 'ab');
  b.maintenance = true;
  pair.run(700);
  t.equal(pair.owners, 'aa');
  b.maintenance = false;
  pair.run(4000);
  t.equal(pair.owners, 'ab');
  pair.path = false;
  b.witness = false;
  pair.run(700);
  t.equal(pair.owners, 'aa');
  a.witness = false;
  pair.run(700);
  t.equal(pair.owners, '--', 'nobody, rather than two');
  [pair.path, a.witness, b.witness] = [true, true, true];
  pair.run(4000);
  t.equal(pair.owners, 'ab');
  t.equal(pair.overlapMs, 0);
});

t.test('who is alone rides over a moment without the witness', async t => {
  const pair = new Pair().run(1500);
  const [a, b] = pair.nodes;
  b.up = false;
  pair.run(6000);
  a.witness = false;
  pair.run(1500);
  t.equal(pair.owners, 'aa');
  pair.run(1000);
  t.equal(pair.owners, '--');
  a.witness = true;
  pair.run(500);
  t.equal(pair.owners, 'aa');
});

t.test('clusterd alone is started anew: what keepalived has stays', async t => {
  const places = new MediaPlaces({ name: 'a', peerName: 'b', hasWitness: true, returnMs: RETURN_MS, timing: MEDIA_TIMING }, ms(0));
  const unheard: PeerView = { alive: false, claimsActive: false, beat: null, silentMs: 1e9, hearsUs: false, paths: [] };
  const facts: MediaFacts = { lives: false, maintenance: false, witness: false, yielded: false, own: 'master', other: 'backup', guests: 'none' };
  t.same(places.handle(facts, unheard, ms(10)), { own: null, other: 'starting' });
  t.same(places.handle({ ...facts, own: 'stopped', other: 'stopped' }, unheard, ms(20)), { own: 'keepalived is gone', other: 'keepalived is gone' });
  t.same(places.handle({ ...facts, lives: true, witness: true }, unheard, ms(600)), { own: null, other: null });
});
