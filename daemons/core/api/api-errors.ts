/** What an HTTP client is told when something fails: a code to branch on, a status, and words that give nothing of the inside away. */
import { type ErrorCode, HTTP_STATUS } from '../result.ts';

/** Failures of the door itself; what lies behind it fails with an ErrorCode. */
export type DoorCode = 'UNAUTHENTICATED' | 'LOCKED_OUT' | 'TOO_MANY_REQUESTS' | 'ROUTE_UNKNOWN' | 'METHOD_UNKNOWN' | 'TOO_LARGE' | 'HEADERS_TOO_LARGE' | 'REQUEST_TIMEOUT' | 'MEDIA_TYPE' | 'PASSWORD_EXPIRED' | 'INTERNAL';
export type ApiCode = ErrorCode | DoorCode;

export const API_STATUS: Readonly<Record<ApiCode, number>> = {
  ...HTTP_STATUS,
  CONFIG_INVALID: 422,
  STORE_FAILED: 503,
  UNAUTHENTICATED: 401,
  LOCKED_OUT: 429,
  TOO_MANY_REQUESTS: 429,
  ROUTE_UNKNOWN: 404,
  METHOD_UNKNOWN: 405,
  TOO_LARGE: 413,
  HEADERS_TOO_LARGE: 431,
  REQUEST_TIMEOUT: 408,
  MEDIA_TYPE: 415,
  PASSWORD_EXPIRED: 403,
  INTERNAL: 500,
};

export const API_WORDS: Readonly<Record<ApiCode, string>> = {
  BAD_REQUEST: 'the request is not as the interface says',
  CONFLICT: 'it does not go with what is there now',
  CONFIG_INVALID: 'the configuration cannot be like this',
  PEER_UNKNOWN: 'there is no such device, platform or entry',
  PEER_OFFLINE: 'it is offline',
  CHANNEL_UNKNOWN: 'there is no such channel',
  NOT_PERMITTED: 'not permitted',
  SIP_TIMEOUT: 'the device did not answer',
  SIP_REJECTED: 'the device refused',
  MEDIA_TARGET_REFUSED: 'media may not go there',
  MEDIA_SILENT: 'the device sends nothing',
  PORTS_EXHAUSTED: 'no media port is free',
  CAPACITY_EXHAUSTED: 'there is no capacity for it now',
  MEDIA_UNAVAILABLE: 'the media cannot be served now',
  BRIDGE_UNKNOWN: 'the media ended',
  STORE_FAILED: 'it could not be stored',
  NODE_STANDBY: 'the other node of the pair is active',
  DAEMON_UNREACHABLE: 'a part of the gateway does not answer',
  UNAUTHENTICATED: 'log in first',
  LOCKED_OUT: 'too many wrong passwords; try again later',
  TOO_MANY_REQUESTS: 'too many requests; try again later',
  ROUTE_UNKNOWN: 'there is no such thing here',
  METHOD_UNKNOWN: 'this cannot be done with it; see Allow',
  TOO_LARGE: 'the request is too large',
  HEADERS_TOO_LARGE: 'the head of the request is too large',
  REQUEST_TIMEOUT: 'the request did not come in time',
  MEDIA_TYPE: 'only application/json, not compressed',
  PASSWORD_EXPIRED: 'change the password first',
  INTERNAL: 'internal failure',
};

/** Facts of a failure that may leave the gateway; where sockets and files are may not. */
const TOLD: ReadonlySet<string> = new Set(['why', 'channel', 'deviceId', 'channelId', 'upstream', 'path', 'field', 'retryAfterS', 'needs', 'name', 'limit']);
const MAX_TOLD = 500;

export interface ApiFailure {
  readonly code: ApiCode;
  readonly message: string;
  readonly detail: Readonly<Record<string, string | number>>;
}

/** For failures on the way to another part of the gateway nothing but the code is told. */
export function failureOf(code: ApiCode, detail: Readonly<Record<string, string | number>> = {}): ApiFailure {
  const isInner = code === 'DAEMON_UNREACHABLE' || code === 'STORE_FAILED' || code === 'INTERNAL';
  const told = isInner ? [] : Object.entries(detail).filter(([key]) => TOLD.has(key));
  return { code, message: API_WORDS[code], detail: Object.fromEntries(told.map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, MAX_TOLD) : value])) };
}
