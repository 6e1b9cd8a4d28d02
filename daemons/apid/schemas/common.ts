/** Words that many routes use. Their names stand in the OpenAPI document and become types of the client. */
import { z } from 'zod';
import { ACCESSES, ROLES } from '#core/access/roles.ts';
import { MAX_PASSWORD } from '#core/api/password-rules.ts';

export const wallMs = z.int().min(0).max(8_640_000_000_000_000).describe('milliseconds since 1970');
export const channelPath = z.object({ channel: z.string().regex(/^([0-9A-Za-z]{1,64}-)?[0-9A-Za-z]{1,64}$/).describe('ID of the channel, or DEVICE-CHANNEL where two devices have the same') });
export const streamNumber = z.int().min(0).max(99).default(0).describe('0: main stream');
export const word = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/);
export const gbId = z.string().regex(/^[0-9A-Za-z]{1,64}$/);
export const role = z.enum(ROLES).meta({ id: 'Role' });
export const access = z.enum(ACCESSES).meta({ id: 'Access' });
export const userName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{1,31}$/).describe('2 to 32 letters, digits, and . _ -');
export const password = z.string().min(1).max(MAX_PASSWORD);
/** Numbers and flags in a path or query come as text; the document says what they are. */
export const queryInt = (min: number, max: number) => z.string().regex(/^\d{1,15}$/).transform(Number).pipe(z.int().min(min).max(max)).meta({ asText: { type: 'integer', minimum: min, maximum: max } });
export const queryFlag = z.enum(['true', 'false']).transform(text => text === 'true').meta({ asText: { type: 'boolean' } });

export const failure = z.strictObject({ code: z.string(), message: z.string(), detail: z.record(z.string(), z.union([z.string(), z.number()])) }).meta({ id: 'Failure' });
