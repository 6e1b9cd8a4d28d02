/**
 * How a platform is probed, as data: requests in order, and for each the points that its answer shows. Who sends them and waits is not
 * known here. Nothing of it changes anything at the platform but a registration that is taken back in the end.
 */
import { parseGbTime } from '../gb/gb-time.ts';
import { isGbId } from '../gb/device-id.ts';
import { type DigestChallenge, algorithmOf, parseChallenge } from '../sip/digest.ts';
import { type HeaderField, type SipResponse, header, headerValues } from '../sip/message.ts';
import { LEAST_EXPIRES_S } from './validate-flow.ts';

export type Verdict = 'right' | 'loose' | 'wrong' | 'not tried';

export interface Judged {
  readonly verdict: Verdict;
  /** What was seen, or why it was not tried. */
  readonly seen: string;
}

export interface PointFacts {
  readonly id: string;
  readonly clause: string;
  /** What it asks, as a sentence without an end. */
  readonly asks: string;
}

export type PointRow = PointFacts & Judged;

/** What came back; `response` undefined: nothing did. */
export interface Reply {
  readonly response: SipResponse | undefined;
  readonly tookMs: number;
}

/** What is known by now. */
export interface ProbeState {
  readonly challenge: DigestChallenge | undefined;
  readonly registered: boolean;
  readonly hasPassword: boolean;
  readonly nowWallMs: number;
  /** CmdTypes that it has asked us for. */
  readonly asked: ReadonlySet<string>;
}

export interface ProbeRequest {
  readonly method: 'OPTIONS' | 'REGISTER' | 'MESSAGE' | 'SUBSCRIBE' | 'VIEWLINK';
  readonly headers?: readonly HeaderField[];
  readonly expires?: number;
  /** A MANSCDP notification of ours, or plain text. */
  readonly body?: 'keepalive' | 'unknown-command' | 'text';
  /** `invented`: over a nonce that the platform never gave. */
  readonly credentials?: 'right' | 'invented';
  /** CSeq below the last one. */
  readonly oldCSeq?: boolean;
  /** The start line names one method, CSeq another. Goes around the transaction layer. */
  readonly wrongCSeqMethod?: boolean;
}

export interface ProbePoint extends PointFacts {
  judge(reply: Reply, state: ProbeState): Judged;
}

export interface ProbeStep {
  /** A string: why it cannot be tried. */
  request(state: ProbeState): ProbeRequest | string;
  readonly points: readonly ProbePoint[];
}

const right = (seen: string): Judged => ({ verdict: 'right', seen });
const loose = (seen: string): Judged => ({ verdict: 'loose', seen });
const wrong = (seen: string): Judged => ({ verdict: 'wrong', seen });
const untried = (seen: string): Judged => ({ verdict: 'not tried', seen });

const NO_ANSWER = 'no answer';
const CLOCK_MS = 1000;
const WITHIN_MS = 1000;

const line = ({ status, reason }: SipResponse): string => `${status} ${reason}`.trim();

/** A point that one status makes right, some make loose, and everything else wrong. */
const byStatus = (good: readonly number[], tolerable: (status: number) => boolean) => ({ response }: Reply): Judged => {
  if (response === undefined) return wrong(NO_ANSWER);
  if (good.includes(response.status)) return right(line(response));
  return tolerable(response.status) ? loose(line(response)) : wrong(line(response));
};

const isRefusal = (status: number): boolean => status >= 400 && status < 700;
const never = (): boolean => false;

function challengesIn(response: SipResponse): DigestChallenge[] {
  return headerValues(response, 'WWW-Authenticate').flatMap(value => { const parsed = parseChallenge(value); return parsed.ok ? [parsed.value] : []; });
}

/** The one that we would answer. */
export function challengeOf(response: SipResponse): DigestChallenge | undefined {
  const all = challengesIn(response).filter(({ algorithm }) => algorithmOf(algorithm) !== undefined);
  return all.find(({ algorithm }) => algorithm === 'SHA-256') ?? all[0];
}

/** `expires` of the Contact, else the header. */
export function grantedS({ contact, expires }: SipResponse): number | undefined {
  const inContact = contact === '*' ? undefined : contact[0]?.params.get('expires');
  return inContact !== undefined && inContact !== null && /^\d{1,9}$/.test(inContact) ? Number(inContact) : expires;
}

function judgeOpen({ response }: Reply): Judged {
  if (response === undefined) return wrong(NO_ANSWER);
  if (response.status === 401) return challengesIn(response).length > 0 ? right(line(response)) : wrong('401 without a challenge that can be read');
  return response.status === 200 ? loose('200: nobody is asked for a password') : wrong(line(response));
}

function judgeChallenge({ response }: Reply): Judged {
  if (response?.status !== 401) return untried('no challenge');
  const all = challengesIn(response);
  const seen = all.map(({ realm, algorithm = 'MD5', qop }) => `realm ${realm}, ${algorithm}${qop.length > 0 ? `, qop ${qop.join('+')}` : ', no qop'}`).join('; ');
  const [first] = all;
  if (challengeOf(response) === undefined || first === undefined) return wrong(`no algorithm that we know: ${seen}`);
  return first.realm === '' ? wrong(seen) : all.every(({ qop }) => qop.includes('auth')) ? right(seen) : loose(seen);
}

function judgeInvented({ response }: Reply): Judged {
  if (response === undefined) return wrong(NO_ANSWER);
  if (response.status === 200) return wrong('200: any nonce is believed');
  if (response.status !== 401) return loose(line(response));
  return challengesIn(response).some(({ stale }) => stale) ? right('401, stale=true') : right('401');
}

function judgeAccepted({ response }: Reply, { hasPassword }: ProbeState): Judged {
  if (response === undefined) return wrong(NO_ANSWER);
  if (response.status === 200) return right(line(response));
  return hasPassword && (response.status === 401 || response.status === 403) ? wrong(`${line(response)}: the password is not taken for this ID`) : wrong(line(response));
}

/** Only where the registration was accepted. */
const ofAccepted = (judge: (response: SipResponse, state: ProbeState) => Judged) => ({ response }: Reply, state: ProbeState): Judged => (response?.status === 200 ? judge(response, state) : untried('not registered'));

function judgeExpires(response: SipResponse): Judged {
  const seconds = grantedS(response);
  if (seconds === undefined) return wrong('neither Expires nor Contact with expires');
  return seconds >= LEAST_EXPIRES_S ? right(`${seconds} s`) : loose(`${seconds} s`);
}

function judgeDate(response: SipResponse, { nowWallMs }: ProbeState): Judged {
  const text = header(response, 'Date');
  if (text === undefined) return loose('no Date: devices cannot set their clocks by it');
  const at = parseGbTime(text);
  if (at === undefined) return loose(`${text}: not YYYY-MM-DDThh:mm:ss.sss`);
  const apart = Math.round(Math.abs(at - nowWallMs) / 100) / 10;
  return Math.abs(at - nowWallMs) <= CLOCK_MS + WITHIN_MS ? right(text) : loose(`${text}, ${apart} s from our clock`);
}

function judgeNonceAgain({ response }: Reply): Judged {
  if (response === undefined) return wrong(NO_ANSWER);
  if (response.status === 200) return right('200: a nonce serves more than once, counted by nc');
  if (response.status !== 401) return wrong(line(response));
  return challengesIn(response).some(({ stale }) => stale) ? right('401, stale=true: one nonce, one use') : loose('401 without stale=true');
}

const whenRegistered = (request: ProbeRequest) => (state: ProbeState): ProbeRequest | string => (state.registered ? request : 'not registered');
const whenChallenged = (request: ProbeRequest) => ({ challenge, hasPassword }: ProbeState): ProbeRequest | string => {
  if (challenge === undefined) return 'no challenge';
  return hasPassword ? request : 'no password was given';
};
const always = (request: ProbeRequest) => (): ProbeRequest => request;

export const EXPIRES_S = 3600;
const NONSENSE = 'viewlink-nonsense';
const GB = 'GB/T 28181-2016';

export const PLATFORM_STEPS: readonly ProbeStep[] = [
  { request: always({ method: 'OPTIONS' }), points: [{ id: 'options', clause: 'RFC 3261 11.2', asks: 'OPTIONS is answered', judge: byStatus([200], isRefusal) }] },
  { request: always({ method: 'VIEWLINK' }), points: [{ id: 'unknown-method', clause: 'RFC 3261 8.2.1', asks: 'a method that does not exist is refused with 405 or 501', judge: byStatus([405, 501], isRefusal) }] },
  { request: always({ method: 'OPTIONS', headers: [{ name: 'Require', value: NONSENSE }] }), points: [{ id: 'unknown-extension', clause: 'RFC 3261 8.2.2.3', asks: 'an extension that does not exist is refused with 420', judge: byStatus([420], () => true) }] },
  {
    request: always({ method: 'REGISTER', expires: EXPIRES_S }),
    points: [
      { id: 'register-challenge', clause: `${GB} 9.1.2.1`, asks: 'REGISTER without credentials is challenged', judge: judgeOpen },
      { id: 'challenge-form', clause: 'RFC 7616 3.3, RFC 3261 22.4', asks: 'the challenge has a realm, an algorithm that we know, and qop', judge: judgeChallenge },
    ],
  },
  { request: whenChallenged({ method: 'REGISTER', expires: EXPIRES_S, credentials: 'invented' }), points: [{ id: 'invented-nonce', clause: 'RFC 7616 3.3, 5.4', asks: 'credentials over an invented nonce are challenged anew', judge: judgeInvented }] },
  {
    request: state => (state.registered ? { method: 'REGISTER', expires: EXPIRES_S } : whenChallenged({ method: 'REGISTER', expires: EXPIRES_S, credentials: 'right' })(state)),
    points: [
      { id: 'register', clause: `${GB} 9.1.2.1`, asks: 'REGISTER is accepted', judge: judgeAccepted },
      { id: 'register-expires', clause: `${GB} 9.1.1`, asks: 'it is granted an hour at least', judge: ofAccepted(judgeExpires) },
      { id: 'register-date', clause: `${GB} 9.10`, asks: 'the answer carries the time of the platform', judge: ofAccepted(judgeDate) },
    ],
  },
  { request: state => (state.registered && state.challenge !== undefined ? { method: 'REGISTER', expires: EXPIRES_S, credentials: 'right' } : 'not registered by digest'), points: [{ id: 'nonce-again', clause: 'RFC 7616 3.4, 5.4', asks: 'a refresh with the same nonce is taken, or told that it is stale', judge: judgeNonceAgain }] },
  { request: state => (state.registered ? { method: 'REGISTER', expires: EXPIRES_S, oldCSeq: true, ...(state.challenge !== undefined && { credentials: 'right' as const }) } : 'not registered'), points: [{ id: 'old-cseq', clause: 'RFC 3261 10.3, 12.2.2', asks: 'a REGISTER with a lower CSeq is not taken', judge: byStatus([400, 401, 500], () => true) }] },
  { request: whenRegistered({ method: 'MESSAGE', body: 'keepalive' }), points: [{ id: 'keepalive', clause: `${GB} 9.6`, asks: 'a keepalive is answered 200', judge: byStatus([200], never) }] },
  { request: whenRegistered({ method: 'MESSAGE', body: 'unknown-command' }), points: [{ id: 'unknown-command', clause: 'RFC 3428 7', asks: 'a command that does not exist is answered all the same', judge: byStatus([200, 400, 404, 501], isRefusal) }] },
  { request: whenRegistered({ method: 'MESSAGE', body: 'text' }), points: [{ id: 'unknown-type', clause: 'RFC 3261 21.4.13', asks: 'a body of another type is refused with 415', judge: byStatus([415], () => true) }] },
  { request: whenRegistered({ method: 'SUBSCRIBE', expires: 60, headers: [{ name: 'Event', value: NONSENSE }] }), points: [{ id: 'unknown-event', clause: 'RFC 6665 4.2.1.1', asks: 'a subscription to nothing that exists is refused with 489', judge: byStatus([489], isRefusal) }] },
  { request: always({ method: 'OPTIONS', wrongCSeqMethod: true }), points: [{ id: 'cseq-method', clause: 'RFC 3261 8.1.1.5, 21.4.1', asks: 'a request whose CSeq names another method is refused with 400', judge: ({ response }) => (response === undefined ? loose('dropped in silence') : byStatus([400], () => true)({ response, tookMs: 0 })) }] },
];

/** Asked after all others, when it had the time to ask us. */
export const PLATFORM_QUESTIONS: readonly (PointFacts & { readonly cmdType: string })[] = [
  { id: 'asks-catalog', clause: `${GB} 9.5`, asks: 'it asks a new device for its catalogue', cmdType: 'Catalog' },
  { id: 'asks-device-info', clause: `${GB} 9.5`, asks: 'it asks a new device what it is', cmdType: 'DeviceInfo' },
];

/** Takes the registration back. */
export const LAST_STEPS: readonly ProbeStep[] = [
  { request: state => (state.registered ? { method: 'REGISTER', expires: 0, ...(state.challenge !== undefined && { credentials: 'right' as const }) } : 'not registered'), points: [{ id: 'unregister', clause: `${GB} 9.1.2.3`, asks: 'REGISTER with Expires 0 is accepted', judge: byStatus([200], never) }] },
  { request: state => (state.registered ? 'still registered' : { method: 'MESSAGE', body: 'keepalive' }), points: [{ id: 'stranger', clause: `${GB} 9.6, RFC 3261 21.4`, asks: 'a keepalive of somebody who is not registered is refused', judge: byStatus([401, 403, 404], () => true) }] },
];

export function judgeQuestion(point: PointFacts & { readonly cmdType: string }, { registered, asked }: ProbeState): PointRow {
  const { cmdType, ...facts } = point;
  if (asked.has(cmdType)) return { ...facts, ...right('asked') };
  return { ...facts, ...(registered ? loose('not asked while we waited') : untried('not registered')) };
}

/** A peer ID decides the domain; without one its address does. */
export const domainOfPeer = (peerId: string, address: string): string => (isGbId(peerId) ? peerId.slice(0, 10) : address);
