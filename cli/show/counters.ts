import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { table } from '../render.ts';
import { explain } from '../explain.ts';

type Counters = Readonly<Record<string, Readonly<Record<string, number>>>>;

interface Gathered {
  readonly counters: Counters;
  readonly unreachable: readonly GatewayError[];
}

/** Of every daemon that answers; the others do not keep them from being shown. */
async function gather(context: Context): Promise<Gathered> {
  const counters: Record<string, Readonly<Record<string, number>>> = {};
  const unreachable: GatewayError[] = [];
  const ask = async (name: string, call: () => Promise<Readonly<Record<string, number>>>): Promise<void> => {
    try {
      counters[name] = await call();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      unreachable.push(error);
    }
  };
  await ask('sipd', () => context.sipd(client => client.call('counters', {})));
  for (const instance of await context.mediadInstances()) await ask(`mediad-${instance}`, () => context.mediad(instance, client => client.call('counters', {})));
  return { counters, unreachable };
}

const flat = (counters: Counters): readonly (readonly [string, string, number])[] => Object.entries(counters).flatMap(([daemon, values]) => Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [daemon, name, value] as const));

export default defineCommand({
  path: 'show counters',
  help: 'what was counted since each daemon started: drops, refusals, floods',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const { counters, unreachable } = await gather(context);
    context.print(counters, json, all =>
      table(flat(all), [{ title: 'DAEMON', value: ([daemon]) => daemon }, { title: 'COUNTER', value: ([, name]) => name }, { title: 'VALUE', value: ([, , value]) => value, align: 'right' }], 'no counters'),
    );
    for (const error of unreachable) context.err(explain(error));
    return unreachable.length === 0 ? 0 : EXIT_CODE.DAEMON_UNREACHABLE;
  },
});
