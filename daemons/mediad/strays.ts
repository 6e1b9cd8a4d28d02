/** The last arrivals that belonged to nobody, for `vlink why`: bounded, oldest forgotten, repeated ones counted. */
import type { Endpoint, StrayReport } from '#contracts/mediad.ts';
import type { CountedLog } from '#kit/log.ts';

const MAX_STRAYS = 64;

interface Stray {
  readonly bridgeId: string | null;
  readonly localPort: number;
  readonly from: Endpoint;
  readonly reason: string;
  count: number;
}

export class Strays {
  /** Insertion order is age. */
  readonly #byKey = new Map<string, Stray>();

  readonly #log: CountedLog | undefined;
  total = 0;

  /** `log`: one line a window, however many come. */
  constructor(log?: CountedLog) {
    this.#log = log;
  }

  note(bridgeId: string | null, localPort: number, address: string, port: number, reason: string): void {
    this.total++;
    this.#log?.count({ localPort, from: `${address} ${port}`, reason });
    const key = `${localPort} ${address} ${port} ${reason}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#byKey.size >= MAX_STRAYS) this.#byKey.delete(this.#byKey.keys().next().value!);
    this.#byKey.set(key, { bridgeId, localPort, from: { address, port }, reason, count: 1 });
  }

  report(): StrayReport[] {
    return [...this.#byKey.values()].map(stray => ({ ...stray })).reverse();
  }
}
