/** Two nodes with one configuration in virtual time: the real automaton of following, a model of the disk, of who is active and of the link between the two. */
import { createHash } from 'node:crypto';
import { Following, type FollowInput, type FollowOutput, type OwnLine, type Takeover } from '#core/config/following.ts';
import { type KeptLine, type LineFacts, type LineRow, moveLine, openAsides, rowId, stateMark } from '#core/config/line.ts';
import { ms } from '#core/units.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const STEP_MS = 50;

/** What a node has on its disk. */
interface Disk {
  /** By number, with the text that the reason stands for. */
  rows: Map<number, LineRow>;
  current: number;
  line: KeptLine;
}

export class LineNode {
  readonly name: string;
  up = true;
  active = false;
  /** Its release cannot read revisions that say `newer`. */
  old = false;
  following = new Following();
  disk: Disk;
  incoming: LineRow[] = [];
  linked = false;
  /** Every revision that was ever in force here, by id, in order. */
  readonly inForce: string[] = [];
  queue: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
    this.disk = { rows: new Map(), current: 0, line: { met: false, term: 0, trail: ['nothing'] } };
    this.add('as it was found', 0, null);
    this.disk.line = { met: false, term: 0, trail: [this.mark()] };
  }

  get rows(): readonly LineRow[] {
    return [...this.disk.rows.values()].sort((a, b) => b.revision - a.revision);
  }

  mark(): string {
    return stateMark(this.rows, { current: this.disk.current, pending: null }, sha256);
  }

  get own(): OwnLine {
    return { ...this.disk.line, active: this.active, rows: this.rows };
  }

  get texts(): readonly string[] {
    return this.rows.map(({ reason }) => reason);
  }

  get asides(): readonly number[] {
    return openAsides(this.rows, this.disk.current);
  }

  add(reason: string, term: number, aside: string | null): LineRow {
    const revision = Math.max(0, ...this.disk.rows.keys()) + 1;
    const facts: LineFacts = { revision, atWallMs: revision, author: { user: this.name, via: 'cli', address: null }, reason, changes: 1, term, aside };
    const row = { ...facts, id: rowId(facts, sha256), returned: false };
    this.disk.rows.set(revision, row);
    if (aside === null) this.bring(revision);
    return row;
  }

  bring(revision: number): void {
    this.disk.current = revision;
    this.inForce.push(this.disk.rows.get(revision)!.id);
  }
}

export class LineSim {
  now = 0;
  term = 1;
  readonly a = new LineNode('a');
  readonly b = new LineNode('b');
  cut = false;
  #serial = 0;
  /** Reasons of commits that were answered as being on both nodes. */
  readonly acknowledged: string[] = [];

  constructor() {
    this.a.active = true;
  }

  get nodes(): readonly [LineNode, LineNode] {
    return [this.a, this.b];
  }

  other(node: LineNode): LineNode {
    return node === this.a ? this.b : this.a;
  }

  /** The one becomes active, the other one not: unless it is cut off, and does not know. */
  activate(node: LineNode, alone = false): void {
    this.term += 1;
    node.active = true;
    if (!alone) this.other(node).active = false;
  }

  commit(node: LineNode, what = 'commit'): string {
    const reason = `${what} ${(this.#serial += 1)}`;
    node.add(reason, node.active ? this.term : 0, null);
    node.disk.line = moveLine(node.disk.line, node.mark(), node.active ? this.term : 0);
    this.feed(node, { type: 'news' });
    const peer = this.other(node);
    if (peer.linked) this.feed(peer, { type: 'news' });
    return reason;
  }

  kill(node: LineNode): void {
    node.up = false;
    node.active = false;
    node.queue = [];
    node.incoming = [];
    node.following = new Following();
    node.linked = false;
  }

  boot(node: LineNode): void {
    node.up = true;
  }

  run(forMs: number): this {
    for (const end = this.now + forMs; this.now < end; ) {
      this.now += STEP_MS;
      for (const node of this.nodes) this.#step(node);
    }
    return this;
  }

  #step(node: LineNode): void {
    if (!node.up) return;
    const reaches = !this.cut && this.other(node).up;
    if (reaches !== node.linked) {
      node.linked = reaches;
      this.feed(node, { type: reaches ? 'up' : 'down' });
    }
    const due = node.queue;
    node.queue = [];
    for (const task of due) task();
    if (this.now >= node.following.deadline) this.feed(node, { type: 'tick' });
  }

  feed(node: LineNode, input: FollowInput): void {
    for (const output of node.following.handle(input, node.own, ms(this.now))) node.queue.push(() => this.feed(node, this.#carryOut(node, output)));
  }

  #carryOut(node: LineNode, output: FollowOutput): FollowInput {
    const peer = this.other(node);
    if (output.type === 'take') return { type: this.#take(node, output.takeover) ? 'taken' : 'moved' };
    if (output.type === 'ask') node.incoming = [];
    if (!node.linked || !peer.up) return { type: 'failed', why: 'not reached' };
    if (output.type === 'fetch') {
      const { row } = output;
      if (node.old && row.reason.startsWith('newer')) return { type: 'held', why: 'of a newer release' };
      node.incoming.push(row);
      return { type: 'fetched', revision: row.revision };
    }
    this.#heard(peer, node);
    return { type: 'told', line: peer.disk.line.trail[0] === node.disk.line.trail[0] ? null : { ...peer.own, current: peer.disk.current, pending: null } };
  }

  /** What the asker has is acknowledged to those who committed it there. */
  #heard(peer: LineNode, asker: LineNode): void {
    if (peer.disk.line.trail[0] !== asker.disk.line.trail[0]) return;
    for (const node of [peer, asker]) node.disk.line = { ...node.disk.line, met: true };
    for (const reason of peer.texts) if (!this.acknowledged.includes(reason)) this.acknowledged.push(reason);
  }

  #take(node: LineNode, { told, strays, from }: Takeover): boolean {
    if (node.disk.line.trail[0] !== from) return false;
    const { met } = node.disk.line;
    const before = node.disk.rows.get(node.disk.current)?.id;
    for (const { revision } of strays) node.disk.rows.delete(revision);
    for (const row of node.incoming) node.disk.rows.set(row.revision, row);
    node.incoming = [];
    if (node.disk.rows.get(told.current)!.id !== before) node.bring(told.current);
    node.disk.current = told.current;
    node.disk.line = { met: true, term: told.term, trail: told.trail };
    if (!met || strays.length === 0) return true;
    for (const { reason, term } of strays) node.add(reason, term, node.name);
    node.disk.line = moveLine(node.disk.line, node.mark(), 0);
    return true;
  }
}
