/** RPC openInlet: an inlet of the configuration becomes the source of a bridge, each kind in its own way. */
import type { OpenInletParams } from '#contracts/mediad.ts';
import type { InletConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';

export interface InletKinds {
  /** Of the configuration as it is now. */
  find(inletId: string): InletConfig | undefined;
  /** Each opens a bridge, or throws. */
  readonly open: Partial<Readonly<Record<InletConfig['kind'], (inlet: InletConfig, params: OpenInletParams) => null | Promise<null>>>>;
}

export function openInlet({ find, open }: InletKinds, params: OpenInletParams): null | Promise<null> {
  const inlet = find(params.inletId);
  if (inlet === undefined) throw new GatewayError('PEER_UNKNOWN', { inletId: params.inletId });
  const opener = open[inlet.kind];
  if (opener === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { inletId: inlet.id, kind: inlet.kind });
  return opener(inlet, params);
}
