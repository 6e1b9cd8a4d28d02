import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Closer } from '#kit/closer.ts';
import { LiveRoute } from '../../daemons/mediad/http-live.ts';
import { HttpOutlet } from '../../daemons/mediad/outlet-http.ts';
import type { FootageName } from '../../scripts/media/footage.ts';
import { decodePictures, matchLoop } from '../../scripts/media/pictures.ts';
import { Browser, type Page } from '../rig/browser.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { footageUnits } from '../rig/media-units.ts';
import { OTHER_CHANNEL, OUTLET_CHANNEL, outletRig, tokenFor } from '../rig/outlet-rig.ts';
import { runTool } from '../rig/run-tool.ts';

t.setTimeout(120_000);

const PAGE = readFileSync(join(import.meta.dirname, '../rig/fmp4-page.html'));

interface Report {
  readonly frames: number;
  readonly mimes: readonly string[];
  readonly errors: readonly string[];
  readonly closed: number | null;
  readonly firstPictureMs: number | null;
  readonly width: number;
  readonly height: number;
  readonly time: number;
  readonly ranges: number;
  readonly audioBytes: number;
}

/** Until so many pictures were shown. */
async function shown(page: Page, frames: number): Promise<Report> {
  for (const until = performance.now() + 25_000; ; ) {
    const report = await page.evaluate<Report>('report()');
    if (report.frames >= frames || performance.now() > until) return report;
    await page.evaluate('new Promise(done => setTimeout(done, 100))');
  }
}

t.test('Chromium: a page plays fMP4 over a WebSocket, and a video element over HTTP and HLS', async t => {
  await using closer = new Closer();
  const pages: Server = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(PAGE));
  await new Promise<void>(resolve => pages.listen(0, '127.0.0.1', resolve));
  closer.defer(() => pages.close());
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  const rig = outletRig({ origins: [origin] });
  const sounding = closer.use(await LiveFootage.start('h264-aac'));
  const g711 = closer.use(await LiveFootage.start('h264-g711a'));
  rig.door.streams.set(OUTLET_CHANNEL, sounding.stream).set(OTHER_CHANNEL, g711.stream);
  const http = closer.use(await HttpOutlet.open({ ...rig.deps, routes: [new LiveRoute(rig.door, rig.deps.clock)] }));
  const browser = closer.use(await Browser.open());
  const play = async (how: string, scheme: string, channel: string, from = origin, behind = '.mp4'): Promise<Page> => {
    const page = await browser.page(`${from}/`);
    await page.evaluate(`${how}('${scheme}://127.0.0.1:${http.port}/live/${channel}${behind}?token=${tokenFor(channel)}')`);
    return page;
  };

  const socket = await play('playSocket', 'ws', OUTLET_CHANNEL);
  const report = await shown(socket, 60);
  t.ok(report.frames >= 60, `${report.frames} pictures shown`);
  t.match(report, { mimes: ['video/mp4; codecs="avc1.42C01F,mp4a.40.2"'], errors: [], closed: null, width: 768, height: 576, ranges: 1 }, 'one buffer without a hole');
  t.ok(report.audioBytes > 0, 'with its sound');
  t.ok((await socket.evaluate<number>('movement(400)')) > 0.1, 'and it moves');
  t.comment(`first picture on the screen after ${Math.round(report.firstPictureMs ?? Infinity)} ms`);

  const mute = await shown(await play('playSocket', 'ws', OTHER_CHANNEL), 30);
  t.match(mute, { mimes: ['video/mp4; codecs="avc1.42C01F"'], errors: [], width: 768, audioBytes: 0 }, 'G.711 is left out, the picture plays');
  t.ok(mute.frames >= 30);

  const element = await shown(await play('playSource', 'http', OUTLET_CHANNEL), 40);
  t.ok(element.frames >= 40, `${element.frames} pictures in a video element`);
  t.match(element, { errors: [], width: 768 });

  const hls = await shown(await play('playSource', 'http', OUTLET_CHANNEL, origin, '/index.m3u8'), 60);
  t.ok(hls.frames >= 60, `${hls.frames} pictures of HLS`);
  t.match(hls, { errors: [], width: 768 });

  const stranger = await play('playSocket', 'ws', OUTLET_CHANNEL, origin.replace('127.0.0.1', 'localhost'));
  await stranger.evaluate('new Promise(done => { const look = () => (counted.closed === null ? setTimeout(look, 20) : done()); look(); })');
  t.match(await stranger.evaluate<Report>('report()'), { frames: 0, closed: 1006 }, 'a page from elsewhere (fault 89)');
  t.equal(rig.counts.get('outlet.http.refused.origin'), 1);
});

t.test('VLC, as an ordinary user: every picture is that of the camera', async t => {
  await using closer = new Closer();
  // VLC refuses to run as root: somebody else writes here.
  const directory = await mkdtemp(join(tmpdir(), 'outlet-vlc-'));
  closer.defer(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o777);
  const rig = outletRig();
  const [h264, h265] = [closer.use(await LiveFootage.start('h264-aac')), closer.use(await LiveFootage.start('h265-aac'))];
  rig.door.streams.set(OUTLET_CHANNEL, h264.stream).set(OTHER_CHANNEL, h265.stream);
  const http = closer.use(await HttpOutlet.open({ ...rig.deps, routes: [new LiveRoute(rig.door, rig.deps.clock)] }));
  const watch = async (channel: string, behind: string, name: FootageName): Promise<void> => {
    const out = join(directory, `${name}${behind.replaceAll('/', '-')}.ts`);
    const url = `http://127.0.0.1:${http.port}/live/${channel}${behind}?token=${tokenFor(channel)}`;
    const user = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', 'HOME=/tmp'] : ['env'];
    const run = await runTool(user[0]!, [...user.slice(1), 'cvlc', '-v', '--no-color', '--run-time=5', '--play-and-exit', '--sout', `#std{access=file,mux=ts,dst=${out}}`, url, 'vlc://quit'], 40_000);
    const [source, got] = [await decodePictures((await footageUnits(name)).videoPath), await decodePictures(out)];
    t.ok(got.hashes.length >= 60, `${name} ${behind}: ${got.hashes.length} pictures; ${run.code === 0 ? '' : run.stderr.slice(-500)}`);
    t.same([matchLoop(source.hashes, got.hashes).same, got.complaints], [got.hashes.length, []], `${name} ${behind}`);
  };
  await Promise.all([watch(OUTLET_CHANNEL, '.flv', 'h264'), watch(OUTLET_CHANNEL, '.mp4', 'h264'), watch(OTHER_CHANNEL, '.mp4', 'h265'), watch(OTHER_CHANNEL, '/index.m3u8', 'h265')]);
});
