/** Addresses of RTMP servers: rtmp://ADDRESS[:PORT]/APP/STREAM. The app may have several segments; the stream is the last, with its query. */
import { isIp } from '../ip.ts';
import { type Result, fail, ok } from '../result.ts';
import type { RtmpTarget } from './client-session.ts';

const MAX_CHARS = 1024;
const DEFAULT_PORT = 1935;
const MAX_PORT = 65535;

export interface RtmpUrl {
  readonly address: string;
  readonly port: number;
  readonly target: RtmpTarget;
  /** For logs: without the stream, which is often a secret. */
  readonly shown: string;
}

export function parseRtmpUrl(text: string): Result<RtmpUrl> {
  const form = text.length <= MAX_CHARS ? /^rtmp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?\/([^?\s]+)(?:\?(\S*))?$/.exec(text) : null;
  if (form === null) return fail(0, 'expected rtmp://ADDRESS[:PORT]/APP/STREAM');
  const address = form[1] ?? form[2]!;
  if (!isIp(address)) return fail(7, 'not an address');
  const port = form[3] === undefined ? DEFAULT_PORT : Number(form[3]);
  if (port < 1 || port > MAX_PORT) return fail(7 + address.length, 'not a port');
  const segments = form[4]!.split('/').filter(segment => segment !== '');
  const name = segments.pop();
  if (name === undefined || segments.length === 0) return fail(text.length, 'no app, or no stream');
  const app = segments.join('/');
  const authority = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const tcUrl = `rtmp://${authority}/${app}`;
  return ok({ address, port, target: { app, stream: form[5] === undefined ? name : `${name}?${form[5]}`, tcUrl }, shown: tcUrl });
}
