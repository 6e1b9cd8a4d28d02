/**
 * sd_notify(3) toward systemd. Node cannot send unix datagrams, so each message is one short run of systemd-notify,
 * which waits until systemd has taken it (the unit needs NotifyAccess=all). Outside systemd nothing is sent.
 */
import { spawn } from 'node:child_process';
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

const MAX_STATUS_LENGTH = 200;

export class Notify {
  readonly #enabled: boolean;
  readonly #log: Log;
  #failed = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(log: Log, environment: NodeJS.ProcessEnv = process.env) {
    this.#log = log;
    this.#enabled = (environment['NOTIFY_SOCKET'] ?? '') !== '';
  }

  ready = (status: string): Promise<void> => this.#send('READY=1', statusLine(status));
  reloading = (): Promise<void> => this.#send('RELOADING=1');
  stopping = (): Promise<void> => this.#send('STOPPING=1');
  watchdog = (): Promise<void> => this.#send('WATCHDOG=1');

  /** One after the other, so that their order is the order of the calls. Never rejects. */
  #send(...assignments: readonly string[]): Promise<void> {
    if (this.#enabled) this.#sending = this.#sending.then(() => this.#run(assignments));
    return this.#sending;
  }

  #run(assignments: readonly string[]): Promise<void> {
    return new Promise(resolve => {
      const child = spawn('systemd-notify', assignments, { stdio: ['ignore', 'ignore', 'ignore'] });
      const failed = (why: string): void => {
        if (!this.#failed) this.#log.error({ why }, 'notify.failed');
        this.#failed = true;
        resolve();
      };
      child.once('error', error => failed(error.message));
      child.once('exit', (code, signal) => (code === 0 ? resolve() : failed(`systemd-notify ended with ${code ?? signal}`)));
    });
  }
}

const statusLine = (status: string): string => `STATUS=${status.replace(/[\0-\x1f\x7f]/g, ' ').slice(0, MAX_STATUS_LENGTH)}`;

/** How often systemd wants to hear of this process (half its limit, sd_watchdog_enabled(3)); undefined when it does not. */
export function watchdogIntervalMs(environment: NodeJS.ProcessEnv = process.env, pid: number = process.pid): number | undefined {
  const limitUs = Number(environment['WATCHDOG_USEC']);
  const forPid = environment['WATCHDOG_PID'];
  if (!Number.isSafeInteger(limitUs) || limitUs <= 0 || (forPid !== undefined && Number(forPid) !== pid)) return undefined;
  return limitUs / 2000;
}

/** Tells systemd that the event loop turns and the daemon calls itself healthy. Silence makes systemd restart the unit. */
export function startWatchdog(notify: Notify, intervalMs: number, healthy: () => boolean, clock: Clock, log: Log): Disposable {
  let pending: Disposable;
  const beat = (): void => {
    if (healthy()) void notify.watchdog();
    else log.error({ intervalMs }, 'watchdog.withheld');
    pending = clock.schedule(addMs(clock.now(), intervalMs), beat);
  };
  beat();
  return { [Symbol.dispose]: () => pending[Symbol.dispose]() };
}
