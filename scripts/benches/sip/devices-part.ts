/** Ten thousand cameras: how fast they register, what their keepalives cost. */
import { Echo, type Load } from './child.ts';
import { type Figure, percentile } from '../common/figures.ts';
import type { KeepaliveResult, RegisterResult } from './cameras.ts';
import type { EchoOptions } from './load.ts';
import { type Cost, Scene } from './scene.ts';
import { md5 } from './sip-text.ts';
import { cpuSeconds } from './usage.ts';

const CAMERAS = 10_000;
const CONCURRENCY = 64;
const REGISTER_PER_CORE_S = 2000;
const KEEPALIVE_EVERY_S = 60;
/** Other work on the machine only adds: the best window counts, and the others are shown. */
const KEEPALIVE_WINDOWS = 3;
const KEEPALIVE_WINDOW_S = 5;
const KEEPALIVE_CORE_PERCENT = 10;
const STORM_LIMIT_S = 120;
/** About what a REGISTER of the bench is long. */
const ECHO_BYTES = 500;
const ECHOES = 20_000;
const PACED_ECHOES = 400;
const MD5_MS = 500;
/** As long as what a digest is made of. */
const MD5_TEXT = 'x'.repeat(110);

export async function deviceFigures(profileTo: string | undefined): Promise<Figure[]> {
  await using scene = await Scene.open(CAMERAS, 1, profileTo);
  await using echo = await Echo.open();
  const busyEchoUs = await echoCost(scene.load, echo, { count: ECHOES, concurrency: CONCURRENCY, everyMs: 0 });
  const storm = await scene.cost('storm', async () => {
    const registered = await scene.load.order('register', { concurrency: CONCURRENCY });
    await scene.counted('catalog.complete', CAMERAS, STORM_LIMIT_S);
    return registered;
  });
  const refresh = await scene.cost('register', () => scene.load.order('register', { concurrency: CONCURRENCY }));
  const pacedEchoUs = await echoCost(scene.load, echo, { count: PACED_ECHOES, concurrency: 0, everyMs: (1000 * KEEPALIVE_EVERY_S) / CAMERAS });
  const order = { perS: CAMERAS / KEEPALIVE_EVERY_S, seconds: KEEPALIVE_WINDOW_S };
  const windows: Cost<KeepaliveResult>[] = [];
  for (let window = 1; window <= KEEPALIVE_WINDOWS; window++) windows.push(await scene.cost(`keepalives-${window}`, () => scene.load.order('keepalives', order)));
  return [registerFigure(refresh, busyEchoUs), stormFigure(storm), keepaliveFigure(windows, pacedEchoUs)];
}

const complete = ({ registrations, refused }: RegisterResult): number => (refused === 0 ? registrations : 0);

function registerFigure({ result, cpuS, wallS }: Cost<RegisterResult>, echoUs: number): Figure {
  const perCpuS = complete(result) / cpuS;
  const us = 1e6 / perCpuS;
  return {
    name: 'digest REGISTER',
    value: perCpuS,
    unit: '/s and core',
    limit: { least: REGISTER_PER_CORE_S },
    method: `${CAMERAS} registered cameras refresh over UDP, ${CONCURRENCY} at a time, each REGISTER, 401 with a new nonce, REGISTER with MD5 and qop=auth, 200: counted as one; divided by the CPU seconds of sipd (/proc, all threads)`,
    beside: {
      'requests/s and core': result.requests / cpuS,
      'registrations/s on this machine': result.registrations / wallS,
      'us CPU each': us,
      'us CPU of two bare dgram echoes': 2 * echoUs,
      ratio: us / (2 * echoUs),
      'bare md5 us': md5Us(),
      'p50 ms': percentile(result.latenciesMs, 0.5),
      'p99 ms': percentile(result.latenciesMs, 0.99),
      refused: result.refused,
      resent: result.resent,
    },
  };
}

function stormFigure({ result, cpuS, wallS }: Cost<RegisterResult>): Figure {
  return {
    name: 'all cameras anew',
    value: complete(result) / cpuS,
    unit: '/s and core',
    method: `${CAMERAS} cameras that nobody knew: REGISTER with digest, DeviceInfo and Catalog asked and answered (one channel each), stored, mapped for one upstream, until the last catalogue is complete`,
    beside: { 's for all': wallS, 's until all were registered': result.seconds, 'CPU s': cpuS, 'p99 ms of a registration': percentile(result.latenciesMs, 0.99), refused: result.refused, resent: result.resent },
  };
}

function keepaliveFigure(windows: readonly Cost<KeepaliveResult>[], echoUs: number): Figure {
  const percents = windows.map(({ cpuS, wallS }) => (100 * cpuS) / wallS);
  const best = windows[percents.indexOf(Math.min(...percents))]!;
  const unanswered = windows.reduce((sum, { result }) => sum + result.sent - result.answered, 0);
  return {
    name: 'keepalives',
    value: unanswered > 0 ? Infinity : Math.min(...percents),
    unit: '% of a core',
    limit: { most: KEEPALIVE_CORE_PERCENT },
    method: `${CAMERAS} registered cameras, one keepalive each ${KEEPALIVE_EVERY_S} s, evenly: CPU seconds of sipd over wall seconds, best of ${KEEPALIVE_WINDOWS} windows of ${KEEPALIVE_WINDOW_S} s`,
    beside: {
      'all windows %': percents.map(each => each.toFixed(1)).join(' '),
      'keepalives/s': best.result.sent / best.wallS,
      'us CPU each': (1e6 * best.cpuS) / best.result.sent,
      'us CPU of a bare dgram echo at this pace': echoUs,
      'ms that sipd and mediad waited for a core, each': (1000 * best.waitedS) / best.result.sent,
      unanswered,
    },
  };
}

/** CPU microseconds of one datagram there and back in a process that does nothing else. At a slow pace most of it is waking up. */
async function echoCost(load: Load, echo: Echo, pace: Pick<EchoOptions, 'count' | 'concurrency' | 'everyMs'>): Promise<number> {
  const order = { ...pace, address: '127.0.0.1', port: echo.port, bytes: ECHO_BYTES };
  await load.order('echo', { ...order, count: pace.count / 4 });
  const before = cpuSeconds(echo.pid);
  const { echoes } = await load.order('echo', order);
  return (1e6 * (cpuSeconds(echo.pid) - before)) / echoes;
}

function md5Us(): number {
  const before = process.cpuUsage();
  const until = performance.now() + MD5_MS;
  let count = 0;
  for (; performance.now() < until; count += 1000) for (let i = 0; i < 1000; i++) md5(MD5_TEXT);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}
