/** The configd of the other node, as clusterd carries its socket here. */
import type { ConfigdEvent, ConfigdRequests } from '#contracts/configd.ts';
import type { RpcLink } from '#kit/rpc-link.ts';

export type PeerLink = RpcLink<ConfigdRequests, ConfigdEvent>;
