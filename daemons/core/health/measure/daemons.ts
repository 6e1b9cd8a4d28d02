/** The daemons of the gateway, by what they count of themselves. */
import { Gathering, type Measured, percentOf, shown } from '../model.ts';

export interface DaemonFacts {
  readonly name: string;
  /** Null: it does not answer. */
  readonly counters: Readonly<Record<string, number>> | null;
  /** Counted `elapsedS` before, by the same process. */
  readonly before: Readonly<Record<string, number>> | null;
  readonly elapsedS: number;
  /** Since healthd watches it. */
  readonly restarts: number;
  readonly restartsLately: number;
  readonly openFilesLimit: number | null;
  readonly wallMs: number;
}

const OWN = 'process.';
const PEERS_KNOWN = 'rpc.peers-known';

export function measureDaemon(facts: DaemonFacts): Measured {
  const found = new Gathering();
  const { name, counters, restarts, restartsLately } = facts;
  const subject = `daemon:${name}`;
  found.sample('viewlink_daemon_up', { daemon: name }, counters === null ? 0 : 1);
  found.sample('viewlink_daemon_restarts_total', { daemon: name }, restarts);
  const rss = counters?.['process.rss-bytes'];
  found.observe('daemon.down', subject, counters === null ? 1 : 0, counters === null ? 'does not answer' : rss === undefined ? 'answers' : `answers, ${shown(rss / 2 ** 20)} MiB`);
  found.observe('daemon.restarts', subject, restartsLately, restartsLately === 0 ? '' : `started anew ${restartsLately} times in ten minutes`);
  if (counters !== null) measureProcess(found, subject, facts, counters);
  if (counters?.[PEERS_KNOWN] !== undefined) found.add(measurePeers(name, counters[PEERS_KNOWN] === 1));
  return found;
}

function measureProcess(found: Gathering, subject: string, { name, before, elapsedS, openFilesLimit, wallMs }: DaemonFacts, counters: Readonly<Record<string, number>>): void {
  const labels = { daemon: name };
  const of = (key: string): number | undefined => counters[`${OWN}${key}`];
  const [cpuMs, rss, files, startedAt] = [of('cpu-ms'), of('rss-bytes'), of('open-files'), of('started-at-wall-ms')];
  const beforeMs = before?.[`${OWN}cpu-ms`];
  if (cpuMs !== undefined && beforeMs !== undefined && elapsedS > 0) found.sample('viewlink_daemon_cpu_ratio', labels, Math.max(0, cpuMs - beforeMs) / 1000 / elapsedS);
  found.sample('viewlink_daemon_resident_bytes', labels, rss);
  found.sample('viewlink_daemon_open_files', labels, files);
  found.sample('viewlink_daemon_uptime_seconds', labels, startedAt === undefined ? null : Math.max(0, (wallMs - startedAt) / 1000));
  if (rss !== undefined) found.observe('daemon.memory', subject, rss / 2 ** 20, '');
  if (files !== undefined && openFilesLimit !== null) found.observe('daemon.files', subject, percentOf(files, openFilesLimit), files * 2 < openFilesLimit ? '' : `${files} of ${openFilesLimit} files open`);
  const [p99Us, maxUs] = [of('loop-delay-p99-us'), of('loop-delay-max-us')];
  if (p99Us !== undefined) {
    found.sample('viewlink_daemon_loop_delay_p99_seconds', labels, p99Us / 1e6);
    found.observe('daemon.loop-delay', subject, p99Us / 1000, p99Us < 50_000 ? '' : `its event loop is ${shown(p99Us / 1000)} ms late`);
  }
  found.sample('viewlink_daemon_loop_delay_max_seconds', labels, maxUs === undefined ? null : maxUs / 1e6);
}

/** Whether a daemon knows who asks it. */
export function measurePeers(name: string, known: boolean): Measured {
  const found = new Gathering();
  found.sample('viewlink_daemon_peers_known', { daemon: name }, known ? 1 : 0);
  found.observe('roles.unchecked', `daemon:${name}`, known ? 0 : 1, known ? '' : 'does not know who asks it: roles are not checked');
  return found;
}

/** Everything else that it counts, for monitoring systems. */
export function countedEvents(name: string, counters: Readonly<Record<string, number>>): Measured {
  const found = new Gathering();
  for (const [event, value] of Object.entries(counters)) if (!event.startsWith(OWN) && event !== PEERS_KNOWN) found.sample('viewlink_events_total', { daemon: name, event }, value);
  return found;
}
