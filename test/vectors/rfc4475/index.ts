/**
 * The 49 messages of RFC 4475, octet by octet in `*.dat`, and what must become of each. The parser tests and the wire test read
 * this one table.
 *
 * Class (faults.md 3): V valid, I invalid, I* invalid where RFC 4475 allows a liberal reading (`why` says which one is ours),
 * S valid in form and wrong in meaning.
 */
import { readFileSync } from 'node:fs';

/**
 * `up`: well-formed, reaches the application, which answers as it likes. A number: the endpoint answers it, whoever asks.
 * `none`: no answer at all (responses that fit no transaction of ours, and what cannot be answered).
 */
export type TortureAnswer = 'up' | 'none' | number;

export interface StreamVerdict {
  readonly answer: TortureAnswer;
  /** How many messages the framer cuts out. */
  readonly messages: number;
  /** The connection ends: by a broken frame at once, by an unfinished message when its timer fires. */
  readonly closes: boolean;
}

export interface TortureCase {
  readonly file: string;
  readonly section: string;
  readonly class: 'V' | 'I' | 'I*' | 'S';
  readonly octets: number;
  /** First ten hex digits. */
  readonly sha256: string;
  readonly datagram: TortureAnswer;
  /** When it is not the same answer, one message, connection open. */
  readonly stream?: StreamVerdict;
  readonly why: string;
}

export const RFC4475: readonly TortureCase[] = [
  { file: 'wsinv', section: '3.1.1.1', class: 'V', octets: 1001, sha256: 'd6f6cdee99', datagram: 'up', why: 'folds, white space, compact names, leading zeros; no magic cookie in the top Via: RFC 2543 matching' },
  { file: 'intmeth', section: '3.1.1.2', class: 'V', octets: 641, sha256: 'b957a8292c', datagram: 501, why: 'every token character is legal in a method; NUL and DEL in quoted pairs are data' },
  { file: 'esc01', section: '3.1.1.3', class: 'V', octets: 543, sha256: 'be3a316d4c', datagram: 'up', why: 'an escaped @ or : separates nothing' },
  { file: 'escnull', section: '3.1.1.4', class: 'V', octets: 359, sha256: '263fe2ecd1', datagram: 'up', why: '%00 is data; the two Contacts differ' },
  { file: 'esc02', section: '3.1.1.5', class: 'V', octets: 439, sha256: '9a9c59449f', datagram: 501, why: 'RE%47IST%45R is not REGISTER' },
  { file: 'lwsdisp', section: '3.1.1.6', class: 'V', octets: 255, sha256: 'd1b36b6316', datagram: 'up', why: 'no space needed before <' },
  { file: 'longreq', section: '3.1.1.7', class: 'V', octets: 3515, sha256: '185739292b', datagram: 'up', why: '34 Via, 3515 octets' },
  { file: 'dblreq', section: '3.1.1.8', class: 'V', octets: 750, sha256: 'a6be484265', datagram: 'up', stream: { answer: 'up', messages: 2, closes: true }, why: 'datagram: what follows Content-Length is not a message. Stream: it is one, and the stray octets behind it are not' },
  { file: 'semiuri', section: '3.1.1.9', class: 'V', octets: 380, sha256: '87bbaed6b4', datagram: 'up', why: 'the semicolon belongs to the user part' },
  { file: 'transports', section: '3.1.1.10', class: 'V', octets: 503, sha256: '33b4553a3b', datagram: 'up', why: 'unknown transports in Via' },
  { file: 'mpart01', section: '3.1.1.11', class: 'V', octets: 1290, sha256: '92147c8e24', datagram: 'up', why: 'the body is octets, NUL included' },
  { file: 'unreason', section: '3.1.1.12', class: 'V', octets: 526, sha256: '4f939d6ebf', datagram: 'none', why: 'response: UTF-8 reason phrase; no transaction of ours' },
  { file: 'noreason', section: '3.1.1.13', class: 'V', octets: 274, sha256: '07e11e470a', datagram: 'none', why: 'response: empty reason phrase; no transaction of ours' },
  { file: 'badinv01', section: '3.1.2.1', class: 'I', octets: 472, sha256: '9ee2b88f2e', datagram: 400, why: 'empty parameters in Via' },
  { file: 'clerr', section: '3.1.2.2', class: 'I', octets: 498, sha256: 'd9da629086', datagram: 400, stream: { answer: 'none', messages: 0, closes: true }, why: 'body shorter than Content-Length; a stream waits for the rest until its message timer' },
  { file: 'ncl', section: '3.1.2.3', class: 'I', octets: 486, sha256: '7ea6538edc', datagram: 400, stream: { answer: 400, messages: 0, closes: true }, why: 'negative Content-Length' },
  { file: 'scalar02', section: '3.1.2.4', class: 'I', octets: 476, sha256: '5315817732', datagram: 400, why: 'CSeq and Max-Forwards over range (an Expires over range is capped, faults.md 13)' },
  { file: 'scalarlg', section: '3.1.2.5', class: 'I', octets: 385, sha256: '0957eca317', datagram: 'none', why: 'response with a CSeq over range' },
  { file: 'quotbal', section: '3.1.2.6', class: 'I', octets: 485, sha256: 'e61978a2ea', datagram: 400, why: 'the quoted string does not end' },
  { file: 'ltgtruri', section: '3.1.2.7', class: 'I', octets: 452, sha256: 'bcacb2dc17', datagram: 400, why: 'angle brackets around the Request-URI' },
  { file: 'lwsruri', section: '3.1.2.8', class: 'I', octets: 541, sha256: '3e22ceeca5', datagram: 400, why: 'a space in the Request-URI' },
  { file: 'lwsstart', section: '3.1.2.9', class: 'I*', octets: 506, sha256: 'f884e5626c', datagram: 400, why: 'choice: strict. A request line has two single spaces' },
  { file: 'trws', section: '3.1.2.10', class: 'I*', octets: 327, sha256: '64ae206940', datagram: 400, why: 'choice: strict. Nothing behind SIP/2.0' },
  { file: 'escruri', section: '3.1.2.11', class: 'I*', octets: 550, sha256: 'c3cf30af13', datagram: 400, why: 'choice: strict. A Request-URI has no headers, so none can become a Route' },
  { file: 'baddate', section: '3.1.2.12', class: 'I*', octets: 532, sha256: '1208a6e3e0', datagram: 'up', why: 'choice: liberal. Date is kept as text; who sets a clock by it checks it' },
  { file: 'regbadct', section: '3.1.2.13', class: 'I*', octets: 307, sha256: '575d275302', datagram: 400, why: 'choice: strict. A URI with ? needs < and >' },
  { file: 'badaspec', section: '3.1.2.14', class: 'I*', octets: 346, sha256: 'f8f6e2f424', datagram: 'up', why: 'choice: liberal. Spaces just inside < > are taken off' },
  { file: 'baddn', section: '3.1.2.15', class: 'I*', octets: 331, sha256: '9d9428e801', datagram: 400, stream: { answer: 'none', messages: 0, closes: true }, why: 'choice: strict. A comma needs a quoted display name. The file also lacks its empty line: a stream waits for it until its header timer' },
  { file: 'badvers', section: '3.1.2.16', class: 'I', octets: 291, sha256: '037d702d19', datagram: 505, why: 'SIP/7.0' },
  { file: 'mismatch01', section: '3.1.2.17', class: 'I', octets: 236, sha256: 'a2c285636e', datagram: 400, why: 'CSeq names another method' },
  { file: 'mismatch02', section: '3.1.2.18', class: 'I', octets: 449, sha256: '01b287f9a9', datagram: 400, why: 'CSeq names another method, and the method is unknown' },
  { file: 'bigcode', section: '3.1.2.19', class: 'I', octets: 332, sha256: 'f794500709', datagram: 'none', why: 'response: 4294967301 is no status' },
  { file: 'badbranch', section: '3.2.1', class: 'S', octets: 262, sha256: 'cb049c727f', datagram: 'up', why: 'the bare cookie identifies nothing: RFC 2543 matching' },
  { file: 'insuf', section: '3.3.1', class: 'S', octets: 304, sha256: '1e3efd9f3b', datagram: 400, why: 'no Call-ID, From, To' },
  { file: 'unkscm', section: '3.3.2', class: 'S', octets: 291, sha256: '81be1a6a56', datagram: 416, why: 'unknown scheme in the Request-URI' },
  { file: 'novelsc', section: '3.3.3', class: 'S', octets: 277, sha256: '9a50a7343f', datagram: 416, why: 'a scheme that is known, but not SIP' },
  { file: 'unksm2', section: '3.3.4', class: 'S', octets: 282, sha256: 'f6914409ce', datagram: 'up', why: 'other schemes in To, From and Contact parse; the registrar answers' },
  { file: 'bext01', section: '3.3.5', class: 'S', octets: 381, sha256: '57181987c0', datagram: 420, why: 'Require and Proxy-Require of unknown extensions' },
  { file: 'invut', section: '3.3.6', class: 'S', octets: 391, sha256: '9b39e82494', datagram: 415, why: 'body of an unknown type, with Accept' },
  { file: 'regaut01', section: '3.3.7', class: 'S', octets: 304, sha256: '885ba04888', datagram: 'up', why: 'an unknown auth scheme counts as none; the registrar answers 401' },
  { file: 'multi01', section: '3.3.8', class: 'S', octets: 643, sha256: 'd156ab1210', datagram: 400, why: 'fields that may come once come twice' },
  { file: 'mcl01', section: '3.3.9', class: 'S', octets: 382, sha256: '887191619b', datagram: 400, stream: { answer: 400, messages: 0, closes: true }, why: 'two Content-Lengths: on a stream nobody knows where the next message starts' },
  { file: 'bcast', section: '3.3.10', class: 'S', octets: 516, sha256: '073637c635', datagram: 'none', why: 'response whose Via is not ours' },
  { file: 'zeromf', section: '3.3.11', class: 'S', octets: 272, sha256: '50954ef47a', datagram: 'up', why: 'a UAS answers; only a proxy sends 483' },
  { file: 'cparam01', section: '3.3.12', class: 'S', octets: 321, sha256: 'dfa6b5cdb2', datagram: 'up', why: 'unknown Contact parameter' },
  { file: 'cparam02', section: '3.3.13', class: 'S', octets: 311, sha256: 'e93574215b', datagram: 'up', why: 'parameter inside < > belongs to the URI' },
  { file: 'regescrt', section: '3.3.14', class: 'S', octets: 302, sha256: 'dab4087c13', datagram: 'up', why: 'headers of a Contact URI are kept, never honoured' },
  { file: 'sdp01', section: '3.3.15', class: 'S', octets: 494, sha256: '497c5f1ced', datagram: 406, why: 'Accept without application/sdp' },
  { file: 'inv2543', section: '3.4.1', class: 'S', octets: 445, sha256: '76fac8afe2', datagram: 'up', stream: { answer: 400, messages: 0, closes: true }, why: 'no tag, branch, Max-Forwards; without Content-Length a stream cannot be followed' },
];

export const tortureBytes = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(`./${file}.dat`, import.meta.url)));

export const streamVerdict = (torture: TortureCase): StreamVerdict => torture.stream ?? { answer: torture.datagram, messages: 1, closes: false };
