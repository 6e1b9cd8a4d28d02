/** One post to a webhook: no redirection, no more than a bounded answer, and only to addresses that may be called (fault 83). */
import { lookup as resolveName } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isForbiddenTarget } from '#core/api/webhook-target.ts';
import { normalizeIp } from '#core/ip.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { isOwnAddress, plainAddress } from '#kit/net.ts';

const TIMEOUT_MS = 10_000;
const FORBIDDEN = 'FORBIDDEN_TARGET';

export interface PostParts {
  readonly url: string;
  readonly local: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly clock: Clock;
}

/** Status, or why there was none. */
export function post({ url, local, headers, body, clock }: PostParts): Promise<number | string> {
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const literal = normalizeIp(new URL(url).hostname);
  if (literal !== undefined && isRefused(literal, local)) return Promise.resolve(FORBIDDEN);
  const send = url.startsWith('https:') ? requestHttps : requestHttp;
  const request = send(url, { method: 'POST', agent: false, lookup: guarded(local), headers: { ...headers, 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) } }, response => {
    resolve(response.statusCode ?? 'no status');
    response.destroy();
  });
  const limit = clock.schedule(addMs(clock.now(), TIMEOUT_MS), () => request.destroy(new Error('no answer in time')));
  request.on('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message));
  request.once('close', () => {
    limit[Symbol.dispose]();
    resolve('no answer');
  });
  request.end(body);
  return promise;
}

/** What listens on this machine beside loopback trusts that nobody speaks from within. */
const isRefused = (address: string, local: boolean): boolean => isForbiddenTarget(address, local) || (!local && isOwnAddress(address));

/** What a name leads to is judged where it is called, and that address is called: it cannot lead elsewhere a moment later (DNS rebinding). */
const guarded = (local: boolean): LookupFunction => (host, options, callback) => {
  resolveName(host, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, '', 0);
    const allowed = found.filter(({ address }) => !isRefused(plainAddress(address), local));
    const [first] = allowed;
    if (first === undefined) return callback(Object.assign(new Error('leads to an address that is not called'), { code: FORBIDDEN }), '', 0);
    if (options.all === true) callback(null, allowed);
    else callback(null, first.address, first.family);
  });
};
