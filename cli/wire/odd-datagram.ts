/** One datagram that no transaction layer would send, and what comes back. */
import { createSocket } from 'node:dgram';
import type { Target } from '#core/sip/flow.ts';
import type { SipResponse } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import { familyOf } from '#kit/net.ts';

const PATIENCE_MS = 3000;

/** `write` gets the port that it leaves from. Undefined: nothing came. */
export async function sendOdd({ address, port }: Target, write: (localPort: number) => Uint8Array): Promise<SipResponse | undefined> {
  const socket = createSocket(familyOf(address) === 6 ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => socket.once('error', reject).bind(0, resolve));
    return await new Promise(resolve => {
      const limit = systemClock.schedule(addMs(systemClock.now(), PATIENCE_MS), () => resolve(undefined));
      socket.removeAllListeners('error').on('error', () => undefined);
      socket.on('message', bytes => {
        const parsed = parseMessage(bytes, 'datagram');
        if (!parsed.ok || parsed.value.type !== 'response' || parsed.value.status < 200) return;
        limit[Symbol.dispose]();
        resolve(parsed.value);
      });
      socket.send(write(socket.address().port), port, address);
    });
  } finally {
    socket.close();
  }
}
