/** Many platforms in one process: counts what arrives and how long it was under way. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Deframer } from '#core/rtp/tcp-framing.ts';
import { openUdp } from '#kit/udp-batch.ts';
import { LOOPBACK, monotonicMs, type ReceiverAnswer, type ReceiverCommand, stampOf } from './wire.ts';

/** Streams share these sockets, so that their buffers bear a pause of this process. */
const SOCKETS = 8;
const BUFFER_BYTES = 4 * 1024 * 1024;
const BIN_US = 5;
const BINS = 100_000;

const delays = new Uint32Array(BINS);
let packets = 0;

function take(memory: Uint8Array, offset: number): void {
  packets++;
  const us = (monotonicMs() - stampOf(memory, offset)) * 1000;
  delays[Math.min(BINS - 1, Math.max(0, Math.floor(us / BIN_US)))]!++;
}

function percentileUs(share: number): number {
  let left = share * delays.reduce((sum, count) => sum + count, 0);
  for (let bin = 0; bin < BINS; bin++) if ((left -= delays[bin]!) <= 0) return (bin + 0.5) * BIN_US;
  return NaN;
}

const answer = (message: ReceiverAnswer): void => void process.send!(message);

const sockets = await Promise.all(
  Array.from({ length: SOCKETS }, () =>
    openUdp({
      address: LOOPBACK,
      port: 0,
      receiveBufferBytes: BUFFER_BYTES,
      onBatch: batch => {
        for (let i = 0; i < batch.count; i++) take(batch.memory[i]!, batch.offset[i]!);
      },
      onError: () => undefined,
    }),
  ),
);

const server = createServer(stream => {
  const deframer = new Deframer();
  stream.on('error', () => undefined);
  stream.on('data', chunk => {
    deframer.feed(chunk);
    while (deframer.next() === 'frame') take(deframer.memory, deframer.offset);
  });
});
server.listen(0, LOOPBACK);
await once(server, 'listening');

process.on('message', (command: ReceiverCommand) => {
  if (command.type === 'report') answer({ type: 'report', packets, at: monotonicMs(), p50Us: percentileUs(0.5), p99Us: percentileUs(0.99) });
  delays.fill(0);
  if (command.type === 'report') return;
  packets = 0;
  answer({ type: 'reset' });
});
process.on('disconnect', () => process.exit());
answer({ type: 'bound', udp: sockets.map(({ port }) => port), tcp: (server.address() as AddressInfo).port });
