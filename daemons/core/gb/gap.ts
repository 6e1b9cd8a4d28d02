/**
 * What a network gap between a peer and us lets through (faults.md 5, rules 3 and 6): its declaration, held on our side too, so that
 * nothing that was not declared is even looked at. Empty lists restrict nothing.
 */
import type { SipMethod } from './gap-schema.ts';

export interface GapRules {
  readonly methods: readonly SipMethod[];
  readonly commands: readonly string[];
}

/** ACK and CANCEL belong to an INVITE, and nobody is asked about them. */
const ALWAYS: ReadonlySet<string> = new Set(['ACK', 'CANCEL']);

export const mayUseMethod = ({ methods }: GapRules, method: string): boolean => methods.length === 0 || ALWAYS.has(method) || methods.some(each => each === method);

/** `command`: CmdType in its canonical spelling. */
export const mayUseCommand = ({ commands }: GapRules, command: string): boolean => commands.length === 0 || commands.includes(command);
