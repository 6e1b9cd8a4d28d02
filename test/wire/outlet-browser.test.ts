import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Closer } from '#kit/closer.ts';
import { LiveRoute } from '../../daemons/mediad/http-live.ts';
import { HttpOutlet } from '../../daemons/mediad/outlet-http.ts';
import { Browser, type Page } from '../rig/browser.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { OTHER_CHANNEL, OUTLET_CHANNEL, outletRig, tokenFor } from '../rig/outlet-rig.ts';

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
