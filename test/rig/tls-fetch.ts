/** fetch over node:https with a certificate of one's own trust: what an integrator passes to the client. */
import { Agent, request } from 'node:https';
import { Readable } from 'node:stream';

export interface TlsTrust {
  readonly ca: string;
  /** Client certificate and its key, PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** Name that the certificate must have; default: the address. */
  readonly servername?: string;
}

export type TlsFetch = ((url: string, init: RequestInit) => Promise<Response>) & Disposable;

export function tlsFetch(trust: TlsTrust): TlsFetch {
  const agent = new Agent({ ...trust, keepAlive: true });
  const fetchOver = (url: string, init: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { signal } = init;
      const sent = request(url, { method: init.method ?? 'GET', headers: init.headers as Record<string, string>, agent, ...(signal !== null && signal !== undefined && { signal }) }, received => {
        const status = received.statusCode!;
        const headers = new Headers(Object.entries(received.headers).map(([name, value]) => [name, String(value)] as [string, string]));
        if (status === 204) received.resume();
        resolve(new Response(status === 204 ? null : (Readable.toWeb(received) as ReadableStream), { status, headers }));
      });
      sent.once('error', reject);
      sent.end(init.body as string | undefined);
    });
  return Object.assign(fetchOver, { [Symbol.dispose]: () => agent.destroy() });
}
