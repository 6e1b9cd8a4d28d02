/** GET /snapshot/CHANNEL.jpg[?width=PIXELS], and the same over RPC: the last key frame as a JPEG. */
import type { ServerResponse } from 'node:http';
import type { MediadRequests } from '#contracts/mediad.ts';
import { MAX_SNAPSHOT_WIDTH, MIN_SNAPSHOT_WIDTH } from '#core/media/snapshot-plan.ts';
import { parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import type { HttpExchange, HttpRoute } from './http-route.ts';
import type { Snapshots } from './transcode/snapshots.ts';

export class SnapshotRoute implements HttpRoute {
  readonly prefix = 'snapshot';
  readonly methods = ['GET'];
  readonly #snapshots: Snapshots;

  constructor(snapshots: Snapshots) {
    this.#snapshots = snapshots;
  }

  async handle({ path, query, remote, request }: HttpExchange, response: ServerResponse): Promise<void> {
    if ((path.extension !== 'jpg' && path.extension !== 'jpeg') || path.file !== '') throw new GatewayError('BAD_REQUEST', { why: 'expected CHANNEL.jpg' });
    const { jpeg } = await this.#snapshots.take(path, remote, widthOf(query.get('width')));
    response.writeHead(200, { 'Content-Type': 'image/jpeg', 'Content-Length': jpeg.length, 'Cache-Control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : jpeg);
  }
}

function widthOf(text: string | null): number | null {
  if (text === null) return null;
  const width = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (width < MIN_SNAPSHOT_WIDTH || width > MAX_SNAPSHOT_WIDTH) throw new GatewayError('BAD_REQUEST', { why: `width is ${MIN_SNAPSHOT_WIDTH} to ${MAX_SNAPSHOT_WIDTH}` });
  return width;
}

export async function takeSnapshot(snapshots: Snapshots, { channel, streamNumber, width }: Parameters<MediadRequests['snapshot']>[0]): Promise<ReturnType<MediadRequests['snapshot']>> {
  const path = parseOutletPath(`/live/${channel}?stream=${streamNumber}`);
  if (!path.ok) throw new GatewayError('BAD_REQUEST', { channel, why: path.error.why });
  const { jpeg, tookMs } = await snapshots.take(path.value, 'vlink', width);
  return { jpegBase64: Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length).toString('base64'), tookMs };
}
