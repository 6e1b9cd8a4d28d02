/**
 * Session descriptions as lines (RFC 4566 5): order kept, nothing understood yet. `y=` and `f=` are no SDP (gb28181.md 6.1)
 * and are split off first; LF-only endings and unknown letters are accepted. Values are byte strings.
 */
import { toByteString } from '../bytes.ts';
import { type ParseError, type Result, ok } from '../result.ts';

export const MAX_SDP_BYTES = 16_384;
export const MAX_SDP_LINES = 512;
export const MAX_SDP_LINE = 1024;
export const MAX_SDP_MEDIA = 16;

/** Why an SDP cannot be used, with the SIP status for its sender. */
export interface SdpRefusal extends ParseError {
  readonly status: 400 | 413 | 488;
}

export const refuse = (at: number, why: string, status: SdpRefusal['status'] = 488): { readonly ok: false; readonly error: SdpRefusal } => ({ ok: false, error: { at, why, status } });

export interface SdpLine {
  readonly letter: string;
  readonly value: string;
  /** Byte offset of the line. */
  readonly at: number;
}

/** One m-line and the lines under it. */
export interface SdpSection {
  readonly media: SdpLine;
  readonly lines: readonly SdpLine[];
}

export interface Sdp {
  readonly session: readonly SdpLine[];
  readonly media: readonly SdpSection[];
  /** The first `y=` and `f=`, wherever they stood. */
  readonly y: SdpLine | undefined;
  readonly f: SdpLine | undefined;
}

/** Total and bounded. Fails without `v=0` first, on a line that is not `letter=value`, on NUL, and over the limits. */
export function parseSdp(body: Uint8Array): Result<Sdp, SdpRefusal> {
  if (body.length > MAX_SDP_BYTES) return refuse(MAX_SDP_BYTES, `more than ${MAX_SDP_BYTES} bytes`, 413);
  const lines = splitLines(toByteString(body));
  if (!lines.ok) return lines;
  const first = lines.value[0];
  if (first === undefined || first.letter !== 'v' || first.value.trim() !== '0') return refuse(0, 'does not begin with v=0', 400);
  return groupLines(lines.value);
}

function splitLines(text: string): Result<SdpLine[], SdpRefusal> {
  const lines: SdpLine[] = [];
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    let end = newline < 0 ? text.length : newline;
    if (end > at && text.charCodeAt(end - 1) === 0x0d) end--;
    if (end - at > MAX_SDP_LINE) return refuse(at, `line over ${MAX_SDP_LINE} bytes`);
    const line = text.slice(at, end);
    if (line.trim() !== '') {
      if (!/^[A-Za-z]=[^\0\r]*$/.test(line)) return refuse(at, 'line is not letter=value', 400);
      if (lines.length === MAX_SDP_LINES) return refuse(at, `more than ${MAX_SDP_LINES} lines`);
      lines.push({ letter: line.charAt(0), value: line.slice(2).trim(), at });
    }
    at = next;
  }
  return ok(lines);
}

function groupLines(lines: readonly SdpLine[]): Result<Sdp, SdpRefusal> {
  const session: SdpLine[] = [];
  const media: { media: SdpLine; lines: SdpLine[] }[] = [];
  let y: SdpLine | undefined;
  let f: SdpLine | undefined;
  for (const line of lines) {
    if (line.letter === 'y') y ??= line;
    else if (line.letter === 'f') f ??= line;
    else if (line.letter === 'm') {
      if (media.length === MAX_SDP_MEDIA) return refuse(line.at, `more than ${MAX_SDP_MEDIA} media`);
      media.push({ media: line, lines: [] });
    } else (media.at(-1)?.lines ?? session).push(line);
  }
  return ok({ session, media, y, f });
}
