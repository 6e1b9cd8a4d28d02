import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { MediadEvent, MediadRequests } from '#contracts/mediad.ts';
import { createLog } from '#kit/log.ts';
import { connectRpc } from '#kit/rpc.ts';
import { OrphanWatch } from '../../daemons/mediad/orphans.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { cameraStream, nextPicture, sinkParams, sourceParams, UdpPeer, until } from './mediad-peers.ts';

const MAIN = fileURLToPath(new URL('../../daemons/mediad/main.ts', import.meta.url));

interface Mediad {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[];
  readonly directory: string;
  readonly socket: string;
  configure(media: object): void;
}

function launch(directory: string, instance = 1, maxFiles?: number): Mediad {
  const config = join(directory, 'gateway.yaml');
  const configure = (media: object): void => writeFileSync(config, JSON.stringify({ rpc: { directory }, media: { ports: { first: 9_500, last: 9_599 }, ...media } }));
  if (!existsSync(config)) configure({});
  const command = [process.execPath, MAIN, '--config', config, '--instance', String(instance)];
  const limited = maxFiles === undefined ? command : ['bash', '-c', `ulimit -n ${maxFiles}; exec "$@"`, 'limited', ...command];
  const child = spawn(limited[0]!, limited.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: Record<string, unknown>[] = [];
  createInterface(child.stdout).on('line', line => lines.push(JSON.parse(line) as Record<string, unknown>));
  return { child, lines, directory, socket: join(directory, `mediad-${instance}.sock`), configure };
}

const ready = (mediad: Mediad): Promise<void> => until('mediad is ready', () => mediad.lines.some(line => line['msg'] === 'mediad.ready'), 20_000);

t.test('the process: owners come and go, media flows on; reload; a clean end', { timeout: 60_000 }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'mediad-process-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const mediad = launch(directory);
  t.teardown(() => mediad.child.kill('SIGKILL'));
  await ready(mediad);
  const [camera, platform] = [await UdpPeer.open(), await UdpPeer.open()];
  const first = await connectRpc<MediadRequests, MediadEvent>(mediad.socket);
  const { local } = await first.call('openSource', sourceParams('b', { ssrc: 7 }));
  await first.call('connectSource', { bridgeId: 'b', remote: camera.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 });
  await first.call('openSink', sinkParams('b', platform.endpoint));
  await first.call('startSink', { bridgeId: 'b', sinkId: 's1' });
  const stream = cameraStream(7);
  await camera.send(local, ...nextPicture(stream));
  await first[Symbol.asyncDispose]();
  for (let i = 0; i < 20; i++) await camera.send(local, ...nextPicture(stream));
  await until('all pictures without an owner', () => platform.packets.length === 63);
  t.ok(platform.payload.equals(Buffer.concat(stream.sent)));

  const events: MediadEvent[] = [];
  const second = await connectRpc<MediadRequests, MediadEvent>(mediad.socket, { onEvent: event => events.push(event) });
  t.match(await second.call('listBridges', {}), { bridges: [{ bridgeId: 'b', source: { state: 'flowing', packets: 63 }, sinks: [{ sinkId: 's1', packets: 63 }] }] });
  await t.rejects(second.call('openSource', sourceParams('b')), { code: 'BAD_REQUEST' });
  await t.rejects(second.call('openSource', sourceParams('c', { ssrc: -1 })), { code: 'BAD_REQUEST' });
  await t.rejects(second.call('connectSource', { bridgeId: 'none', remote: camera.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 }), { code: 'BRIDGE_UNKNOWN' });
  const { local: silent } = await second.call('openSource', sourceParams('silent', { silenceMs: 50, ssrc: 8 }));
  await second.call('connectSource', { bridgeId: 'silent', remote: camera.endpoint, ssrc: 8, ssrcPolicy: 'exact', payloadType: 96 });
  await until('event', () => events.some(event => event.type === 'source-silent' && event.bridgeId === 'silent'));
  await camera.send(silent, ...nextPicture(cameraStream(9)));
  await until('one log line for strays', () => mediad.lines.some(line => line['msg'] === 'media.stray' && line['reason'] === 'wrong-ssrc'));
  t.match(await second.call('load', {}), { instance: '1', pid: mediad.child.pid, bridges: 2, sinks: 1, portsFree: 47 });
  t.match(await second.call('counters', {}), { 'packets.in': 63, 'packets.out': 63, 'source-silent': 1, 'strays': 3 });

  mediad.configure({ maxBridges: 2 });
  t.same(await second.call('reload', { sections: ['media'] }), { refused: null });
  await t.rejects(second.call('openSource', sourceParams('d')), { code: 'CAPACITY_EXHAUSTED' });
  mediad.configure({ maxBridges: 3, instances: 2 });
  t.match((await second.call('reload', { sections: ['media'] })).refused, /media\.instances: needs a restart/);
  await t.rejects(second.call('openSource', sourceParams('d')), { code: 'CAPACITY_EXHAUSTED' }, 'a refused reload changes nothing');

  mediad.child.kill('SIGTERM');
  const [code] = (await once(mediad.child, 'exit')) as [number];
  t.equal(code, 0);
  t.notOk(existsSync(mediad.socket));
  const free = await UdpPeer.open('127.0.0.1', local.port);
  for (const peer of [camera, platform, free]) await peer.close();

  mediad.configure({});
  const outOfRange = launch(directory, 2);
  const [wrong] = (await once(outOfRange.child, 'exit')) as [number];
  t.equal(wrong, 2, 'an instance that the configuration does not have');
});

t.test('with a node that stood still its address went elsewhere, and so did its packets: it ends no session for that when it wakes', { timeout: 60_000 }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'mediad-still-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const mediad = launch(directory);
  t.teardown(() => mediad.child.kill('SIGKILL'));
  await ready(mediad);
  const camera = await UdpPeer.open();
  const events: MediadEvent[] = [];
  const rpc = await connectRpc<MediadRequests, MediadEvent>(mediad.socket, { onEvent: event => events.push(event) });
  const { local } = await rpc.call('openSource', sourceParams('b', { silenceMs: 2000, ssrc: 7 }));
  await rpc.call('connectSource', { bridgeId: 'b', remote: camera.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 });
  await camera.send(local, ...nextPicture(cameraStream(7)));
  const silent = (): boolean => events.some(({ type }) => type === 'source-silent');
  await until('it flows', () => events.some(({ type }) => type === 'source-flowing'));
  mediad.child.kill('SIGSTOP');
  await new Promise(resolve => setTimeout(resolve, 4000));
  mediad.child.kill('SIGCONT');
  for (let i = 0; i < 10; i++) await rpc.call('load', {});
  t.equal(silent(), false, 'the other node goes on with it');
  await until('a silence of its own is told', silent, 10_000);
  await rpc[Symbol.asyncDispose]();
  await camera.close();
});

t.test('descriptors run out: refused with a code, nothing lost, and good again afterwards (fault 109)', { timeout: 60_000 }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'mediad-limit-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const mediad = launch(directory, 1, 64);
  t.teardown(() => mediad.child.kill('SIGKILL'));
  await ready(mediad);
  const rpc = await connectRpc<MediadRequests>(mediad.socket);
  const [camera, platform] = [await UdpPeer.open(), await UdpPeer.open()];
  const { local } = await rpc.call('openSource', sourceParams('first', { ssrc: 7 }));
  await rpc.call('connectSource', { bridgeId: 'first', remote: camera.endpoint, ssrc: 7, ssrcPolicy: 'exact', payloadType: 96 });
  await rpc.call('openSink', sinkParams('first', platform.endpoint));
  await rpc.call('startSink', { bridgeId: 'first', sinkId: 's1' });
  let opened = 0;
  const open = (): Promise<unknown> => rpc.call('openSource', sourceParams(`b${opened}`, { transport: opened % 2 === 0 ? 'udp' : 'tcp-passive' }));
  await t.rejects(
    (async () => {
      for (; opened < 60; opened++) await open();
    })(),
    { code: 'MEDIA_UNAVAILABLE', detail: { why: 'EMFILE' } },
  );
  t.ok(opened > 5);
  const stream = cameraStream(7);
  for (let i = 0; i < 5; i++) await camera.send(local, ...nextPicture(stream));
  await until('the running bridge', () => platform.packets.length === 15);
  await rpc.call('closeBridge', { bridgeId: 'b0' });
  await open();
  t.equal((await rpc.call('load', {})).bridges, opened + 1);
  await rpc[Symbol.asyncDispose]();
  mediad.child.kill('SIGTERM');
  t.same(await once(mediad.child, 'exit'), [0, null]);
  await camera.close();
  await platform.close();
});

t.test('orphans: closed when nobody was connected for the limit and they are silent for as long', async t => {
  const clock = new ManualClock();
  let clients = 1;
  const asked: number[] = [];
  const watch = new OrphanWatch({ bridges: { closeQuiet: quietMs => asked.push(quietMs) }, clock, log: createLog('mediad', 'silent'), limitMs: 300_000, clients: () => clients });
  clock.advance(1_000_000);
  t.same(asked, [], 'somebody is there');
  clients = 0;
  clock.advance(299_000);
  clients = 1;
  clock.advance(1000);
  clients = 0;
  clock.advance(299_999);
  t.same(asked, [], 'came back in time');
  clock.advance(1001);
  t.equal(asked[0], 300_000);
  watch.limitMs = 400_000;
  const before = asked.length;
  clock.advance(90_000);
  t.equal(asked.length, before, 'a reload that lengthens the limit counts');
  watch[Symbol.dispose]();
  t.equal(clock.scheduled, 0);
});
