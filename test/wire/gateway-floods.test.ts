/** Floods, scanners and connections that only hold a place (faults 23-26): whoever is known is served as before, memory and log stay small. */
import { readFileSync } from 'node:fs';
import { type Socket as TcpSocket, connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { Call, GbDevice, GbPeer, GbPlatform, item, offer } from '../rig/gb-peer.ts';
import { RawPeer } from '../rig/raw-peer.ts';
import { requestBytes, token } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

const LOCAL_ID = '34020000002000000002';
const CHANNEL = '34020000001320000001';
const sipPort = await freePort('127.0.0.1');
const gateway = { address: '127.0.0.1', port: sipPort };
await using platform = await GbPlatform.open({ id: '34020000002000000099', address: '127.0.0.10' }, gateway);
await using lab = await LabGateway.open({ sipPort, mediaPorts: { first: 12_000, last: 19_999 }, config: { upstreams: [{ name: 'up', id: platform.id, localId: LOCAL_ID, address: '127.0.0.10', port: platform.raw.port }] } });
await using rpc = await lab.rpc();
const counter = async (name: string): Promise<number> => (await rpc.call('counters', {}))[name] ?? 0;
const rssMiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.sipd.pid}/status`, 'utf8'))![1]) / 1024;
const logLines = (): number => readFileSync(join(lab.directory, 'sipd.log'), 'utf8').split('\n').length;

await using camera = await GbDevice.open(lab, { id: '34020000001180000001', address: '127.0.0.20' });
camera.items = [item(CHANNEL)];
camera.onInvite = invite => camera.raw.answer(invite, 486);
await camera.register();
await until('its channel', async () => (await rpc.call('listChannels', {})).total === 1);

const STRANGER = { uri: `sip:${CHANNEL}@3402000000`, from: '<sip:100@1.1.1.1>;tag=f', to: `<sip:${CHANNEL}@3402000000>` };
const EVERY_MS = 10;

/** Runs `burst` a hundred times a second while known peers do what they always do; how long they waited, sorted. */
async function servedDuring(durationMs: number, burst: () => void): Promise<number[]> {
  const waits: number[] = [];
  const timed = async (what: Promise<unknown>): Promise<void> => {
    const began = performance.now();
    await what;
    waits.push(performance.now() - began);
  };
  const flood = setInterval(burst, EVERY_MS);
  try {
    for (const end = performance.now() + durationMs; performance.now() < end; ) {
      const call = new Call(platform, CHANNEL, offer({ address: '127.0.0.10', y: `01${String(waits.length).padStart(8, '0')}` }));
      await Promise.all([timed(camera.keepalive()), timed(call.final())]);
      if (call.answer!.status !== 486) throw new Error(`a known platform was answered ${call.answer!.status}`);
      call.ack({ branch: call.parts.branch! });
    }
  } finally {
    clearInterval(flood);
  }
  return waits.sort((x, y) => x - y);
}
const p99 = (waits: readonly number[]): number => waits[Math.floor(waits.length * 0.99)]!;

/** 512 connections that give an octet now and then; what becomes of them shows while the floods run. */
const ADDRESSES = 64;
const PER_ADDRESS = 8;
const half: TcpSocket[] = [];
const beganAt = performance.now();
const closedAfter: number[] = [];
for (let address = 1; address <= ADDRESSES; address += 1) {
  for (let index = 0; index < PER_ADDRESS; index += 1) {
    const socket = connect({ host: gateway.address, port: sipPort, localAddress: `127.0.26.${address}` });
    socket.on('error', () => undefined);
    socket.on('connect', () => socket.write('REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/TCP '));
    socket.on('close', () => closedAfter.push(performance.now() - beganAt));
    half.push(socket);
  }
}
const drip = setInterval(() => half.forEach(socket => socket.writable && socket.write('x')), 1000);

await t.test('fault 23: INVITEs of a stranger, thousands a second', async t => {
  await using source = await RawPeer.udp(gateway, '127.0.23.1');
  const place = { ...source.place, transport: 'UDP' as const };
  const before = { rss: rssMiB(), lines: logLines() };
  let sent = 0;
  const waits = await servedDuring(1500, () => {
    for (let index = 0; index < 30; index += 1, sent += 1) source.send(requestBytes({ method: 'INVITE', ...STRANGER, callId: token(), contact: source.contact('100'), contentType: 'APPLICATION/SDP', body: offer() }, place));
  });
  t.ok(sent > 2500, `${sent} were sent`);
  t.ok(waits.length > 50 && p99(waits) < 500, `known peers waited ${Math.round(p99(waits))} ms at most, ${waits.length} times`);
  t.ok(source.heard.filter(message => message.status === 403).length <= 100, 'the flood is answered at its rate, the rest is dropped unread');
  t.ok((await counter('sip.dropped.rate')) > 2000);
  t.comment(`RSS ${Math.round(before.rss)} -> ${Math.round(rssMiB())} MiB`);
  t.ok(rssMiB() - before.rss < 64, `${Math.round(rssMiB() - before.rss)} MiB more`);
  t.ok(logLines() - before.lines < waits.length * 2 + 40, 'the log counts it in place of writing it');
});

await t.test('fault 23: a platform that we know asks a thousand times a second for what there is not', async t => {
  let sent = 0;
  const waits: number[] = [];
  const storm = setInterval(() => {
    for (let index = 0; index < 10; index += 1) platform.raw.request({ ...platform.parts('INVITE', '34020000001320009999', { contact: platform.raw.contact('x'), contentType: 'APPLICATION/SDP', body: offer({ address: '127.0.0.10' }) }), branch: `z9hG4bK${token()}`, callId: `storm-${(sent += 1)}` });
  }, EVERY_MS);
  for (const end = performance.now() + 1000; performance.now() < end; ) {
    const began = performance.now();
    if ((await camera.keepalive()) !== 200) t.fail('a device beside it is refused');
    waits.push(performance.now() - began);
  }
  clearInterval(storm);
  await until('each answered 404', () => platform.raw.heard.filter(message => message.status === 404 && message.callId.startsWith('storm-')).length >= sent, 5000);
  waits.sort((x, y) => x - y);
  t.ok(p99(waits) < 500, `a device beside it waited ${Math.round(p99(waits))} ms at most`);
  t.same(await rpc.call('listSessions', {}), []);
});

await t.test('fault 24: REGISTERs of many sources that never come back', async t => {
  const sources = await Promise.all(Array.from({ length: 250 }, (_, index) => RawPeer.udp(gateway, `127.24.${index >> 7}.${(index & 127) + 1}`)));
  let sent = 0;
  const flood = (): void => {
    for (let index = 0; index < 30; index += 1, sent += 1) {
      const source = sources[sent % sources.length]!;
      const from = `<sip:3402000000118${String(sent).padStart(7, '0')}@3402000000>`;
      source.send(requestBytes({ method: 'REGISTER', uri: 'sip:34020000002000000001@3402000000', from: `${from};tag=f`, to: from, callId: token(), contact: source.contact('x'), headers: ['Expires: 3600'] }, { ...source.place, transport: 'UDP' }));
    }
  };
  const before = { rss: rssMiB(), lines: logLines() };
  const waits = await servedDuring(1500, flood);
  t.ok(sent > 2500, `${sent} were sent`);
  t.ok(p99(waits) < 1500, `known peers waited ${Math.round(p99(waits))} ms at most`);
  t.comment(`RSS ${Math.round(before.rss)} -> ${Math.round(rssMiB())} MiB`);
  t.ok(rssMiB() - before.rss < 64, `${Math.round(rssMiB() - before.rss)} MiB more`);
  t.equal((await rpc.call('listDevices', {})).length, 1, 'nobody was noted');
  t.ok(logLines() - before.lines < waits.length * 2 + 40);
  for (const source of sources) await source[Symbol.asyncDispose]();
});

await t.test('fault 25: scanners hear nothing, and learn nothing', async t => {
  await using scanner = await RawPeer.udp(gateway, '127.0.25.1');
  const place = { ...scanner.place, transport: 'UDP' as const };
  for (const agent of ['friendly-scanner', 'sipvicious', 'sipcli/v1.8', 'VaxSIPUserAgent/3.5', 'pplsip']) {
    for (const method of ['REGISTER', 'INVITE', 'OPTIONS']) scanner.send(requestBytes({ method, ...STRANGER, headers: [`User-Agent: ${agent}`] }, place));
  }
  for (let extension = 100; extension < 110; extension += 1) scanner.send(requestBytes({ method: 'OPTIONS', ...STRANGER, uri: `sip:${extension}@127.0.0.1` }, place));
  const proof = await scanner.ask({ method: 'MESSAGE', ...STRANGER, body: 'x' });
  t.equal(proof.status, 403);
  t.equal(scanner.heard.length, 1, 'the only word');
  t.equal(proof.header('User-Agent') + proof.header('Server') + proof.header('Allow'), '', 'and it does not say who we are');
  t.ok((await counter('sip.dropped.scanner')) >= 15);
});

await t.test('fault 26: connections that never finish a message are closed after five seconds, and keep nobody out', async t => {
  const dialled = performance.now();
  await using peer = await RawPeer.tcp(gateway, '127.0.0.10');
  const known = new GbPeer(peer, platform.id, gateway);
  t.equal((await known.ask('OPTIONS', LOCAL_ID)).status, 200);
  t.ok(performance.now() - dialled < 200, 'a known peer connects and is answered at once');
  t.ok(closedAfter.every(after => after > 4500), 'none was closed before its time');
  await until('all of them closed', () => closedAfter.length === half.length, 9000);
  t.ok(Math.max(...closedAfter) < 8000, `the last after ${Math.round(Math.max(...closedAfter))} ms`);
  t.equal(await counter('sip.tcp.header-timeout'), half.length);
  t.equal((await known.ask('OPTIONS', LOCAL_ID)).status, 200, 'the connection of the known peer stands');

  await using ninth = await RawPeer.tcp(gateway, '127.0.26.200');
  const more = Array.from({ length: 9 }, () => connect({ host: gateway.address, port: sipPort, localAddress: '127.0.26.200' }));
  for (const socket of more) socket.on('error', () => undefined);
  await until('refused', async () => (await counter('sip.tcp.refused.peer')) >= 2);
  for (const socket of more) socket.destroy();
  t.equal((await ninth.ask({ method: 'MESSAGE', ...STRANGER, body: 'x' })).status, 403, 'more than eight of one stranger are not taken; those that stand are served');
});

await t.test('the same process, everybody served', async t => {
  clearInterval(drip);
  t.equal(lab.sipd.restarts, 0);
  t.equal(await camera.keepalive(), 200);
});
