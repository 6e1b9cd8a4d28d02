/** Channels come in pages. */
import type { ChannelRow, SipdRequests } from '#contracts/sipd.ts';
import type { ParamsOf, RpcClient } from '#kit/rpc.ts';

const PAGE_ROWS = 1000;

type Query = Omit<ParamsOf<SipdRequests, 'listChannels'>, 'offset' | 'limit'>;

export interface ChannelLimits {
  /** No page is begun beyond so many. */
  readonly atMost?: number;
  readonly timeoutMs?: number;
}

export async function allChannels(client: RpcClient<SipdRequests>, query: Query = {}, { atMost = Infinity, timeoutMs }: ChannelLimits = {}): Promise<readonly ChannelRow[]> {
  const rows: ChannelRow[] = [];
  for (;;) {
    const page = await client.call('listChannels', { ...query, offset: rows.length, limit: PAGE_ROWS }, { ...(timeoutMs !== undefined && { timeoutMs }) });
    rows.push(...page.rows);
    if (page.rows.length === 0 || rows.length >= Math.min(page.total, atMost)) return rows;
  }
}
