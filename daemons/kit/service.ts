/**
 * The life of a daemon as systemd sees it (Type=notify):
 *
 *   starting --start() done--> running --SIGTERM, SIGINT--> stopping --closed, or deadline--> exit
 *      | GatewayError             | SIGHUP: reload()
 *      v                          | uncaughtException, unhandledRejection: a bug
 *   exit EXIT_CODE[code]          v
 *                              exit 70 at once; systemd starts the unit anew
 */
import { flushCompileCache } from 'node:module';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from './clock.ts';
import { createLog, type Log } from './log.ts';
import { Notify, startWatchdog, watchdogIntervalMs } from './notify.ts';

/** EX_SOFTWARE of sysexits(3). */
const EXIT_BUG = 70;
const EXIT_CLOSE_FAILED = 1;
/** Below TimeoutStopSec of the units, so that the last word in the log is ours. */
const CLOSE_DEADLINE_MS = 5000;

export interface RunningService extends AsyncDisposable {
  /** SIGHUP: reads the configuration again; a sentence when it was refused. */
  reload?(): Promise<string | null>;
  /** Asked before every watchdog beat. */
  healthy?(): boolean;
}

export interface ServiceContext {
  /** Aborted when the daemon is told to stop before it has started. */
  readonly signal: AbortSignal;
  /** For the time before the configuration names a level. */
  readonly log: Log;
}

export interface ServiceOptions {
  readonly name: string;
  /** Opens everything; what it returns closes everything, newest first. A GatewayError ends the process with its exit code. */
  readonly start: (context: ServiceContext) => Promise<RunningService>;
  readonly closeDeadlineMs?: number;
}

/** The whole process: returns once it runs, and ends the process when it is told to or must. */
export async function runService({ name, start, closeDeadlineMs = CLOSE_DEADLINE_MS }: ServiceOptions): Promise<void> {
  const log = createLog(name, 'info');
  const notify = new Notify(log);
  crashOnBugs(log);
  const stop = new AbortController();
  const told = new Promise<string>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  void told.then(signal => stop.abort(new Error(signal)));
  const service = await startOrExit(start, { signal: stop.signal, log }, name);
  process.on('SIGHUP', () => void reload(service, notify, log));
  await notify.ready(`running, pid ${process.pid}`);
  // Now and not at the end: one that is killed shall be back as fast as one that was stopped.
  flushCompileCache();
  const intervalMs = watchdogIntervalMs();
  using _watchdog = intervalMs === undefined ? undefined : startWatchdog(notify, intervalMs, () => service.healthy?.() ?? true, systemClock, log);
  log.info({ signal: await told }, 'service.stopping');
  void notify.stopping();
  process.exit(await close(service, closeDeadlineMs, log));
}

function crashOnBugs(log: Log): void {
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'service.bug');
    process.exit(EXIT_BUG);
  });
}

async function startOrExit(start: ServiceOptions['start'], context: ServiceContext, name: string): Promise<RunningService> {
  try {
    return await start(context);
  } catch (error) {
    if (context.signal.aborted) process.exit(0);
    if (!(error instanceof GatewayError)) throw error;
    context.log.fatal({ code: error.code, ...error.detail }, 'service.not-started');
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(EXIT_CODE[error.code]);
  }
}

async function reload(service: RunningService, notify: Notify, log: Log): Promise<void> {
  if (service.reload === undefined) return log.info({}, 'service.reload-unsupported');
  await notify.reloading();
  const refused = await service.reload();
  if (refused === null) log.info({}, 'service.reloaded');
  else log.error({ refused }, 'service.reload-refused');
  await notify.ready(refused === null ? 'running' : `running, last reload refused: ${refused}`);
}

/** Exit code. A close that hangs is left behind at the deadline. */
async function close(service: RunningService, deadlineMs: number, log: Log): Promise<number> {
  const overdue = Promise.withResolvers<number>();
  using _deadline = systemClock.schedule(addMs(systemClock.now(), deadlineMs), () => {
    log.error({ deadlineMs }, 'service.close-overdue');
    overdue.resolve(EXIT_CLOSE_FAILED);
  });
  const closed = service[Symbol.asyncDispose]().then(
    () => 0,
    (error: unknown) => {
      log.error({ err: error }, 'service.close-failed');
      return EXIT_CLOSE_FAILED;
    },
  );
  return await Promise.race([closed, overdue.promise]);
}
