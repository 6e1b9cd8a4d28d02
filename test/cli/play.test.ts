import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { ChannelRow, SipdRequests } from '#contracts/sipd.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas, sipdRequestSchemas } from '#kit/request-schemas.ts';
import { serveRpc, type RpcHandlers } from '#kit/rpc.ts';
import { main } from '../../cli/vlink.ts';

const log = createLog('test', 'silent');
const GATE = '34020000001320000001';
const row = (deviceId: string, channelId: string, name: string): ChannelRow => ({ deviceId, channelId, name, status: 'ON', manufacturer: null, civilCode: null, mapped: [{ upstream: 'city', id: `33${channelId.slice(2)}` }], playing: false });
const CHANNELS = [row('34020000001110000001', GATE, '北门'), row('34020000001110000002', '34020000001320000002', '南门'), row('34020000001110000003', '34020000001320000002', '南门 2')];

async function serve(test: Test): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-play-'));
  const sipd: Partial<RpcHandlers<SipdRequests>> = { listChannels: ({ offset = 0 }) => ({ total: CHANNELS.length, rows: CHANNELS.slice(offset, offset + 2) }), listSessions: () => [] };
  const mediad: Partial<RpcHandlers<MediadRequests>> = {
    outletUrls: ({ channel, streamNumber, minutes }) => ({ expiresAtWallMs: 1, urls: [{ protocol: 'rtsp', url: `rtsp://h/live/${channel}?stream=${streamNumber}&m=${minutes}` }, { protocol: 'flv', url: `http://h/live/${channel}.flv` }] }),
    listInlets: () => [{ inletId: '34020000001310000009', remote: { address: '10.0.0.9', port: 50000 }, ageMs: 90_000, codecs: ['h265', 'aac'], bytes: 12_000_000, bridges: 2 }],
    listPushes: () => [{ channel: GATE, streamNumber: 0, server: 'rtmp://10.0.0.1:1935/live', state: 'waiting', ageMs: 4000, sentBytes: 0, failures: 3, why: 'ECONNREFUSED' }],
    listOutlets: () => [{ protocol: 'rtsp', remote: '127.0.0.1:40000', channel: GATE, streamNumber: 0, rendition: null, bridgeId: 'b1', ageMs: 5000, sentBytes: 2_500_000, droppedUnits: 0 }],
  };
  const servers = [
    await serveRpc<SipdRequests>(join(directory, 'sipd.sock'), sipd as RpcHandlers<SipdRequests>, { validate: sipdRequestSchemas, log }),
    await serveRpc<MediadRequests>(join(directory, 'mediad-1.sock'), mediad as RpcHandlers<MediadRequests>, { validate: mediadRequestSchemas, log }),
  ];
  test.teardown(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  writeFileSync(join(directory, 'gateway.yaml'), `rpc: {directory: ${directory}}\n`);
  return directory;
}

async function vlink(directory: string, ...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  let out = '';
  let err = '';
  const code = await main(argv, { VLINK_CONFIG: join(directory, 'gateway.yaml') }, { out: text => (out += text), err: text => (err += text) });
  return { code, out, err };
}

t.test('play: one line a protocol, or one alone', async t => {
  const directory = await serve(t);
  t.equal((await vlink(directory, 'play', GATE)).out, `rtsp      rtsp://h/live/${GATE}?stream=0&m=60\nflv       http://h/live/${GATE}.flv\n`);
  t.equal((await vlink(directory, 'play', '北门', '--only', 'rtsp', '--stream', '1', '--minutes', '5')).out, `rtsp://h/live/${GATE}?stream=1&m=5\n`);
  t.equal((await vlink(directory, 'play', '33020000001320000001', '--only', 'flv')).out, `http://h/live/${GATE}.flv\n`, 'by the ID of an upstream');
  t.match((await vlink(directory, 'play', '南门 2', '--only', 'rtsp')).out, /live\/34020000001110000003-34020000001320000002\?/, 'twins are told apart by their device');
  t.equal((await vlink(directory, 'play', '34020000001110000002-34020000001320000002', '--only', 'flv')).out, 'http://h/live/34020000001110000002-34020000001320000002.flv\n');
  t.same([(await vlink(directory, 'play', '南门')).code, (await vlink(directory, 'play', 'nobody')).code, (await vlink(directory, 'play', GATE, '--only', 'webrtc')).code, (await vlink(directory, 'play', GATE, '--minutes', 'x')).code], [64, 3, 64, 64]);
});

t.test('viewers of outlets stand under the sessions', async t => {
  const directory = await serve(t);
  t.match((await vlink(directory, 'show', 'sessions')).out, /^no sessions\n\nOUTLET +VIEWER .*\nrtsp +127\.0\.0\.1:40000 +34020000001320000001 +0 +5 s +2\.5 MB +0  b1 +1\n$/);
});

t.test('show inlets: what comes in, and what is pushed', async t => {
  const directory = await serve(t);
  const { code, out } = await vlink(directory, 'show', 'inlets');
  t.equal(code, 0);
  t.match(out, /^INLET .*\n34020000001310000009 +10\.0\.0\.9:50000 +90 s +h265 aac +12\.0 MB +2 +1\n\nPUSHED .*\n34020000001320000001 +0 +rtmp:\/\/10\.0\.0\.1:1935\/live +waiting +4 s +0\.0 MB +3 +ECONNREFUSED +1\n$/);
  t.match(JSON.parse((await vlink(directory, 'show', 'inlets', '--json')).out), { inlets: [{ inletId: '34020000001310000009', instance: '1' }], pushes: [{ failures: 3 }] });
  writeFileSync(join(directory, 'mediad-2.sock'), '');
  const some = await vlink(directory, 'show', 'inlets');
  t.equal(some.code, 69);
  t.match(some.err, /viewlink-mediad@2 is not reachable/);
});
