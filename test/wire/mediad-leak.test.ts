import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import t from 'tap';
import type { Endpoint, LegTransport } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { cameraStream, LOCAL, nextPicture, openRig, type Rig, sinkParams, sourceParams, TcpHost, TcpPeer, UdpPeer, until } from './mediad-peers.ts';

/** What the kernel says of these sockets: state and addresses, for the one who has to find the leak. */
const kernelLines = (inodes: readonly string[]): string[] =>
  ['tcp', 'udp', 'unix'].flatMap(kind => readFileSync(`/proc/net/${kind}`, 'latin1').split('\n').filter(line => inodes.some(inode => line.includes(inode))).map(line => `${kind} ${line.trim()}`));

const CYCLES = 2250;
const WORKERS = 6;
const TRANSPORTS: readonly LegTransport[] = ['udp', 'tcp-active', 'tcp-passive'];
const SSRC = 77;

/** Sockets of this process, by inode. */
function openSockets(): string[] {
  return readdirSync('/proc/self/fd').flatMap(file => {
    try {
      const target = readlinkSync(`/proc/self/fd/${file}`);
      return target.startsWith('socket:') ? [target.slice('socket:['.length, -1)] : [];
    } catch {
      return [];
    }
  });
}

/** Ways a session ends before its time. */
const ENDINGS = ['after media', 'nothing connected', 'camera hangs up', 'camera resets', 'platform resets', 'closed while opening', 'closed while connecting', 'sink never started', 'sink closed first'] as const;

interface Far {
  readonly endpoint: Endpoint;
  dial(to: Endpoint): Promise<void>;
  send(to: Endpoint, packets: Buffer[]): void;
  hangUp(how: 'end' | 'reset'): void;
  close(): Promise<void>;
}

/** The far end of a leg, ready before the leg is. */
async function farEnd(transport: LegTransport): Promise<Far> {
  if (transport === 'udp') {
    const peer = await UdpPeer.open();
    return { endpoint: peer.endpoint, dial: async () => undefined, send: (to, packets) => void peer.send(to, ...packets), hangUp: () => undefined, close: () => peer.close() };
  }
  const host = transport === 'tcp-active' ? await TcpHost.open() : undefined;
  const dialled: TcpPeer[] = [];
  const peers = (): TcpPeer[] => host?.peers ?? dialled;
  return {
    endpoint: host?.endpoint ?? { address: LOCAL, port: 9 },
    dial: async to => {
      if (host === undefined) dialled.push(await TcpPeer.connect(to));
    },
    send: (_to, packets) => peers()[0]?.send(...packets),
    hangUp: how => {
      for (const { socket } of peers()) if (how === 'reset') socket.resetAndDestroy();
      else socket.end();
    },
    close: async () => {
      for (const peer of peers()) peer.close();
      host?.close();
    },
  };
}

async function cycle(rig: Rig, number: number): Promise<void> {
  const { bridges } = rig;
  const bridgeId = `bridge-${number}`;
  const source = TRANSPORTS[number % 3]!;
  const sink = TRANSPORTS[Math.floor(number / 3) % 3]!;
  const ending = ENDINGS[Math.floor(number / 9) % ENDINGS.length]!;
  const camera = await farEnd(source);
  const platform = await farEnd(sink);
  try {
    const opening = bridges.openSource(sourceParams(bridgeId, { transport: source, ssrc: SSRC }));
    if (ending === 'closed while opening') {
      await bridges.closeBridge({ bridgeId });
      await opening.catch((error: unknown) => {
        if (!(error instanceof GatewayError)) throw error;
      });
      return;
    }
    const { local } = await opening;
    const { local: sinkLocal } = await bridges.openSink(sinkParams(bridgeId, platform.endpoint, { transport: sink }));
    if (ending === 'nothing connected') return;
    await camera.dial(local);
    bridges.connectSource({ bridgeId, remote: camera.endpoint, ssrc: SSRC, ssrcPolicy: 'exact', payloadType: 96 });
    if (ending === 'sink never started') return;
    bridges.startSink({ bridgeId, sinkId: 's1' });
    if (ending === 'closed while connecting') return;
    await platform.dial(sinkLocal);
    const stream = cameraStream(SSRC);
    const flows = (): boolean => rig.events.some(event => event.type === 'sink-flowing' && event.bridgeId === bridgeId);
    await until(`${bridgeId} flows`, () => {
      camera.send(local, nextPicture(stream, { bytes: 500 }));
      return flows();
    });
    if (ending === 'camera hangs up') camera.hangUp('end');
    if (ending === 'camera resets') camera.hangUp('reset');
    if (ending === 'platform resets') platform.hangUp('reset');
    if (ending === 'sink closed first') await bridges.closeSink({ bridgeId, sinkId: 's1' });
    camera.send(local, nextPicture(stream, { bytes: 500 }));
  } finally {
    await bridges.closeBridge({ bridgeId });
    await camera.close();
    await platform.close();
  }
}

t.test(`${CYCLES} bridges over every transport, ended in every way: ports and descriptors come back (fault 109)`, { timeout: 120_000 }, async t => {
  const rig = openRig({ range: { first: 12_000, last: 21_999 }, maxBridges: WORKERS });
  const portsBefore = rig.bridges.load().portsFree;
  await cycle(rig, 0);
  const before = new Set(openSockets());
  let next = 1;
  await Promise.all(
    Array.from({ length: WORKERS }, async () => {
      while (next <= CYCLES) await cycle(rig, next++);
    }),
  );
  t.equal(rig.bridges.size, 0);
  const left = (): string[] => openSockets().filter(inode => !before.has(inode));
  await until('descriptors are back', () => left().length === 0).catch(() => t.same(kernelLines(left()), [], 'sockets are left'));
  await until('ports are back', () => rig.bridges.load().portsFree === portsBefore);
  const started = rig.events.filter(event => event.type === 'sink-flowing').length;
  t.ok(started > CYCLES / 2, `${started} of them carried media`);
  t.ok(rig.events.every(event => event.type !== 'source-closed' || event.why === 'peer-closed'), 'no source ended for a reason of ours');
  await rig.bridges[Symbol.asyncDispose]();
  t.same(process.getActiveResourcesInfo().filter(kind => /TCP|UDP/.test(kind)), [], 'no socket is left');
});
