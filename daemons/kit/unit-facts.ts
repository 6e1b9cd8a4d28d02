/** systemctl(1): how a unit is. Only where systemd runs us itself: elsewhere its units are not the daemons beside us. */
import { execFile } from 'node:child_process';
import { type UnitFacts, unitFacts } from '#core/config/comeback.ts';

const LIMIT_MS = 10_000;
const PATH = '/usr/bin:/bin';
const PROPERTIES = ['LoadState', 'ActiveState', 'Result', 'Job', 'NRestarts', 'TimeoutStartUSec'];

/** `mediad-1` is `viewlink-mediad@1.service`. */
export const unitOf = (daemon: string): string => `viewlink-${daemon.replace('-', '@')}.service`;

/** Null: nobody can tell; without D-Bus systemd answers root alone. */
export function factsOfUnit(unit: string): Promise<UnitFacts | null> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return Promise.resolve(null);
  return new Promise(resolve => {
    execFile('systemctl', ['show', `--property=${PROPERTIES.join(',')}`, unit], { timeout: LIMIT_MS, killSignal: 'SIGKILL', env: { PATH, LC_ALL: 'C' } }, (error, stdout) => resolve(error === null ? unitFacts(stdout) : null));
  });
}
