/** A failure in words that help. */
import { basename } from 'node:path';
import type { GatewayError } from '#core/result.ts';
import { sayWhy } from './language.ts';

const UNIT: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/^mediad-(\w+)\.sock$/, match => `viewlink-mediad@${match[1]}`],
  [/^(\w+)\.sock$/, match => `viewlink-${match[1]}`],
];

function unreachable({ detail }: GatewayError): string {
  const socket = String(detail['socket'] ?? '');
  const unit = UNIT.map(([pattern, name]) => { const match = pattern.exec(basename(socket)); return match === null ? undefined : name(match); }).find(name => name !== undefined) ?? 'viewlink.target';
  if (detail['tool'] !== undefined) return `${detail['tool']}: ${detail['why']}`;
  if (detail['why'] === 'EACCES') return `not permitted to use ${socket}: only root and members of the groups viewlink-admin ... viewlink-viewer may`;
  if (detail['timeoutMs'] !== undefined) return `${unit} did not answer within ${detail['timeoutMs']} ms: see journalctl -u ${unit}`;
  return `${unit} is not reachable at ${socket} (${detail['why'] ?? 'closed'}): see systemctl status ${unit}`;
}

function notPermitted({ detail }: GatewayError): string {
  const { what, user, has, needs, why } = detail;
  if (user === undefined || needs === undefined) return `not permitted: ${[what, why, needs === undefined ? undefined : `needs ${needs}`].filter(part => part !== undefined).join(': ')}`;
  return `not permitted: ${what}: ${user} has ${has === 'no role' ? has : `the role ${has}`}; it needs the group ${needs}`;
}

/** One line, or for a configuration one line a problem. */
export function explain(error: GatewayError): string {
  if (error.code === 'DAEMON_UNREACHABLE') return unreachable(error);
  if (error.code === 'NOT_PERMITTED') return notPermitted(error);
  // The sentence stands for itself; what it is about stands before it.
  const facts = Object.entries(error.detail).sort(([a], [b]) => Number(a === 'why') - Number(b === 'why')).map(([key, value]) => (key === 'why' ? sayWhy(String(value)) : `${key} ${value}`)).join(', ');
  return `${error.code.toLowerCase().replaceAll('_', ' ')}${facts === '' ? '' : `: ${facts}`}`;
}
