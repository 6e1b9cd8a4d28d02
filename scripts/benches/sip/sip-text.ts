/**
 * SIP as plain text, for load generators that must cost less than the daemon they load: nothing is validated, a few lines are
 * picked out of messages of a gateway whose form is known.
 */
import { hash } from 'node:crypto';

const CRLF = '\r\n';

export const md5 = (text: string): string => hash('md5', text, 'hex');

/** Status of a response, 0 of a request. */
export const statusOf = (text: string): number => (text.startsWith('SIP/2.0 ') ? Number(text.slice(8, 11)) : 0);

export const methodOf = (text: string): string => text.slice(0, text.indexOf(' '));

/** First value of a header by its exact name; empty when there is none. */
export function headerOf(text: string, name: string): string {
  const at = text.indexOf(`\r\n${name}: `);
  if (at < 0) return '';
  const from = at + name.length + 4;
  return text.slice(from, text.indexOf(CRLF, from));
}

/** User part of the Request-URI. */
export const requestUser = (text: string): string => text.slice(text.indexOf(' sip:') + 5, text.indexOf('@'));

/** Text of the first element of this name. */
export function elementOf(text: string, name: string): string {
  const from = text.indexOf(`<${name}>`) + name.length + 2;
  return text.slice(from, text.indexOf('<', from));
}

/** Lines in order, then Content-Length, then the body; the result is a byte string. */
export function message(lines: readonly string[], body = ''): string {
  return `${lines.join(CRLF)}${CRLF}Content-Length: ${body.length}${CRLF}${CRLF}${body}`;
}

/** The answer to a request. */
export function answer(request: string, status: string, more: readonly string[] = [], body = ''): string {
  const to = headerOf(request, 'To');
  const echoed = ['Via', 'From', 'Call-ID', 'CSeq'].map(name => `${name}: ${headerOf(request, name)}`);
  return message([`SIP/2.0 ${status}`, ...echoed, `To: ${to.includes(';tag=') ? to : `${to};tag=bench`}`, ...more], body);
}

/** Messages of a TCP connection. `onMessage` gets each as a byte string. */
export class TextFramer {
  readonly #onMessage: (text: string) => void;
  #pending = '';

  constructor(onMessage: (text: string) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Buffer): void {
    this.#pending += chunk.toString('latin1');
    for (;;) {
      const headEnd = this.#pending.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const end = headEnd + 4 + Number(headerOf(this.#pending.slice(0, headEnd + 2), 'Content-Length'));
      if (this.#pending.length < end) return;
      const text = this.#pending.slice(0, end);
      this.#pending = this.#pending.slice(end);
      this.#onMessage(text);
    }
  }
}
