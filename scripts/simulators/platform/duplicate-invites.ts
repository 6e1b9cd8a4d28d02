/** The same INVITE again and again with the same branch, from another port: what a lossy line with eager retransmission looks like. */
import { createSocket } from 'node:dgram';
import { serializeMessage } from '#core/sip/serialize.ts';
import type { SipEndpoint, Target } from '#kit/sip-endpoint.ts';

const COPIES = 3;

/** Repeats the next INVITE that leaves `endpoint`. */
export function duplicateInvites(endpoint: SipEndpoint, target: Target): void {
  const before = endpoint.onTrace;
  endpoint.onTrace = (direction, message, flow) => {
    before?.(direction, message, flow);
    if (direction !== 'out' || message.type !== 'request' || message.method !== 'INVITE') return;
    endpoint.onTrace = before;
    const socket = createSocket(target.address.includes(':') ? 'udp6' : 'udp4');
    const bytes = serializeMessage(message);
    let left = COPIES;
    for (let copy = 0; copy < COPIES; copy += 1) {
      socket.send(bytes, target.port, target.address, () => {
        left -= 1;
        if (left === 0) socket.close();
      });
    }
  };
}
