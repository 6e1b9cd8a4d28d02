/** Many cameras in one process: paced, the packets of all streams in turn. Commands and answers over the process channel. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { DatagramBatch, openUdp } from '#kit/udp-batch.ts';
import { LOOPBACK, PACKET_BYTES, PACKETS_PER_PICTURE, PACKETS_PER_SECOND, type SenderAnswer, type SenderCommand, type StreamTarget, writePacket } from './wire.ts';

const answer = (message: SenderAnswer): void => void process.send!(message);
const socket = await openUdp({ address: LOOPBACK, port: 0, sendBufferBytes: 4 * 1024 * 1024, onBatch: () => undefined, onError: () => undefined });

let targets: readonly StreamTarget[] = [];
let streams: Socket[] = [];
let sent = 0;
let timer: NodeJS.Timeout | undefined;
const BATCH = 64;
const packets = Array.from({ length: BATCH }, () => Buffer.alloc(PACKET_BYTES, 0x55));
const batch = new DatagramBatch();

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

/** From one index to another, as many to a system call as it takes. */
function sendDatagrams(from: number, to: number): void {
  for (let index = from; index < to; ) {
    batch.count = 0;
    for (; index < to && batch.count < BATCH; index++) {
      const stream = index % targets.length;
      const { ssrc, port } = targets[stream]!;
      const packet = packets[batch.count]!;
      writePacket(packet, 0, stream, ssrc, Math.floor(index / targets.length));
      batch.add(packet, 0, PACKET_BYTES, LOOPBACK, port);
    }
    socket.send(batch);
  }
}

function sendFrames(from: number, to: number): void {
  for (let index = from; index < to; index++) sendFrame(index);
}

function sendFrame(index: number): void {
  const stream = index % targets.length;
  const frame = Buffer.alloc(2 + PACKET_BYTES, 0x55);
  frame.writeUInt16BE(PACKET_BYTES, 0);
  writePacket(frame, 2, stream, targets[stream]!.ssrc, Math.floor(index / targets.length));
  streams[stream]!.write(frame);
}

function sendUpTo(due: number): void {
  if (streams.length > 0) sendFrames(sent, due);
  else sendDatagrams(sent, due);
  sent = due;
}

function go(): void {
  const perMs = (PACKETS_PER_SECOND * targets.length) / 1000;
  const startedAt = performance.now();
  const tick = (): void => {
    sendUpTo(Math.floor((performance.now() - startedAt) * perMs));
    timer = setTimeout(tick, 1);
  };
  tick();
}

process.on('message', (command: SenderCommand) => {
  if (command.type === 'open') void open(command.transport, command.targets);
  else if (command.type === 'go') go();
  else {
    clearTimeout(timer);
    // Whole pictures of every stream: half of one would be kept back by whom it is right to keep it back.
    const perRound = targets.length * PACKETS_PER_PICTURE;
    sendUpTo(Math.ceil(sent / perRound) * perRound);
    answer({ type: 'stopped', sent });
  }
});
process.on('disconnect', () => process.exit());
answer({ type: 'bound', port: socket.port });
