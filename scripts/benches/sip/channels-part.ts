/** Ten thousand channels behind a hundred NVRs: what they weigh, how fast an upstream gets them, what the gateway adds to an INVITE. */
import { Echo } from './child.ts';
import { type Figure, percentile } from '../common/figures.ts';
import { type Cost, Scene } from './scene.ts';
import type { InvitesResult } from './upstream.ts';
import { rssBytes } from './usage.ts';

const NVRS = 100;
const CHANNELS_EACH = 100;
const CHANNELS = NVRS * CHANNELS_EACH;
const CONCURRENCY = 16;
const COLLECT_LIMIT_S = 60;
const BYTES_PER_CHANNEL = 2048;
const CATALOGUE_S = 10;
const CALLS = 600;
const CALLS_PER_S = 50;
/** Calls of a daemon that has just been started run code that nobody has compiled yet. */
const WARM_UP = { calls: 300, perS: 100, holdMs: 100 };
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
  const { pids } = scene;
  const { calls, ...warmUp } = WARM_UP;
  await scene.load.order('invites', { ...warmUp, pids, channelIds: channelIds.slice(0, calls) });
  const invites = await scene.cost('invites', () => scene.load.order('invites', { channelIds, pids, perS: CALLS_PER_S, holdMs: HOLD_MS }));
  return addedFigure(invites, await echoTimes(scene));
}

function addedFigure({ result: { calls, failures, added }, cpuS }: Cost<InvitesResult>, echoMs: readonly number[]): Figure {
  const down = added.map(({ downMs }) => downMs);
  const up = added.map(({ upMs }) => upMs);
  const onTheClock = added.map(({ downMs, upMs }) => downMs + upMs);
  const own = added.map(({ downMs, upMs, waitedMs }) => downMs + upMs - waitedMs);
  return {
    name: 'INVITE relay, time added',
    value: failures.length > 0 ? Infinity : percentile(onTheClock, 0.99),
    unit: 'ms p99',
    limit: { most: ADDED_P99_MS },
    method: `${calls} calls, ${CALLS_PER_S}/s, ${HOLD_MS} ms each, upstream over TCP, cameras over UDP that answer at once: INVITE to 200 at the upstream less INVITE to 200 at the camera, on one clock, waiting for a core included; ports, bridge and rows on disk included`,
    beside: {
      'p50 ms': percentile(onTheClock, 0.5),
      'worst ms': percentile(onTheClock, 1),
      'p50 ms without waiting for a core': percentile(own, 0.5),
      'p99 ms without waiting for a core': percentile(own, 0.99),
      'to the camera p50 ms': percentile(down, 0.5),
      'to the camera p99 ms': percentile(down, 0.99),
      'back p50 ms': percentile(up, 0.5),
      'back p99 ms': percentile(up, 0.99),
      failures: failures.length,
      ...(failures[0] !== undefined && { 'first failure': failures[0] }),
      'ms CPU of sipd each': (1000 * cpuS) / calls,
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
