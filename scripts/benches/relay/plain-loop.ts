/** The reference in Node: receive, send on, nothing else. One socket in and one connected socket out per stream. Ports come as arguments. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { LOOPBACK } from './wire.ts';

const BUFFER_BYTES = 4 * 1024 * 1024;

async function relayTo(port: number): Promise<number> {
  const inbound = createSocket('udp4');
  const outbound = createSocket('udp4');
  inbound.bind(0, LOOPBACK);
  outbound.bind(0, LOOPBACK);
  await Promise.all([once(inbound, 'listening'), once(outbound, 'listening')]);
  inbound.setRecvBufferSize(BUFFER_BYTES);
  outbound.connect(port, LOOPBACK);
  await once(outbound, 'connect');
  inbound.on('message', message => outbound.send(message));
  return inbound.address().port;
}

const ports = await Promise.all(process.argv.slice(2).map(port => relayTo(Number(port))));
console.log(ports.join(' '));
