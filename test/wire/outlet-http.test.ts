import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, get, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import { Mp4Fragmenter } from '#core/mp4/fragment.ts';
import type { OutletsConfig } from '#core/config/schema.ts';
import { Closer } from '#kit/closer.ts';
import { LiveRoute } from '../../daemons/mediad/http-live.ts';
import { OUTLET_REALM } from '../../daemons/mediad/outlet-door.ts';
import { HlsChannels } from '../../daemons/mediad/outlet-hls.ts';
import { HttpOutlet } from '../../daemons/mediad/outlet-http.ts';
import type { FootageName } from '../../scripts/media/footage.ts';
import { decodePictures, matchLoop } from '../../scripts/media/pictures.ts';
import { FlvFile, isKeyPicture } from '../rig/flv-file.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { footageUnits } from '../rig/media-units.ts';
import { OTHER_CHANNEL, OUTLET_CHANNEL, outletPath, outletRig, tokenFor } from '../rig/outlet-rig.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);

async function open(name: FootageName = 'h264-aac', limits: Partial<OutletsConfig> = {}) {
  const closer = new Closer();
  const rig = outletRig(limits);
  const footage = closer.use(await LiveFootage.start(name));
  rig.door.streams.set(OUTLET_CHANNEL, footage.stream);
  rig.door.streams.set(OTHER_CHANNEL, footage.stream);
  const live = new LiveRoute(rig.door, rig.deps.clock);
  const http = closer.use(await HttpOutlet.open({ ...rig.deps, routes: [live] }));
  const base = `http://127.0.0.1:${http.port}`;
  const url = (behind: string, query = `token=${tokenFor(OUTLET_CHANNEL)}`): string => `${base}/live/${OUTLET_CHANNEL}${behind}${query === '' ? '' : `?${query}`}`;
  return { ...rig, footage, http, live, base, url, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

/** Tags of a running response, until `enough`. */
async function readFlv(url: string, enough: (file: FlvFile) => boolean): Promise<FlvFile> {
  const file = new FlvFile();
  const response = await new Promise<IncomingMessage>((resolve, reject) => get(url, { agent: false }, resolve).once('error', reject));
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  for await (const piece of response) {
    file.push(piece as Buffer);
    if (enough(file)) break;
  }
  response.destroy();
  return file;
}

const FAR = { remote: '127.0.0.1:1', user: undefined };
const ffmpeg = (...args: readonly string[]) => runTool('ffmpeg', ['-nostdin', '-v', 'error', ...args]);

t.test('ffprobe and ffmpeg have nothing to complain about, and every picture is that of the camera', { timeout: 120_000 }, async t => {
  const cases: readonly (readonly [FootageName, readonly (readonly [string, string, string])[]])[] = [
    ['h264-aac', [['.flv', '', 'h264,aac'], ['.mp4', '', 'h264,aac'], ['/index.m3u8', '', 'h264,aac']]],
    ['h264-g711a', [['.flv', '', 'h264,pcm_alaw'], ['.mp4', '', 'h264'], ['.mp4', 'g711=keep&', 'h264,pcm_alaw'], ['/index.m3u8', '', 'h264']]],
    ['h265-aac', [['.mp4', '', 'hevc,aac'], ['/index.m3u8', '', 'hevc,aac']]],
  ];
  for (const [name, outlets] of cases) {
    await using rig = await open(name);
    const { videoPath } = await footageUnits(name);
    const source = await decodePictures(videoPath);
    const judge = async ([behind, query, codecs]: (typeof outlets)[number]): Promise<void> => {
      const url = rig.url(behind, `${query}token=${tokenFor(OUTLET_CHANNEL)}`);
      const what = `${name} ${behind} ${query}`;
      const [probe, whole, pictures] = await Promise.all([
        runTool('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_name', '-of', 'csv=p=0', url]),
        ffmpeg('-t', '2', '-i', url, '-map', '0', '-f', 'null', '-'),
        ffmpeg('-t', '2', '-i', url, '-map', '0:v', '-fps_mode', 'passthrough', '-f', 'framemd5', '-'),
      ]);
      t.same([...new Set(probe.stdout.split('\n').filter(line => line !== ''))].sort(), codecs.split(',').sort(), `${what}: streams`);
      t.equal(probe.stderr + whole.stderr + pictures.stderr, '', `${what}: no complaint`);
      t.same([probe.code, whole.code, pictures.code], [0, 0, 0], what);
      const hashes = pictures.stdout.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => line.split(',').at(-1)!.trim());
      t.ok(hashes.length >= 45, `${what}: ${hashes.length} pictures`);
      t.equal(matchLoop(source.hashes, hashes).same, hashes.length, `${what}: the pictures of the source, one after another`);
    };
    await Promise.all(outlets.map(judge));
    await until('nobody watches any more', () => rig.door.leases.size <= rig.live.hlsChannels);
  }
});

t.test('H.265 in FLV, which ffmpeg 5.1 cannot read: our demultiplexer, then MP4, then ffmpeg', { timeout: 60_000 }, async t => {
  const directory = await mkdtemp(join(tmpdir(), 'outlet-flv-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await using rig = await open('h265-aac');
  const { videoPath } = await footageUnits('h265-aac');
  const source = await decodePictures(videoPath);
  for (const form of ['enhanced', 'legacy']) {
    const file = await readFlv(rig.url('.flv', `hevc=${form}&token=${tokenFor(OUTLET_CHANNEL)}`), ({ pictures }) => pictures.length > 60);
    t.equal(file.pictures[0]!.body[0], form === 'enhanced' ? 0x93 : 0x1c, form);
    const demuxer = new FlvTagDemuxer();
    const fragmenter = new Mp4Fragmenter();
    const parts: Uint8Array[] = [];
    for (const { type, timestampMs, body } of file.tags) {
      const { tracks, units } = demuxer.push(type, timestampMs, body);
      if (tracks?.video && tracks.audio) parts.push(fragmenter.tracks(tracks)!.bytes);
      for (const unit of units) parts.push(...fragmenter.unit(unit).flatMap(fragment => fragment.bytes));
    }
    t.equal(demuxer.leftOut, 0);
    const path = join(directory, `${form}.mp4`);
    await writeFile(path, Buffer.concat(parts));
    const { hashes, complaints } = await decodePictures(path);
    t.same(complaints, []);
    t.ok(hashes.length >= 60);
    t.equal(matchLoop(source.hashes, hashes).same, hashes.length, `${form}: the pictures of the source`);
  }
});

t.test('who joins a running channel sees a picture within 300 ms', { timeout: 60_000 }, async t => {
  await using rig = await open();
  await readFlv(rig.url('.flv'), ({ pictures }) => pictures.length > 30);
  const took: number[] = [];
  for (let i = 0; i < 8; i++) {
    const since = performance.now();
    const { pictures } = await readFlv(rig.url('.flv'), file => file.pictures.length > 0);
    took.push(pictures[0]!.at - since);
    t.ok(isKeyPicture(pictures[0]!));
    t.equal(pictures[0]!.timestampMs, 0);
  }
  t.ok(took.sort((a, b) => a - b)[2]! <= 300, `first picture after ${took.map(Math.round).join(', ')} ms`);
});

/** Status and body of one request, as bare as a script makes it. */
function ask(url: string, options: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<{ readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {} } = options;
    request(url, { agent: false, method, headers }, response => {
      let body = '';
      const done = (): void => {
        resolve({ status: response.statusCode!, headers: response.headers, body });
        response.destroy();
      };
      // A stream has no end: its first piece is enough.
      response.on('data', (piece: Buffer) => {
        body += piece.toString('latin1');
        if (response.headers['content-length'] === undefined) done();
      });
      response.once('end', done);
    }).once('error', reject).end();
  });
}

t.test('access: tokens', { timeout: 30_000 }, async t => {
  await using rig = await open();
  const good = tokenFor(OUTLET_CHANNEL);
  const denied: readonly (readonly [string, string])[] = [
    ['missing', ''],
    ['empty', 'token='],
    ['wrong', `token=${good.slice(0, -1)}${good.endsWith('0') ? '1' : '0'}`],
    ['expired', `token=${tokenFor(OUTLET_CHANNEL, -1)}`],
    ['of another channel', `token=${tokenFor(OTHER_CHANNEL)}`],
    ['twice, the wrong one first', `token=x&token=${good}`],
  ];
  const told = new Set<string>();
  for (const behind of ['.flv', '.mp4', '/index.m3u8', '/segment-0.m4s']) {
    for (const [what, query] of denied) {
      const { status, body } = await ask(rig.url(behind, query));
      t.equal(status, 401, `${behind} ${what}`);
      told.add(body);
    }
  }
  t.same([...told], ['{"error":"NOT_PERMITTED","message":"not permitted"}\n'], 'nobody learns what was wrong');
  const unknown = '34020000001320000077';
  t.equal((await ask(`${rig.base}/live/${unknown}.flv`)).status, 401, 'nor which channels there are (fault 85)');
  t.equal((await ask(`${rig.base}/live/${unknown}.flv?token=${tokenFor(unknown)}`)).status, 404);
  t.equal(rig.door.opened.length, 0, 'nothing was opened for them');
  t.equal((await ask(rig.url('.flv'))).status, 200);
});

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

t.test('access: users by digest, as curl does it; lock-out', { timeout: 30_000 }, async t => {
  await using rig = await open();
  rig.door.users.set('wall', { name: 'wall', ha1: md5(`wall:${OUTLET_REALM}:good-secret`), channels: [OUTLET_CHANNEL] });
  const curl = (user: string, url: string, maxS = 2) => runTool('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--digest', '-u', user, '--max-time', String(maxS), url]);
  t.equal((await curl('wall:good-secret', rig.url('.flv', ''))).stdout, '200');
  t.equal((await curl('wall:good-secret', rig.url('/index.m3u8', ''), 20)).stdout, '200', 'HLS');
  t.equal((await curl('wall:good-secret', `${rig.base}/live/${OTHER_CHANNEL}.flv`)).stdout, '401', 'not another channel');
  const challenge = await ask(rig.url('.flv', ''));
  t.match(String(challenge.headers['www-authenticate']), /^Digest realm="viewlink",nonce="[0-9a-f]+",algorithm=MD5,qop="auth"$/);
  t.equal((await ask(rig.url('.flv', ''), { headers: { Authorization: `Basic ${btoa('wall:good-secret')}` } })).status, 401, 'Basic is not taken');
  const nonce = /nonce="([^"]+)"/.exec(String(challenge.headers['www-authenticate']))![1]!;
  const uri = `/live/${OUTLET_CHANNEL}.flv`;
  const response = md5(`${md5(`wall:${OUTLET_REALM}:good-secret`)}:${nonce}:00000001:c:auth:${md5(`GET:${uri}`)}`);
  const authorization = `Digest username="wall",realm="viewlink",nonce="${nonce}",uri="${uri}",qop=auth,nc=00000001,cnonce="c",response="${response}"`;
  t.equal((await ask(rig.url('.flv', ''), { headers: { Authorization: authorization } })).status, 200);
  t.equal((await ask(rig.url('.flv', ''), { headers: { Authorization: authorization } })).status, 401, 'and not a second time');
  for (let i = 0; i < 6; i++) await curl('wall:bad-secret', rig.url('.flv', ''));
  const locked = await ask(rig.url('.flv', ''));
  t.equal(locked.status, 429);
  t.equal(locked.headers['retry-after'], '300');
  t.equal((await ask(rig.url('.flv'))).status, 200, 'a token is no guess');
});

t.test('requests that are none of ours', { timeout: 30_000 }, async t => {
  await using rig = await open('h264', { connectionsPerAddress: 20 });
  const table: readonly (readonly [string, string, number, string?])[] = [
    ['somewhere else', '/', 404],
    ['a route that is not there', '/admin/x', 404],
    ['traversal (fault 82)', '/live/..%2f..%2fetc%2fpasswd', 400],
    ['NUL', `/live/${OUTLET_CHANNEL}%00.flv`, 400],
    ['an absolute path', '/live//etc/passwd', 400],
    ['a long one', `/live/${OUTLET_CHANNEL}.flv?token=${'a'.repeat(1000)}`, 400],
    ['a password in the URL (fault 90)', `/live/${OUTLET_CHANNEL}.flv?user=admin&password=secret`, 400],
    ['a form that we do not have', `/live/${OUTLET_CHANNEL}.avi?token=${tokenFor(OUTLET_CHANNEL)}`, 404],
    ['a file that HLS does not have', `/live/${OUTLET_CHANNEL}/x.ts?token=${tokenFor(OUTLET_CHANNEL)}`, 404],
    ['a segment of nobody', `/live/${OUTLET_CHANNEL}/segment-7.m4s?token=${tokenFor(OUTLET_CHANNEL)}`, 503],
    ['POST', `/live/${OUTLET_CHANNEL}.flv`, 405, 'POST'],
    ['a rendition with a slash', `/live/${OUTLET_CHANNEL}.flv?rendition=../x`, 400],
  ];
  for (const [what, path, status, method = 'GET'] of table) {
    const answer = await ask(`${rig.base}${path}`, { method });
    t.equal(answer.status, status, what);
    t.match(answer.body, /^\{"error":"[A-Z_]+","message":"[a-z ,]+"\}\n$/, what);
    t.equal(answer.headers['access-control-allow-origin'], undefined);
  }
  const head = await ask(rig.url('.mp4'), { method: 'HEAD' });
  t.match([head.status, head.headers['content-type'], rig.door.opened.length], [200, 'video/mp4', 0], 'HEAD opens nothing');
  t.equal(rig.counts.get('outlet.http.refused.password-in-url'), 1);
});

t.test('a connection that asks on and takes nothing is closed, and nothing is kept for it', { timeout: 30_000 }, async t => {
  await using rig = await open('h264');
  const socket = connect(rig.http.port, '127.0.0.1').on('error', () => undefined);
  const closed = new Promise(resolve => socket.once('close', resolve));
  await new Promise(resolve => socket.once('connect', resolve));
  const { pathname, search } = new URL(rig.url('.flv'));
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(200));
  await closed;
  t.equal(rig.counts.get('outlet.http.refused.pipelined'), 1);
  t.ok(rig.door.opened.length <= 8);
  await until('leases are given back', () => rig.door.leases.size === 0);
});

t.test('pages of others: CORS is off unless configured, and a WebSocket tells where it comes from (fault 89)', { timeout: 30_000 }, async t => {
  await using rig = await open('h264', { origins: ['https://wall.example'] });
  t.equal((await ask(rig.url('.flv'), { headers: { Origin: 'https://evil.example' } })).headers['access-control-allow-origin'], undefined);
  t.equal((await ask(rig.url('.flv'), { headers: { Origin: 'https://wall.example' } })).headers['access-control-allow-origin'], 'https://wall.example');
  const tryOpen = (url: string, origin?: string): Promise<string> =>
    new Promise(resolve => {
      const socket = new WebSocket(url, origin === undefined ? {} : { origin });
      socket.once('open', () => resolve('open'));
      socket.once('error', error => resolve(error.message));
      socket.once('message', () => socket.close());
    });
  const url = rig.url('.mp4').replace('http:', 'ws:');
  t.equal(await tryOpen(url, 'https://evil.example'), 'Unexpected server response: 403');
  t.equal(await tryOpen(url, 'null'), 'Unexpected server response: 403');
  t.equal(await tryOpen(url, 'https://wall.example'), 'open');
  t.equal(await tryOpen(url, rig.base), 'open', 'a page of the gateway itself');
  t.equal(await tryOpen(url), 'open', 'a program');
  t.equal(await tryOpen(url.replace(/token=.*/, '')), 'Unexpected server response: 401');
  t.equal(await tryOpen(url.replace(/token=.*/, `token=${tokenFor(OUTLET_CHANNEL, -5)}`), rig.base), 'Unexpected server response: 401');
  t.equal(await tryOpen(`${rig.base.replace('http:', 'ws:')}/live/${OUTLET_CHANNEL}/index.m3u8?token=${tokenFor(OUTLET_CHANNEL)}`), 'Unexpected server response: 404');
  t.equal((await ask(url.replace('ws:', 'http:'), { headers: { Connection: 'Upgrade', Upgrade: 'websocket' } })).status, 400, 'no handshake');
  await until('leases are given back', () => rig.door.leases.size === 0);
});

t.test('WebSocket: FLV, and MP4 with its words; what a viewer sends is not taken', { timeout: 30_000 }, async t => {
  await using rig = await open('h264-aac');
  const flv = new WebSocket(rig.url('.flv').replace('http:', 'ws:'));
  const file = new FlvFile();
  flv.on('message', (data: Buffer) => file.push(data));
  const mp4 = new WebSocket(rig.url('.mp4').replace('http:', 'ws:'));
  const messages: (string | Buffer)[] = [];
  mp4.on('message', (data: Buffer, binary: boolean) => void messages.push(binary ? data : data.toString()));
  await until('pictures', () => file.pictures.length > 30 && messages.length > 30, 10_000);
  t.ok(isKeyPicture(file.pictures[0]!));
  t.same(JSON.parse(messages[0] as string), { type: 'init', mime: 'video/mp4; codecs="avc1.42C01F,mp4a.40.2"' });
  t.same([messages[1], messages[2]].map(message => (message as Buffer).toString('latin1', 4, 8)), ['ftyp', 'moof'], 'one message, one fragment');
  const closed = new Promise<number>(resolve => mp4.once('close', resolve));
  mp4.send(Buffer.alloc(2000));
  t.equal(await closed, 1009, 'too long a message');
  rig.footage.end('camera gone');
  t.equal(await new Promise<number>(resolve => flv.once('close', resolve)), 1001, 'the stream ended');
});

t.test('HLS: opened by the first who asks, one for all, closed when nobody asks for 30 s', { timeout: 30_000 }, async t => {
  await using rig = await open('h264-aac');
  const token = `token=${tokenFor(OUTLET_CHANNEL)}`;
  const lists = await Promise.all([ask(rig.url('/index.m3u8')), ask(rig.url('/index.m3u8'))]);
  t.same(lists.map(list => [list.status, list.headers['content-type']]), [[200, 'application/vnd.apple.mpegurl'], [200, 'application/vnd.apple.mpegurl']]);
  t.equal(rig.door.opened.length, 1);
  t.equal(rig.live.hlsChannels, 1);
  const uris = [...lists[0].body.matchAll(/^(segment-\d+\.m4s\S*)$|URI="([^"]+)"/gm)].map(found => found[1] ?? found[2]!);
  t.ok(uris.length >= 2 && uris.every(uri => uri.endsWith(token)), 'the token goes with every address');
  for (const uri of uris) t.equal((await ask(`${rig.base}/live/${OUTLET_CHANNEL}/${uri}`)).status, 200, uri);
  t.equal((await ask(`${rig.base}/live/${OUTLET_CHANNEL}/${uris[0]!.replace(token, '')}`)).status, 401, 'and nothing is had without');
  rig.footage.end('camera gone');
  t.match((await ask(rig.url('/index.m3u8'))).body, /#EXT-X-ENDLIST/);

  const clock = new ManualClock();
  const door = outletRig().door;
  using first = await LiveFootage.start('h264-aac');
  door.streams.set(OUTLET_CHANNEL, first.stream);
  const channels = new HlsChannels(door, clock);
  const path = outletPath(`/live/${OUTLET_CHANNEL}/index.m3u8`);
  await channels.open(path, false, FAR).opened;
  clock.advance(29_000);
  t.ok(channels.find(path, false) !== undefined);
  clock.advance(29_999);
  t.equal(channels.size, 1, 'somebody asked meanwhile');
  clock.advance(1);
  t.same([channels.size, door.leases.size], [0, 0]);

  await channels.open(path, false, FAR).opened;
  first.end('camera gone');
  t.equal(door.leases.size, 0);
  using second = await LiveFootage.start('h264-aac');
  door.streams.set(OUTLET_CHANNEL, second.stream);
  for (let asked = 0; asked < 5; asked += 1, clock.advance(1000)) t.match(await channels.open(path, false, FAR).playlist(''), /#EXT-X-ENDLIST/, 'who watched is told');
  await channels.open(path, false, FAR).opened;
  t.equal(door.opened.length, 3, 'who asks on gets the channel anew');
  t.equal(door.leases.size, 1);
  channels[Symbol.dispose]();
});
