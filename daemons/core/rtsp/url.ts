/** RTSP URLs (RFC 2326 3.2), and the control addresses of tracks under them. */
import { type Result, fail, ok } from '../result.ts';
import { MAX_URI_CHARS } from './message.ts';

export const RTSP_PORT = 554;

export interface RtspUrl {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query, with the leading slash. */
  readonly path: string;
  /** A name or password stands in it: not for us (fault 90). */
  readonly hasUserInfo: boolean;
}

export function parseRtspUrl(text: string): Result<RtspUrl> {
  if (text.length > MAX_URI_CHARS) return fail(MAX_URI_CHARS, 'URL too long');
  const form = /^rtsp:\/\/([^/?]*)(.*)$/i.exec(text);
  if (form === null) return fail(0, 'not rtsp://');
  const authority = form[1]!;
  const at = authority.lastIndexOf('@');
  const place = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(authority.slice(at + 1));
  if (place === null) return fail(7, 'not a host and port');
  const port = place[3] === undefined ? RTSP_PORT : Number(place[3]);
  if (port < 1 || port > 65535) return fail(7, 'no such port');
  const path = form[2]!;
  return ok({ host: place[1] ?? place[2]!, port, path: path.startsWith('/') ? path : `/${path}`, hasUserInfo: at >= 0 });
}

export const formatAuthority = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}${port === RTSP_PORT ? '' : `:${port}`}`;

/**
 * Splits the track off a path of ours: clients put it behind the path or, when they were given a query, behind the query. Null: the
 * whole presentation.
 */
export function splitTrack(path: string): { readonly path: string; readonly track: number | null } {
  const form = /^(.*?)\/trackID=(\d{1,2})(\?.*)?$/.exec(path);
  if (form === null) return { path: path.replace(/\/(\?|$)/, '$1'), track: null };
  return { path: `${form[1]!}${form[3] ?? ''}`, track: Number(form[2]) };
}

/** The address of a track as its a=control says, under the base of the description (RFC 2326 C.1.1). */
export function resolveControl(base: string, control: string): string {
  if (/^rtsp:\/\//i.test(control)) return control;
  if (control === '' || control === '*') return base;
  return base.endsWith('/') ? `${base}${control}` : `${base}/${control}`;
}

/** The address of a track of ours under that of the presentation; one that is a track's already stays. */
export const trackUrl = (url: string, track: number): string => (/\/trackID=\d+$/.test(url) ? url : `${url.replace(/\/$/, '')}/trackID=${track}`);
