/**
 * What a UDP port is to its users: batches in, batches out. Two implementations have this shape (udp-batch.ts chooses): over dgram a
 * batch received is one datagram, over recvmmsg it is up to 64, so callers loop over `count` and never assume one.
 *
 * Rules of memory:
 * - What `onBatch` gets (the arrays and the bytes) may be read and written until it returns; who keeps bytes longer copies them.
 * - `send` has taken the bytes when it returns true. False: some are still being read (the kernel's buffer was full); the caller
 *   must not write to that memory again, but may still read it. An implementation that receives into the same memory again never
 *   returns false: it copies what the kernel does not take.
 */

/** Datagrams as arrays that grow once and are reused. Entry i is valid for i < count. */
export class DatagramBatch {
  count = 0;
  readonly memory: Uint8Array[] = [];
  readonly offset: number[] = [];
  readonly length: number[] = [];
  /** Far end. On a connected port `send` does not look at it. */
  readonly address: string[] = [];
  readonly port: number[] = [];

  add(memory: Uint8Array, offset: number, length: number, address: string, port: number): void {
    const at = this.count++;
    this.memory[at] = memory;
    this.offset[at] = offset;
    this.length[at] = length;
    this.address[at] = address;
    this.port[at] = port;
  }
}

export interface UdpPortOptions {
  readonly address: string;
  /** 0: the system picks. */
  readonly port: number;
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
  /** Octet of IP_TOS or IPV6_TCLASS of what is sent. Over dgram it stays 0. */
  readonly tos?: number;
  /** The address need not be one of this machine yet. Over dgram binding it fails then (EADDRNOTAVAIL). */
  readonly freebind?: boolean;
  /** A delay below a millisecond does no harm: a busy process may let datagrams wait for each other. */
  readonly mayRest?: boolean;
  readonly onBatch: (batch: DatagramBatch) => void;
  /** ICMP errors on a connected port (ECONNREFUSED, EHOSTUNREACH ...), and socket failures. The port stays usable. */
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

export interface UdpPort {
  readonly address: string;
  readonly port: number;
  /** Fixes the far end: others are no longer heard, sends are cheaper, ICMP errors reach `onError`. */
  connect(address: string, port: number): Promise<void>;
  /** `last`: what was received and lies in this batch is not written to by anybody before all of it is handled, so sending may wait for that. */
  send(batch: DatagramBatch, last?: boolean): boolean;
  /** Datagrams that came and found the kernel's receive buffer full. A system call, or a file: for reports. */
  readonly overflows: number;
  /** Datagrams not sent because more than MAX_HELD_BYTES waited for the kernel. */
  readonly dropped: number;
  /** Ends when the number is free again. Twice is once. */
  close(): Promise<void>;
}

/** What may wait inside one socket when the kernel's buffer is full. */
export const MAX_HELD_BYTES = 8 * 1024 * 1024;
