import { once } from 'node:events';
import { type Server, createServer } from 'node:net';
import t from 'tap';
import { GatewayError } from '#core/result.ts';
import { createLog } from '#kit/log.ts';
import { WhenHere } from '#kit/when-here.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../rig/until.ts';

const log = createLog('test', 'silent');
/** Nobody's (RFC 5737). */
const ELSEWHERE = '192.0.2.1';

async function listenAt(host: string, port = 0): Promise<AsyncDisposable & { readonly server: Server }> {
  const server = createServer();
  server.listen(port, host);
  await once(server, 'listening');
  return { server, [Symbol.asyncDispose]: () => new Promise(resolve => void server.close(() => resolve())) };
}

t.test('an address that is elsewhere is listened at as soon as it is here; nothing else is waited for', async t => {
  const clock = new ManualClock();
  let host = ELSEWHERE;
  const opened: Server[] = [];
  const open = async (): Promise<AsyncDisposable> => {
    const listening = await listenAt(host).catch((error: unknown) => {
      throw new GatewayError('MEDIA_UNAVAILABLE', {}, { cause: error });
    });
    opened.push(listening.server);
    return listening;
  };
  const place = await WhenHere.open({ open, what: 'test', address: ELSEWHERE, clock, log });
  t.equal(clock.scheduled, 1);
  clock.advance(100);
  await until('it is tried again', () => clock.scheduled === 1);
  t.equal(opened.length, 0);
  host = '127.0.0.1';
  clock.advance(100);
  await until('it listens', () => opened.length === 1);
  t.equal(clock.scheduled, 0);
  await place[Symbol.asyncDispose]();
  t.equal(opened[0]!.listening, false);
  await using taken = await listenAt('127.0.0.1');
  const { port } = taken.server.address() as { readonly port: number };
  await t.rejects(WhenHere.open({ open: () => listenAt('127.0.0.1', port), what: 'test', address: '127.0.0.1', clock, log }), { code: 'EADDRINUSE' });
});

t.test('closed while it waits', async t => {
  const clock = new ManualClock();
  const place = await WhenHere.open({ open: () => listenAt(ELSEWHERE), what: 'test', address: ELSEWHERE, clock, log });
  await place[Symbol.asyncDispose]();
  t.equal(clock.scheduled, 0);
});
