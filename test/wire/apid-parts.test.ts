/** Parts of apid by themselves: events that wait for webhooks over a restart, where they are posted, and addresses that come up late. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ApidRequests } from '#contracts/apid.ts';
import type { WebhookConfig } from '#core/config/api-schema.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { Counters } from '#kit/counters.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { ownAddress } from '#kit/net.ts';
import { systemRandom as random } from '#kit/random.ts';
import { connectRpc } from '#kit/rpc.ts';
import { EventHub } from '../../daemons/apid/event-hub.ts';
import { startApid } from '../../daemons/apid/main.ts';
import { post } from '../../daemons/apid/webhook-post.ts';
import { WebhookStore } from '../../daemons/apid/webhook-store.ts';
import { Webhooks } from '../../daemons/apid/webhooks.ts';
import { FastClock } from '../rig/fast-clock.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

const directory = mkdtempSync(join(tmpdir(), 'viewlink-apid-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const log = createLog('test', 'fatal');

/** A receiver that answers what it is told, and keeps what it took. */
async function receiver(port: number, answer: (event: { readonly data: { readonly number: number } }) => number): Promise<Disposable & { readonly taken: number[] }> {
  const taken: number[] = [];
  const server = createHttp((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk)).on('end', () => {
      const event = JSON.parse(Buffer.concat(chunks).toString()) as { readonly data: { readonly number: number } };
      const status = answer(event);
      if (status < 300) taken.push(event.data.number);
      response.writeHead(status, { Location: 'http://127.0.0.1:1/' }).end();
    });
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { taken, [Symbol.dispose]: () => void server.close().closeAllConnections() };
}

await t.test('events that wait outlive apid, and go to nobody who only has the name of their receiver', async t => {
  const port = await freePort();
  const hook: WebhookConfig = { name: 'ops', url: `http://127.0.0.1:${port}/a`, secret: 's'.repeat(20), events: [], local: true };
  const events = new EventHub(clock, random);
  const quick = new FastClock(10);
  const open = (webhooks: readonly WebhookConfig[], closer: Closer): Webhooks => {
    const store = closer.use(new WebhookStore(directory, clock, log));
    const opened = closer.use(new Webhooks({ clock: quick, hashes, log, counters: new Counters(), events, store, node: () => 'here' }));
    opened.configure(webhooks);
    return opened;
  };
  const put = (number: number): void => events.put({ type: 'device-offline', number } as never);
  {
    await using closer = new Closer();
    const webhooks = open([hook], closer);
    for (let i = 1; i <= 5; i++) put(i);
    t.match(webhooks.rows, [{ queued: 5, delivered: 0 }]);
    await until('it was tried', () => webhooks.rows[0]!.why === 'ECONNREFUSED');
  }
  using there = await receiver(port, ({ data: { number } }) => (number === 3 ? 422 : 204));
  {
    await using closer = new Closer();
    const webhooks = open([{ ...hook, secret: 'another-secret-of-it' }], closer);
    put(6);
    // Three waits of a second, two and four: the one that it will never take.
    await until('all but the one that it never takes', () => webhooks.rows[0]!.delivered === 5, 15_000);
    t.same(there.taken, [1, 2, 4, 5, 6], 'in order, and no one waits for the one');
    t.match(webhooks.rows, [{ queued: 0, dropped: 1, lastDropWallMs: Number }]);
    webhooks.configure([{ ...hook, url: `http://127.0.0.1:1/a` }]);
    put(7);
    t.match(webhooks.rows, [{ queued: 1 }]);
    webhooks.configure([hook]);
    t.match(webhooks.rows, [{ queued: 0 }], 'what waited for another place goes nowhere');
  }
});

await t.test('nothing is posted to this machine under any name, nor where a redirection points', async t => {
  const port = await freePort();
  let asked = 0;
  using _there = await receiver(port, () => ((asked += 1), 302));
  const to = (url: string, local = false): Promise<number | string> => post({ url, local, headers: {}, body: '{"data":{"number":1}}', clock });
  const names = ['localhost', hostname(), ownAddress(), '127.0.0.1', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '[::ffff:127.0.0.1]', '[::1]', '0.0.0.0'];
  for (const name of names) t.match(await to(`http://${name}:${port}/`), /^(FORBIDDEN_TARGET|ENOTFOUND|EAI_AGAIN)$/, name);
  t.equal(asked, 0);
  t.equal(await to(`http://127.0.0.1:${port}/`, true), 302, 'but where the configuration says so');
  t.equal(asked, 1);
});

await t.test('an address that is not there when apid begins is served as soon as it is', async t => {
  const [first, second] = [await freePort(), await freePort()];
  const inTheWay = createServer().listen(second, '127.0.0.88');
  await once(inTheWay, 'listening');
  const configPath = join(directory, 'gateway.yaml');
  const listen = [{ address: '127.0.0.1', port: first, tls: false }, { address: '127.0.0.88', port: second, tls: false }];
  writeFileSync(configPath, JSON.stringify({ rpc: { directory: join(directory, 'run') }, state: { directory: join(directory, 'state') }, log: { level: 'error' }, api: { listen } }));
  await using apid = await startApid(configPath);
  await using rpc = await connectRpc<ApidRequests>(join(directory, 'run/apid.sock'));
  t.match((await rpc.call('status', {})).listening, [{ address: '127.0.0.1', why: null }, { address: '127.0.0.88', why: /cannot be bound: EADDRINUSE/ }]);
  t.equal((await fetch(`http://127.0.0.1:${first}/healthz`)).status, 200, 'the other is served meanwhile');
  writeFileSync(configPath, JSON.stringify({ rpc: { directory: join(directory, 'run') }, state: { directory: join(directory, 'state') }, log: { level: 'error' }, api: { listen, requestsPerS: 77 } }));
  t.equal(await apid.reload!(), null, 'and something else may be changed');
  inTheWay.close();
  await until('it is served', async () => (await rpc.call('status', {})).listening.every(({ why }) => why === null));
  t.equal((await fetch(`http://127.0.0.88:${second}/healthz`)).status, 200);
});
