/** One measured run: the sender paces, the relay works, the receiver counts. */
import { type Helper, cpuSeconds } from './children.ts';
import { PACKET_BYTES, type ReceiverAnswer, type ReceiverCommand, type SenderAnswer, type SenderCommand, type StreamTarget } from './wire.ts';

const WARM_UP_MS = 1500;
const DRAIN_STEP_MS = 100;
const DRAIN_STEPS = 20;

export type Sender = Helper<SenderCommand, SenderAnswer>;
export type Receiver = Helper<ReceiverCommand, ReceiverAnswer>;

export interface RunOutcome {
  /** Inside the measured window. */
  readonly packets: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Over the whole run, warm-up included. */
  readonly sent: number;
  readonly lost: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** `pid`: whose CPU time counts; undefined when there is no relay. */
export async function run(sender: Sender, receiver: Receiver, pid: number | undefined, transport: 'udp' | 'tcp', targets: readonly StreamTarget[], seconds: number): Promise<RunOutcome> {
  const cpu = (): number => (pid === undefined ? 0 : cpuSeconds(pid));
  await receiver.ask({ type: 'reset' }, 'reset');
  await sender.ask({ type: 'open', transport, targets }, 'opened');
  sender.tell({ type: 'go' });
  await pause(WARM_UP_MS);
  const from = await receiver.ask({ type: 'report' }, 'report');
  const cpuFrom = cpu();
  await pause(seconds * 1000);
  const to = await receiver.ask({ type: 'report' }, 'report');
  const cpuUsed = cpu() - cpuFrom;
  const { sent } = await sender.ask({ type: 'stop' }, 'stopped');
  let { packets: arrived } = to;
  for (let step = 0; step < DRAIN_STEPS && arrived < sent; step++) {
    await pause(DRAIN_STEP_MS);
    ({ packets: arrived } = await receiver.ask({ type: 'report' }, 'report'));
  }
  return { packets: to.packets - from.packets, seconds: (to.at - from.at) / 1000, cpuSeconds: cpuUsed, sent, lost: sent - arrived, p50Us: to.p50Us, p99Us: to.p99Us };
}

export const usPerPacket = ({ cpuSeconds, packets }: RunOutcome): number => (cpuSeconds * 1e6) / packets;
export const cpuSecondsPerGbit = ({ cpuSeconds, packets }: RunOutcome): number => cpuSeconds / ((packets * PACKET_BYTES * 8) / 1e9);

/** Several runs of the same thing as one: sums, and the middle one of the delays. */
export const together = (runs: readonly RunOutcome[]): RunOutcome => {
  const sum = (pick: (run: RunOutcome) => number): number => runs.reduce((total, run) => total + pick(run), 0);
  const middle = (pick: (run: RunOutcome) => number): number => runs.map(pick).sort((a, b) => a - b)[Math.floor((runs.length - 1) / 2)] ?? NaN;
  return { packets: sum(run => run.packets), seconds: sum(run => run.seconds), cpuSeconds: sum(run => run.cpuSeconds), sent: sum(run => run.sent), lost: sum(run => run.lost), p50Us: middle(run => run.p50Us), p99Us: middle(run => run.p99Us) };
};
