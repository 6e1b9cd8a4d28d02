/** One look at every daemon. One that does not answer is shown as such, and does not keep the others from being seen. */
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import type { Context } from '../command.ts';
import type { Look } from './figures.ts';

/** Less than the time between two looks. */
const PATIENCE = { timeoutMs: 800 };
const MAX_ALARMS = 100;

async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof GatewayError) return null;
    throw error;
  }
}

const fromSipd = (context: Context) =>
  orNull(
    context.sipd(async client => ({
      counters: await client.call('counters', {}, PATIENCE),
      sessions: await client.call('listSessions', {}, PATIENCE),
      upstreams: await client.call('listUpstreams', {}, PATIENCE),
      totals: await client.call('totals', {}, PATIENCE),
      summary: await client.call('summary', {}, PATIENCE),
    })),
  );

const fromMediad = (context: Context, instance: string) =>
  orNull(context.mediad(instance, async client => ({ counters: await client.call('counters', {}, PATIENCE), load: await client.call('load', {}, PATIENCE), viewers: (await client.call('listOutlets', {}, PATIENCE)).length })));

const fromHealthd = (context: Context) =>
  orNull(context.healthd(async client => ({ counters: await client.call('counters', {}, PATIENCE), alarms: await client.call('alarms', { activeOnly: true, limit: MAX_ALARMS }, PATIENCE) })));

/** Where it runs: not every machine has it, and one that died is among the alarms. */
async function othersOf(context: Context): Promise<Look['daemons']> {
  const asked = [
    ['configd', context.configd(client => client.call('counters', {}, PATIENCE))],
    ['apid', context.apid(client => client.call('counters', {}, PATIENCE))],
  ] as const;
  const answers = await Promise.all(asked.map(async ([name, counters]) => ({ name, counters: await orNull(counters) })));
  return answers.filter(({ counters }) => counters !== null);
}

export async function lookAround(context: Context): Promise<Look> {
  const instances = await context.mediadInstances();
  const [others, sipd, healthd, ...medias] = await Promise.all([othersOf(context), fromSipd(context), fromHealthd(context), ...instances.map(instance => fromMediad(context, instance))]);
  const devices = sipd?.summary.devices;
  return {
    atMs: systemClock.now(),
    daemons: [{ name: 'sipd', counters: sipd?.counters ?? null }, ...instances.map((instance, n) => ({ name: `mediad-${instance}`, counters: medias[n]?.counters ?? null })), { name: 'healthd', counters: healthd?.counters ?? null }, ...others],
    loads: medias.flatMap(media => media?.load ?? []),
    sessions: sipd?.sessions ?? [],
    viewers: medias.reduce((total, media) => total + (media?.viewers ?? 0), 0),
    upstreams: sipd?.upstreams ?? [],
    totals: sipd?.totals ?? null,
    devices: devices === undefined ? null : { online: devices.online, all: devices.online + devices.offline + devices.neverRegistered },
    alarms: healthd?.alarms ?? null,
  };
}
