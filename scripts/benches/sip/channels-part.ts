/** Ten thousand channels behind a hundred NVRs: what they weigh, how fast an upstream gets them, what the gateway adds to an INVITE. */
import { Echo, rssBytes } from './child.ts';
import { type Figure, percentile } from '../common/figures.ts';
import { type Cost, Scene } from './scene.ts';
import type { InvitesResult } from './upstream.ts';

const NVRS = 100;
const CHANNELS_EACH = 100;
const CHANNELS = NVRS * CHANNELS_EACH;
const CONCURRENCY = 16;
const COLLECT_LIMIT_S = 60;
const BYTES_PER_CHANNEL = 2048;
const CATALOGUE_S = 10;
/** Other work on the machine only adds: the best round says what the gateway does, and the others are shown. */
const ROUNDS = 3;
const CALLS = 300;
/** Calls of a daemon that has just been started run code that nobody has compiled yet. */
const WARM_UP = { perS: 100, holdMs: 100 };
const CALLS_PER_S = 50;
const HOLD_MS = 200;
const ADDED_P99_MS = 10;
const ECHO_BYTES = 600;

export async function channelFigures(profileTo: string | undefined): Promise<Figure[]> {
  await using scene = await Scene.open(NVRS, 0, profileTo);
  await scene.load.order('upstreamRegistered');
  const memory = await memoryFigure(scene);
  const catalogue = await catalogueFigure(scene);
  const invites = await inviteFigure(scene);
  return [catalogue, invites, memory];
}

async function memoryFigure(scene: Scene): Promise<Figure> {
  const { load, lab, inspector } = scene;
  await load.order('register', { concurrency: CONCURRENCY });
  await scene.counted('catalog.complete', NVRS, COLLECT_LIMIT_S);
  const emptyHeap = await inspector.collectGarbage();
  const emptyRss = rssBytes(lab.sipd.pid);
  await load.order('setChannels', { channels: CHANNELS_EACH });
  const collected = await scene.cost('collect', async () => {
    for (const { id } of await scene.rpc.call('listDevices', {})) await scene.rpc.call('refreshCatalog', { deviceId: id });
    await scene.counted('catalog.complete', 2 * NVRS, COLLECT_LIMIT_S);
  });
  const peakRss = rssBytes(lab.sipd.pid);
  const heap = await inspector.collectGarbage();
  const rss = rssBytes(lab.sipd.pid);
  return {
    name: 'memory per channel',
    value: (rss - emptyRss) / CHANNELS,
    unit: 'bytes',
    limit: { most: BYTES_PER_CHANNEL },
    method: `RSS of one sipd with ${CHANNELS} channels of ${NVRS} NVRs, stored and mapped for one upstream, less its RSS with the same NVRs and no channel, each after a full garbage collection (inspector)`,
    beside: {
      'heap bytes each': (heap.usedSize - emptyHeap.usedSize) / CHANNELS,
      'RSS MB empty': emptyRss / 1e6,
      'RSS MB': rss / 1e6,
      'RSS MB before the collection': peakRss / 1e6,
      's to take the catalogues in': collected.wallS,
    },
  };
}

async function catalogueFigure(scene: Scene): Promise<Figure> {
  const { result, cpuS } = await scene.cost('catalogue', () => scene.load.order('catalogue'));
  return {
    name: 'catalogue to an upstream',
    value: result.items < CHANNELS ? Infinity : result.seconds,
    unit: 's',
    limit: { most: CATALOGUE_S },
    method: `${CHANNELS} channels over TCP in the default pages, each page after the 200 to the one before: from the query to the last item`,
    beside: { items: result.items, messages: result.messages, 'MB of XML': result.bytes / 1e6, 'CPU s': cpuS },
  };
}

async function inviteFigure(scene: Scene): Promise<Figure> {
  const channelIds = (await scene.rpc.call('listChannels', { limit: CALLS })).rows.map(({ channelId }) => channelId);
  await scene.load.order('invites', { channelIds, ...WARM_UP });
  const rounds: Cost<InvitesResult>[] = [];
  for (let round = 1; round <= ROUNDS; round++) rounds.push(await scene.cost(`invites-${round}`, () => scene.load.order('invites', { channelIds, perS: CALLS_PER_S, holdMs: HOLD_MS })));
  return addedFigure(rounds, await echoTimes(scene));
}

const addedMs = ({ result }: Cost<InvitesResult>): number[] => result.added.map(({ downMs, upMs }) => downMs + upMs);

function addedFigure(rounds: readonly Cost<InvitesResult>[], echoMs: readonly number[]): Figure {
  const failures = rounds.flatMap(({ result }) => result.failures);
  const p99s = rounds.map(round => percentile(addedMs(round), 0.99));
  const best = rounds[p99s.indexOf(Math.min(...p99s))] ?? rounds[0]!;
  const down = best.result.added.map(({ downMs }) => downMs);
  const up = best.result.added.map(({ upMs }) => upMs);
  return {
    name: 'INVITE relay, time added',
    value: failures.length > 0 ? Infinity : percentile(addedMs(best), 0.99),
    unit: 'ms p99',
    limit: { most: ADDED_P99_MS },
    method: `best of ${ROUNDS} rounds of ${CALLS} calls after ${CALLS} others, ${CALLS_PER_S}/s, ${HOLD_MS} ms each, upstream over TCP, cameras over UDP that answer at once: INVITE to 200 at the upstream less INVITE to 200 at the camera, on one clock; ports, bridge and rows on disk included`,
    beside: {
      'p50 ms': percentile(addedMs(best), 0.5),
      'worst ms': percentile(addedMs(best), 1),
      'to the camera p50 ms': percentile(down, 0.5),
      'to the camera p99 ms': percentile(down, 0.99),
      'back p50 ms': percentile(up, 0.5),
      'back p99 ms': percentile(up, 0.99),
      'p99 of all rounds ms': p99s.map(each => each.toFixed(1)).join(' '),
      failures: failures.length,
      ...(failures[0] !== undefined && { 'first failure': failures[0] }),
      'ms CPU of sipd each': (1000 * best.cpuS) / CALLS,
      'ms that sipd and mediad waited for a core, each': (1000 * best.waitedS) / CALLS,
      'bare dgram echo p50 ms': percentile(echoMs, 0.5),
      'bare dgram echo p99 ms': percentile(echoMs, 0.99),
    },
  };
}

/** How late the machine itself makes a datagram there and back, at the same pace. */
async function echoTimes(scene: Scene): Promise<readonly number[]> {
  await using echo = await Echo.open();
  const { roundTripsMs } = await scene.load.order('echo', { address: '127.0.0.1', port: echo.port, bytes: ECHO_BYTES, count: 100, concurrency: 0, everyMs: 1000 / CALLS_PER_S });
  return roundTripsMs;
}
