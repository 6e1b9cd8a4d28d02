/** The HTTP API: whether it is served where it should be, and whether those who are told of events take them. */
import type { WallMs } from '../../units.ts';
import { Gathering, type Measured } from '../model.ts';

/** A loss of events is told for so long: they do not come again. */
const TOLD_MS = 600_000;

export interface ApiFacts {
  readonly listening: readonly { readonly address: string; readonly port: number; readonly why: string | null }[];
  readonly webhooks: readonly { readonly name: string; readonly queued: number; readonly dropped: number; readonly lastDropWallMs: number | null; readonly why: string | null }[];
}

export function measureApi({ listening, webhooks }: ApiFacts, now: WallMs): Measured {
  const found = new Gathering();
  for (const { address, port, why } of listening) found.observe('api.unbound', `api:${address} ${port}`, why === null ? 0 : 1, why ?? 'served');
  for (const { name, queued, dropped, lastDropWallMs, why } of webhooks) {
    const isRecent = lastDropWallMs !== null && now - lastDropWallMs < TOLD_MS;
    found.observe('webhook.dropped', `webhook:${name}`, isRecent ? 1 : 0, isRecent ? `${dropped} events were given up, ${queued} wait${why === null ? '' : `; ${why}`}` : `${queued} events wait`);
  }
  found.complete.push('api.unbound', 'webhook.dropped');
  return found;
}
