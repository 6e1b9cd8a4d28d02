/** The seam to datagrams: a port over the addon of native/ where that was built, else over dgram. The contract is in udp-port.ts. */
import { openDgramUdp } from './udp-dgram.ts';
import { loadNativeUdp } from './udp-native.ts';
import type { UdpPort, UdpPortOptions } from './udp-port.ts';

export { DatagramBatch, type UdpPort, type UdpPortOptions } from './udp-port.ts';

export interface UdpImplementation {
  readonly name: 'native' | 'dgram';
  /** Why it is not the native one; null when it is, or when nobody wants it. */
  readonly why: string | null;
  /** Binds. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL ...). */
  readonly open: (options: UdpPortOptions) => Promise<UdpPort>;
  /** Wake-ups so far, by the datagrams that they brought at least; over dgram nobody counts them. */
  readonly wakes: () => Readonly<Record<string, number>>;
}

const dgram = (why: string | null): UdpImplementation => ({ name: 'dgram', why, open: openDgramUdp, wakes: () => ({}) });

/**
 * `wanted` is VIEWLINK_UDP: `native` or `dgram` and nothing else; `unsegmented`, so that captures on this host show each datagram; or
 * whatever works. Throws when `native` does not.
 */
export function chooseUdp(wanted: string | undefined = process.env['VIEWLINK_UDP']): UdpImplementation {
  if (wanted === 'dgram') return dgram(null);
  try {
    const native = loadNativeUdp();
    return { name: 'native', why: null, open: options => native.open(options, wanted !== 'unsegmented'), wakes: () => Object.fromEntries(native.found.map((count, power) => [`udp.wakes.${2 ** power}`, count])) };
  } catch (error) {
    if (wanted === 'native') throw error;
    return dgram((error as NodeJS.ErrnoException).code ?? String(error));
  }
}

let chosen: UdpImplementation | undefined;

/** The one that this process uses: chosen when it is first asked for. */
export const udpImplementation = (): UdpImplementation => (chosen ??= chooseUdp());

/** Binds. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL ...). */
export const openUdp = async (options: UdpPortOptions): Promise<UdpPort> => udpImplementation().open(options);
