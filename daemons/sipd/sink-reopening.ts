/** A sink as it was agreed on, opened once more: on this node after a takeover, or toward where its upstream wants it now. */
import type { OpenSinkParams } from '#contracts/mediad.ts';
import { RETURN_CONNECT_MS, RETURN_DIAL_MS } from '#core/gb/sink-return.ts';
import type { StoredViewer } from './viewer-plan.ts';

/** Without a mark a session is younger than the time between two of them. More than is sent between two marks and in the gap of a takeover, less than MAX_DROPOUT of RFC 3550. */
const SEQUENCE_MARGIN = 2000;

/** `mark`: where its RTP numbers stood. `asked`: the upstream has agreed to connect anew. Undefined: what was agreed on is not known. */
export function reopenedSink({ plan, bridgeId, media }: StoredViewer, { mark, asked = false }: { readonly mark?: number | undefined; readonly asked?: boolean }): OpenSinkParams | undefined {
  if (media === undefined) return undefined;
  const { sinkId, transport, remote, ssrc, allowed, connectTimeoutMs, pictures, nack, priority, firstSequence, upstream, mappedId } = plan;
  const { payloadType, format, rendition, local } = media;
  const reached = mark ?? firstSequence;
  // It has its margin already.
  const margin = asked ? 0 : SEQUENCE_MARGIN;
  const common = { bridgeId, sinkId, transport, localAddress: local.address, remote, ssrc, payloadType, format, rendition, peer: { allowed, latch: 'strict' }, pictures, nack, priority, firstSequence: reached === undefined ? undefined : (reached + margin) & 0xffff, label: `${upstream}/${mappedId}` } as const;
  if (transport === 'tcp-active') return asked ? { ...common, connectTimeoutMs: RETURN_CONNECT_MS } : { ...common, formerPort: local.port, connectTimeoutMs: RETURN_DIAL_MS };
  if (transport === 'tcp-passive') return { ...common, localPort: local.port, connectTimeoutMs: 2 * RETURN_CONNECT_MS };
  return { ...common, localPort: local.port, connectTimeoutMs };
}
