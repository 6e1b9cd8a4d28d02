/** One port number for UDP and TCP. */
import { once } from 'node:events';
import { createServer } from 'node:net';

const TRIES = 32;

/** Opens with `port`; for 0 with a number that is free for both, found by trying. */
export async function openSharedPort<T>(address: string, port: number, open: (port: number) => Promise<T>): Promise<T> {
  if (port !== 0) return open(port);
  let failure: unknown;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    try {
      return await open(await freeTcpPort(address));
    } catch (error) {
      failure = error;
    }
  }
  throw new Error(`no port free for UDP and TCP on ${address}`, { cause: failure });
}

async function freeTcpPort(address: string): Promise<number> {
  const server = createServer();
  server.listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise<void>(resolve => server.close(() => resolve()));
  return port;
}
