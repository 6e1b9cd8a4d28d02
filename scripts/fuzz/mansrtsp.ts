/** Bodies of INFO: whatever comes is a request, a response or a refusal, and what was read can be written and read again. */
import { toByteString } from '#core/bytes.ts';
import { formatMansrtspRequest, formatMansrtspResponse, parseMansrtsp } from '#core/gb/mansrtsp.ts';

const text = (lines: readonly string[]): Uint8Array => new TextEncoder().encode(lines.map(line => `${line}\r\n`).join('') + '\r\n');

export default {
  name: 'mansrtsp',
  seeds: [
    text(['PAUSE RTSP/1.0', 'CSeq: 1', 'PauseTime: now']),
    text(['PLAY RTSP/1.0', 'CSeq: 2', 'Range: npt=now-']),
    text(['PLAY MANSRTSP/1.0', 'CSeq: 3', 'Scale: -1.0', 'Range: npt=600-120']),
    text(['TEARDOWN RTSP/1.0', 'CSeq: 4']),
    text(['RTSP/1.0 200 OK', 'CSeq: 2', 'RTP-Info: seq=18139;rtptime=3119600838', 'Range: npt=0:01:40-']),
  ],
  run(input: Uint8Array): void {
    const parsed = parseMansrtsp(toByteString(input));
    if (!parsed.ok) return;
    const { value } = parsed;
    const written = value.kind === 'request' ? formatMansrtspRequest(value) : formatMansrtspResponse(value);
    const again = parseMansrtsp(written);
    if (!again.ok || again.value.kind !== value.kind || again.value.cseq !== value.cseq) throw new Error(`not read again: ${JSON.stringify(written)}`);
  },
};
