/**
 * Where both nodes of a pair carry media a bridge is where the address of its legs is. That goes to the other node when its own dies, and
 * home when that is well again (core/cluster/media-places.ts); its bridges follow:
 *
 *   AT HOME --its address is on the other node--> opened there from the store, with its ports, SSRCs and numbers --> GUEST
 *      ^                                              | cannot be opened: lost, as with any dead media process         |
 *      +----------------------------------- its address is at home ----------------------------------------------------+
 */
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { MediaInstance } from './media-instance.ts';
import type { MediaNodes } from './media-nodes.ts';
import type { MediadClient, Moved } from './moved.ts';

export interface MoveHandlers {
  /** Opens bridges of one instance, as they are stored, in another one; answers those that stand there. */
  readonly move: (bridgeIds: readonly string[], from: string, client: MediadClient) => Promise<readonly Moved[]>;
  readonly onMoved: (moved: readonly Moved[], to: string) => void;
  readonly onLost: (bridgeIds: readonly string[]) => void;
}

export interface MediaMovesOptions extends MoveHandlers {
  readonly instances: readonly MediaInstance[];
  readonly nodes: MediaNodes;
  readonly log: Log;
  readonly close: (instance: string, bridgeId: string) => Promise<void>;
}

export class MediaMoves {
  readonly #options: MediaMovesOptions;
  /** One after another. */
  #moving: Promise<void> = Promise.resolve();
  #closed = false;
  #underWay = 0;

  constructor(options: MediaMovesOptions) {
    this.#options = options;
  }

  /** Whenever an address or an instance came or went. Settles when each is where it belongs, as far as that can be now. */
  settle(): Promise<void> {
    return (this.#moving = this.#moving.then(async () => {
      for (const instance of this.#options.instances) for (const [to, bridgeIds] of this.#misplaced(instance)) if (!this.#closed) await this.#move(bridgeIds, instance, to);
    }));
  }

  /** Bridges count as ours where they do not stand yet. */
  get busy(): boolean {
    return this.#underWay > 0;
  }

  /** Its address is back, and bridges on it have yet to come: what is opened there now could take their ports. */
  awaits(node: string): boolean {
    return this.#options.instances.some(instance => instance.node !== node && [...instance.bridges.values()].some(address => address !== undefined && this.#options.nodes.nodeWith(address) === node));
  }

  /** What is under way is for whoever comes after us. */
  [Symbol.dispose](): void {
    this.#closed = true;
  }

  #misplaced(instance: MediaInstance): Map<MediaInstance, string[]> {
    const { nodes, instances } = this.#options;
    const byTarget = new Map<MediaInstance, string[]>();
    for (const [bridgeId, address] of instance.bridges) {
      const home = address === undefined ? undefined : nodes.nodeWith(address);
      const owner = home === undefined ? null : nodes.ownerOf(home);
      if (owner === null || owner === instance.node) continue;
      const to = instances.find(({ name }) => name === nodes.counterpart(instance.name, owner))!;
      if (to.attached) byTarget.set(to, [...(byTarget.get(to) ?? []), bridgeId]);
    }
    return byTarget;
  }

  async #move(bridgeIds: readonly string[], from: MediaInstance, to: MediaInstance): Promise<void> {
    this.#underWay += 1;
    await this.#moveNow(bridgeIds, from, to).finally(() => (this.#underWay -= 1));
  }

  async #moveNow(bridgeIds: readonly string[], from: MediaInstance, to: MediaInstance): Promise<void> {
    const { move, onMoved, onLost, close, log } = this.#options;
    // It counts as ours there before it stands: nobody closes it as a stranger.
    for (const id of bridgeIds) to.bridges.set(id, from.bridges.get(id));
    const standing = await move(bridgeIds, from.name, to.link).catch((error: unknown) => this.#notMoved(error));
    if (this.#closed) return;
    // It went away meanwhile: again when it is back, for what it has then nobody knows.
    if (!to.attached) return this.#forget(bridgeIds, to);
    // Those that ended meanwhile are not.
    const wanted = new Set(bridgeIds.filter(id => from.bridges.has(id)));
    const moved = standing.filter(({ bridgeId }) => wanted.has(bridgeId));
    const stands = new Set(moved.map(({ bridgeId }) => bridgeId));
    const lost = [...wanted].filter(id => !stands.has(id));
    for (const id of bridgeIds) if (!stands.has(id)) void close(to.name, id).catch(() => undefined);
    for (const id of bridgeIds) {
      from.bridges.delete(id);
      if (from.link.up) void from.link.call('closeBridge', { bridgeId: id }).catch(() => undefined);
    }
    log.warn({ from: from.name, to: to.name, moved: moved.length, lost: lost.length }, 'bridges.moved');
    onMoved(moved, to.name);
    if (lost.length > 0) onLost(lost);
  }

  #forget(bridgeIds: readonly string[], { bridges }: MediaInstance): void {
    for (const id of bridgeIds) bridges.delete(id);
  }

  #notMoved(error: unknown): readonly Moved[] {
    if (!(error instanceof GatewayError)) throw error;
    this.#options.log.error({ why: error.message }, 'bridges.not-moved');
    return [];
  }
}
