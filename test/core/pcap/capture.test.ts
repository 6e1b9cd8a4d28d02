import fc from 'fast-check';
import t from 'tap';
import { concatBytes, toByteString } from '#core/bytes.ts';
import { CaptureWriter } from '#core/pcap/capture.ts';
import { MAX_UDP_PAYLOAD, type Place, udpPacket } from '#core/pcap/packets.ts';

interface Packet {
  readonly atMs: number;
  readonly version: number;
  readonly protocol: number;
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** Sum over 16-bit words; 0xffff when the checksum in them is right. */
function foldedSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at += 2) sum += (part[at]! << 8) | (part[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A reader of its own, which checks every length and checksum. */
function packetsIn(file: Uint8Array): Packet[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (view.getUint32(0, true) !== 0xa1b2c3d4 || view.getUint32(20, true) !== 101) throw new Error('file header');
  const packets: Packet[] = [];
  for (let at = 24; at < file.length; ) {
    const length = view.getUint32(at + 8, true);
    if (length !== view.getUint32(at + 12, true)) throw new Error('two lengths');
    const atMs = view.getUint32(at, true) * 1000 + view.getUint32(at + 4, true) / 1000;
    packets.push({ atMs, ...packetOf(file.subarray(at + 16, at + 16 + length)) });
    at += 16 + length;
  }
  return packets;
}

function packetOf(ip: Uint8Array): Omit<Packet, 'atMs'> {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
  const version = ip[0]! >> 4;
  const headerBytes = version === 4 ? 20 : 40;
  if (version === 4 && (foldedSum(ip.subarray(0, 20)) !== 0xffff || view.getUint16(2) !== ip.length)) throw new Error('IPv4 header');
  if (version === 6 && view.getUint16(4) !== ip.length - 40) throw new Error('IPv6 length');
  const protocol = version === 4 ? ip[9]! : ip[6]!;
  const segment = ip.subarray(headerBytes);
  const addresses = version === 4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  const pseudo = Uint8Array.of(0, protocol, segment.length >> 8, segment.length & 0xff);
  if (foldedSum(addresses, pseudo, segment) !== 0xffff) throw new Error('transport checksum');
  const ports = { from: view.getUint16(headerBytes), to: view.getUint16(headerBytes + 2) };
  if (protocol === 17) return { version, protocol, ...ports, sequence: 0, acknowledged: 0, flags: 0, payload: segment.subarray(8) };
  return { version, protocol, ...ports, sequence: view.getUint32(headerBytes + 4), acknowledged: view.getUint32(headerBytes + 8), flags: segment[13]!, payload: segment.subarray(20) };
}

const A: Place = { address: '192.0.2.1', port: 5060 };
const B: Place = { address: '198.51.100.7', port: 40_000 };
const A6: Place = { address: '2001:db8::1', port: 5060 };
const B6: Place = { address: '2001:db8:0:1::7', port: 40_000 };

t.test('datagrams of both families, any payload', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), fc.integer({ min: 0, max: 4_000_000_000_000 }), (payload, six, at) => {
      const writer = new CaptureWriter();
      const [packet] = packetsIn(concatBytes(writer.header(), writer.datagram(at, six ? A6 : A, six ? B6 : B, payload)));
      return packet!.version === (six ? 6 : 4) && packet!.from === 5060 && packet!.to === 40_000 && Math.abs(packet!.atMs - at) < 0.01 && toByteString(packet!.payload) === toByteString(payload);
    }),
  );
  t.equal(udpPacket(A, B, new Uint8Array(70_000)).length, MAX_UDP_PAYLOAD + 28, 'what no datagram can be is cut');
  t.equal(packetOf(udpPacket({ address: '', port: 1 }, B6, Uint8Array.of(1))).version, 6, 'an address that is none is the unspecified one');
  t.equal(packetOf(udpPacket({ address: 'x', port: 1 }, { address: 'y', port: 2 }, Uint8Array.of(1, 2, 3))).version, 4);
});

t.test('a connection: handshake, numbers that follow, both directions whole again', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ minLength: 1, maxLength: 5000 })), { minLength: 1, maxLength: 12 }), said => {
      const writer = new CaptureWriter();
      const file = concatBytes(writer.header(), ...said.map(([fromA, bytes], i) => writer.stream(i, fromA ? A : B, fromA ? B : A, bytes)));
      const packets = packetsIn(file);
      if (packets.slice(0, 3).map(({ flags }) => flags).join() !== '2,18,16') return false;
      return [5060, 40_000].every(port => {
        let next = 1001;
        const got: Uint8Array[] = [];
        for (const packet of packets.slice(3).filter(({ from }) => from === port)) {
          if (packet.sequence !== next || packet.payload.length > 1460) return false;
          next += packet.payload.length;
          got.push(packet.payload);
        }
        return toByteString(concatBytes(...got)) === toByteString(concatBytes(...said.filter(([fromA]) => fromA === (port === 5060)).map(([, bytes]) => bytes)));
      });
    }),
    { numRuns: 60 },
  );
  const writer = new CaptureWriter();
  const twice = concatBytes(writer.header(), writer.stream(0, A, B, Uint8Array.of(1), '1'), writer.stream(1, A, B, Uint8Array.of(2), '2'));
  t.equal(packetsIn(twice).length, 8, 'another connection between the same places has a handshake of its own');
});
