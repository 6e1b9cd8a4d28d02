import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { createLog } from '#kit/log.ts';
import { type Notify, startWatchdog, watchdogIntervalMs } from '#kit/notify.ts';
import { ManualClock } from '../rig/manual-clock.ts';

type Child = ChildProcessByStdio<null, Readable, null>;
const FIXTURE = join(import.meta.dirname, 'service-fixture.ts');
/** Node has no unix datagram sockets; perl is on every Debian. Prints each datagram as one line. */
const RECEIVER = 'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, pack_sockaddr_un($ARGV[0])) or die; $| = 1; print "bound\n"; while (defined recv(S, $m, 4096, 0)) { $m =~ s/\n/ /g; print "$m\n" }';

/** A child whose output can be waited for line by line. */
class Speaker {
  readonly child: Child;
  readonly #closed: Promise<unknown>;
  #waiting: (() => void)[] = [];
  text = '';

  constructor(test: Test, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env } });
    this.child.stdout.on('data', chunk => {
      this.text += String(chunk);
      for (const look of this.#waiting.splice(0)) look();
    });
    this.#closed = once(this.child, 'close');
    test.teardown(() => this.child.kill('SIGKILL'));
  }

  async until(pattern: RegExp): Promise<void> {
    const ended = this.#closed.then(() => true);
    while (!pattern.test(this.text)) {
      const more = new Promise<boolean>(resolve => this.#waiting.push(() => resolve(false)));
      if ((await Promise.race([more, ended])) && !pattern.test(this.text)) throw new Error(`ended without ${pattern}: ${this.text}`);
    }
  }

  async exit(): Promise<number | null> {
    await this.#closed;
    return this.child.exitCode;
  }
}

const daemon = (test: Test, mode: string, env: NodeJS.ProcessEnv = {}): Speaker => new Speaker(test, process.execPath, [FIXTURE, mode], { NOTIFY_SOCKET: '', WATCHDOG_USEC: '', ...env });

async function receiver(test: Test): Promise<{ readonly heard: Speaker; readonly path: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-notify-'));
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 's');
  const heard = new Speaker(test, 'perl', ['-e', RECEIVER, path]);
  await heard.until(/bound/);
  return { heard, path };
}

t.test('ready, reloads, beats, stops: as systemd hears it', async t => {
  const { heard, path } = await receiver(t);
  const one = daemon(t, 'good', { NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' });
  await heard.until(/READY=1 STATUS=running/);
  t.match(one.text, /^started$/m, 'ready only after start');
  await heard.until(/WATCHDOG=1[^]*WATCHDOG=1/);
  one.child.kill('SIGHUP');
  await heard.until(/RELOADING=1[^]*READY=1/);
  t.match(one.text, /^reload$/m);
  one.child.kill('SIGTERM');
  t.equal(await one.exit(), 0);
  t.match(one.text, /^closing$/m, 'closed in order');
});

t.test('a refused reload goes on and says so', async t => {
  const { heard, path } = await receiver(t);
  const one = daemon(t, 'refuses', { NOTIFY_SOCKET: path });
  await heard.until(/READY=1/);
  one.child.kill('SIGHUP');
  await heard.until(/last reload refused: not now/);
  one.child.kill('SIGINT');
  t.equal(await one.exit(), 0);
});

/** Mode, signal once started, exit code, what the log says. */
const ENDS: readonly (readonly [string, NodeJS.Signals | null, number, RegExp])[] = [
  ['bad-config', null, 2, /service\.not-started/],
  ['start-bug', null, 70, /service\.bug/],
  ['bug', 'SIGUSR2', 70, /service\.bug/],
  ['rejection', 'SIGUSR2', 70, /unhandledRejection/],
  ['close-hangs', 'SIGTERM', 1, /service\.close-overdue/],
  ['close-fails', 'SIGTERM', 1, /service\.close-failed/],
  ['slow-start', 'SIGTERM', 0, /starting/],
];

t.test('ways to end', async t => {
  await Promise.all(
    ENDS.map(async ([mode, signal, code, log]) => {
      const one = daemon(t, mode);
      if (signal !== null) {
        await one.until(/^start(ed|ing)$/m);
        one.child.kill(signal);
      }
      t.equal(await one.exit(), code, mode);
      t.match(one.text, log, mode);
    }),
  );
});

t.test('a sick daemon withholds its beat, a healthy one beats at half the limit', async t => {
  const clock = new ManualClock();
  const log = createLog('test', 'silent');
  let beats = 0;
  let healthy = true;
  const notify = { watchdog: async () => void (beats += 1) } as unknown as Notify;
  const watchdog = startWatchdog(notify, 5000, () => healthy, clock, log);
  clock.advance(20_000);
  t.equal(beats, 5);
  healthy = false;
  clock.advance(20_000);
  t.equal(beats, 5);
  watchdog[Symbol.dispose]();
  t.equal(clock.scheduled, 0);

  t.equal(watchdogIntervalMs({ WATCHDOG_USEC: '10000000' }), 5000);
  t.equal(watchdogIntervalMs({ WATCHDOG_USEC: '10000000', WATCHDOG_PID: '1' }, 2), undefined, 'for another process');
  t.equal(watchdogIntervalMs({}), undefined);
  t.equal(watchdogIntervalMs({ WATCHDOG_USEC: '-1' }), undefined);
});
