/** What the HTTP server of mediad (outlet-http.ts) and its routes know of one another. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import { type ErrorCode, GatewayError, HTTP_STATUS, PEER_WORDS } from '#core/result.ts';

/** One request whose sender may have the channel of its path. */
export interface HttpExchange {
  readonly request: IncomingMessage;
  /** As of core/outlets/outlet-path, whatever the first segment is. */
  readonly path: OutletPath;
  /** Of the query; the first value counts. */
  readonly query: URLSearchParams;
  /** Address and port of the far end. */
  readonly remote: string;
  /** Who said a name; undefined: it came with a token. */
  readonly user: string | undefined;
}

export interface HttpRoute {
  /** First segment of its paths: `live` for /live/CHANNEL... Behind it the path is that of an outlet. */
  readonly prefix: string;
  /** HEAD comes with GET, OPTIONS is answered for all. */
  readonly methods: readonly string[];
  /** Answers, or rejects with a GatewayError before anything was answered. */
  handle(exchange: HttpExchange, response: ServerResponse): Promise<void>;
  /** The same for a WebSocket; `accept` answers the handshake. Without it there is none here. */
  upgrade?(exchange: HttpExchange, accept: () => Promise<WebSocket>): Promise<void>;
}

export interface HttpFailure {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** What the far end is told: the code and plain words, nothing of what lies behind the gateway. */
export function failureOf(code: ErrorCode, status = HTTP_STATUS[code], headers: HttpFailure['headers'] = {}): HttpFailure {
  return { status, body: `${JSON.stringify({ error: code, message: PEER_WORDS[code] })}\n`, headers };
}

export function sendFailure(response: ServerResponse, { status, body, headers }: HttpFailure): void {
  if (response.headersSent) return void response.destroy();
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store' }).end(body);
}

/** The whole body of a request. BAD_REQUEST when it is longer than `maxBytes`, or cut. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > maxBytes) throw new GatewayError('BAD_REQUEST', { why: 'body too long', maxBytes });
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('BAD_REQUEST', { why: 'body was cut' }, { cause: error });
  }
  return Buffer.concat(parts);
}
