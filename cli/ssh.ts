/**
 * vlink as all that an SSH user gets: `ForceCommand vlink --ssh [--idle MINUTES]`. What the client wants to run is a line of
 * vlink or nothing; no shell sees it. Of the environment only what sshd itself says is believed.
 */
import { GatewayError } from '#core/result.ts';
import { say } from './language.ts';

export const DEFAULT_IDLE_MINUTES = 10;
const MAX_IDLE_MINUTES = 24 * 60;
const KEPT = ['SSH_CONNECTION', 'TERM', 'LANG', 'LC_ALL', 'LC_MESSAGES'] as const;

export interface SshSession {
  readonly environment: NodeJS.ProcessEnv;
  /** What the client asked for; null: an interactive session. */
  readonly line: string | null;
  readonly idleMs: number;
}

/** Null when vlink was started in another way. */
export function sshSession(argv: readonly string[], environment: NodeJS.ProcessEnv): SshSession | null {
  if (argv[0] !== '--ssh') return null;
  const kept = Object.fromEntries(KEPT.flatMap(name => (environment[name] === undefined ? [] : [[name, environment[name]]])));
  const line = environment['SSH_ORIGINAL_COMMAND']?.trim() ?? '';
  return { environment: kept, line: line === '' ? null : withoutName(line), idleMs: idleOf(argv.slice(1)) };
}

/** `ssh gateway vlink show devices` means the same as `ssh gateway show devices`. */
const withoutName = (line: string): string => line.replace(/^(\/usr\/bin\/)?vlink\s+/, '');

function idleOf([flag, minutes, ...more]: readonly string[]): number {
  if (flag === undefined) return DEFAULT_IDLE_MINUTES * 60_000;
  const isNumber = minutes !== undefined && /^\d{1,4}$/.test(minutes) && Number(minutes) <= MAX_IDLE_MINUTES;
  if (flag !== '--idle' || !isNumber || more.length > 0) throw new GatewayError('BAD_REQUEST', { why: say('vlink --ssh [--idle MINUTES]') });
  return Number(minutes) * 60_000;
}
