import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** A port that is free for both transports, below those that the system hands out: for programs that know no "any". */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = 20_000 + randomInt(12_000);
    const datagrams = createSocket('udp4');
    const isFree = await new Promise<boolean>(resolve => datagrams.once('error', () => resolve(false)).bind(port, address, () => resolve(true)));
    if (isFree) await new Promise<void>(resolve => datagrams.close(() => resolve()));
    if (isFree && (await isUnbound(port, address))) return port;
  }
}

/** Nobody listens there over TCP. */
async function isUnbound(port: number, address = '127.0.0.1'): Promise<boolean> {
  const probe = createServer();
  const free = await new Promise<boolean>(resolve => probe.once('error', () => resolve(false)).listen(port, address, () => resolve(true)));
  if (free) await new Promise<void>(resolve => probe.close(() => resolve()));
  return free;
}
