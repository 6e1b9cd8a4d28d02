import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { table } from '../render.ts';
import { explain } from '../explain.ts';

type Counters = Readonly<Record<string, Readonly<Record<string, number>>>>;

interface Gathered {
  readonly counters: Counters;
  readonly unreachable: readonly GatewayError[];
}

/** One that hangs is not waited for longer: the others are what somebody wants to see now. */
const PATIENCE = { timeoutMs: 2000 };

/** Of every daemon that answers; the others do not keep them from being shown. */
async function gather(context: Context): Promise<Gathered> {
  const ask = async (name: string, call: () => Promise<Readonly<Record<string, number>>>): Promise<readonly [string, Readonly<Record<string, number>>] | GatewayError> => {
    try {
      return [name, await call()];
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return error;
    }
  };
  const instances = await context.mediadInstances();
  const answers = await Promise.all([
    ask('sipd', () => context.sipd(client => client.call('counters', {}, PATIENCE))),
    ...instances.map(instance => ask(`mediad-${instance}`, () => context.mediad(instance, client => client.call('counters', {}, PATIENCE)))),
  ]);
  const others = await Promise.all([
    ask('healthd', () => context.healthd(client => client.call('counters', {}, PATIENCE))),
    ask('configd', () => context.configd(client => client.call('counters', {}, PATIENCE))),
    ask('apid', () => context.apid(client => client.call('counters', {}, PATIENCE))),
  ]);
  // Not every machine has them.
  answers.push(...others.filter(answer => !(answer instanceof GatewayError)));
  const counters: Record<string, Readonly<Record<string, number>>> = {};
  const unreachable: GatewayError[] = [];
  for (const answer of answers) {
    if (answer instanceof GatewayError) unreachable.push(answer);
    else counters[answer[0]] = answer[1];
  }
  return { counters, unreachable };
}

const flat = (counters: Counters): readonly (readonly [string, string, number])[] => Object.entries(counters).flatMap(([daemon, values]) => Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [daemon, name, value] as const));

export default defineCommand({
  path: 'show counters',
  access: 'read',
  help: 'what was counted since each daemon started: drops, refusals, floods',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const { counters, unreachable } = await gather(context);
    context.print(counters, json, all =>
      table(flat(all), [{ title: 'DAEMON', value: ([daemon]) => daemon }, { title: 'COUNTER', value: ([, name]) => name }, { title: 'VALUE', value: ([, , value]) => value, align: 'right' }], 'no counters'),
    );
    for (const error of unreachable) context.err(explain(error));
    // What is missing is said; nothing to show is a failure.
    return Object.keys(counters).length > 0 ? 0 : EXIT_CODE.DAEMON_UNREACHABLE;
  },
});
