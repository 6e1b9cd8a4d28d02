/**
 * scripts/bench relay [--json] [--streams N] [--seconds S]: what one mediad process costs to relay N streams of 4 Mbit/s, beside a plain
 * dgram loop and a C loop over recvmmsg/sendmmsg in the same run. Senders and receivers are processes of their own. Exit code 1
 * when a limit is missed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Cores, cpuSeconds, Helper, residentKiB, start } from './relay/children.ts';
import { type BridgePlan, closeBridges, type Gateway, openBridges, startGateway, wakesOf } from './relay/gateway.ts';
import { cpuSecondsPerGbit, type Receiver, run, type RunOutcome, type Sender, together, usPerPacket } from './relay/run.ts';
import { PACKET_BYTES, PACKETS_PER_SECOND, type ReceiverAnswer, type ReceiverCommand, type SenderAnswer, type SenderCommand, type StreamTarget } from './relay/wire.ts';
import { udpImplementation } from '#kit/udp-batch.ts';
import { type Figure, isMet, machine, printFigures } from './common/figures.ts';

/** The relay may cost this much of each loop per packet. */
const MOST_OF_PLAIN = 1.3;
const MOST_OF_C = 1.6;
/** 512 Mbit/s in, the same out, on one core. */
const FULL_STREAMS = 128;
const MOST_ADDED_P99_US = 5000;
const MOST_KIB_PER_BRIDGE = 256;
/** CPU of a bridge without packets, of one core: less than this is the measurement's own. */
const MOST_IDLE_US_PER_S = 25;
const IDLE_S = 10;
/** Relay and loops take turns, so that a busy moment of the machine falls on all of them. */
const ROUNDS = 5;

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, streams: { type: 'string', default: '64' }, seconds: { type: 'string', default: '4' } } });
const defaultStreams = Number(values.streams);
const seconds = Number(values.seconds);

const cores = new Cores();

interface Scene {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly cameraPort: number;
  readonly udpPorts: readonly number[];
  readonly tcpPort: number;
}

const udpPortOf = ({ udpPorts }: Scene, stream: number): number => udpPorts[stream % udpPorts.length]!;
const perStream = <T>(streams: number, make: (stream: number) => T): T[] => Array.from({ length: streams }, (_, stream) => make(stream));
const target = (port: number, stream: number): StreamTarget => ({ ssrc: 1000 + stream, port });

async function loopRun(scene: Scene, command: string, args: readonly string[], streams = defaultStreams): Promise<RunOutcome> {
  const loop = await start(command, [...args, ...perStream(streams, stream => String(udpPortOf(scene, stream)))]);
  cores.relay(loop.pid);
  try {
    return await run(scene.sender, scene.receiver, loop.pid, 'udp', loop.line.split(' ').map((port, stream) => target(Number(port), stream)), seconds);
  } finally {
    loop.stop();
  }
}

/** Path of the compiled loop, or why there is none. */
function compileBatchLoop(directory: string): { readonly path: string } | { readonly why: string } {
  const path = join(directory, 'batch-loop');
  const source = fileURLToPath(new URL('relay/batch-loop.c', import.meta.url));
  for (const compiler of ['cc', 'gcc', 'g++']) {
    const built = spawnSync(compiler, ['-O2', '-o', path, source], { encoding: 'utf8' });
    if (built.status === 0) return { path };
    if (built.error === undefined) return { why: `${compiler}: ${built.stderr}` };
  }
  return { why: 'no C compiler' };
}

interface RelayPlan {
  readonly source: BridgePlan['source'];
  readonly sink: BridgePlan['sink'];
  readonly pictures?: BridgePlan['pictures'];
  readonly streams?: number;
}

type RelayOutcome = RunOutcome & { readonly idleKiB: number; readonly loadedKiB: number; readonly wakes: Readonly<Record<string, number>> };

function open(scene: Scene, gateway: Gateway, { source, sink, pictures = 'as-received', streams = defaultStreams }: RelayPlan): Promise<StreamTarget[]> {
  const platformPort = (stream: number): number => (sink === 'udp' ? udpPortOf(scene, stream) : scene.tcpPort);
  return openBridges(gateway, { source, sink, pictures, streams, cameraPort: scene.cameraPort, platformPort });
}

async function relayRun(scene: Scene, gateway: Gateway, plan: RelayPlan): Promise<RelayOutcome> {
  const targets = await open(scene, gateway, plan);
  const idleKiB = residentKiB(gateway.pid) - gateway.idleKiB;
  const before = await wakesOf(gateway);
  const outcome = await run(scene.sender, scene.receiver, gateway.pid, plan.source === 'udp' ? 'udp' : 'tcp', targets, seconds);
  const loadedKiB = residentKiB(gateway.pid) - gateway.idleKiB;
  const wakes = Object.fromEntries([...(await wakesOf(gateway))].map(([least, count]) => [`wakes with ${least} and more`, count - before.get(least)!]));
  await closeBridges(gateway);
  return { ...outcome, idleKiB, loadedKiB, wakes };
}

/** Microseconds of CPU a second that one bridge costs while nothing comes. */
async function idleRun(scene: Scene, gateway: Gateway): Promise<number> {
  const used = async (): Promise<number> => {
    const from = cpuSeconds(gateway.pid);
    await new Promise(resolve => setTimeout(resolve, IDLE_S * 1000));
    return cpuSeconds(gateway.pid) - from;
  };
  const without = await used();
  await open(scene, gateway, { source: 'udp', sink: 'udp', streams: FULL_STREAMS });
  const open128 = await used();
  await closeBridges(gateway);
  return Math.max(0, ((open128 - without) * 1e6) / IDLE_S / FULL_STREAMS);
}

interface Outcomes {
  readonly direct: RunOutcome;
  readonly directFull: RunOutcome;
  readonly plain: RunOutcome;
  readonly batch: RunOutcome | undefined;
  readonly batchMissing: string;
  readonly relayed: Readonly<Record<string, RelayOutcome>>;
  readonly full: RelayOutcome;
  readonly idleUsPerS: number;
}

async function measure(scene: Scene, gateway: Gateway, keepsNone: Gateway, directory: string): Promise<Outcomes> {
  const say = (what: string): void => void (values.json ? undefined : process.stderr.write(`  ${what}\n`));
  const directRun = (streams: number): Promise<RunOutcome> => run(scene.sender, scene.receiver, undefined, 'udp', perStream(streams, stream => target(udpPortOf(scene, stream), stream)), Math.min(seconds, 3));
  say('direct: sender to receiver, no relay between');
  const direct = await directRun(defaultStreams);
  const built = compileBatchLoop(directory);
  const [plain, batch, udp, none, whole]: [RunOutcome[], RunOutcome[], RelayOutcome[], RelayOutcome[], RelayOutcome[]] = [[], [], [], [], []];
  for (let round = 1; round <= ROUNDS; round++) {
    say(`plain dgram loop, C loop, UDP to UDP as received, with no key picture kept and in whole pictures, round ${round}`);
    plain.push(await loopRun(scene, process.execPath, [fileURLToPath(new URL('relay/plain-loop.ts', import.meta.url))]));
    if ('path' in built) batch.push(await loopRun(scene, built.path, []));
    udp.push(await relayRun(scene, gateway, { source: 'udp', sink: 'udp' }));
    none.push(await relayRun(scene, keepsNone, { source: 'udp', sink: 'udp' }));
    whole.push(await relayRun(scene, gateway, { source: 'udp', sink: 'udp', pictures: 'whole' }));
  }
  const first = { idleKiB: udp[0]!.idleKiB, loadedKiB: udp[0]!.loadedKiB, wakes: udp[0]!.wakes };
  say('UDP to TCP, TCP to UDP');
  const toTcp = await relayRun(scene, gateway, { source: 'udp', sink: 'tcp-active' });
  const fromTcp = await relayRun(scene, gateway, { source: 'tcp-passive', sink: 'udp' });
  say(`${FULL_STREAMS} streams`);
  const directFull = await directRun(FULL_STREAMS);
  const full = await relayRun(scene, gateway, { source: 'udp', sink: 'udp', streams: FULL_STREAMS });
  say('bridges without packets');
  const idleUsPerS = await idleRun(scene, gateway);
  const relayed = { 'UDP to UDP': { ...together(udp), ...first }, 'UDP to UDP, no key picture kept': { ...together(none), ...first, loadedKiB: none[0]!.loadedKiB, wakes: none[0]!.wakes }, 'UDP to UDP, whole pictures': { ...together(whole), ...first, wakes: whole[0]!.wakes }, 'UDP to TCP': toTcp, 'TCP to UDP': fromTcp };
  return { direct, directFull, plain: together(plain), batch: batch.length === 0 ? undefined : together(batch), batchMissing: 'why' in built ? built.why : '', relayed, full, idleUsPerS };
}

const round = (value: number, digits = 2): number => Number(value.toFixed(digits));
const describe = (outcome: RunOutcome, direct: RunOutcome): Record<string, number> => ({
  'packets': outcome.packets,
  'us of CPU per packet': round(usPerPacket(outcome)),
  'CPU-s per Gbit': round(cpuSecondsPerGbit(outcome), 3),
  'lost': outcome.lost,
  'added p50 us': Math.max(0, round(outcome.p50Us - direct.p50Us, 0)),
  'added p99 us': Math.max(0, round(outcome.p99Us - direct.p99Us, 0)),
});

function figuresOf({ direct, directFull, plain, batch, batchMissing, relayed, full, idleUsPerS }: Outcomes): Figure[] {
  const load = `${defaultStreams} streams of ${round((PACKETS_PER_SECOND * PACKET_BYTES * 8) / 1e6, 1)} Mbit/s in ${PACKET_BYTES}-octet packets, ${seconds} s after warm-up; ${cores.method}`;
  const figures: Figure[] = [
    { name: 'plain dgram loop', value: round(usPerPacket(plain)), unit: 'us/packet', method: `CPU time of the process from /proc/PID/stat per packet that arrived; ${load}, ${ROUNDS} times in turn with UDP to UDP`, beside: describe(plain, direct) },
  ];
  if (batch === undefined) figures.push({ name: 'C recvmmsg/sendmmsg loop', value: NaN, unit: 'us/packet', method: `not measured: ${batchMissing}` });
  else figures.push({ name: 'C recvmmsg/sendmmsg loop', value: round(usPerPacket(batch)), unit: 'us/packet', method: `built on the spot with -O2; ${load}, ${ROUNDS} times in turn with UDP to UDP`, beside: describe(batch, direct) });
  for (const [name, outcome] of Object.entries(relayed)) figures.push(...figuresOfRelay(name, outcome, { direct, plain, batch, load }));
  const added = Math.max(0, round(full.p99Us - directFull.p99Us, 0));
  figures.push({ name: `${FULL_STREAMS} streams: lost`, value: full.lost, unit: 'packets', limit: { most: 0 }, method: `UDP to UDP as above with ${FULL_STREAMS} streams, ${Math.round((FULL_STREAMS * PACKETS_PER_SECOND * PACKET_BYTES * 8) / 1e6)} Mbit/s in and out, one mediad on one core`, beside: { 'sent': full.sent, 'share of a core': round(full.cpuSeconds / full.seconds), 'lost without a relay': directFull.lost } });
  figures.push({ name: `${FULL_STREAMS} streams: added latency p99`, value: added, unit: 'us', limit: { most: MOST_ADDED_P99_US }, method: 'nothing is missing, so the jitter buffer adds nothing; a core that others use too adds its waiting', beside: { 'added p50': Math.max(0, round(full.p50Us - directFull.p50Us, 0)), 'direct p99': directFull.p99Us } });
  const { idleKiB, loadedKiB } = relayed['UDP to UDP']!;
  const withoutKiB = relayed['UDP to UDP, no key picture kept']!.loadedKiB;
  figures.push({ name: 'memory per bridge', value: round(idleKiB / defaultStreams, 0), unit: 'KiB', limit: { most: MOST_KIB_PER_BRIDGE }, method: 'VmRSS with all bridges open less VmRSS without one, per bridge, before the first packet' });
  figures.push({ name: 'memory per bridge under load', value: round(loadedKiB / defaultStreams, 0), unit: 'KiB', limit: { most: MOST_KIB_PER_BRIDGE }, method: 'the same at the end of the first run, the kept key picture, caches and garbage included', beside: { 'with no key picture kept': round(withoutKiB / defaultStreams, 0) } });
  figures.push({ name: 'bridge without packets', value: round(idleUsPerS), unit: 'us/s', limit: { most: MOST_IDLE_US_PER_S }, method: `CPU of mediad over ${IDLE_S} s with ${FULL_STREAMS} bridges open less the same without, per bridge; /proc counts in hundredths of a second` });
  return figures;
}

/** Of the loops in the same run, and what it lost and added. */
function figuresOfRelay(name: string, outcome: RelayOutcome, { direct, plain, batch, load }: { direct: RunOutcome; plain: RunOutcome; batch: RunOutcome | undefined; load: string }): Figure[] {
  const ofPlain = round(usPerPacket(outcome) / usPerPacket(plain));
  const ofBatch = batch === undefined ? NaN : round(usPerPacket(outcome) / usPerPacket(batch));
  const isPassThrough = name === 'UDP to UDP';
  const figures: Figure[] = [
    { name: `${name}: CPU`, value: ofPlain, unit: 'x plain', ...(isPassThrough && { limit: { most: MOST_OF_PLAIN } }), method: `one real mediad process over ${udpImplementation().name} datagrams, CPU time per packet over that of the plain loop; ${load}`, beside: { ...describe(outcome, direct), 'of the C loop': ofBatch, ...outcome.wakes } },
    { name: `${name}: lost`, value: outcome.lost, unit: 'packets', limit: { most: 0 }, method: 'sent minus arrived over the whole run, warm-up included', beside: { sent: outcome.sent } },
    { name: `${name}: added latency p99`, value: Math.max(0, round(outcome.p99Us - direct.p99Us, 0)), unit: 'us', method: 'from the sender\'s stamp in the packet to the receiver, less the same without a relay', beside: { 'added p50': Math.max(0, round(outcome.p50Us - direct.p50Us, 0)), 'direct p50': direct.p50Us, 'direct p99': direct.p99Us } },
  ];
  if (isPassThrough && batch !== undefined) figures.push({ name: `${name}: CPU against C`, value: ofBatch, unit: 'x C', limit: { most: MOST_OF_C }, method: 'the same over that of the C loop' });
  return figures;
}

const directory = mkdtempSync(join(tmpdir(), 'bench-relay-c-'));
using sender: Sender = new Helper<SenderCommand, SenderAnswer>('sender.ts');
using receiver: Receiver = new Helper<ReceiverCommand, ReceiverAnswer>('receiver.ts');
const [{ port: cameraPort }, { udp: udpPorts, tcp: tcpPort }] = await Promise.all([sender.next('bound'), receiver.next('bound')]);
await using gateway = await startGateway(Math.max(defaultStreams, FULL_STREAMS));
await using keepsNone = await startGateway(Math.max(defaultStreams, FULL_STREAMS), { keyPictureKiB: 0 });
for (const { pid } of [gateway, keepsNone]) cores.relay(pid);
for (const { pid } of [sender, receiver]) cores.others(pid);
const figures = figuresOf(await measure({ sender, receiver, cameraPort, udpPorts, tcpPort }, gateway, keepsNone, directory));
rmSync(directory, { recursive: true, force: true });
const met = figures.every(isMet);
if (values.json) console.log(JSON.stringify({ bench: 'relay', machine: machine(), met, figures: figures.map(figure => ({ ...figure, met: isMet(figure) })) }, undefined, 2));
else printFigures('relay', figures);
process.exitCode = met ? 0 : 1;
