/** The rest of mediad, as a pull sees it. */
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { MediaPorts } from './media-ports.ts';
import type { UnitSource, UnitSourceOptions } from './unit-source.ts';

/** How long a missing datagram is waited for. */
export const JITTER_LIMITS = { minWaitMs: 50, maxWaitMs: 500 };

export interface PullWorld {
  readonly ports: MediaPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  /** Address that connections come from; undefined: the system picks. */
  readonly localAddress: string | undefined;
  openUnitBridge(options: UnitSourceOptions): UnitSource;
  closeBridge(bridgeId: string): Promise<unknown>;
  count(name: string): void;
}
