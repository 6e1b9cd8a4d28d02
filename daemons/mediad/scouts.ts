/**
 * When a camera was connected and nothing comes, it may be sending to a port beside the right one (RTP to the RTCP number, or two
 * off). For a while the neighbours inside our own range listen, so that `vlink why` can name the port; what they hear goes nowhere.
 *
 *   idle ──connected──► waiting ──PATIENCE_MS without a packet──► listening ──first packet, or close──► idle
 */
import type { Endpoint } from '#contracts/mediad.ts';
import { addMs } from '#core/units.ts';
import type { PortRange } from '#kit/port-pool.ts';
import { type UdpPort, openUdp } from '#kit/udp-batch.ts';
import type { Plane } from './leg.ts';
import type { Peer } from './peer-rule.ts';

const PATIENCE_MS = 500;
const OFFSETS = [1, 2, -1, -2, 3] as const;
/** All bridges of an instance together: many silent cameras at once must not cost a descriptor each. */
const MAX_SCOUTS = 40;

let listening = 0;

export class Scouts {
  readonly #plane: Plane;
  readonly #bridgeId: string;
  readonly #range: PortRange;
  readonly #peer: Peer;
  readonly #ports: UdpPort[] = [];
  #timer: Disposable | undefined;
  #ended = false;

  constructor(plane: Plane, bridgeId: string, range: PortRange, peer: Peer) {
    this.#plane = plane;
    this.#bridgeId = bridgeId;
    this.#range = range;
    this.#peer = peer;
  }

  start(local: Endpoint): void {
    const { clock } = this.#plane;
    this.#timer = clock.schedule(addMs(clock.now(), PATIENCE_MS), () => void this.#listen(local));
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    const ports = this.#ports.splice(0);
    listening -= ports.length;
    await Promise.all(ports.map(port => port.close()));
  }

  async #listen({ address, port: own }: Endpoint): Promise<void> {
    for (const offset of OFFSETS) {
      const port = own + offset;
      if (this.#ended || listening >= MAX_SCOUTS) return;
      if (port < this.#range.first || port > this.#range.last) continue;
      const scout = await openUdp({ address, port, mayRest: true, onError: () => undefined, onBatch: batch => this.#heard(batch.address, batch.port, batch.count, port) }).catch(() => undefined);
      // Taken: whoever has it reports what does not belong to it.
      if (scout === undefined) continue;
      if (this.#ended) return void (await scout.close());
      this.#ports.push(scout);
      listening += 1;
    }
  }

  #heard(addresses: readonly string[], ports: readonly number[], count: number, localPort: number): void {
    for (let i = 0; i < count; i++) if (this.#peer.isAllowed(addresses[i]!)) this.#plane.strays.note(this.#bridgeId, localPort, addresses[i]!, ports[i]!, 'wrong-port');
  }
}
