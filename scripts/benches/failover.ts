/**
 * scripts/bench failover [--json] [--runs N] [--sessions N]: how long a pair of nodes is not there, seen from the platform above: until SIP
 * is answered again, and without a picture on any session. Needs root. Exit code 1 when a limit is missed.
 */
import { createSocket } from 'node:dgram';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#kit/clock.ts';
import { type PairScene, gapSince, openPairScene } from '../lab/pair-scene.ts';
import { type PairLab, type PairNode, SIP_ADDRESS, WORLD, enterWorld } from '../lab/pair.ts';
import { type Figure, isMet, machine, percentile, printFigures } from './common/figures.ts';

const ASK_EVERY_MS = 20;
const PACKETS_AFTER = 200;
const MOST_MS = { killed: 1000, cut: 1000, stopped: 1000, switch: 200 } as const;
type Kind = keyof typeof MOST_MS;

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, runs: { type: 'string', default: '5' }, sessions: { type: 'string', default: '8' } } });

/** Asks OPTIONS again and again; answers the longest time without an answer. */
function askSip(): { stop(): number } {
  const socket = createSocket('udp4').bind(0, WORLD);
  const answers = [clock.now() as number];
  socket.on('message', () => void answers.push(clock.now()));
  let asked = 0;
  const timer = setInterval(() => {
    asked += 1;
    const text = `OPTIONS sip:${SIP_ADDRESS} SIP/2.0\r\nVia: SIP/2.0/UDP ${WORLD}:${socket.address().port};branch=z9hG4bKbench${asked}\r\nFrom: <sip:bench@${WORLD}>;tag=b\r\nTo: <sip:${SIP_ADDRESS}>\r\nCall-ID: bench${asked}@${WORLD}\r\nCSeq: ${asked} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n`;
    socket.send(text, 5060, SIP_ADDRESS, () => undefined);
  }, ASK_EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      socket.close();
      return Math.max(...answers.map((at, i) => (i === 0 ? 0 : at - answers[i - 1]!)));
    },
  };
}

async function strike(kind: Kind, lab: PairLab, active: PairNode): Promise<void> {
  if (kind === 'killed') return lab.kill(active);
  if (kind === 'cut') return void [active.cable(false), active.link(false)];
  if (kind === 'stopped') return await lab.stop(active);
  await using clusterd = await active.clusterd();
  await clusterd.call('switchOver', {});
}

async function heal(kind: Kind, lab: PairLab, node: PairNode): Promise<void> {
  if (kind === 'killed' || kind === 'stopped') await lab.revive(node);
  if (kind === 'cut') [node.cable(true), node.link(true)];
}

interface Run {
  readonly sipMs: number;
  readonly gapMs: number;
  readonly kept: number;
}

async function measure(kind: Kind, { lab, platform, ids }: PairScene): Promise<Run> {
  const standby = await lab.ready(60_000);
  const active = lab.other(standby);
  const plays = await Promise.all(ids.map(id => platform.play(id, { transport: 'udp' })));
  await Promise.all(plays.map(play => play.waitPackets(PACKETS_AFTER)));
  const sip = askSip();
  const since = plays.map(({ markers }) => markers.at(-1)!.atMs);
  const packets = plays.map(({ report }) => report.packets);
  await strike(kind, lab, active);
  const went = await Promise.allSettled(plays.map((play, i) => play.waitPackets(packets[i]! + 2 * PACKETS_AFTER)));
  const sipMs = sip.stop();
  const kept = went.filter(({ status }) => status === 'fulfilled').length / plays.length;
  const gapMs = Math.max(...plays.map((play, i) => gapSince(play, since[i]!)));
  await Promise.allSettled(plays.map(play => play.stop()));
  await heal(kind, lab, active);
  return { sipMs, gapMs, kept };
}

function figuresOf(kind: Kind, runs: readonly Run[]): Figure[] {
  const spread = (pick: (run: Run) => number): Record<string, number> => ({ p50: Math.round(percentile(runs.map(pick), 0.5)), max: Math.round(Math.max(...runs.map(pick))), runs: runs.length });
  const limit = { most: MOST_MS[kind] };
  return [
    { name: `${kind}: SIP unanswered, p99`, value: percentile(runs.map(({ sipMs }) => sipMs), 0.99), unit: 'ms', limit, method: `OPTIONS every ${ASK_EVERY_MS} ms`, beside: spread(({ sipMs }) => sipMs) },
    { name: `${kind}: no picture, p99`, value: percentile(runs.map(({ gapMs }) => gapMs), 0.99), unit: 'ms', limit, method: 'worst session of each run', beside: spread(({ gapMs }) => gapMs) },
    { name: `${kind}: sessions kept`, value: 100 * (runs.reduce((sum, { kept }) => sum + kept, 0) / runs.length), unit: '%', limit: { least: 99.9 }, method: 'UDP, without a new INVITE' },
  ];
}

async function run(): Promise<void> {
  const figures: Figure[] = [];
  await using scene = await openPairScene(Number(values.sessions));
  for (const kind of Object.keys(MOST_MS) as Kind[]) {
    const runs: Run[] = [];
    for (let i = 0; i < Number(values.runs); i++) runs.push(await measure(kind, scene));
    figures.push(...figuresOf(kind, runs));
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ machine: machine(), figures })}\n`);
  else printFigures('failover: a pair of nodes, seen from above', figures);
  process.exitCode = figures.every(isMet) ? 0 : 1;
}

if (enterWorld()) await run();
