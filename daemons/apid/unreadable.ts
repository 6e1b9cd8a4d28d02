/** What is no HTTP that can be read, or is too large or too slow, before any route: answered in the same words as everything else. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { API_STATUS, type DoorCode, failureOf } from '#core/api/api-errors.ts';
import type { Counters } from '#kit/counters.ts';

const CODES: Readonly<Record<string, DoorCode>> = { HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE', HPE_CHUNK_EXTENSIONS_OVERFLOW: 'TOO_LARGE', ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT' };

/** Answers and closes; one who is gone already is not answered. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket, counters: Counters): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const code = CODES[error.code ?? ''];
  const failure = code === undefined ? failureOf('BAD_REQUEST', { why: 'this is no HTTP request' }) : failureOf(code);
  counters.add(`failure.${failure.code}`);
  const body = JSON.stringify(failure);
  const status = API_STATUS[failure.code];
  // A TLS error leaves nothing to write to; the end of a socket that takes nothing is its own.
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${body}`);
}
