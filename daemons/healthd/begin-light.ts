/**
 * Whoever had to take the types out of every file and compile it is a third heavier for good. Then what was compiled is kept, and the
 * same process begins again with that (execve(2): one pid, whoever waits for it notices nothing):
 *
 *     heavy, nothing is kept --with a place to keep it--> heavy, kept --again--> light
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { LEAN_FLAGS } from './lean.ts';

/** Between the two: 69 MB when everything is kept, 104 when nothing is. */
const LIGHT_BYTES = 76_000_000;
const MAX_AGAIN = 2;
const COUNT = 'VIEWLINK_HEALTHD_AGAIN';
const CACHE = 'NODE_COMPILE_CACHE';

/** Returns where it is light, or cannot be made so; else never. */
export function beginLight(): void {
  const { env, execArgv, argv } = process;
  const again = Number(env[COUNT] ?? '0');
  const cache = env[CACHE] ?? ownCache();
  // What others hook into this process must not happen twice.
  if (process.execve === undefined || (env['NODE_OPTIONS'] ?? '') !== '' || cache === null || again >= MAX_AGAIN || process.memoryUsage.rss() < LIGHT_BYTES) return;
  flushCompileCache();
  process.execve(process.execPath, [process.execPath, ...new Set([...execArgv, ...LEAN_FLAGS]), ...argv.slice(1)], { ...env, [CACHE]: cache, [COUNT]: String(again + 1) });
}

/** Nobody else's: what is kept there is run. Null: there is none. */
function ownCache(): string | null {
  const path = join(homedir(), '.cache/viewlink/healthd');
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.W_OK);
    return path;
  } catch {
    return null;
  }
}
