import type { SipRequest } from './message.ts';

/**
 * A request as its sender meant it. Monibuca's keepalive is a MESSAGE whose CSeq says REGISTER (field.md 3); by RFC 3261 8.1.1.5
 * that is a 400, and the platform would count as offline. Undefined: nothing to forgive.
 */
export const meant = (request: SipRequest): SipRequest | undefined =>
  request.method === 'MESSAGE' && request.cseq.method === 'REGISTER' ? { ...request, cseq: { ...request.cseq, method: 'MESSAGE' } } : undefined;
