/** A daemon with switchable misbehaviour, for service.test.ts: `service-fixture.ts MODE`. Says what happens to it on stdout. */
import { GatewayError } from '#core/result.ts';
import { runService } from '#kit/service.ts';

const mode = process.argv[2] ?? 'good';
const say = (word: string): void => void process.stdout.write(`${word}\n`);
const forever = setInterval(() => undefined, 60_000);

await runService({
  name: 'fixture',
  closeDeadlineMs: 200,
  async start({ signal }) {
    if (mode === 'bad-config') throw new GatewayError('CONFIG_INVALID', { line: 3 });
    if (mode === 'start-bug') throw new TypeError('a bug in start');
    if (mode === 'slow-start') {
      say('starting');
      await new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(new Error('told to stop'))));
    }
    if (mode === 'bug') process.once('SIGUSR2', () => setImmediate(() => void (undefined as unknown as { x: { y: number } }).x.y));
    if (mode === 'rejection') process.once('SIGUSR2', () => void Promise.reject(new Error('nobody waits for this')));
    say('started');
    return {
      reload: async () => (say('reload'), mode === 'refuses' ? 'not now' : null),
      healthy: () => mode !== 'sick',
      async [Symbol.asyncDispose]() {
        clearInterval(forever);
        say('closing');
        if (mode === 'close-hangs') await new Promise<void>(() => undefined);
        if (mode === 'close-fails') throw new Error('cannot close');
      },
    };
  },
});
