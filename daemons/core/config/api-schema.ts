/** Section `api`: where apid listens, and to whom it tells what happens. Who may log in is not configuration: users have a file of their own. */
import { z } from 'zod';
import { isIp, isLoopback, parseNetwork } from '../ip.ts';
import { webhookHostProblem } from '../api/webhook-target.ts';
import type { FieldProblem } from './field-problem.ts';
import { overlap } from './overlap.ts';

const MAX_TEXT = 255;
const ip = z.string().max(MAX_TEXT).refine(isIp, 'expected an IPv4 or IPv6 address');
const cidr = z.string().max(MAX_TEXT).refine(text => parseNetwork(text) !== undefined, 'expected an address or a network such as 10.1.0.0/16');
const file = z.string().max(MAX_TEXT).regex(/^(\/[^\0\r\n]*)?$/, 'expected an absolute path, or empty');

const apiListen = z.strictObject({
  address: ip.describe('local address to bind; name one rather than 0.0.0.0'),
  port: z.int().min(1).max(65535).default(8443).describe('8443 is usual'),
  tls: z.boolean().default(true).describe('false: plain HTTP, on a loopback address only'),
});

const webhook = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, - or _').describe('our short name for it'),
  url: z.string().max(1024).regex(/^https?:\/\/[^\s@#]+$/, 'expected http(s)://HOST[:PORT]/PATH without user and password').describe('where events are posted; redirections are not followed').meta({ secret: 'url' }),
  secret: z.string().regex(/^[\x21-\x7e]{16,256}$/, 'expected 16 to 256 printable characters').describe('signs each post: X-ViewLink-Signature is v1=HMAC-SHA256 of TIMESTAMP.BODY').meta({ secret: 'whole' }),
  events: z.array(z.string().regex(/^[a-z][a-z-]{0,40}$/, 'expected the type of an event')).max(64).default([]).describe('types of events that it gets; empty: all'),
  local: z.boolean().default(false).describe('true: the receiver is a program on this machine (loopback)'),
});

export const apiSchema = z.strictObject({
  listen: z.array(apiListen).max(8).default([]).describe('where the HTTP API is served; empty: nowhere; in a pair each node has its own'),
  certificateFile: file.default('').describe('PEM, the chain; empty: one that vouches for itself, made at the first start'),
  keyFile: file.default('').describe('PEM, its private key'),
  tokenMinutes: z.int().min(1).max(60).default(15).describe('an access token is valid so long'),
  refreshHours: z.int().min(1).max(720).default(12).describe('so long after a log-in it is renewed without the password'),
  metricsNetworks: z.array(cidr).max(64).default([]).describe('addresses that may read /metrics without a token'),
  maxConnections: z.int().min(8).max(10000).default(512).describe('in all, for each address that is listened on'),
  connectionsPerAddress: z.int().min(1).max(1000).default(64).describe('from one address; more are closed at once'),
  requestsPerS: z.int().min(1).max(10000).default(50).describe('from one address, on average; twice that at once'),
  requestTimeoutS: z.int().min(1).max(60).default(30).describe('a request that is not complete after this is cut'),
  webhooks: z.array(webhook).max(32).default([]).describe('receivers of events, besides those who listen at /api/v1/events'),
});

export type ApiConfig = z.infer<typeof apiSchema>;
export type ApiListen = ApiConfig['listen'][number];
export type WebhookConfig = ApiConfig['webhooks'][number];

/** Rules between its fields. */
export function* checkApi(api: ApiConfig): Generator<FieldProblem> {
  for (const [i, { address, tls, port }] of api.listen.entries()) {
    if (!tls && !isLoopback(address)) yield { path: ['api', 'listen', i, 'tls'], why: 'without TLS only a loopback address' };
    if (api.listen.findIndex(other => other.port === port && overlap(other.address, address)) < i) yield { path: ['api', 'listen', i, 'port'], why: `${address} port ${port} is there already` };
  }
  if ((api.certificateFile === '') !== (api.keyFile === '')) yield { path: ['api', 'keyFile'], why: 'certificateFile and keyFile go together' };
  for (const [i, { name, url, local }] of api.webhooks.entries()) {
    if (api.webhooks.findIndex(other => other.name === name) < i) yield { path: ['api', 'webhooks', i, 'name'], why: `webhook ${name} is there already` };
    const problem = webhookHostProblem(url, local);
    if (problem !== null) yield { path: ['api', 'webhooks', i, 'url'], why: problem };
  }
}
