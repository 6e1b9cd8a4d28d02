/** Memory of packets that wait: Buffers, as everything that comes from sockets, so that code that reads packets sees one kind of memory. */
import { PacketStore } from '#core/rtp/packet-store.ts';

export const packetStore = (): PacketStore =>
  new PacketStore({
    allocate: bytes => Buffer.allocUnsafeSlow(bytes),
    copy: (from, at, length, into, intoAt) => void Buffer.prototype.copy.call(from, into, intoAt, at, at + length),
  });
