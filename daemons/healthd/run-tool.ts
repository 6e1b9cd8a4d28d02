/** A program of the machine, run with bounds: no shell, a time limit, no more text than is read. Whatever goes wrong, there is no answer. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

const LIMIT_MS = 10_000;
const MAX_BYTES = 1 << 20;
const DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin', '/opt/MegaRAID/storcli', '/opt/MegaRAID/perccli'];

/** Full path, or undefined when the machine has none. */
export function findTool(...names: readonly string[]): string | undefined {
  return DIRECTORIES.flatMap(directory => names.map(name => `${directory}/${name}`)).find(path => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What it printed; some of them end with a code that is no failure (smartctl: bits of what it found). Undefined: it printed nothing, or too late. */
export function runTool(path: string, args: readonly string[], { limitMs = LIMIT_MS }: { readonly limitMs?: number } = {}): Promise<string | undefined> {
  return new Promise(resolve => {
    const options = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: MAX_BYTES, encoding: 'utf8', env: { PATH: DIRECTORIES.join(':'), LC_ALL: 'C.UTF-8', TZ: 'UTC' } } as const;
    execFile(path, args, options, (error, stdout) => resolve(error?.killed === true || stdout === '' ? undefined : stdout));
  });
}
