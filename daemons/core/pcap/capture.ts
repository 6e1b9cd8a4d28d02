/**
 * A capture file that Wireshark and tshark read (pcap 2.4, link type raw IP), written from what was seen above IP: datagrams, and
 * TCP connections with a handshake and numbers made up around their octets.
 */
import { concatBytes } from '../bytes.ts';
import { type Place, TCP_FLAG, type TcpSegment, tcpPacket, udpPacket } from './packets.ts';

const LINKTYPE_RAW = 101;
const MAGIC = 0xa1b2c3d4;
const SNAP_BYTES = 0x40000;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** Of an Ethernet. */
const SEGMENT_BYTES = 1460;
const FIRST_SEQUENCE = 1000;
const NOTHING = new Uint8Array(0);

/** Next number of each side. */
interface Connection {
  readonly next: Map<string, number>;
}

export class CaptureWriter {
  readonly #connections = new Map<string, Connection>();

  /** Once, in front. */
  header(): Uint8Array {
    const bytes = new Uint8Array(FILE_HEADER_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint16(4, 2, true);
    view.setUint16(6, 4, true);
    view.setUint32(16, SNAP_BYTES, true);
    view.setUint32(20, LINKTYPE_RAW, true);
    return bytes;
  }

  datagram(atWallMs: number, from: Place, to: Place, payload: Uint8Array): Uint8Array {
    return record(atWallMs, udpPacket(from, to, payload));
  }

  /** Octets of a connection, with its handshake in front when it is new: whoever speaks first has called. `id`: tells it apart from others between the same places. */
  stream(atWallMs: number, from: Place, to: Place, payload: Uint8Array, id = ''): Uint8Array {
    const sides = [keyOf(from), keyOf(to)] as const;
    const key = [...sides].sort().join(' ') + id;
    const records: Uint8Array[] = [];
    let connection = this.#connections.get(key);
    if (connection === undefined) {
      this.#connections.set(key, (connection = { next: new Map(sides.map(side => [side, FIRST_SEQUENCE + 1])) }));
      records.push(...handshake(from, to).map(packet => record(atWallMs, packet)));
    }
    const acknowledged = connection.next.get(sides[1])!;
    for (let at = 0; at < payload.length; at += SEGMENT_BYTES) {
      const piece = payload.subarray(at, at + SEGMENT_BYTES);
      const sequence = connection.next.get(sides[0])!;
      connection.next.set(sides[0], (sequence + piece.length) >>> 0);
      records.push(record(atWallMs, tcpPacket(from, to, { sequence, acknowledged, flags: TCP_FLAG.push | TCP_FLAG.ack, payload: piece })));
    }
    return concatBytes(...records);
  }
}

const keyOf = ({ address, port }: Place): string => `${address} ${port}`;

function handshake(from: Place, to: Place): Uint8Array[] {
  const segment = (sequence: number, acknowledged: number, flags: number): TcpSegment => ({ sequence, acknowledged, flags, payload: NOTHING });
  return [
    tcpPacket(from, to, segment(FIRST_SEQUENCE, 0, TCP_FLAG.syn)),
    tcpPacket(to, from, segment(FIRST_SEQUENCE, FIRST_SEQUENCE + 1, TCP_FLAG.syn | TCP_FLAG.ack)),
    tcpPacket(from, to, segment(FIRST_SEQUENCE + 1, FIRST_SEQUENCE + 1, TCP_FLAG.ack)),
  ];
}

function record(atWallMs: number, packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + packet.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(atWallMs / 1000), true);
  view.setUint32(4, Math.floor((atWallMs % 1000) * 1000), true);
  view.setUint32(8, packet.length, true);
  view.setUint32(12, packet.length, true);
  bytes.set(packet, RECORD_HEADER_BYTES);
  return bytes;
}
