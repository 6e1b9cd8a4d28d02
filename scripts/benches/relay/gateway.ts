/** The real mediad as a process, and its bridges for the bench. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LegTransport, MediadRequests } from '#contracts/mediad.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';
import { NO_STRAIN } from '../../lab/gateway.ts';
import { residentKiB, start } from './children.ts';
import { LOOPBACK, type StreamTarget } from './wire.ts';

const ROOT = new URL('../../../', import.meta.url);
const PEER = { allowed: [LOOPBACK], latch: 'strict' } as const;
const SILENCE_MS = 600_000;

/** What the unit passes to node. */
function unitFlags(): string[] {
  const unit = readFileSync(new URL('systemd/viewlink-mediad@.service', ROOT), 'utf8');
  return /^ExecStart=\S+((?: --\S+)*) \S+main\.ts/m.exec(unit)?.[1]?.split(' ').filter(flag => flag !== '') ?? [];
}

export interface Gateway extends AsyncDisposable {
  readonly pid: number;
  readonly rpc: RpcClient<MediadRequests>;
  readonly idleKiB: number;
}

/** `more`: further keys of its `media` section. */
export async function startGateway(streams: number, more: Readonly<Record<string, number>> = {}): Promise<Gateway> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-relay-'));
  const config = join(directory, 'gateway.yaml');
  writeFileSync(config, JSON.stringify({ rpc: { directory }, media: { maxBridges: streams + 1, maxCpuPercent: 0, strain: NO_STRAIN, ports: { first: 20_000, last: 29_999 }, ...more } }));
  // Its first log line says that it is ready.
  const daemon = await start(process.execPath, [...unitFlags(), fileURLToPath(new URL('daemons/mediad/main.ts', ROOT)), '--config', config]);
  const rpc = await connectRpc<MediadRequests>(join(directory, 'mediad-1.sock'));
  return {
    pid: daemon.pid,
    rpc,
    idleKiB: residentKiB(daemon.pid),
    async [Symbol.asyncDispose]() {
      await rpc[Symbol.asyncDispose]();
      daemon.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Wake-ups of mediad since it started, by the datagrams that they brought at least. */
export async function wakesOf({ rpc }: Gateway): Promise<Map<number, number>> {
  const counters = Object.entries(await rpc.call('counters', {}));
  return new Map(counters.flatMap(([name, count]) => (name.startsWith('udp.wakes.') ? [[Number(name.slice('udp.wakes.'.length)), count]] : [])));
}

export interface BridgePlan {
  readonly source: 'udp' | 'tcp-passive';
  readonly sink: 'udp' | 'tcp-active';
  readonly pictures: 'whole' | 'as-received';
  readonly streams: number;
  readonly cameraPort: number;
  /** Where stream i is to arrive. */
  readonly platformPort: (stream: number) => number;
}

/** Opens a bridge per stream; answers where the cameras send. */
export async function openBridges({ rpc }: Gateway, { source, sink, pictures, streams, cameraPort, platformPort }: BridgePlan): Promise<StreamTarget[]> {
  const targets: StreamTarget[] = [];
  for (let stream = 0; stream < streams; stream++) {
    const bridgeId = `bridge-${stream}`;
    const ssrc = 1000 + stream;
    const { local } = await rpc.call('openSource', { bridgeId, transport: source satisfies LegTransport, localAddress: LOOPBACK, ssrc, peer: PEER, silenceMs: SILENCE_MS, label: '' });
    await rpc.call('connectSource', { bridgeId, remote: { address: LOOPBACK, port: cameraPort }, ssrc, ssrcPolicy: 'exact', payloadType: 96 });
    await rpc.call('openSink', { bridgeId, sinkId: 'sink', transport: sink, localAddress: LOOPBACK, remote: { address: LOOPBACK, port: platformPort(stream) }, ssrc: 5000 + stream, payloadType: 96, peer: PEER, pictures, connectTimeoutMs: 5000, label: '' });
    await rpc.call('startSink', { bridgeId, sinkId: 'sink' });
    targets.push({ ssrc, port: local.port });
  }
  return targets;
}

export async function closeBridges({ rpc }: Gateway): Promise<void> {
  const { bridges } = await rpc.call('listBridges', {});
  for (const { bridgeId } of bridges) await rpc.call('closeBridge', { bridgeId });
}
