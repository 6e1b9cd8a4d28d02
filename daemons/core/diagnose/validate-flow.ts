/**
 * Rules over what one peer and we said to each other: registration, keepalives, transactions, queries and their answers. What may
 * still come is not missed yet: `untilWallMs` is how far the recording goes.
 */
import type { Manscdp } from '../gb/manscdp.ts';
import { type SipMessage, type SipRequest, type SipResponse, header, userOf } from '../sip/message.ts';
import type { Passed } from './passed.ts';
import type { Rule } from './rule.ts';

export const LEAST_EXPIRES_S = 3600;
/** RFC 3261 timer F. */
const TRANSACTION_MS = 32_000;
/** A request that was sent so often has had 3.5 s. */
const SENT_IN_VAIN = 4;
const RESPONSE_MS = 10_000;
const ACK_MS = 4000;
const TOGETHER_MS = 500;
/** Default interval of keepalives, and how many may be missing (2016 9.6). */
const KEEPALIVE_MS = 60_000;
const MISSED = 3;
const LEAST_KEEPALIVES = 4;
const IRREGULAR = 2.5;

export interface FlowEntry {
  readonly passed: Passed;
  readonly message: SipMessage;
  /** Undefined for no MANSCDP. */
  readonly manscdp: Manscdp | undefined;
}

export interface FlowSubject {
  readonly entries: readonly FlowEntry[];
  readonly untilWallMs: number;
}

interface Sent extends FlowEntry {
  readonly request: SipRequest;
  readonly key: string;
  /** With its retransmissions. */
  readonly times: number;
  readonly answers: readonly SipResponse[];
}

const branchOf = (message: SipMessage): string => message.via[0]?.params.get('branch') ?? '';
const keyOf = (message: SipMessage): string => `${message.callId} ${message.cseq.seq} ${message.cseq.method} ${branchOf(message)}`;

/** Requests of one direction, each once, with what answered them. */
function sentBy({ entries }: FlowSubject, direction: Direction): Sent[] {
  const sent = new Map<string, { entry: FlowEntry; request: SipRequest; times: number; answers: SipResponse[] }>();
  for (const entry of entries) {
    const { message, passed } = entry;
    const key = keyOf(message);
    const known = sent.get(key);
    if (message.type === 'response') {
      if (passed.direction !== direction) known?.answers.push(message);
    } else if (passed.direction === direction) {
      if (known === undefined) sent.set(key, { entry, request: message, times: 1, answers: [] });
      else known.times += 1;
    }
  }
  return [...sent].map(([key, { entry, ...rest }]) => ({ ...entry, ...rest, key }));
}

type Direction = 'in' | 'out';

const registersOf = (subject: FlowSubject, direction: Direction): Sent[] => sentBy(subject, direction).filter(({ request }) => request.method === 'REGISTER');

const expiresOf = ({ expires, contact }: SipMessage): number | undefined => {
  const text = contact === '*' ? undefined : contact[0]?.params.get('expires');
  return text !== undefined && text !== null && /^\d{1,9}$/.test(text) ? Number(text) : expires;
};

/** What is asked for in one direction. */
const shortExpires = (direction: Direction) => (subject: FlowSubject): string[] =>
  registersOf(subject, direction).flatMap(({ request }) => {
    const asked = expiresOf(request);
    if (asked === 0 || request.contact === '*' || request.contact.length === 0) return [];
    if (asked === undefined) return ['REGISTER without Expires'];
    return asked < LEAST_EXPIRES_S ? [`asks for ${asked} s`] : [];
  });

/** What a platform grants us, although we asked for more. */
const shortGrant = (subject: FlowSubject): string[] =>
  registersOf(subject, 'out').flatMap(({ request, answers }) => {
    const granted = answers.filter(({ status }) => status === 200).map(expiresOf);
    return granted.flatMap(seconds => (seconds !== undefined && seconds > 0 && seconds < LEAST_EXPIRES_S && (expiresOf(request) ?? 0) >= LEAST_EXPIRES_S ? [`grants ${seconds} s`] : []));
  });

const fallingCSeq = (direction: Direction) => (subject: FlowSubject): string[] => {
  const last = new Map<string, number>();
  return registersOf(subject, direction).flatMap(({ request: { callId, cseq } }) => {
    const before = last.get(callId);
    last.set(callId, cseq.seq);
    return before !== undefined && cseq.seq <= before ? [`CSeq ${cseq.seq} after ${before}`] : [];
  });
};

const noCredentials = (direction: Direction) => (subject: FlowSubject): string[] => {
  const registers = registersOf(subject, direction);
  const challenged = new Set<string>();
  return registers.flatMap(({ request, answers }) => {
    const credentials = header(request, 'Authorization') ?? header(request, 'Proxy-Authorization');
    const breach = challenged.has(request.callId) && credentials === undefined ? ['REGISTER without Authorization after a 401'] : [];
    if (answers.some(({ status }) => status === 401 || status === 407)) challenged.add(request.callId);
    return breach;
  });
};

function otherUser(subject: FlowSubject): string[] {
  return registersOf(subject, 'in').flatMap(({ request }) => {
    const username = /\busername\s*=\s*"([^"]{0,128})"/i.exec(header(request, 'Authorization') ?? '')?.[1];
    return username === undefined || username === userOf(request.from) ? [] : [`username ${username}, From ${userOf(request.from)}`];
  });
}

/** One for each keepalive, retransmissions left out. */
const keepalivesOf = (subject: FlowSubject): readonly Sent[] => sentBy(subject, 'in').filter(({ manscdp }) => manscdp?.body.kind === 'keepalive');

function gapsOf(subject: FlowSubject): number[] {
  const byDevice = Map.groupBy(keepalivesOf(subject), ({ manscdp }) => manscdp!.deviceId);
  return [...byDevice.values()].flatMap(all => all.slice(1).map(({ passed }, i) => passed.atWallMs - all[i]!.passed.atWallMs));
}

function doubled(subject: FlowSubject): string[] {
  return gapsOf(subject).filter(gap => gap < TOGETHER_MS).map(gap => `${Math.round(gap)} ms after the one before`);
}

function irregular(subject: FlowSubject): string[] {
  const gaps = gapsOf(subject).filter(gap => gap >= TOGETHER_MS);
  if (gaps.length < LEAST_KEEPALIVES - 1) return [];
  const usual = gaps.toSorted((a, b) => a - b)[gaps.length >> 1]!;
  return gaps.filter(gap => gap > usual * IRREGULAR).map(gap => `${Math.round(gap / 1000)} s, where ${Math.round(usual / 1000)} s are usual`);
}

function noKeepalive(subject: FlowSubject): string | undefined {
  const registered = sentBy(subject, 'in').find(({ request, answers }) => request.method === 'REGISTER' && expiresOf(request) !== 0 && answers.some(({ status }) => status === 200));
  if (registered === undefined) return undefined;
  const last = keepalivesOf(subject).at(-1)?.passed.atWallMs ?? registered.passed.atWallMs;
  const silentMs = subject.untilWallMs - last;
  return silentMs > KEEPALIVE_MS * MISSED ? `none for ${Math.round(silentMs / 1000)} s` : undefined;
}

const unanswered = (direction: Direction) => (subject: FlowSubject): string[] =>
  sentBy(subject, direction).flatMap(({ request, answers, times, passed }) => {
    if (request.method === 'ACK' || answers.length > 0) return [];
    const tooLong = subject.untilWallMs - passed.atWallMs >= TRANSACTION_MS || times >= SENT_IN_VAIN;
    return tooLong ? [`${request.method} (${request.cseq.seq}), sent ${times} times`] : [];
  });

const sentAgain = (direction: Direction) => (subject: FlowSubject): string[] =>
  sentBy(subject, direction).flatMap(({ request, times, answers }) => (times > 1 && answers.length > 0 ? [`${request.method} (${request.cseq.seq}) was sent ${times} times`] : []));

/** 2xx to INVITE without an ACK. */
const noAck = (direction: Direction) => (subject: FlowSubject): string[] => {
  const acks = new Set(subject.entries.filter(({ message }) => message.type === 'request' && message.method === 'ACK').map(({ message }) => `${message.callId} ${message.cseq.seq}`));
  return sentBy(subject, direction).flatMap(({ request, answers, passed }) => {
    if (request.method !== 'INVITE' || acks.has(`${request.callId} ${request.cseq.seq}`) || !answers.some(({ status }) => status >= 200 && status < 300)) return [];
    return subject.untilWallMs - passed.atWallMs > ACK_MS ? [`INVITE (${request.cseq.seq}) was accepted`] : [];
  });
};

/** A query was answered 200 and nothing more came. */
const noResponse = (direction: Direction) => (subject: FlowSubject): string[] => {
  const told = new Set(subject.entries.filter(({ manscdp }) => manscdp?.root === 'Response').map(({ manscdp }) => `${manscdp!.cmdType} ${manscdp!.sn}`));
  return sentBy(subject, direction).flatMap(({ manscdp, answers, passed, request }) => {
    if (manscdp?.root !== 'Query' || request.method !== 'MESSAGE' || !answers.some(({ status }) => status === 200) || told.has(`${manscdp.cmdType} ${manscdp.sn}`)) return [];
    return subject.untilWallMs - passed.atWallMs > RESPONSE_MS ? [`${manscdp.cmdType} (SN ${manscdp.sn})`] : [];
  });
};

/** Of one direction: all pages of each catalogue, by SN. */
function catalogsOf(subject: FlowSubject): Sent[][] {
  const pages = (['in', 'out'] as const).flatMap(direction => sentBy(subject, direction)).filter(({ manscdp, request }) => manscdp?.root === 'Response' && manscdp.body.kind === 'catalog' && request.method === 'MESSAGE');
  return [...Map.groupBy(pages, ({ manscdp, passed }) => `${passed.direction} ${manscdp!.deviceId} ${manscdp!.sn}`).values()];
}

const itemsOf = (pages: readonly Sent[]): string[] => pages.flatMap(({ manscdp }) => (manscdp!.body.kind === 'catalog' ? manscdp!.body.items.map(({ deviceId }) => deviceId) : []));

function wrongSum(subject: FlowSubject): string[] {
  return catalogsOf(subject).flatMap(pages => {
    const sums = new Set(pages.map(({ manscdp }) => (manscdp!.body.kind === 'catalog' ? manscdp!.body.sumNum : undefined)));
    const sum = [...sums][0];
    if (sums.size > 1) return [`SumNum is ${[...sums].join(' and then ')}`];
    if (sum === undefined) return ['no SumNum'];
    const items = new Set(itemsOf(pages)).size;
    const mayCome = items < sum && subject.untilWallMs - pages.at(-1)!.passed.atWallMs <= RESPONSE_MS;
    return items === sum || mayCome ? [] : [`SumNum ${sum}, ${items} items came`];
  });
}

function repeatedItems(subject: FlowSubject): string[] {
  return catalogsOf(subject).flatMap(pages => {
    const items = itemsOf(pages);
    const repeated = items.length - new Set(items).size;
    return repeated > 0 ? [`${repeated} of ${items.length} items came before`] : [];
  });
}

function otherDevice({ entries }: FlowSubject): string[] {
  const asked = new Map(entries.filter(({ manscdp }) => manscdp?.root === 'Query').map(({ manscdp }) => [`${manscdp!.cmdType} ${manscdp!.sn}`, manscdp!.deviceId]));
  return entries.flatMap(({ manscdp }) => {
    const id = manscdp?.root === 'Response' ? asked.get(`${manscdp.cmdType} ${manscdp.sn}`) : undefined;
    return id === undefined || id === manscdp!.deviceId ? [] : [`${manscdp!.cmdType} of ${id} was asked for, ${manscdp!.deviceId} answered`];
  });
}

/** Broken by the peer, whichever side began. */
export const PEER_RULES: readonly Rule<FlowSubject>[] = [
  { id: 'register-expires', clause: 'GB/T 28181-2016 9.1.1', severity: 'loose', says: 'a registration is valid for an hour at least', broken: subject => [...shortExpires('in')(subject), ...shortGrant(subject)] },
  { id: 'register-cseq', clause: 'RFC 3261 10.2', severity: 'wrong', says: 'CSeq of REGISTER does not rise', broken: fallingCSeq('in') },
  { id: 'register-credentials', clause: 'GB/T 28181-2016 9.1.2.1, RFC 3261 22.2', severity: 'wrong', says: 'a challenge is not answered', broken: noCredentials('in') },
  { id: 'register-user', clause: 'GB/T 28181-2016 9.1.2.1', severity: 'loose', says: 'the user of the digest is not the device', broken: otherUser },
  { id: 'keepalive-twice', clause: 'GB/T 28181-2016 9.6', severity: 'loose', says: 'two keepalives at once', broken: doubled },
  { id: 'keepalive-rhythm', clause: 'GB/T 28181-2016 9.6', severity: 'wrong', says: 'keepalives are not regular', broken: irregular },
  { id: 'keepalive-missing', clause: 'GB/T 28181-2016 9.6', severity: 'wrong', says: 'registered, and no keepalive', broken: noKeepalive },
  { id: 'unanswered', clause: 'RFC 3261 8.2, 17.1', severity: 'wrong', says: 'a request is not answered', broken: unanswered('out') },
  { id: 'sent-again', clause: 'RFC 3261 17.1.2', severity: 'loose', says: 'a request had to be sent again', broken: sentAgain('out') },
  { id: 'no-ack', clause: 'RFC 3261 13.2.2.4', severity: 'wrong', says: 'the 200 to an INVITE gets no ACK', broken: noAck('in') },
  { id: 'no-response', clause: 'GB/T 28181-2016 9.5', severity: 'wrong', says: 'a query is accepted and not answered', broken: noResponse('out') },
  { id: 'response-device', clause: 'GB/T 28181-2016 Annex A.2.6', severity: 'wrong', says: 'the answer is of another device than was asked', broken: otherDevice },
  { id: 'catalog-sum', clause: 'GB/T 28181-2016 Annex A.2.6, N', severity: 'wrong', says: 'SumNum is not the number of items', broken: wrongSum },
  { id: 'catalog-repeats', clause: 'GB/T 28181-2016 Annex A.2.6', severity: 'wrong', says: 'items come more than once', broken: repeatedItems },
];

/** The same, broken by us. */
export const OWN_RULES: readonly Rule<FlowSubject>[] = [
  { id: 'register-expires', clause: 'GB/T 28181-2016 9.1.1', severity: 'loose', says: 'a registration is valid for an hour at least', broken: shortExpires('out') },
  { id: 'register-cseq', clause: 'RFC 3261 10.2', severity: 'wrong', says: 'CSeq of REGISTER does not rise', broken: fallingCSeq('out') },
  { id: 'register-credentials', clause: 'GB/T 28181-2016 9.1.2.1, RFC 3261 22.2', severity: 'wrong', says: 'a challenge is not answered', broken: noCredentials('out') },
  { id: 'unanswered', clause: 'RFC 3261 8.2, 17.1', severity: 'wrong', says: 'a request is not answered', broken: unanswered('in') },
  { id: 'no-ack', clause: 'RFC 3261 13.2.2.4', severity: 'wrong', says: 'the 200 to an INVITE gets no ACK', broken: noAck('out') },
  { id: 'no-response', clause: 'GB/T 28181-2016 9.5', severity: 'wrong', says: 'a query is accepted and not answered', broken: noResponse('in') },
];
