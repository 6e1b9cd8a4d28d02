/** What one viewer on one network saw, and what the gateway said about the packets. */
import type { BridgeStats } from '#contracts/mediad.ts';
import type { LabGateway } from '../../lab/gateway.ts';
import { type Viewing, type Watched, measure, watch } from '../../lab/viewing.ts';
import type { CleanPictures, PictureMeasure } from '../../media/picture-meter.ts';
import { percentile } from '../common/figures.ts';

export interface Outcome extends PictureMeasure {
  readonly row: string;
  /** Of the gateway that has the bad network in front of it. */
  readonly packets: number;
  /** Never came, and came when nobody waited any more. */
  readonly lost: number;
  readonly late: number;
  readonly reordered: number;
  readonly delayP50Ms: number;
  readonly delayMaxMs: number;
}

/** The first pictures of a session teach the gateway its jitter; delays are those of the running stream. */
const SETTLING_PICTURES = 75;

interface Raw {
  readonly row: string;
  readonly watched: Watched;
  readonly source: BridgeStats['source'] | undefined;
}

/** All viewers at the same time; then, when nobody needs the machine in real time, the judging. */
export async function watchAll(viewings: readonly (Omit<Viewing, 'clean'> & { readonly row: string; readonly gateway: LabGateway; readonly gatewayChannelId: string })[], clean: CleanPictures): Promise<Outcome[]> {
  const raws = await Promise.all(
    viewings.map(async (viewing): Promise<Raw> => {
      let source: BridgeStats['source'] | undefined;
      const watched = await watch(viewing, async () => {
        source = await sourceOf(viewing.gateway, viewing.gatewayChannelId);
      });
      return { row: viewing.row, watched, source };
    }),
  );
  const outcomes: Outcome[] = [];
  for (const raw of raws) outcomes.push(await outcomeOf(raw, clean));
  return outcomes;
}

async function sourceOf(gateway: LabGateway, channelId: string): Promise<BridgeStats['source'] | undefined> {
  await using rpc = await gateway.rpc();
  const sessions = await rpc.call('listSessions', {});
  return sessions.find(session => session.channelId === channelId)?.bridge?.source;
}

async function outcomeOf({ row, watched, source }: Raw, clean: CleanPictures): Promise<Outcome> {
  const delays = watched.delaysMs.slice(SETTLING_PICTURES);
  return {
    ...(await measure(watched, clean)),
    row,
    packets: source?.packets ?? 0,
    lost: source?.lost ?? NaN,
    late: source?.late ?? NaN,
    reordered: source?.reordered ?? 0,
    delayP50Ms: percentile(delays, 0.5),
    delayMaxMs: Math.max(0, ...delays),
  };
}
