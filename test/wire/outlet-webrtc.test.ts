/** WebRTC by WHEP: headless Chromium as the viewer, and datagrams that a viewer would never send. */
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { transcodeSchema } from '#core/config/transcode-schema.ts';
import { bindingRequest } from '#core/webrtc/stun.ts';
import { HttpOutlet } from '../../daemons/mediad/outlet-http.ts';
import { Transcoders } from '../../daemons/mediad/transcode/transcoders.ts';
import { RtcHost } from '../../daemons/mediad/webrtc/host.ts';
import { WhepRoute } from '../../daemons/mediad/webrtc/whep-route.ts';
import { Browser, type Page } from '../rig/browser.ts';
import { freePort } from '../../scripts/lab/gateway.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { OUTLET_CHANNEL, outletRig, tokenFor } from '../rig/outlet-rig.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';
import type { FootageName } from '../../scripts/media/footage.ts';

t.setTimeout(180_000);

/** A page of another origin than the outlet: what it may do is up to outlets.origins. */
const server: Server = createServer((_request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<video id=v autoplay muted playsinline></video>'));
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
const pageUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
t.teardown(() => server.close());

interface Scene extends AsyncDisposable {
  readonly source: LiveFootage;
  readonly host: RtcHost;
  readonly route: WhepRoute;
  readonly transcoders: Transcoders;
  readonly rig: ReturnType<typeof outletRig>;
  readonly url: string;
}

async function openScene(name: FootageName, origins: readonly string[] = [pageUrl.slice(0, -1)]): Promise<Scene> {
  const rig = outletRig({ origins: [...origins] });
  const { clock, random, log, count } = rig.deps;
  const source = await LiveFootage.start(name);
  rig.door.streams.set(OUTLET_CHANNEL, source.stream);
  const config = transcodeSchema.parse({ cores: 64, lingerS: 0 });
  const transcoders = new Transcoders({ clock, log, config: () => config });
  const host = new RtcHost({ address: '127.0.0.1', candidate: '127.0.0.1', port: 0, clock, random, log });
  await host.ready;
  const route = new WhepRoute({ door: rig.door, host, renderer: transcoders, log, count });
  const http = await HttpOutlet.open({ ...rig.deps, routes: [route] });
  return {
    source, host, route, transcoders, rig, url: `http://127.0.0.1:${http.port}/whep/${OUTLET_CHANNEL}`,
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
      await host[Symbol.asyncDispose]();
      transcoders[Symbol.dispose]();
      source[Symbol.dispose]();
    },
  };
}

const PLAY = `async (url, token, withAudio) => {
  const pc = window.pc = new RTCPeerConnection();
  pc.addTransceiver('video', { direction: 'recvonly' });
  if (withAudio) pc.addTransceiver('audio', { direction: 'recvonly' });
  const stream = new MediaStream();
  pc.ontrack = event => { stream.addTrack(event.track); v.srcObject = stream; };
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp', Authorization: 'Bearer ' + token }, body: pc.localDescription.sdp });
  if (answer.status !== 201) throw new Error('status ' + answer.status);
  window.session = answer.headers.get('Location');
  await pc.setRemoteDescription({ type: 'answer', sdp: (window.rewrite ?? (sdp => sdp))(await answer.text()) });
}`;

interface Decoded {
  readonly decoded: number;
  readonly dropped: number;
  readonly width: number;
  readonly lost: number;
  readonly audioPackets: number;
  readonly keyFrames: number;
  readonly state: string;
}

const STATS = `(async () => {
  const found = { decoded: 0, dropped: 0, width: 0, lost: 0, audioPackets: 0, keyFrames: 0, state: pc.connectionState };
  for (const report of (await pc.getStats()).values()) {
    if (report.type !== 'inbound-rtp') continue;
    if (report.kind === 'audio') found.audioPackets = report.packetsReceived;
    else Object.assign(found, { decoded: report.framesDecoded ?? 0, dropped: report.framesDropped ?? 0, width: report.frameWidth ?? 0, lost: report.packetsLost, keyFrames: report.keyFramesDecoded ?? 0 });
  }
  return found;
})()`;

const play = (page: Page, { url }: Scene, withAudio = true): Promise<unknown> => page.evaluate(`(${PLAY})(${JSON.stringify(url)}, ${JSON.stringify(tokenFor(OUTLET_CHANNEL))}, ${withAudio})`);

async function watch(page: Page, frames: number): Promise<Decoded> {
  return await until(`${frames} pictures`, async () => {
    const stats = await page.evaluate<Decoded>(STATS);
    return stats.decoded >= frames ? stats : undefined;
  }, 30_000);
}

t.test('Chromium plays H.264 and G.711, and leaves', async t => {
  await using scene = await openScene('h264-g711a');
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  const from = performance.now();
  await play(page, scene);
  await watch(page, 1);
  t.comment(`first picture after ${Math.round(performance.now() - from)} ms`);
  const stats = await watch(page, 75);
  t.match(stats, { width: 768, state: 'connected', lost: 0 });
  t.ok(stats.audioPackets > 20, `${stats.audioPackets} packets of sound`);
  t.ok((await page.evaluate<number>('v.currentTime')) > 1, 'and shows them');
  t.same(scene.transcoders.rows(), [], 'nothing was turned');
  const status = await page.evaluate<number>(`fetch(new URL(session, ${JSON.stringify(scene.url)}), { method: 'DELETE', headers: { Authorization: ${JSON.stringify(`Bearer ${tokenFor(OUTLET_CHANNEL)}`)} } }).then(answer => answer.status)`);
  t.equal(status, 200);
  await until('the session is gone', () => scene.route.sessions === 0 && scene.rig.door.leases.size === 0);
  t.equal(scene.rig.counts.get('webrtc.connected'), 1);
});

t.test('H.265 and AAC are turned into what a browser takes; the camera leaves, and so does the session', async t => {
  await using scene = await openScene('h265-aac');
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await play(page, scene);
  const stats = await watch(page, 60);
  t.match(stats, { width: 768, state: 'connected' });
  t.ok(stats.audioPackets > 10, `${stats.audioPackets} packets of sound`);
  t.match(scene.transcoders.rows()[0], { state: 'running', encoder: 'libx264' });
  scene.source.end('camera left');
  await until('the session is gone', () => scene.route.sessions === 0);
});

t.test('a camera of GB/T 28181 through the whole gateway into the browser', async t => {
  const [httpPort, webrtcPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
  await using rig = await openRelayRig({
    cameras: [{ footage: 'h264-g711a' }],
    sections: { outlets: { address: '127.0.0.1', httpPort, webrtcPort, tokenKey: 'k'.repeat(40), origins: [pageUrl.slice(0, -1)] } },
  });
  const { channelId } = (await rig.rpc.call('listChannels', {})).rows[0]!;
  await using mediad = await rig.gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel: channelId, streamNumber: 0, minutes: 5 });
  const whep = new URL(urls.find(({ protocol }) => protocol === 'whep')!.url);
  await until('WebRTC listens', async () => 'webrtc.sessions' in (await mediad.call('counters', {})));
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await page.evaluate(`(${PLAY})(${JSON.stringify(`${whep.origin}${whep.pathname}`)}, ${JSON.stringify(whep.searchParams.get('token'))}, true)`);
  const stats = await watch(page, 50);
  t.match(stats, { width: 768, state: 'connected', lost: 0 });
  t.match(await mediad.call('listOutlets', {}), [{ protocol: 'webrtc', channel: channelId }]);
  t.equal(rig.cameras[0]!.sessions.length, 1);
  await page.evaluate('pc.close()');
  await until('nobody looks any more', async () => (await mediad.call('listOutlets', {})).length === 0);
});

/** Stands between viewer and outlet, and loses some of what comes from the outlet. */
async function lossyPath(outletPort: number, loses: (packet: number) => boolean): Promise<{ readonly port: number; close(): Promise<void> }> {
  const [front, back] = [createSocket('udp4'), createSocket('udp4')];
  await Promise.all([front, back].map(socket => new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))));
  let viewer = 0;
  let packets = 0;
  front.on('message', (bytes, { port }) => {
    viewer = port;
    back.send(bytes, outletPort, '127.0.0.1');
  });
  back.on('message', bytes => {
    // Checks and handshake pass: it is media that is meant.
    const isMedia = bytes.length > 200 && bytes[0]! >= 128;
    if (!isMedia || !loses((packets += 1))) front.send(bytes, viewer, '127.0.0.1');
  });
  return { port: front.address().port, close: async () => void (await Promise.all([front, back].map(socket => new Promise<void>(resolve => void socket.close(resolve))))) };
}

t.test('over a path that loses every twentieth packet: asked for again, sent again, shown', async t => {
  await using scene = await openScene('h264');
  const path = await lossyPath(scene.host.port, packet => packet % 20 === 0);
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await page.evaluate(`window.rewrite = sdp => sdp.replaceAll(' ${scene.host.port} ', ' ${path.port} ')`);
  await play(page, scene, false);
  const { lost, state } = await watch(page, 60);
  t.equal(state, 'connected');
  const { nackCount, pliCount } = await page.evaluate<{ nackCount: number; pliCount: number }>('pc.getStats().then(all => { const one = [...all.values()].find(each => each.type === "inbound-rtp"); return { nackCount: one.nackCount, pliCount: one.pliCount }; })');
  t.ok(nackCount > 0, `${nackCount} NACKs, ${pliCount} PLIs, ${lost} lost in the end`);
  await until('it is counted', () => (scene.host.counters()['webrtc.repeated-packets'] ?? 0) > 0);
  t.comment(`${scene.host.counters()['webrtc.repeated-packets']} sent again`);
  await path.close();
});

t.test('a viewer that cannot decode asks for a key frame, and the source is asked', async t => {
  await using scene = await openScene('h264');
  let isOpen = true;
  const path = await lossyPath(scene.host.port, packet => !isOpen && packet % 3 !== 0);
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await page.evaluate(`window.rewrite = sdp => sdp.replaceAll(' ${scene.host.port} ', ' ${path.port} ')`);
  await play(page, scene, false);
  const { decoded } = await watch(page, 20);
  const asked = scene.source.keyFramesWanted;
  // What is sent again is lost again.
  isOpen = false;
  await until('a key frame was wanted', () => scene.source.keyFramesWanted > asked, 15_000);
  isOpen = true;
  await watch(page, decoded + 30);
  await path.close();
  t.ok(scene.source.keyFramesWanted > asked);
});

t.test('who may: token, origin, type, offer', async t => {
  await using scene = await openScene('h264', []);
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await t.rejects(play(page, scene, false), /Failed to fetch/, 'the page of another origin');
  const post = async (token: string, body: string, type = 'application/sdp'): Promise<number> => (await fetch(`${scene.url}?token=${token}`, { method: 'POST', headers: { 'Content-Type': type }, body })).status;
  const good = tokenFor(OUTLET_CHANNEL);
  t.equal(await post(tokenFor(OUTLET_CHANNEL, -5), 'v=0'), 401);
  t.equal(await post(good, 'v=0\r\n'), 400);
  t.equal(await post(good, 'x'.repeat(70_000)), 400);
  t.equal(await post(good, 'v=0', 'text/plain'), 415);
  t.equal(await post(good, OFFER.replace('H264', 'VP8')), 400, 'an offer without H.264');
  t.equal((await fetch(`${scene.url}?token=${good}`)).status, 405);
  t.equal((await fetch(`${scene.url}/${'a'.repeat(32)}?token=${good}`, { method: 'DELETE' })).status, 404);
  t.equal(scene.rig.door.leases.size, 0);
});

const OFFER = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'c=IN IP4 0.0.0.0', 'a=mid:0', 'a=recvonly', 'a=rtcp-mux', 'a=ice-ufrag:abcd', 'a=ice-pwd:abcdefghijklmnopqrstuvwx',
  `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => 'AA').join(':')}`, 'a=setup:actpass', 'a=rtpmap:96 H264/90000', 'a=fmtp:96 packetization-mode=1;profile-level-id=42e01f', ''].join('\r\n');

interface HandViewer extends AsyncDisposable {
  readonly heard: Buffer[];
  send(bytes: Uint8Array): void;
  /** A connectivity check with the right password. */
  check(): void;
}

async function openByHand(t: Test, scene: Scene): Promise<HandViewer> {
  const answer = await fetch(`${scene.url}?token=${tokenFor(OUTLET_CHANNEL)}`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });
  t.equal(answer.status, 201);
  const sdp = await answer.text();
  const [, fragment] = /a=ice-ufrag:(\S+)/.exec(sdp)!;
  const [, password] = /a=ice-pwd:(\S+)/.exec(sdp)!;
  const port = Number(/a=candidate:1 1 udp \d+ 127\.0\.0\.1 (\d+) typ host/.exec(sdp)![1]);
  const socket = createSocket('udp4');
  const heard: Buffer[] = [];
  socket.on('message', bytes => void heard.push(bytes));
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  const send = (bytes: Uint8Array): void => socket.send(bytes, port, '127.0.0.1');
  const mac = (bytes: Uint8Array): Uint8Array => createHmac('sha1', password!).update(bytes).digest();
  return {
    heard,
    send,
    check: () => send(bindingRequest(new Uint8Array(12).fill(7), `${fragment}:abcd`, true, mac)),
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => void socket.close(resolve)),
  };
}

t.test('fault 51: datagrams that would hang or upset the library are dropped before it, and nobody else notices', async t => {
  await using scene = await openScene('h264');
  await using browser = await Browser.open();
  const page = await browser.page(pageUrl);
  await play(page, scene, false);
  await watch(page, 10);
  await using viewer = await openByHand(t, scene);
  viewer.check();
  await until('the check is answered', () => viewer.heard.length > 0);
  // An extension that says it is longer than the packet: the parser of werift 0.25.2 does not come back from it.
  const hang = Uint8Array.of(0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0xff, 0xff);
  const others = [
    hang,
    Uint8Array.of(0x80, 200, 0xff, 0xff, 0, 0, 0, 1),
    Uint8Array.of(0x81, 205, 0, 2, ...new Uint8Array(40)),
    Uint8Array.of(22, 0xfe, 0xfd, ...new Uint8Array(8), 0xff, 0xff),
    Uint8Array.of(22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0xff, 0xff, 0xff),
    Uint8Array.of(23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    new Uint8Array(1200).fill(0x17),
    Uint8Array.of(0x00, 0x01, 0, 200, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)),
    new Uint8Array(0),
  ];
  for (let round = 0; round < 20; round += 1) for (const bytes of others) viewer.send(bytes);
  const before = await page.evaluate<Decoded>(STATS);
  await watch(page, before.decoded + 50);
  await until('it is counted', () => (scene.host.counters()['webrtc.dropped.rtp-refused'] ?? 0) >= 10);
  const counters = scene.host.counters();
  t.ok(counters['webrtc.dropped.malformed']! >= 20);
  t.equal(counters['webrtc.thread-deaths'], 0);
  t.equal(counters['webrtc.sessions'], 2, 'its own handshake still has time');
  await until('and then it is given up', () => scene.host.counters()['webrtc.sessions'] === 1, 15_000);
});

t.test('mutated handshakes: at worst the thread of WebRTC ends, is there again, and mediad goes on', async t => {
  await using scene = await openScene('h264');
  await using viewer = await openByHand(t, scene);
  viewer.check();
  await until('the check is answered', () => viewer.heard.length > 0);
  // A ClientHello of DTLS 1.2, and what chance makes of it.
  const body = [0xfe, 0xfd, ...new Uint8Array(32), 0, 0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0, 0, 0];
  const handshake = [1, 0, 0, body.length, 0, 0, 0, 0, 0, 0, 0, body.length, ...body];
  const hello = Uint8Array.of(22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, handshake.length, ...handshake);
  let seed = 51;
  const dice = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  for (let i = 0; i < 190; i += 1) {
    const bytes = hello.slice();
    for (let k = 0; k < 3; k += 1) bytes[13 + dice(bytes.length - 13)] = dice(256);
    viewer.send(bytes);
    if (i % 20 === 0) await wait(5);
  }
  await until('a session may be opened', async () => {
    const answer = await fetch(`${scene.url}?token=${tokenFor(OUTLET_CHANNEL)}`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });
    return answer.status === 201;
  });
  t.ok(scene.host.counters()['webrtc.thread-deaths']! <= 1, `${scene.host.counters()['webrtc.thread-deaths']} deaths`);
});
