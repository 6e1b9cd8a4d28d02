/**
 * The one door between SIP and sockets: binds UDP and TCP, frames, parses, runs the user agent of core/sip and keeps its
 * timers. It knows nothing of GB/T 28181.
 */
import type { SipEndpoint, SipEndpointOptions } from './sip-api.ts';
import { SipStack } from './sip-stack.ts';

export type * from './sip-api.ts';

/** Binds all of `options.listen`, or throws and leaves nothing bound. Disposing closes everything; what still waits for an answer gets a transport error. */
export async function openSipEndpoint(options: SipEndpointOptions): Promise<SipEndpoint> {
  return SipStack.open(options);
}
