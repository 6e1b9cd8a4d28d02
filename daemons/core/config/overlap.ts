import { normalizeIp } from '../ip.ts';

const WILDCARD: readonly string[] = ['0.0.0.0', '::'];

/** Whether two sockets of one port meet. A wildcard binds every address; `::` is dual-stack, so it meets 0.0.0.0 too. */
export function overlap(a: string, b: string): boolean {
  return WILDCARD.includes(a) || WILDCARD.includes(b) || normalizeIp(a) === normalizeIp(b);
}
