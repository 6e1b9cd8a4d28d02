/** Ten thousand cameras: how fast they register, what their keepalives cost. */
import { Echo, type Load, cpuSeconds } from './child.ts';
import { type Figure, percentile } from './figures.ts';
import type { EchoResult } from './load.ts';
import type { RegisterResult } from './cameras.ts';
import { type Cost, Scene } from './scene.ts';
import { md5 } from './sip-text.ts';

const CAMERAS = 10_000;
const CONCURRENCY = 64;
const REGISTER_PER_CORE_S = 2000;
const KEEPALIVE_EVERY_S = 60;
const KEEPALIVE_WINDOW_S = 12;
const KEEPALIVE_CORE_PERCENT = 10;
const STORM_LIMIT_S = 120;
/** About what a REGISTER of the bench is long. */
const ECHO_BYTES = 500;
const ECHOES = 20_000;
const MD5_MS = 500;
/** As long as what a digest is made of. */
const MD5_TEXT = 'x'.repeat(110);

export async function deviceFigures(profileTo: string | undefined): Promise<Figure[]> {
  await using scene = await Scene.open(CAMERAS, 1, profileTo);
  const echo = await echoCost(scene.load);
  const storm = await scene.cost('storm', async () => {
    const registered = await scene.load.order('register', { concurrency: CONCURRENCY });
    await scene.counted('catalog.complete', CAMERAS, STORM_LIMIT_S);
    return registered;
  });
  const refresh = await scene.cost('register', () => scene.load.order('register', { concurrency: CONCURRENCY }));
  const keepalives = await scene.cost('keepalives', () => scene.load.order('keepalives', { perS: CAMERAS / KEEPALIVE_EVERY_S, seconds: KEEPALIVE_WINDOW_S }));
  return [registerFigure(refresh, echo), stormFigure(storm), keepaliveFigure(keepalives)];
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

function keepaliveFigure({ result, cpuS, wallS }: Cost<{ sent: number; answered: number }>): Figure {
  return {
    name: 'keepalives',
    value: result.answered < result.sent ? Infinity : (100 * cpuS) / wallS,
    unit: '% of a core',
    limit: { most: KEEPALIVE_CORE_PERCENT },
    method: `${CAMERAS} registered cameras, one keepalive each ${KEEPALIVE_EVERY_S} s, evenly, for ${KEEPALIVE_WINDOW_S} s: CPU seconds of sipd over wall seconds`,
    beside: { 'keepalives/s': result.sent / wallS, 'us CPU each': (1e6 * cpuS) / result.sent, unanswered: result.sent - result.answered },
  };
}

/** CPU microseconds of one datagram there and back in a process that does nothing else. */
async function echoCost(load: Load): Promise<number> {
  await using echo = await Echo.open();
  const order = { address: '127.0.0.1', port: echo.port, bytes: ECHO_BYTES, concurrency: CONCURRENCY, everyMs: 0 };
  await load.order('echo', { ...order, count: ECHOES / 4 });
  const before = cpuSeconds(echo.pid);
  const { echoes }: EchoResult = await load.order('echo', { ...order, count: ECHOES });
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
