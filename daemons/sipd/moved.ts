/** What became of a bridge that another media process goes on with. */
import type { MediadRequests } from '#contracts/mediad.ts';
import type { RpcClient } from '#kit/rpc.ts';
import type { RevivedSink } from './viewer-plan.ts';

export type MediadClient = Pick<RpcClient<MediadRequests>, 'call'>;

/** A bridge that stands again. `cut`: its source is to be asked anew. `sinks`: by sinkId. */
export interface Revived {
  readonly bridgeId: string;
  readonly cut: boolean;
  readonly sinks: ReadonlyMap<string, RevivedSink>;
}

/** One that a pool takes along: undefined where it stood already. */
export interface Moved {
  readonly bridgeId: string;
  readonly revived: Revived | undefined;
}
