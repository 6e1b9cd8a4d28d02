/**
 * /live/CHANNEL over HTTP and WebSocket:
 *
 *   GET /live/CHANNEL.flv             FLV without end          ?hevc=legacy: H.265 as codec id 12 (core/flv/tags)
 *   GET /live/CHANNEL.mp4             fragmented MP4           ?g711=keep: sound that no browser plays (core/mp4/init)
 *   GET /live/CHANNEL/index.m3u8      HLS, and what it lists   the same
 *   WebSocket .flv, .mp4              the same; MP4 with a word before each description (outlet-packers)
 */
import type { ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import { parseHlsFile, PLAYLIST_TYPE } from '#core/hls/playlist.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { ResponsePipe, SocketPipe, type ViewerPipe } from './http-pipe.ts';
import type { HttpExchange, HttpRoute } from './http-route.ts';
import type { OutletDoor, OutletLease, OutletViewer } from './outlet-door.ts';
import { HlsChannels } from './outlet-hls.ts';
import { FlvPacker, Mp4Packer } from './outlet-packers.ts';
import { type Packer, StreamViewer } from './stream-viewer.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = { flv: 'video/x-flv', mp4: 'video/mp4' };
/** What a playlist hands on to the files that it lists. */
const CARRIED = ['token', 'stream', 'rendition', 'g711'];

type PipeTo = (onGone: () => void) => ViewerPipe | Promise<ViewerPipe>;

export class LiveRoute implements HttpRoute, Disposable {
  readonly prefix = 'live';
  readonly methods = ['GET'];
  readonly #door: OutletDoor;
  readonly #hls: HlsChannels;
  readonly #viewers = new Set<StreamViewer>();

  constructor(door: OutletDoor, clock: Clock) {
    this.#door = door;
    this.#hls = new HlsChannels(door, clock);
  }

  get hlsChannels(): number {
    return this.#hls.size;
  }

  async handle(exchange: HttpExchange, response: ServerResponse): Promise<void> {
    const { path } = exchange;
    if (path.extension === '' && path.file !== '') return await this.#hlsFile(exchange, response);
    const packer = packerOf(exchange, false);
    const contentType = CONTENT_TYPES[path.extension]!;
    if (exchange.request.method === 'HEAD') return void response.writeHead(200, { 'Content-Type': contentType, 'Cache-Control': 'no-store' }).end();
    await this.#watch(exchange, path.extension === 'flv' ? 'flv' : 'fmp4', packer, onGone => new ResponsePipe(response, { contentType, onGone }));
  }

  async upgrade(exchange: HttpExchange, accept: () => Promise<WebSocket>): Promise<void> {
    const packer = packerOf(exchange, true);
    await this.#watch(exchange, exchange.path.extension === 'flv' ? 'ws-flv' : 'ws-fmp4', packer, async onGone => new SocketPipe(await accept(), onGone));
  }

  [Symbol.dispose](): void {
    this.#hls[Symbol.dispose]();
    for (const viewer of [...this.#viewers]) viewer.onEnd();
  }

  async #watch({ path, remote, user, request }: HttpExchange, protocol: OutletViewer['protocol'], packer: Packer, pipeTo: PipeTo): Promise<void> {
    let viewer: StreamViewer | undefined;
    const lease = await this.#door.open(path, { protocol, remote, user, report: () => viewer?.report() ?? { sentBytes: 0, droppedUnits: 0 } });
    if (request.socket.destroyed) return lease[Symbol.dispose]();
    const pipe = await this.#accept(lease, pipeTo, () => {
      viewer?.[Symbol.dispose]();
      if (viewer !== undefined) this.#viewers.delete(viewer);
    });
    viewer = new StreamViewer(packer, pipe, lease);
    this.#viewers.add(viewer);
    viewer.start();
  }

  async #accept(lease: OutletLease, pipeTo: PipeTo, onGone: () => void): Promise<ViewerPipe> {
    try {
      return await pipeTo(onGone);
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  async #hlsFile({ path, query, remote, user }: HttpExchange, response: ServerResponse): Promise<void> {
    const asked = parseHlsFile(path.file);
    if (asked === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { file: path.file });
    const keepG711 = query.get('g711') === 'keep';
    if (asked.kind === 'playlist') {
      const carried = CARRIED.flatMap(name => (query.has(name) ? [`${name}=${encodeURIComponent(query.get(name)!)}`] : [])).join('&');
      const list = await this.#hls.open(path, keepG711, { remote, user }).playlist(carried);
      return answer(response, PLAYLIST_TYPE, [Buffer.from(list)]);
    }
    const parts = this.#hls.find(path, keepG711)?.file(asked.kind, asked.number);
    if (parts === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { file: path.file });
    answer(response, 'video/mp4', parts);
  }
}

function packerOf({ path, query }: HttpExchange, describes: boolean): Packer {
  if (path.file === '' && path.extension === 'flv') return new FlvPacker(query.get('hevc') === 'legacy' ? 'legacy' : 'enhanced');
  if (path.file === '' && path.extension === 'mp4') return new Mp4Packer({ keepG711: query.get('g711') === 'keep', describes });
  throw new GatewayError('CHANNEL_UNKNOWN', { extension: path.extension });
}

function answer(response: ServerResponse, contentType: string, parts: readonly Uint8Array[]): void {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  response.writeHead(200, { 'Content-Type': contentType, 'Content-Length': length, 'Cache-Control': 'no-store' });
  response.end(Buffer.concat(parts, length));
}
