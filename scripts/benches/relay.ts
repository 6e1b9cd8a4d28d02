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
import { Cores, Helper, residentKiB, start } from './relay/children.ts';
import { type BridgePlan, closeBridges, type Gateway, openBridges, startGateway } from './relay/gateway.ts';
import { cpuSecondsPerGbit, type Receiver, run, type RunOutcome, type Sender, together, usPerPacket } from './relay/run.ts';
import { PACKET_BYTES, PACKETS_PER_SECOND, type ReceiverAnswer, type ReceiverCommand, type SenderAnswer, type SenderCommand, type StreamTarget } from './relay/wire.ts';
import { udpImplementation } from '#kit/udp-batch.ts';
import { type Figure, isMet, machine, printFigures } from './common/figures.ts';

/** The relay may cost this much of the plain loop per packet. */
const MOST_OF_PLAIN = 1.3;
/** Relay and plain loop take turns, so that a busy moment of the machine falls on both. */
const ROUNDS = 5;

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, streams: { type: 'string', default: '64' }, seconds: { type: 'string', default: '4' } } });
const streams = Number(values.streams);
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
const perStream = <T>(make: (stream: number) => T): T[] => Array.from({ length: streams }, (_, stream) => make(stream));
const target = (port: number, stream: number): StreamTarget => ({ ssrc: 1000 + stream, port });

async function loopRun(scene: Scene, command: string, args: readonly string[]): Promise<RunOutcome> {
  const loop = await start(command, [...args, ...perStream(stream => String(udpPortOf(scene, stream)))]);
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

async function relayRun(scene: Scene, gateway: Gateway, source: BridgePlan['source'], sink: BridgePlan['sink']): Promise<RunOutcome & { readonly idleKiB: number; readonly loadedKiB: number }> {
  const platformPort = (stream: number): number => (sink === 'udp' ? udpPortOf(scene, stream) : scene.tcpPort);
  const targets = await openBridges(gateway, { source, sink, streams, cameraPort: scene.cameraPort, platformPort });
  const idleKiB = residentKiB(gateway.pid) - gateway.idleKiB;
  const outcome = await run(scene.sender, scene.receiver, gateway.pid, source === 'udp' ? 'udp' : 'tcp', targets, seconds);
  const loadedKiB = residentKiB(gateway.pid) - gateway.idleKiB;
  await closeBridges(gateway);
  return { ...outcome, idleKiB, loadedKiB };
}

interface Outcomes {
  readonly direct: RunOutcome;
  readonly plain: RunOutcome;
  readonly batch: RunOutcome | undefined;
  readonly batchMissing: string;
  readonly relayed: Readonly<Record<string, RunOutcome>>;
  /** Of the first run: later ones stand on memory that earlier ones touched. */
  readonly idleKiB: number;
  readonly loadedKiB: number;
}

async function measure(scene: Scene, gateway: Gateway, directory: string): Promise<Outcomes> {
  const say = (what: string): void => void (values.json ? undefined : process.stderr.write(`  ${what}\n`));
  say('direct: sender to receiver, no relay between');
  const direct = await run(scene.sender, scene.receiver, undefined, 'udp', perStream(stream => target(udpPortOf(scene, stream), stream)), Math.min(seconds, 3));
  const plain: RunOutcome[] = [];
  const udp: Awaited<ReturnType<typeof relayRun>>[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    say(`plain dgram loop and UDP to UDP, round ${round}`);
    plain.push(await loopRun(scene, process.execPath, [fileURLToPath(new URL('relay/plain-loop.ts', import.meta.url))]));
    udp.push(await relayRun(scene, gateway, 'udp', 'udp'));
  }
  say('recvmmsg/sendmmsg loop in C');
  const built = compileBatchLoop(directory);
  const batch = 'path' in built ? await loopRun(scene, built.path, []) : undefined;
  say('UDP to TCP');
  const toTcp = await relayRun(scene, gateway, 'udp', 'tcp-active');
  say('TCP to UDP');
  const fromTcp = await relayRun(scene, gateway, 'tcp-passive', 'udp');
  return { direct, plain: together(plain), batch, batchMissing: 'why' in built ? built.why : '', relayed: { 'UDP to UDP': together(udp), 'UDP to TCP': toTcp, 'TCP to UDP': fromTcp }, idleKiB: udp[0]!.idleKiB, loadedKiB: udp[0]!.loadedKiB };
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

function figuresOf({ direct, plain, batch, batchMissing, relayed, idleKiB, loadedKiB }: Outcomes): Figure[] {
  const load = `${streams} streams of ${round((PACKETS_PER_SECOND * PACKET_BYTES * 8) / 1e6, 1)} Mbit/s in ${PACKET_BYTES}-octet packets, ${seconds} s after warm-up; ${cores.method}`;
  const figures: Figure[] = [
    { name: 'plain dgram loop', value: round(usPerPacket(plain)), unit: 'us/packet', method: `CPU time of the process from /proc/PID/stat per packet that arrived; ${load}, ${ROUNDS} times in turn with UDP to UDP`, beside: describe(plain, direct) },
  ];
  if (batch === undefined) figures.push({ name: 'C recvmmsg/sendmmsg loop', value: NaN, unit: 'us/packet', method: `not measured: ${batchMissing}` });
  else figures.push({ name: 'C recvmmsg/sendmmsg loop', value: round(usPerPacket(batch)), unit: 'us/packet', method: `built on the spot with -O2; ${load}`, beside: describe(batch, direct) });
  for (const [name, outcome] of Object.entries(relayed)) {
    const besidePlain = { 'of the plain loop': round(usPerPacket(outcome) / usPerPacket(plain)), 'of the C loop': batch === undefined ? NaN : round(usPerPacket(outcome) / usPerPacket(batch)) };
    const limited = name === 'UDP to UDP' ? { limit: { most: MOST_OF_PLAIN } } : {};
    figures.push({ name: `${name}: CPU`, value: besidePlain['of the plain loop'], unit: 'x plain', ...limited, method: `one real mediad process over ${udpImplementation().name} datagrams, CPU time per packet over that of the plain loop; ${load}`, beside: { ...describe(outcome, direct), ...besidePlain } });
    figures.push({ name: `${name}: lost`, value: outcome.lost, unit: 'packets', limit: { most: 0 }, method: 'sent minus arrived over the whole run, warm-up included', beside: { sent: outcome.sent } });
    figures.push({ name: `${name}: added latency p99`, value: Math.max(0, round(outcome.p99Us - direct.p99Us, 0)), unit: 'us', method: 'from the sender\'s stamp in the packet to the receiver, less the same without a relay', beside: { 'added p50': Math.max(0, round(outcome.p50Us - direct.p50Us, 0)), 'direct p50': direct.p50Us, 'direct p99': direct.p99Us } });
  }
  figures.push({ name: 'memory per bridge', value: round(idleKiB / streams, 0), unit: 'KiB', method: 'VmRSS with all bridges open less VmRSS without one, per bridge, before the first packet', beside: { 'under load, caches and garbage included, KiB': round(loadedKiB / streams, 0) } });
  return figures;
}

const directory = mkdtempSync(join(tmpdir(), 'bench-relay-c-'));
using sender: Sender = new Helper<SenderCommand, SenderAnswer>('sender.ts');
using receiver: Receiver = new Helper<ReceiverCommand, ReceiverAnswer>('receiver.ts');
const [{ port: cameraPort }, { udp: udpPorts, tcp: tcpPort }] = await Promise.all([sender.next('bound'), receiver.next('bound')]);
await using gateway = await startGateway(streams);
cores.relay(gateway.pid);
for (const { pid } of [sender, receiver]) cores.others(pid);
const figures = figuresOf(await measure({ sender, receiver, cameraPort, udpPorts, tcpPort }, gateway, directory));
rmSync(directory, { recursive: true, force: true });
const met = figures.every(isMet);
if (values.json) console.log(JSON.stringify({ bench: 'relay', machine: machine(), met, figures: figures.map(figure => ({ ...figure, met: isMet(figure) })) }, undefined, 2));
else printFigures('relay', figures);
process.exitCode = met ? 0 : 1;
