/**
 * It works little and stays long: no compiler that optimizes, and a small nursery, take memory away however it is started. Imported
 * before everything else: what is loaded later is compiled by these flags. Only in the process of healthd itself.
 */
import { setFlagsFromString } from 'node:v8';

export const LEAN_FLAGS: readonly string[] = ['--max-semi-space-size=1', '--no-opt', '--no-maglev', '--no-sparkplug', '--optimize-for-size'];

if (process.argv[1]?.endsWith('/healthd/main.ts') === true) {
  for (const flag of LEAN_FLAGS) setFlagsFromString(flag);
}
