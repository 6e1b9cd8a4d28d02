/** One camera through a real mediad, as it is or as a rendition: what mediad and its ffmpeg take, and when pictures come out. */
import { createSocket, type Socket } from 'node:dgram';
import type { AccessUnit } from '#core/media/h26x.ts';
import type { Rendition } from '#core/media/rendition.ts';
import { PsDemuxer } from '#core/ps/demux.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import { cpuSeconds } from '../relay/children.ts';
import { closeBridges, type Gateway } from '../relay/gateway.ts';
import { LOOPBACK } from '../relay/wire.ts';
import { pace } from './footage.ts';

const PEER = { allowed: [LOOPBACK], latch: 'strict' } as const;
const BRIDGE = { bridgeId: 'b' } as const;
const BACK_LIMIT_MS = 10_000;

export interface Relayed {
  /** CPU seconds of mediad, and of its child; the child's is 0 without a rendition. */
  readonly mediad: number;
  readonly child: number;
  readonly firstPictureMs: number;
  /** From the last packet of a picture to the first packet of what became of it. */
  readonly delaysMs: readonly number[];
  /** From the death of the child to the next picture; undefined when it was not killed. */
  readonly backMs: number | undefined;
  /** That came while CPU time was taken. */
  readonly pictures: number;
}

interface Wanted {
  readonly rendition: Rendition | undefined;
  readonly warmUpS: number;
  readonly seconds: number;
  readonly kill: boolean;
}

const open = (): Promise<Socket> => new Promise(resolve => {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK, () => {
    socket.setRecvBufferSize(4 * 1024 * 1024);
    resolve(socket);
  });
});
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Pictures that arrive, by their time. */
class Arrivals {
  readonly at = new Map<number, number>();
  readonly #demuxer = new PsDemuxer();
  readonly #header = newRtpHeader();
  #packetAt = 0;

  take(bytes: Uint8Array): void {
    if (readRtp(bytes, 0, bytes.length, this.#header) !== 'rtp') return;
    const { payloadOffset, payloadLength, marker, timestamp } = this.#header;
    if (this.#packetAt === 0) this.#packetAt = performance.now();
    if (!this.at.has(timestamp)) this.at.set(timestamp, performance.now());
    this.#demuxer.push(bytes.subarray(payloadOffset, payloadOffset + payloadLength), marker);
  }

  get pictures(): number {
    return this.#demuxer.counters.videoUnits;
  }
}

export async function relayedRun(gateway: Gateway, pictures: readonly AccessUnit[], { rendition, warmUpS, seconds, kill }: Wanted): Promise<Relayed> {
  const { rpc, pid } = gateway;
  const [camera, platform] = [await open(), await open()];
  const arrivals = new Arrivals();
  platform.on('message', bytes => arrivals.take(bytes));
  const { local } = await rpc.call('openSource', { ...BRIDGE, transport: 'udp', localAddress: LOOPBACK, ssrc: 1, peer: PEER, silenceMs: 600_000, label: 'bench' });
  await rpc.call('connectSource', { ...BRIDGE, remote: { address: LOOPBACK, port: camera.address().port }, ssrc: 1, ssrcPolicy: 'exact', payloadType: 96 });
  const sink = { ...BRIDGE, sinkId: 's', transport: 'udp', localAddress: LOOPBACK, remote: { address: LOOPBACK, port: platform.address().port }, ssrc: 2, payloadType: 96, peer: PEER, connectTimeoutMs: 5000, label: 'bench' } as const;
  await rpc.call('openSink', rendition === undefined ? sink : { ...sink, rendition });
  await rpc.call('startSink', { ...BRIDGE, sinkId: 's' });
  const sentAt = new Map<number, number>();
  const muxer = new PsMuxer({ video: 'h265' });
  const slicer = new RtpSlicer({ ssrc: 1, payloadType: 96, firstSequence: 0 });
  const from = performance.now();
  const pacing = pace(pictures, ({ bytes, keyFrame }, pts90k) => {
    for (const packet of slicer.slice(muxer.video({ bytes, pts90k, keyFrame }), pts90k)) camera.send(packet, local.port, LOOPBACK);
    sentAt.set(pts90k, performance.now());
  });
  await sleep(warmUpS * 1000);
  const childPid = rendition === undefined ? undefined : (await rpc.call('listTranscoders', {}))[0]?.pid;
  const childCpu = (): number => (childPid === undefined || childPid === null ? 0 : cpuOrNone(childPid));
  const before = { mediad: cpuSeconds(pid), child: childCpu(), pictures: arrivals.pictures };
  await sleep(seconds * 1000);
  const used = { mediad: cpuSeconds(pid) - before.mediad, child: childCpu() - before.child, pictures: arrivals.pictures - before.pictures };
  const backMs = kill && childPid !== undefined && childPid !== null ? await killAndWait(childPid, arrivals) : undefined;
  pacing.stop();
  await closeBridges(gateway);
  await Promise.all([camera, platform].map(socket => new Promise<void>(resolve => void socket.close(resolve))));
  const [first = NaN] = arrivals.at.values();
  // Pictures of the warm-up come in a heap: they were held until the first key frame was whole.
  const delaysMs = [...arrivals.at].filter(([pts]) => sentAt.has(pts) && sentAt.get(pts)! > from + warmUpS * 1000).map(([pts, at]) => at - sentAt.get(pts)!);
  return { ...used, firstPictureMs: first - from, delaysMs, backMs };
}

/** NaN when it died: the machine could not keep up. */
function cpuOrNone(pid: number): number {
  try {
    return cpuSeconds(pid);
  } catch {
    return NaN;
  }
}

async function killAndWait(pid: number, arrivals: Arrivals): Promise<number> {
  const before = arrivals.at.size;
  const at = performance.now();
  process.kill(pid, 'SIGKILL');
  while (arrivals.at.size === before && performance.now() - at < BACK_LIMIT_MS) await sleep(2);
  // What was on its way when it died does not count.
  await sleep(60);
  const seen = arrivals.at.size;
  while (arrivals.at.size === seen && performance.now() - at < BACK_LIMIT_MS) await sleep(2);
  return performance.now() - at;
}
