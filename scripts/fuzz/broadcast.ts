/** Notices of who wants to speak to whom: read or refused, and what was read can be written and read again. */
import { buildBroadcast, readBroadcast } from '#core/gb/broadcast.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const notice = (content: string): Uint8Array => encodeBody(`<?xml version="1.0" encoding="GB2312"?>\r\n<Notify><CmdType>Broadcast</CmdType><SN>55</SN>${content}</Notify>`, 'gb2312');

export default {
  name: 'broadcast',
  seeds: [
    encodeBody(buildBroadcast(55, { sourceId: '33010000002000000001', targetId: '33010000001370000701' }), 'gb2312'),
    notice('<TargetID>33010000001180000007</TargetID><SourceID>33010000001360000001</SourceID><DeviceID>33010000001180000007</DeviceID>'),
    notice('<SourceID>值班&amp;1</SourceID><TargetID> 33010000001320000701 </TargetID>'),
    notice('<SourceID></SourceID><TargetID>33010000001370000701</TargetID>'),
  ],
  run(input: Uint8Array): void {
    const parsed = parseManscdp(decodeBody(input).text);
    const read = parsed.ok ? readBroadcast(parsed.value) : undefined;
    if (!parsed.ok || read === undefined) return;
    const written = buildBroadcast(parsed.value.sn, read);
    const again = parseManscdp(written);
    const readAgain = again.ok ? readBroadcast(again.value) : undefined;
    if (readAgain?.sourceId !== read.sourceId || readAgain.targetId !== read.targetId) throw new Error(`read otherwise: ${written}`);
  },
};
