/**
 * sd_notify(3) toward systemd: a datagram from this process itself (native/notify.c), so that the unit needs NotifyAccess=main and
 * no more. Where the addon was not built each message is one short run of systemd-notify, which only NotifyAccess=all lets in.
 * Outside systemd nothing is sent.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

interface NotifyAddon {
  /** 0, or a negative errno. */
  notify(path: string, text: string): number;
}

const ADDON_PATH = './native/build/notify.node';
const MAX_STATUS_LENGTH = 200;

export class Notify {
  /** Empty: nobody listens. */
  readonly #path: string;
  readonly #addon: NotifyAddon | null;
  readonly #log: Log;
  #failed = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(log: Log, environment: NodeJS.ProcessEnv = process.env) {
    this.#log = log;
    this.#path = environment['NOTIFY_SOCKET'] ?? '';
    this.#addon = this.#path === '' ? null : loadAddon();
  }

  ready = (status: string): Promise<void> => this.#send('READY=1', statusLine(status));
  reloading = (): Promise<void> => this.#send('RELOADING=1');
  stopping = (): Promise<void> => this.#send('STOPPING=1');
  watchdog = (): Promise<void> => this.#send('WATCHDOG=1');

  /** One after the other, so that their order is the order of the calls. Never rejects. */
  #send(...assignments: readonly string[]): Promise<void> {
    const addon = this.#addon;
    if (addon !== null) this.#tell(addon, assignments);
    else if (this.#path !== '') this.#sending = this.#sending.then(() => this.#run(assignments));
    return this.#sending;
  }

  #tell(addon: NotifyAddon, assignments: readonly string[]): void {
    const result = addon.notify(this.#path, assignments.join('\n'));
    if (result < 0) this.#fail(getSystemErrorName(result));
  }

  #run(assignments: readonly string[]): Promise<void> {
    return new Promise(resolve => {
      const child = spawn('systemd-notify', assignments, { stdio: ['ignore', 'ignore', 'ignore'] });
      const failed = (why: string): void => {
        this.#fail(why);
        resolve();
      };
      child.once('error', error => failed(error.message));
      child.once('exit', (code, signal) => (code === 0 ? resolve() : failed(`systemd-notify ended with ${code ?? signal}`)));
    });
  }

  #fail(why: string): void {
    if (!this.#failed) this.#log.error({ why }, 'notify.failed');
    this.#failed = true;
  }
}

function loadAddon(): NotifyAddon | null {
  try {
    return createRequire(import.meta.url)(ADDON_PATH) as NotifyAddon;
  } catch {
    return null;
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
