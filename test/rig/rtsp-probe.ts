/** A viewer that wants one picture: how long from the connection to the last packet of a whole key picture. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import { headerOf, NO_BODY, type RtspResponse, serialize } from '#core/rtsp/message.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import { parseRtspUrl } from '#core/rtsp/url.ts';
import { until } from './until.ts';

export const RtspProbe = {
  async firstPictureMs(url: string): Promise<number> {
    const parsed = parseRtspUrl(url);
    if (!parsed.ok) throw new Error(parsed.error.why);
    const since = performance.now();
    const socket = connect({ host: parsed.value.host, port: parsed.value.port, noDelay: true });
    await once(socket, 'connect');
    const reader = new RtspReader();
    const header = newRtpHeader();
    const answers: RtspResponse[] = [];
    let shownAt: number | undefined;
    socket.on('error', () => undefined);
    socket.on('data', chunk => {
      for (const item of reader.push(chunk)) {
        if (item.kind === 'response') answers.push(item);
        else if (item.kind === 'frame' && item.channel === 0 && readRtp(item.payload, 0, item.payload.length, header) === 'rtp' && header.marker) shownAt ??= performance.now();
      }
    });
    let cseq = 0;
    const ask = async (method: string, uri: string, headers: Readonly<Record<string, string>> = {}): Promise<RtspResponse> => {
      cseq += 1;
      socket.write(serialize({ kind: 'request', method, uri, headers: Object.entries({ CSeq: String(cseq), ...headers }).map(([name, value]) => ({ name, value })), body: NO_BODY }));
      return until('an answer', () => answers.shift());
    };
    const described = await ask('DESCRIBE', url);
    if (described.status !== 200) throw new Error(`DESCRIBE: ${described.status}`);
    const base = headerOf(described, 'content-base')!;
    const setup = await ask('SETUP', `${base}trackID=0`, { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' });
    await ask('PLAY', base, { Session: headerOf(setup, 'session')!.split(';')[0]! });
    const at = await until('a picture', () => shownAt);
    socket.destroy();
    return at - since;
  },
};
