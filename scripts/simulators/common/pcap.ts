/** UDP datagrams as a capture file that Wireshark and tshark read. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { CaptureWriter } from '#core/pcap/capture.ts';
import type { Address } from './udp-relay.ts';

export class PcapWriter implements Disposable {
  readonly #file: number;
  readonly #writer = new CaptureWriter();
  #closed = false;
  packets = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
    writeSync(this.#file, this.#writer.header());
  }

  /** `wallMs`: milliseconds since 1970. */
  datagram(wallMs: number, from: Address, to: Address, payload: Uint8Array): void {
    if (this.#closed) return;
    writeSync(this.#file, this.#writer.datagram(wallMs, from, to, payload));
    this.packets += 1;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }
}
