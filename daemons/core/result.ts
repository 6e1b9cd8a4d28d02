/**
 * Outcomes as data. Parsers answer `Result`: a value, or where and why not. Failures that cross a process
 * or reach a person carry one of `ErrorCode`; SIP status and exit code are tables over it.
 */
export type Result<T, E = ParseError> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

/** Why bytes are not what they should be. `at` is a byte offset into the input. */
export interface ParseError {
  readonly at: number;
  readonly why: string;
}

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const fail = (at: number, why: string): { readonly ok: false; readonly error: ParseError } => ({ ok: false, error: { at, why } });

export type ErrorCode =
  | 'BAD_REQUEST'
  | 'CONFLICT'
  | 'CONFIG_INVALID'
  | 'PEER_UNKNOWN'
  | 'PEER_OFFLINE'
  | 'CHANNEL_UNKNOWN'
  | 'NOT_PERMITTED'
  | 'SIP_TIMEOUT'
  | 'SIP_REJECTED'
  | 'MEDIA_TARGET_REFUSED'
  | 'MEDIA_SILENT'
  | 'PORTS_EXHAUSTED'
  | 'CAPACITY_EXHAUSTED'
  | 'MEDIA_UNAVAILABLE'
  | 'BRIDGE_UNKNOWN'
  | 'STORE_FAILED'
  | 'NODE_STANDBY'
  | 'DAEMON_UNREACHABLE';

/** Status that an upstream sees when its INVITE fails for this reason (RFC 3261 21, gb28181.md 8.2). */
export const SIP_STATUS: Readonly<Record<ErrorCode, number>> = {
  BAD_REQUEST: 400,
  CONFLICT: 486,
  CONFIG_INVALID: 500,
  PEER_UNKNOWN: 404,
  PEER_OFFLINE: 480,
  CHANNEL_UNKNOWN: 404,
  NOT_PERMITTED: 403,
  SIP_TIMEOUT: 408,
  SIP_REJECTED: 486,
  MEDIA_TARGET_REFUSED: 488,
  MEDIA_SILENT: 480,
  PORTS_EXHAUSTED: 503,
  CAPACITY_EXHAUSTED: 486,
  MEDIA_UNAVAILABLE: 503,
  BRIDGE_UNKNOWN: 481,
  STORE_FAILED: 500,
  NODE_STANDBY: 503,
  DAEMON_UNREACHABLE: 503,
};

/** Status that an HTTP or RTSP client sees (RFC 9110 15, RFC 2326 7.1.1). */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  BAD_REQUEST: 400,
  CONFLICT: 409,
  CONFIG_INVALID: 500,
  PEER_UNKNOWN: 404,
  PEER_OFFLINE: 503,
  CHANNEL_UNKNOWN: 404,
  NOT_PERMITTED: 403,
  SIP_TIMEOUT: 504,
  SIP_REJECTED: 502,
  MEDIA_TARGET_REFUSED: 502,
  MEDIA_SILENT: 504,
  PORTS_EXHAUSTED: 503,
  CAPACITY_EXHAUSTED: 503,
  MEDIA_UNAVAILABLE: 503,
  BRIDGE_UNKNOWN: 404,
  STORE_FAILED: 500,
  NODE_STANDBY: 503,
  DAEMON_UNREACHABLE: 503,
};

/**
 * The same in words for the people at a peer: what the other side of the gateway looks like, its addresses and IDs, stays with
 * us (faults.md 5, rule 5). Our own log says more.
 */
export const PEER_WORDS: Readonly<Record<ErrorCode, string>> = {
  BAD_REQUEST: 'the request cannot be read',
  CONFLICT: 'not possible now',
  CONFIG_INVALID: 'internal failure',
  PEER_UNKNOWN: 'no such device',
  PEER_OFFLINE: 'the device is offline',
  CHANNEL_UNKNOWN: 'no such channel',
  NOT_PERMITTED: 'not permitted',
  SIP_TIMEOUT: 'the device did not answer',
  SIP_REJECTED: 'the device refused, or its answer cannot be served',
  MEDIA_TARGET_REFUSED: 'media may not go there',
  MEDIA_SILENT: 'the device sends nothing',
  PORTS_EXHAUSTED: 'no media port is free',
  CAPACITY_EXHAUSTED: 'no capacity is free',
  MEDIA_UNAVAILABLE: 'the media ended or cannot be served now',
  BRIDGE_UNKNOWN: 'the media ended',
  STORE_FAILED: 'internal failure',
  NODE_STANDBY: 'not served here now',
  DAEMON_UNREACHABLE: 'the media ended or cannot be served now',
};

/** Exit code of `vlink` (sysexits(3) where one fits). */
export const EXIT_CODE: Readonly<Record<ErrorCode, number>> = {
  BAD_REQUEST: 64,
  CONFLICT: 64,
  CONFIG_INVALID: 2,
  PEER_UNKNOWN: 3,
  PEER_OFFLINE: 4,
  CHANNEL_UNKNOWN: 3,
  NOT_PERMITTED: 77,
  SIP_TIMEOUT: 5,
  SIP_REJECTED: 5,
  MEDIA_TARGET_REFUSED: 5,
  MEDIA_SILENT: 5,
  PORTS_EXHAUSTED: 75,
  CAPACITY_EXHAUSTED: 75,
  MEDIA_UNAVAILABLE: 69,
  BRIDGE_UNKNOWN: 3,
  STORE_FAILED: 74,
  NODE_STANDBY: 69,
  DAEMON_UNREACHABLE: 69,
};

/** A failure with a code to branch on, numbers to read and the cause kept. A bug is not one of these: it crashes the unit. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly detail: Readonly<Record<string, string | number>>;
  constructor(code: ErrorCode, detail: Readonly<Record<string, string | number>> = {}, options?: ErrorOptions) {
    super([code, ...Object.entries(detail).map(([key, value]) => `${key}=${value}`)].join(' '), options);
    this.code = code;
    this.detail = detail;
  }
}

export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
