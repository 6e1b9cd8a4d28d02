/** What somebody wants a stream to be: by a name of the configuration, or by the f= line of an upstream (gb28181.md 6.1). */
import type { FLine } from '../sdp/f-line.ts';

export const RENDITION_SIZES = { QCIF: [176, 144], CIF: [352, 288], '2CIF': [704, 288], '4CIF': [704, 576], D1: [720, 576], '720P': [1280, 720], '1080P': [1920, 1080] } as const;
export type RenditionSize = keyof typeof RENDITION_SIZES;

export const RENDITION_VIDEO = ['h264', 'h265', 'copy'] as const;
export const RENDITION_AUDIO = ['g711a', 'aac', 'copy', 'none'] as const;

export const MIN_KBPS = 128;
export const MAX_KBPS = 6144;
export const MAX_FPS = 25;
/** Of the side of a picture that we make. */
const MAX_SIDE = 4096;

export interface Rendition {
  /** `copy`: pictures pass as they are, and size, bitrate and fps do not matter. */
  readonly video: (typeof RENDITION_VIDEO)[number];
  /** Pixels; null: as the source. */
  readonly size: { readonly width: number; readonly height: number } | null;
  /** Null: by the size of the picture. */
  readonly bitrateKbps: number | null;
  /** At most; null: as the source, up to MAX_FPS. */
  readonly fps: number | null;
  readonly audio: (typeof RENDITION_AUDIO)[number];
}

/** `CIF`, `720P`, `640x360`; undefined for what is no size. Odd sides are made even: 4:2:0 has no half pixels. */
export function sizeOf(text: string): Rendition['size'] | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(RENDITION_SIZES, upper)) {
    const [width, height] = RENDITION_SIZES[upper as RenditionSize];
    return { width, height };
  }
  const form = /^(\d{2,4})[xX](\d{2,4})$/.exec(text);
  if (form === null) return undefined;
  const [width, height] = [Number(form[1]) & ~1, Number(form[2]) & ~1];
  return width < 16 || height < 16 || width > MAX_SIDE || height > MAX_SIDE ? undefined : { width, height };
}

/** The same rendition gives the same text: who shares a job. */
export function renditionKey({ video, size, bitrateKbps, fps, audio }: Rendition): string {
  if (video === 'copy') return `copy,${audio}`;
  return [video, size === null ? '-' : `${size.width}x${size.height}`, bitrateKbps ?? '-', fps ?? '-', audio].join(',');
}

const F_VIDEO: Readonly<Record<string, Rendition['video']>> = { '2': 'h264', '5': 'h265' };
const F_SIZE: Readonly<Record<string, RenditionSize>> = { '1': 'QCIF', '2': 'CIF', '3': '4CIF', '4': 'D1', '5': '720P', '6': '1080P' };
const F_AUDIO: Readonly<Record<string, Rendition['audio']>> = { '1': 'g711a', '6': 'aac' };

/**
 * What an f= line asks for; undefined when it asks for nothing that we can make (empty, SVAC, MPEG-4): the stream then passes as it is.
 * Figures out of our range are brought into it.
 */
export function renditionOfFLine({ video, audio }: FLine): Rendition | undefined {
  const codec = F_VIDEO[video.format];
  const sound = F_AUDIO[audio.format] ?? 'copy';
  if (codec === undefined) return sound === 'copy' ? undefined : { video: 'copy', size: null, bitrateKbps: null, fps: null, audio: sound };
  const kbps = Number(video.bitrateKbps);
  const fps = Number(video.frameRate);
  return {
    video: codec,
    size: sizeOf(F_SIZE[video.resolution] ?? video.resolution) ?? null,
    bitrateKbps: kbps === 0 ? null : Math.min(MAX_KBPS, Math.max(MIN_KBPS, kbps)),
    fps: fps === 0 ? null : Math.min(MAX_FPS, fps),
    audio: sound,
  };
}

const codeOf = <T>(codes: Readonly<Record<string, T>>, wanted: T): string => Object.keys(codes).find(code => codes[code] === wanted) ?? '';

/** What we answer in f= when a rendition is sent; `source`: what the camera said of itself, for what passes as it is. */
export function fLineOfRendition(rendition: Rendition, source: FLine | undefined): FLine {
  const before: FLine = source ?? { video: { format: '', resolution: '', frameRate: '', bitrateType: '', bitrateKbps: '' }, audio: { format: '', bitrate: '', sampleRate: '' } };
  const { video, size, bitrateKbps, fps, audio } = rendition;
  const name = size === null ? undefined : (Object.keys(RENDITION_SIZES) as RenditionSize[]).find(one => RENDITION_SIZES[one][0] === size.width && RENDITION_SIZES[one][1] === size.height);
  const code = name === undefined ? '' : codeOf(F_SIZE, name);
  const resolution = size === null ? before.video.resolution : code !== '' ? code : `${size.width}x${size.height}`;
  return {
    video:
      video === 'copy'
        ? before.video
        : { format: codeOf(F_VIDEO, video), resolution, frameRate: fps === null ? before.video.frameRate : String(fps), bitrateType: '1', bitrateKbps: bitrateKbps === null ? '' : String(bitrateKbps) },
    audio: audio === 'copy' ? before.audio : audio === 'none' ? { format: '', bitrate: '', sampleRate: '' } : audio === 'aac' ? { format: '6', bitrate: '6', sampleRate: '3' } : { format: '1', bitrate: '8', sampleRate: '1' },
  };
}
