/** Many cameras in one process: paced, the packets of all streams in turn. Commands and answers over the process channel. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { LOOPBACK, PACKET_BYTES, PACKETS_PER_SECOND, type SenderAnswer, type SenderCommand, type StreamTarget, writePacket } from './wire.ts';

const answer = (message: SenderAnswer): void => void process.send!(message);
const socket = createSocket({ type: 'udp4', lookup: ((host: string, _options: unknown, done: (error: null, address: string, family: number) => void) => done(null, host, 4)) });
socket.bind(0, LOOPBACK, () => answer({ type: 'bound', port: socket.address().port }));

let targets: readonly StreamTarget[] = [];
let streams: Socket[] = [];
let sent = 0;
let timer: NodeJS.Timeout | undefined;
const packet = Buffer.alloc(PACKET_BYTES, 0x55);

async function open(transport: 'udp' | 'tcp', to: readonly StreamTarget[]): Promise<void> {
  for (const stream of streams) stream.destroy();
  streams = [];
  targets = to;
  sent = 0;
  if (transport === 'tcp') {
    streams = targets.map(({ port }) => connect({ host: LOOPBACK, port, noDelay: true }).on('error', () => undefined));
    await Promise.all(streams.map(stream => once(stream, 'connect')));
  }
  answer({ type: 'opened' });
}

function sendDatagram(index: number): void {
  const stream = index % targets.length;
  const { ssrc, port } = targets[stream]!;
  writePacket(packet, 0, stream, ssrc, Math.floor(index / targets.length));
  socket.send(packet, port, LOOPBACK);
}

function sendFrame(index: number): void {
  const stream = index % targets.length;
  const frame = Buffer.alloc(2 + PACKET_BYTES, 0x55);
  frame.writeUInt16BE(PACKET_BYTES, 0);
  writePacket(frame, 2, stream, targets[stream]!.ssrc, Math.floor(index / targets.length));
  streams[stream]!.write(frame);
}

function go(): void {
  const perMs = (PACKETS_PER_SECOND * targets.length) / 1000;
  const send = streams.length > 0 ? sendFrame : sendDatagram;
  const startedAt = performance.now();
  const tick = (): void => {
    for (const due = Math.floor((performance.now() - startedAt) * perMs); sent < due; sent++) send(sent);
    timer = setTimeout(tick, 1);
  };
  tick();
}

process.on('message', (command: SenderCommand) => {
  if (command.type === 'open') void open(command.transport, command.targets);
  else if (command.type === 'go') go();
  else {
    clearTimeout(timer);
    answer({ type: 'stopped', sent });
  }
});
process.on('disconnect', () => process.exit());
