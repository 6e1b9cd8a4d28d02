/** UDP datagrams as a capture file that Wireshark and tshark read (pcap 2.4, link type raw IP). IPv4 only. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Address } from './udp-relay.ts';

const LINKTYPE_RAW = 101;
const SNAPLEN = 65535;
const IP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
const PROTOCOL_UDP = 17;

export class PcapWriter implements Disposable {
  readonly #file: number;
  #closed = false;
  packets = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
    const header = Buffer.alloc(24);
    header.writeUInt32LE(0xa1b2c3d4, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeUInt32LE(SNAPLEN, 16);
    header.writeUInt32LE(LINKTYPE_RAW, 20);
    writeSync(this.#file, header);
  }

  /** `wallMs`: milliseconds since 1970. */
  datagram(wallMs: number, from: Address, to: Address, payload: Uint8Array): void {
    if (this.#closed) return;
    const length = IP_HEADER_BYTES + UDP_HEADER_BYTES + payload.length;
    const record = Buffer.alloc(16 + IP_HEADER_BYTES + UDP_HEADER_BYTES);
    record.writeUInt32LE(Math.floor(wallMs / 1000), 0);
    record.writeUInt32LE(Math.floor(wallMs % 1000) * 1000, 4);
    record.writeUInt32LE(length, 8);
    record.writeUInt32LE(length, 12);
    const ip = record.subarray(16);
    ip[0] = 0x45;
    ip.writeUInt16BE(length, 2);
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    ip.set(octets(from.address), 12);
    ip.set(octets(to.address), 16);
    ip.writeUInt16BE(checksum(ip.subarray(0, IP_HEADER_BYTES)), 10);
    const udp = ip.subarray(IP_HEADER_BYTES);
    udp.writeUInt16BE(from.port, 0);
    udp.writeUInt16BE(to.port, 2);
    // A UDP checksum of 0 means that none was computed (RFC 768).
    udp.writeUInt16BE(UDP_HEADER_BYTES + payload.length, 4);
    writeSync(this.#file, record);
    writeSync(this.#file, payload);
    this.packets += 1;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }
}

const octets = (address: string): number[] => address.split('.').map(Number);

/** RFC 1071. */
function checksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
