/** Recorded messages out of sipd, page by page. */
import type { SipdRequests, TraceParams, TracedRow } from '#contracts/sipd.ts';
import { type Passed, readPassed } from '#core/diagnose/passed.ts';
import { GatewayError } from '#core/result.ts';
import { decodeBody } from '#kit/charset.ts';
import type { RpcClient } from '#kit/rpc.ts';

/** What one command holds in memory. */
const MAX_MESSAGES = 100_000;

export interface Recording {
  readonly messages: readonly Passed[];
  readonly next: number;
  /** Some were overwritten before they could be read. */
  readonly lost: boolean;
}

export const decode = (body: Uint8Array): ReturnType<typeof decodeBody> => decodeBody(body);

export async function recorded(client: RpcClient<SipdRequests>, params: TraceParams): Promise<Recording> {
  const messages: Passed[] = [];
  let lost = false;
  let after = params.after ?? -1;
  for (;;) {
    const page = await client.call('traceMessages', { ...params, after });
    if (page.memoryBytes === 0) throw new GatewayError('BAD_REQUEST', { why: 'the recorder is off: set trace.sipKiB' });
    messages.push(...page.rows.map(passedOf));
    lost ||= page.lost;
    after = page.next;
    if (!page.more || messages.length > MAX_MESSAGES) return { messages, next: after, lost };
  }
}

export function passedOf({ base64, ...row }: TracedRow): Passed {
  return readPassed({ ...row, bytes: new Uint8Array(Buffer.from(base64, 'base64')) });
}
