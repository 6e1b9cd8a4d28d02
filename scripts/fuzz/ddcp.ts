/** DDCP of DB33/T 629: whatever comes is read or refused. */
import { toByteString } from '#core/bytes.ts';
import { buildKeepAlive, buildRealMedia, parseDdcp } from '#core/db33/ddcp.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export default {
  name: 'ddcp',
  seeds: [
    bytes(buildKeepAlive()),
    bytes(buildRealMedia({ privilege: '1', format: ['CIF'], video: ['H.264'], audio: ['G.711A'], maxBitrate: 2000, socket: { address: '192.0.2.1', transport: 'UDP', port: 6000 } })),
    bytes('<Action><Response><Variable>FileList</Variable><RealFileNum>1</RealFileNum><Item><Name>a</Name><BeginTime>20130910T000000Z</BeginTime></Item></Response></Action>'),
  ],
  run(input: Uint8Array): void {
    parseDdcp(toByteString(input));
  },
};
