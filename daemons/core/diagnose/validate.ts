/**
 * The validator of signalling: recorded messages in, findings out, each with the clause it is about. Total over any octets; what is seen
 * of a peer and of ourselves is judged alike.
 */
import { type Manscdp } from '../gb/manscdp.ts';
import type { GbSdp } from '../sdp/gb-sdp.ts';
import { parseGbSdp } from '../sdp/gb-sdp.ts';
import type { SipMessage } from '../sip/message.ts';
import type { Passed } from './passed.ts';
import { type Finding, Findings, type RuleFacts } from './rule.ts';
import { type FlowEntry, OWN_RULES, PEER_RULES } from './validate-flow.ts';
import { type DecodedText, XML_RULES, xmlSubject } from './validate-manscdp.ts';
import { SDP_RULES, UNREADABLE_SDP, sdpSubject } from './validate-sdp.ts';
import { MESSAGE_RULES, UNREADABLE, messageSubject } from './validate-sip.ts';

export type Decode = (body: Uint8Array) => DecodedText;

/** Every rule of signalling, for reference. */
export const SIGNALLING_RULES: readonly RuleFacts[] = [UNREADABLE, ...MESSAGE_RULES, UNREADABLE_SDP, ...SDP_RULES, ...XML_RULES, ...PEER_RULES];

/** `untilWallMs`: how far the recording goes; what came before may still be answered. */
export function validate(messages: readonly Passed[], decode: Decode, untilWallMs: number): Finding[] {
  const findings = new Findings();
  const offers = new Map<string, GbSdp>();
  const flows = new Map<string, FlowEntry[]>();
  for (const passed of messages) {
    const by = authorOf(passed);
    findings.add(UNREADABLE, by, UNREADABLE.broken(passed), passed.sequence);
    if (!passed.parsed.ok) continue;
    const message = passed.parsed.value;
    findings.check(MESSAGE_RULES, messageSubject(passed, message), by, passed.sequence);
    const manscdp = isManscdp(message) ? checkXml(findings, passed, message, decode) : undefined;
    if (message.cseq.method === 'INVITE' && message.contentType === 'application/sdp') checkSdp(findings, passed, message, offers);
    const peer = peerOf(passed);
    const flow = flows.get(peer) ?? [];
    flows.set(peer, flow);
    flow.push({ passed, message, manscdp });
  }
  for (const [peer, entries] of flows) {
    findings.check(PEER_RULES, { entries, untilWallMs }, peer);
    findings.check(OWN_RULES, { entries, untilWallMs }, 'us');
  }
  return findings.list();
}

const peerOf = ({ remote }: Passed): string => `${remote.address}:${remote.port}`;
const authorOf = (passed: Passed): string => (passed.direction === 'out' ? 'us' : peerOf(passed));
const isManscdp = ({ contentType, body }: SipMessage): boolean => body.length > 0 && (contentType?.endsWith('+xml') === true || contentType?.endsWith('/xml') === true);

function checkXml(findings: Findings, passed: Passed, message: SipMessage, decode: Decode): Manscdp | undefined {
  if (passed.cut) return undefined;
  const subject = xmlSubject(message.body, decode);
  findings.check(XML_RULES, subject, authorOf(passed), passed.sequence);
  return subject.read.ok ? subject.read.value : undefined;
}

function checkSdp(findings: Findings, passed: Passed, message: SipMessage, offers: Map<string, GbSdp>): void {
  if (message.body.length === 0) return;
  const by = authorOf(passed);
  findings.add(UNREADABLE_SDP, by, UNREADABLE_SDP.broken(message.body), passed.sequence);
  const key = `${message.callId} ${message.cseq.seq}`;
  const role = message.type === 'request' ? 'offer' : 'answer';
  const subject = sdpSubject(message.body, { role, offer: offers.get(key), from: passed.direction === 'in' ? passed.remote.address : undefined });
  const parsed = role === 'offer' ? parseGbSdp(message.body) : undefined;
  if (parsed?.ok === true) offers.set(key, parsed.value);
  if (subject !== undefined) findings.check(SDP_RULES, subject, by, passed.sequence);
}
