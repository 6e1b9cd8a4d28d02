/** Schema of the declarations of a gap. */
import { z } from 'zod';
import { COMMANDS } from './manscdp.ts';

export const SIP_METHODS = ['REGISTER', 'MESSAGE', 'INVITE', 'BYE', 'INFO', 'SUBSCRIBE', 'NOTIFY', 'OPTIONS'] as const;
export type SipMethod = (typeof SIP_METHODS)[number];

const commands = COMMANDS.map(({ cmdType }) => cmdType) as [string, ...string[]];

const lists = {
  methods: z.array(z.enum(SIP_METHODS)).max(SIP_METHODS.length).default([]).describe('SIP methods that are declared; others get 405; empty: all'),
  commands: z.array(z.enum(commands)).max(commands.length).default([]).describe('CmdTypes that are declared; others get 403; empty: all'),
};

export const deviceGapSchema = z.strictObject(lists);
export const upstreamGapSchema = z.strictObject({
  ...lists,
  unknownElements: z.enum(['pass', 'drop']).default('pass').describe('drop: XML elements that the standard does not know do not go up to it'),
});
