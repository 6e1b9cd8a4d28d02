/** DDCP as far as it is known, in both directions. */
import fc from 'fast-check';
import t from 'tap';
import { type Ddcp, buildKeepAlive, buildRealMedia, parseDdcp } from '#core/db33/ddcp.ts';

const read = (text: string): Ddcp => {
  const parsed = parseDdcp(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};

t.test('what the notes show', async t => {
  t.same(read('<Action><Notify><Variable>KeepAlive</Variable></Notify></Action>'), { kind: 'keepalive' });
  t.same(read(buildKeepAlive()), { kind: 'keepalive' });
  const list = '<Action><Response><Variable>FileList</Variable><RealFileNum>2</RealFileNum><Item><Name>a.ps</Name><BeginTime>20130910T000000Z</BeginTime><EndTime>20130910T003000Z</EndTime><FileSize>1024</FileSize></Item><Item><Name>b</Name><BeginTime>yesterday</BeginTime></Item></Response></Action>';
  t.same(read(list), { kind: 'file-list', total: 2, files: [{ name: 'a.ps', beginTime: 1_378_771_200_000, endTime: 1_378_773_000_000, fileSize: 1024 }, { name: 'b', beginTime: undefined, endTime: undefined, fileSize: undefined }] });
  t.same(read('<Action><Response><Variable>VODByRTSP</Variable><Playurl>rtsp://192.0.2.1/a</Playurl></Response></Action>'), { kind: 'vod', playUrl: 'rtsp://192.0.2.1/a' });
  t.same(read('<Action><Variable>Weather</Variable></Action>'), { kind: 'unknown', variable: 'Weather' });
});

t.test('live media, written and read', async t => {
  fc.assert(
    fc.property(fc.ipV4(), fc.constantFrom('UDP' as const, 'TCP' as const), fc.integer({ min: 1, max: 65_535 }), fc.nat({ max: 100_000 }), (address, transport, port, maxBitrate) => {
      const offer = { privilege: '1', format: ['CIF', 'D1'], video: ['H.264', 'MPEG4'], audio: ['G.711A'], maxBitrate, socket: { address, transport, port } };
      const { privilege: _privilege, ...said } = offer;
      t.same(read(buildRealMedia(offer)), { kind: 'real-media', ...said });
    }),
    { numRuns: 50 },
  );
});

t.test('what is refused', async t => {
  for (const text of ['', '<Notify/>', '<Action/>', '<Action><Variable>RealMedia</Variable></Action>', '<Action><Variable>RealMedia</Variable><Socket>example.org UDP 5</Socket></Action>', '<Action><Variable>RealMedia</Variable><Socket>192.0.2.1 UDP 0</Socket></Action>', '<Action><Variable>VODByRTSP</Variable><Playurl>http://x/</Playurl></Action>'])
    t.equal(parseDdcp(text).ok, false, text);
  fc.assert(fc.property(fc.string(), text => void parseDdcp(text)));
});
