/**
 * A standby goes through a takeover once, with what it knows, before it has to: code that has run before is several times as fast. All
 * of it stays among ourselves: the state is a copy of a part, SIP is bound to the loopback and sends nothing, and what this node's media
 * process opens leads from it to itself.
 */
import { createSocket } from 'node:dgram';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { RTP_HEADER_BYTES, writeRtpHeader } from '#core/rtp/packet.ts';
import { Closer } from '#kit/closer.ts';
import type { Log } from '#kit/log.ts';
import { mediadSocket } from '#kit/mediad-socket.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { SqliteStore } from '#kit/sqlite-store.ts';
import { TABLE_NAMES } from '#kit/sqlite-tables.ts';
import { Gateway } from './gateway.ts';
import { muteEndpoint } from './mute-endpoint.ts';

const HERE = '127.0.0.1';
/** Of each table: enough to have seen all of the code, and done within a fraction of a second. */
const ROWS = 400;
const ROUNDS = 3;
const BRIDGES = 24;
const PACKETS = 60;
const PAYLOAD_BYTES = 1200;
const SSRC = 99_999_999;

export interface RehearsalDeps {
  readonly config: GatewayConfig;
  readonly store: SqliteStore;
  readonly log: Log;
  /** It is serious now: no time for more. */
  readonly isOver: () => boolean;
}

/** Settles when it is over, whatever came of it. */
export async function rehearse({ config, store, log, isOver }: RehearsalDeps): Promise<void> {
  const quiet = log.child({ rehearsal: true });
  quiet.level = 'silent';
  try {
    for (let round = 0; round < ROUNDS && !isOver(); round++) await rehearseSignalling(alone(config), store, quiet);
    if (!isOver()) await rehearseMedia(mediadSocket(config.rpc.directory, '1'));
    log.info('rehearsal.done');
  } catch (error) {
    log.info({ why: (error as Error).message }, 'rehearsal.broken-off');
  }
}

/** Nobody is called from it, and it is in nobody's way. */
const alone = (config: GatewayConfig): GatewayConfig => ({
  ...config,
  sip: { ...config.sip, listen: [{ transport: 'udp', address: HERE, port: 0 }, { transport: 'tcp', address: HERE, port: 0 }] },
  upstreams: config.upstreams.map(upstream => ({ ...upstream, enabled: false })),
});

async function rehearseSignalling(config: GatewayConfig, store: SqliteStore, log: Log): Promise<void> {
  using copy = new SqliteStore(':memory:', { log });
  for (const table of TABLE_NAMES) copy.rows.apply([...store.rows.all(table)].slice(0, ROWS).map(([key, row]) => ({ table, key, row })));
  await using closer = new Closer();
  const gateway = await Gateway.open(config, log, closer, copy, { dress: muteEndpoint });
  gateway.takeIn(true);
}

async function rehearseMedia(socket: string): Promise<void> {
  await using client = await connectRpc<MediadRequests>(socket);
  const names = Array.from({ length: BRIDGES }, (_, i) => `rehearsal-${process.pid}-${i}`);
  try {
    const ports = await Promise.all(names.map(name => openBridge(name, client)));
    await sendTo(ports);
    await client.call('listBridges', {});
  } finally {
    for (const bridgeId of names) await client.call('closeBridge', { bridgeId });
  }
}

/** From a port of ours to the discard port of ourselves (RFC 863). */
async function openBridge(bridgeId: string, client: RpcClient<MediadRequests>): Promise<number> {
  const common = { bridgeId, transport: 'udp', localAddress: HERE, ssrc: SSRC, peer: { allowed: [HERE], latch: 'nat' }, label: 'rehearsal' } as const;
  const { local } = await client.call('openSource', { ...common, silenceMs: 60_000 });
  await client.call('connectSource', { bridgeId, remote: local, ssrc: SSRC, ssrcPolicy: 'adopt', payloadType: 96 });
  await client.call('openSink', { ...common, sinkId: bridgeId, remote: { address: HERE, port: 9 }, payloadType: 96, connectTimeoutMs: 1000 });
  await client.call('startSink', { bridgeId, sinkId: bridgeId });
  return local.port;
}

async function sendTo(ports: readonly number[]): Promise<void> {
  const socket = createSocket('udp4');
  const packet = Buffer.alloc(RTP_HEADER_BYTES + PAYLOAD_BYTES);
  try {
    for (let sequence = 0; sequence < PACKETS; sequence++) {
      writeRtpHeader(packet, 0, sequence % 4 === 3, 96, sequence, (sequence >> 2) * 3600, SSRC);
      await Promise.all(ports.map(port => new Promise<void>((sent, failed) => socket.send(packet, port, HERE, error => (error === null ? sent() : failed(new GatewayError('MEDIA_UNAVAILABLE', { why: error.message })))))));
    }
  } finally {
    await new Promise<void>(closed => socket.close(closed));
  }
}
