/**
 * INVITEs that go from platform to platform must not come back for ever (gb28181.md 8.4; RFC 3261 16.3). Three signs, each enough:
 *
 *   Max-Forwards   used up: 483. We hand on one less than we got.
 *   our own dialog the Call-ID of an INVITE that we sent, or a Via of ours below the top one (a proxy in the ring): 482
 *   our own mark   in a header of ours that gateways like this one add to (a gateway in the ring makes new dialogs): 482
 *
 * A mark is a random word that means nothing to others: who stands above us is nobody's business below.
 */
import { header, type SipRequest } from '../sip/message.ts';

export const PATH_HEADER = 'X-ViewLink-Path';
/** Gateways in a row. */
const MAX_PATH = 8;
const DEFAULT_HOPS = 70;

/** Where an INVITE has been, and how far it may still go. */
export interface InvitePath {
  readonly marks: readonly string[];
  readonly hops: number;
}

/** Nobody asked us: we begin. */
export const OWN_PATH: InvitePath = { marks: [], hops: DEFAULT_HOPS };

export interface OwnTraces {
  readonly mark: string;
  /** Whether we sent an INVITE with this Call-ID. */
  isOurCallId(callId: string): boolean;
  isOurPlace(host: string, port: number | undefined): boolean;
}

export type PathVerdict = { readonly ok: true; readonly path: InvitePath } | { readonly ok: false; readonly status: 482 | 483; readonly why: string };

/** Marks that cannot be read count as none: a stranger's header is no reason to refuse. */
export function readPath(text: string | undefined): readonly string[] {
  const marks = (text ?? '').split(',').map(mark => mark.trim());
  return marks.length <= MAX_PATH * 2 && marks.every(mark => /^[0-9a-f]{8,32}$/.test(mark)) ? marks : [];
}

export function judgePath(invite: SipRequest, own: OwnTraces): PathVerdict {
  const marks = readPath(header(invite, PATH_HEADER));
  const loop = (why: string): PathVerdict => ({ ok: false, status: 482, why });
  if (marks.includes(own.mark)) return loop('it has been here');
  if (marks.length >= MAX_PATH) return loop('it has been everywhere');
  if (own.isOurCallId(invite.callId)) return loop('it is our own INVITE');
  if (invite.via.slice(1).some(({ host, port }) => own.isOurPlace(host, port))) return loop('it came by way of us');
  return { ok: true, path: { marks, hops: invite.maxForwards ?? DEFAULT_HOPS } };
}

/** What we write into the INVITE that we make of it; undefined when it may go no further. */
export function nextPath({ marks, hops }: InvitePath, mark: string): { readonly maxForwards: number; readonly header: string } | undefined {
  return hops <= 1 ? undefined : { maxForwards: Math.min(hops - 1, DEFAULT_HOPS), header: [...marks, mark].join(', ') };
}
