/** What the recorder kept, for those who ask over RPC. No secret leaves this process. */
import type { TracedRow, TracePage, TraceParams } from '#contracts/sipd.ts';
import type { Recorded, SipRecorder } from '#core/diagnose/recorder.ts';
import { maskSecrets } from '#core/diagnose/secrets.ts';

export function tracePage(recorder: SipRecorder, { after = -1, sinceWallMs = 0, needles = [], peers = [] }: TraceParams): TracePage {
  const { entries, ...rest } = recorder.read({ after, sinceWallMs, needles, peers });
  return { rows: entries.map(rowOf), ...rest, memoryBytes: recorder.bytes };
}

function rowOf({ sequence, atWallMs, isOut, tag, bytes, cut }: Recorded): TracedRow {
  maskSecrets(bytes);
  return {
    sequence,
    atWallMs,
    direction: isOut ? 'out' : 'in',
    transport: tag.transport,
    local: { address: tag.localAddress, port: tag.localPort },
    remote: { address: tag.remoteAddress, port: tag.remotePort },
    connectionId: tag.connectionId ?? null,
    base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
    cut,
  };
}
