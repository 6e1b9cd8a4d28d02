/** Nesting that no message of ours has: what walks a value afterwards would run out of stack (faults.md 81). */
export const MAX_JSON_DEPTH = 64;

/** Looks no deeper than it has to. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels <= 0) return true;
  return Object.values(value).some(each => isDeeperThan(each, levels - 1));
}
