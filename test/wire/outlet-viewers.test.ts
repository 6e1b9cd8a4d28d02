import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import type { OutletsConfig } from '#core/config/schema.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { RtmpClientSession } from '#core/rtmp/client-session.ts';
import { ms } from '#core/units.ts';
import { Closer } from '#kit/closer.ts';
import { systemRandom } from '#kit/random.ts';
import { LiveRoute } from '../../daemons/mediad/http-live.ts';
import { HttpOutlet } from '../../daemons/mediad/outlet-http.ts';
import { RtmpInlets } from '../../daemons/mediad/rtmp-inlets.ts';
import { RtmpOutlet } from '../../daemons/mediad/outlet-rtmp.ts';
import { FlvPacker, Mp4Packer } from '../../daemons/mediad/outlet-packers.ts';
import { StreamViewer } from '../../daemons/mediad/stream-viewer.ts';
import type { ViewerPipe } from '../../daemons/mediad/http-pipe.ts';
import { FlvFile, isKeyPicture } from '../rig/flv-file.ts';
import { LiveFootage } from '../rig/live-footage.ts';
import { footageUnits } from '../rig/media-units.ts';
import { OUTLET_CHANNEL, outletRig, tokenFor } from '../rig/outlet-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);

/** Supplemental information that makes each picture large: 5 MByte a second fill what the kernel keeps for a reader that sleeps. */
const BALLAST = Buffer.concat([Buffer.from([0, 0, 0, 1, 6, 5]), Buffer.alloc(200_000, 0x55), Buffer.from([0x80])]);
const heavy = (unit: MediaUnit): MediaUnit => (unit.kind === 'video' ? { ...unit, bytes: Buffer.concat([unit.bytes, BALLAST]) } : unit);

async function open(limits: Partial<OutletsConfig> = {}, spoil?: (unit: MediaUnit) => MediaUnit) {
  const closer = new Closer();
  const rig = outletRig(limits);
  const footage = closer.use(await LiveFootage.start('h264', spoil));
  rig.door.streams.set(OUTLET_CHANNEL, footage.stream);
  const http = closer.use(await HttpOutlet.open({ ...rig.deps, routes: [new LiveRoute(rig.door, rig.deps.clock)] }));
  const inlets = new RtmpInlets({
    clock: rig.deps.clock,
    openUnitBridge: () => {
      throw new Error('no inlet here');
    },
    onOnline: () => undefined,
    onOffline: () => undefined,
  });
  const rtmp = closer.use(await RtmpOutlet.open({ ...rig.deps, inlets, inletOf: () => undefined }));
  const path = `/live/${OUTLET_CHANNEL}.flv?token=${tokenFor(OUTLET_CHANNEL)}`;
  return { ...rig, footage, http, rtmp, path, url: `http://127.0.0.1:${http.port}${path}`, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

/** Bytes of a chunked response from a bare socket, read only when told. */
class BareReader {
  readonly socket: Socket;
  readonly file = new FlvFile();
  #held = Buffer.alloc(0);
  #inBody = false;

  constructor(port: number, path: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    this.socket.on('error', () => undefined);
  }

  read(): void {
    this.socket.on('data', piece => {
      this.#held = Buffer.concat([this.#held, piece]);
      while (this.#step());
    });
  }

  #step(): boolean {
    const line = this.#held.indexOf(this.#inBody ? '\r\n' : '\r\n\r\n');
    if (line < 0) return false;
    if (!this.#inBody) {
      this.#held = this.#held.subarray(line + 4);
      this.#inBody = true;
      return true;
    }
    const length = parseInt(this.#held.toString('latin1', 0, line), 16);
    if (this.#held.length < line + 2 + length + 2) return false;
    this.file.push(this.#held.subarray(line + 2, line + 2 + length));
    this.#held = this.#held.subarray(line + 2 + length + 2);
    return true;
  }
}

t.test('fault 64, 89: a viewer that does not read loses whole pictures up to a key frame, and nobody else does', async t => {
  await using rig = await open({}, heavy);
  const fast = new FlvFile();
  const viewer = get(rig.url, { agent: false }, response => response.on('data', (piece: Buffer) => fast.push(piece))).on('error', () => undefined);
  const slow = new BareReader(rig.http.port, rig.path);
  const rtmp = new RtmpClientSession('play', { app: 'live', stream: `${OUTLET_CHANNEL}?token=${tokenFor(OUTLET_CHANNEL)}`, tcUrl: 'rtmp://x/live' }, systemRandom.bytes(HANDSHAKE_RANDOM_BYTES), ms(0));
  const stuck = connect(rig.rtmp.port, '127.0.0.1');
  const flush = (): void => rtmp.drain().forEach(part => stuck.write(part));
  stuck.on('data', bytes => {
    rtmp.push(bytes, ms(0));
    flush();
    if (rtmp.state === 'running') stuck.pause();
  });
  flush();
  const socket = new WebSocket(rig.url.replace('http:', 'ws:'));
  socket.once('open', () => socket.pause());
  const dropped = (protocol: string): number => rig.door.opened.filter(({ viewer: { protocol: each } }) => each === protocol).reduce((sum, { viewer: { report } }) => sum + (report?.().droppedUnits ?? 0), 0);
  await until('all three slow ones lose', () => dropped('flv') > 30 && dropped('rtmp') > 30 && dropped('ws-flv') > 30, 40_000);
  t.ok(rig.footage.keyFramesWanted > 0, 'a key frame was asked for');
  const times = fast.pictures.map(({ timestampMs }) => timestampMs);
  const droppedOf = rig.door.opened.filter(({ viewer: { protocol } }) => protocol === 'flv').map(({ viewer: { report } }) => report!().droppedUnits);
  t.equal(Math.min(...droppedOf), 0, 'the fast one loses nothing');
  t.ok(times.length > 60 && times.slice(1).every((time, i) => time - times[i]! === 40), `the fast one has every picture: ${times.length}`);

  slow.read();
  const gapAt = await until('it goes on behind a gap', () => {
    const read = slow.file.pictures;
    const at = read.findIndex((picture, i) => i > 0 && picture.timestampMs - read[i - 1]!.timestampMs > 40);
    return at > 0 && read.length > at + 3 ? at : undefined;
  }, 20_000);
  t.ok(isKeyPicture(slow.file.pictures[gapAt]!), 'with a key frame');
  t.ok(slow.file.pictures.slice(gapAt + 1, gapAt + 3).every((picture, i) => picture.timestampMs - slow.file.pictures[gapAt + i]!.timestampMs === 40));
  const demuxer = new FlvTagDemuxer();
  for (const { type, timestampMs, body } of slow.file.tags) demuxer.push(type, timestampMs, body);
  t.equal(demuxer.leftOut, 0, 'and nothing is cut');
  for (const each of [slow.socket, stuck]) each.destroy();
  viewer.destroy();
  socket.terminate();
  await until('all have left', () => rig.door.leases.size === 0);
});

t.test('a viewer that takes nothing for 30 s is closed; one whose description changes goes on or ends, as its format allows', async t => {
  const { tracks, units } = await footageUnits('h264');
  const other = (await footageUnits('h265')).tracks;
  const watch = (packer: ConstructorParameters<typeof StreamViewer>[0], waitingBytes = 0) => {
    const log: string[] = [];
    let disposed = 0;
    const pipe: ViewerPipe = { waitingBytes, sentBytes: 0, write: parts => void log.push(`${parts.length}`), tell: text => void log.push(text), end: () => void log.push('end'), destroy: () => void log.push('destroyed') };
    const lease = { stream: { tracks, frozenSince: null, join: () => ({ wantKeyFrame: () => undefined, [Symbol.dispose]: () => undefined }) }, onEnd: () => undefined, [Symbol.dispose]: () => void disposed++ };
    const viewer = new StreamViewer(packer, pipe, lease);
    viewer.start();
    viewer.onTracks(tracks);
    return { viewer, log, disposed: () => disposed };
  };
  const stalled = watch(new FlvPacker('enhanced'), 1_000_000);
  for (let i = 0; i < units.length * 3; i++) stalled.viewer.onUnit(units[i % units.length]!, ms(i * 40));
  t.equal(stalled.log.at(-1), 'destroyed');
  t.equal(stalled.disposed(), 1, 'once');
  for (const [what, packer, ends] of [['FLV', new FlvPacker('enhanced'), false], ['a page', new Mp4Packer({ keepG711: false, describes: true }), false], ['a file', new Mp4Packer({ keepG711: false, describes: false }), true]] as const) {
    const { viewer, log } = watch(packer);
    viewer.onUnit(units[0]!, ms(0));
    viewer.onTracks(other);
    t.equal(log.includes('end'), ends, what);
    viewer.onEnd();
    t.equal(log.filter(each => each === 'end').length, 1, what);
  }
});

const talk = (port: number, text: string, keep = false): Promise<{ readonly answer: string; readonly tookMs: number }> =>
  new Promise(resolve => {
    const since = performance.now();
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', piece => {
      answer += piece.toString('latin1');
      if (!keep) socket.destroy();
    });
    socket.on('error', () => undefined).once('close', () => resolve({ answer, tookMs: performance.now() - since }));
  });

t.test('faults 81, 88: smuggled, endless and half requests', async t => {
  await using rig = await open();
  const { port } = rig.http;
  const status = async (text: string): Promise<string> => /^HTTP\/1\.1 (\d+)/.exec((await talk(port, text)).answer)?.[1] ?? 'none';
  const line = `GET ${rig.path} HTTP/1.1\r\nHost: x\r\n`;
  t.equal(await status(`${line}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`), '400', 'both lengths');
  t.equal(await status(`${line}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`), '400', 'two lengths');
  t.equal(await status(`${line}X: ${'a'.repeat(20_000)}\r\n\r\n`), '431');
  t.equal(await status(`GET ${rig.path} HTTP/1.1\r\n\r\n`), '400', 'no Host');
  t.equal(await status(`${line}X: a\r\n b: c\r\n\0\r\n\r\n`), '400');
  t.equal(await status('\x16\x03\x01\x02\x00\x01'), '400', 'TLS');
  t.equal(await status(`POST ${rig.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n`), '405');
  const [half, nothing] = await Promise.all([talk(port, `${line}X-Slow: `, true), talk(port, '', true)]);
  t.match(half.answer, /^HTTP\/1\.1 408 /);
  t.ok(half.tookMs < 8000 && nothing.tookMs < 8000, `half a request is closed after ${Math.round(half.tookMs)} ms, none after ${Math.round(nothing.tookMs)} ms`);
  t.equal(await status(`${line}\r\n`), '200', 'and who asks properly is served');
});

t.test('one address has so many connections and no more', async t => {
  await using rig = await open({ connectionsPerAddress: 5 });
  const many = Array.from({ length: 8 }, () => talk(rig.http.port, `GET ${rig.path} HTTP/1.1\r\nHost: x\r\n`, true));
  await until('the others are refused', () => rig.counts.get('outlet.http.refused.connections') === 3);
  t.equal((await Promise.race(many)).answer, '');
  const rtmp = Array.from({ length: 7 }, () => talk(rig.rtmp.port, '\x03', true));
  await until('RTMP too', () => rig.counts.get('outlet.rtmp.refused.connections') === 2);
  await Promise.all([...many, ...rtmp]);
  await until('a place that was left is free again', async () => (await talk(rig.http.port, `GET ${rig.path} HTTP/1.1\r\nHost: x\r\n\r\n`)).answer.startsWith('HTTP/1.1 200'));
  t.pass();
});
