/** RTP takes even ports (RFC 3550 11), and many receivers refuse others. */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';

const TRIES = 64;

/** A UDP socket bound to an even port that the system had free. `port` asks for a certain one instead. */
export async function bindEvenUdp(address: string, port = 0): Promise<Socket> {
  if (port !== 0) return bind(address, port);
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const socket = await bind(address, 0);
    const free = socket.address().port;
    if (free % 2 === 0) return socket;
    await new Promise<void>(resolve => socket.close(resolve));
    const even = await bind(address, free < 65535 ? free + 1 : free - 1).catch(() => undefined);
    if (even !== undefined) return even;
  }
  throw new Error(`no even UDP port free on ${address}`);
}

async function bind(address: string, port: number): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, address);
  try {
    await once(socket, 'listening');
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
