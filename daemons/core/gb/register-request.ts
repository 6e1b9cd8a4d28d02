/** A REGISTER as SIP carries it (RFC 3261 10.2): what of the registrar's facts stands in the message, and the Contact of its 200. */
import { withParam } from '../sip/headers.ts';
import { type NameAddr, type SipRequest, header, isSipUri, userOf } from '../sip/message.ts';
import { parseDeltaSeconds } from '../sip/parse.ts';
import { type ContactAddress, DEFAULT_SIP_PORT } from './binding.ts';
import type { RegisterFacts } from './register-rules.ts';

export type RegisterFields = Pick<RegisterFacts, 'deviceId' | 'toUser' | 'contact' | 'callId' | 'cseq' | 'expiresS' | 'gbVersion'>;

export function registerFieldsOf(request: SipRequest): RegisterFields {
  const contact = firstContact(request);
  return {
    deviceId: userOf(request.from),
    toUser: userOf(request.to),
    contact: request.contact === '*' ? '*' : contact && contactAddress(contact),
    callId: request.callId,
    cseq: request.cseq.seq,
    expiresS: expiresOf(contact, request.expires),
    gbVersion: header(request, 'X-GB-Ver'),
  };
}

/** As the device wrote it, with the time that it was granted (RFC 3261 10.3); undefined when it named none, or has left. */
export function grantedContact(request: Pick<SipRequest, 'contact'>, expiresS: number): NameAddr | undefined {
  const contact = firstContact(request);
  return contact === undefined || expiresS <= 0 ? undefined : withParam(contact, 'expires', String(expiresS));
}

const firstContact = ({ contact }: Pick<SipRequest, 'contact'>): NameAddr | undefined => (contact === '*' ? undefined : contact[0]);

function contactAddress({ uri }: NameAddr): ContactAddress | undefined {
  return isSipUri(uri) ? { address: uri.host, port: uri.port ?? DEFAULT_SIP_PORT } : undefined;
}

/** Of the Contact before that of the message (RFC 3261 10.2.1.1). */
function expiresOf(contact: NameAddr | undefined, expires: number | undefined): number | undefined {
  const own = contact?.params.get('expires');
  return own === undefined || own === null ? expires : (parseDeltaSeconds(own) ?? expires);
}
