/** Which of the transports that a viewer can take it gets: the first that is ours to give (RFC 2326 12.39). */
import type { TransportSpec } from './transport.ts';

/** Below are services (faults.md 4). */
const FIRST_MEDIA_PORT = 1024;

export interface TransportChoice {
  readonly index: number;
  /** Media goes there and nowhere else (fault 79). */
  readonly remoteAddress: string;
  /** Interleaved channels of other tracks. */
  readonly takenChannels: readonly number[];
}

/** The transport without our ports, or the status of a refusal. */
export function chooseTransport(specs: readonly TransportSpec[], { index, remoteAddress, takenChannels }: TransportChoice): TransportSpec | 403 | 461 {
  if (specs.some(({ destination }) => destination !== undefined && destination !== remoteAddress)) return 403;
  const chosen = specs.find(spec => isServed(spec, takenChannels));
  if (chosen === undefined) return 461;
  if (chosen.lower === 'tcp') return { lower: 'tcp', multicast: false, interleaved: chosen.interleaved ?? [2 * index, 2 * index + 1] };
  return { lower: 'udp', multicast: false, clientPort: chosen.clientPort };
}

function isServed({ lower, multicast, clientPort, interleaved, mode }: TransportSpec, takenChannels: readonly number[]): boolean {
  if (multicast || (mode !== undefined && mode !== 'play')) return false;
  if (lower === 'udp') return clientPort !== undefined && Math.min(...clientPort) >= FIRST_MEDIA_PORT && clientPort[0] !== clientPort[1];
  const isFree = interleaved === undefined || (interleaved[0] !== interleaved[1] && !interleaved.some(channel => takenChannels.includes(channel)));
  return lower === 'tcp' && isFree;
}
