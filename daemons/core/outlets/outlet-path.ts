/**
 * What a URL of an outlet asks for. The same for every protocol:
 *
 *   /live/CHANNEL[.EXT][?stream=N][&rendition=NAME][&token=TOKEN]     RTSP, RTMP (app `live`), HTTP and WebSocket (.flv .mp4), HLS (/live/CHANNEL/FILE)
 *
 * CHANNEL is a 20-digit channel ID, or DEVICE-CHANNEL where two devices have the same.
 */
import { fail, ok, type Result } from '../result.ts';

export const MAX_PATH_CHARS = 512;

export interface OutletPath {
  /** As written in the URL: what a token is signed for. */
  readonly channel: string;
  readonly deviceId: string | null;
  readonly channelId: string;
  /** Without the dot; empty when there is none. */
  readonly extension: string;
  /** Behind the channel, without slash; empty when there is none. */
  readonly file: string;
  /** 0: main stream, 1 and 2 sub-streams (gb28181.md 6.1): each is a session of the camera. */
  readonly streamNumber: number;
  /** Name of a configured rendition; null: as the camera sends it. */
  readonly rendition: string | null;
  readonly token: string | null;
}

/** `text`: path and query, percent-encoding and all, with or without the leading slash. */
export function parseOutletPath(text: string): Result<OutletPath> {
  if (text.length > MAX_PATH_CHARS) return fail(MAX_PATH_CHARS, 'path too long');
  const [path = '', query = ''] = splitOnce(text, '?');
  const form = /^\/?live\/(?:(\d{20})-)?(\d{18,20})(?:\.([a-z0-9]{1,8}))?(?:\/([A-Za-z0-9._=-]{0,64}))?$/.exec(path);
  if (form === null) return fail(0, 'expected /live/CHANNEL');
  const values = readQuery(query);
  const stream = values.get('stream') ?? '0';
  if (!/^[0-2]$/.test(stream)) return fail(path.length, 'stream is 0, 1 or 2');
  const rendition = values.get('rendition') ?? null;
  if (rendition !== null && !/^[A-Za-z0-9_-]{1,32}$/.test(rendition)) return fail(path.length, 'no such rendition');
  const deviceId = form[1] ?? null;
  const channelId = form[2]!;
  const channel = deviceId === null ? channelId : `${deviceId}-${channelId}`;
  return ok({ channel, deviceId, channelId, extension: form[3] ?? '', file: form[4] ?? '', streamNumber: Number(stream), rendition, token: values.get('token') ?? null });
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** None of our values needs percent-encoding; the first of a name counts. */
function readQuery(query: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const part of query.split('&', 32)) {
    const [name, value] = splitOnce(part, '=');
    if (!values.has(name)) values.set(name, value);
  }
  return values;
}
