/** Both automata of RTSP against a far end that says anything: no throw, no answer without a question, an end that stays one. */
import { concatBytes, fromByteString } from '#core/bytes.ts';
import { readSenderReport } from '#core/rtp/sender-report.ts';
import { ClientSession, type ClientOutput } from '#core/rtsp/client-session.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import { readOffer } from '#core/rtsp/sdp-read.ts';
import { ConnectionAccess } from '#core/rtsp/server-access.ts';
import { ServerSession } from '#core/rtsp/server-session.ts';
import { ms } from '#core/units.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { rtspSeeds } from './rtsp.ts';

const CHANNEL = '34020000001320000001';
const text = (lines: string): Uint8Array => fromByteString(`x${lines.replaceAll('\n', '\r\n')}`);
const SDP = 'v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000/1\r\na=fmtp:97 mode=AAC-hbr;config=1408\r\n';

function serve(input: Uint8Array): void {
  const access = new ConnectionAccess({ realm: 'viewlink', nonce: 'n', hashes, rules: { tokenFits: () => true, ha1: () => undefined } });
  const session = new ServerSession({ access, sessionId: '1', localAddress: '::1', remoteAddress: '::1' }, ms(0));
  let answers = 0;
  let requests = 0;
  let closed = false;
  const feed = (step: Parameters<ServerSession['handle']>[0]): void => {
    for (const output of session.handle(step, ms(0))) {
      if (closed) throw new Error('something after the end');
      if (output.type === 'respond') answers += 1;
      closed ||= output.type === 'close';
      if (output.type === 'open') feed({ type: 'opened', tracks: { video: { codec: 'h264', parameterSets: [], width: 0, height: 0 }, audio: null } });
      if (output.type === 'bind') feed({ type: 'bound', transport: output.transport });
      if (output.type === 'start') feed({ type: 'started', starts: [] });
    }
  };
  for (const item of new RtspReader().push(input)) {
    if (item.kind !== 'request') continue;
    requests += 1;
    feed({ type: 'request', request: item });
  }
  if (answers !== requests && !closed) throw new Error(`${requests} requests, ${answers} answers`);
}

function pull(input: Uint8Array): void {
  const { session, outputs } = ClientSession.start({ url: `rtsp://h/live/${CHANNEL}`, credentials: { username: 'u', password: 'p', hashes, cnonce: () => 'c' }, transport: 'tcp', userAgent: 'x' }, ms(0));
  const all: ClientOutput[] = [...outputs];
  for (const item of new RtspReader().push(input)) {
    if (item.kind === 'response') all.push(...session.handle({ type: 'response', response: item }, ms(0)));
    if (item.kind === 'request') all.push(...session.handle({ type: 'request', request: item }, ms(0)));
  }
  if (all.filter(output => output.type === 'closed').length > 1) throw new Error('it ended twice');
}

export default {
  name: 'rtsp-sessions',
  seeds: [
    ...rtspSeeds,
    text(`OPTIONS * RTSP/1.0\nCSeq: 1\n\nDESCRIBE rtsp://h/live/${CHANNEL} RTSP/1.0\nCSeq: 2\n\nSETUP rtsp://h/live/${CHANNEL}/trackID=0 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\nPLAY rtsp://h/live/${CHANNEL} RTSP/1.0\nCSeq: 4\nSession: 1\n\nPAUSE * RTSP/1.0\nCSeq: 5\nSession: 1\n\nTEARDOWN * RTSP/1.0\nCSeq: 6\nSession: 1\n\n`),
    text(`RTSP/1.0 200 OK\nCSeq: 1\nPublic: GET_PARAMETER\n\nRTSP/1.0 401 No\nCSeq: 2\nWWW-Authenticate: Digest realm="a", nonce="b", qop="auth"\n\nRTSP/1.0 200 OK\nCSeq: 3\nContent-Base: rtsp://h/x/\nContent-Length: ${SDP.length}\n\n${SDP.replaceAll('\r\n', '\n')}RTSP/1.0 200 OK\nCSeq: 4\nSession: 1;timeout=9\nTransport: RTP/AVP/TCP;interleaved=0-1\n\nRTSP/1.0 200 OK\nCSeq: 5\nSession: 1\nTransport: RTP/AVP/TCP;interleaved=2-3\n\nRTSP/1.0 200 OK\nCSeq: 6\nRTP-Info: url=trackID=0;seq=1;rtptime=5\n\n`),
    concatBytes(Uint8Array.of(0), fromByteString(SDP)),
  ],
  run(input: Uint8Array): void {
    const stream = input.subarray(1);
    serve(stream.slice());
    pull(stream.slice());
    readOffer(stream);
    readSenderReport(stream, 0, stream.length);
  },
};
