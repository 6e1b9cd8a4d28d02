/**
 * What ffmpeg has to do so that a stream becomes a rendition, as an argument list of our own words and numbers: nothing that a peer
 * sent gets into it as text. Pictures or sound that are already as wanted go around it.
 */
import { nutCarries } from '../nut/write.ts';
import { type Result, fail, ok } from '../result.ts';
import type { VideoCodec } from './h26x.ts';
import { MAX_FPS, MAX_KBPS, MIN_KBPS, type Rendition } from './rendition.ts';
import type { AudioTrack, MediaTracks, VideoTrack } from './unit.ts';

/** A picture that claims more is not decoded (fault 71): 8K. */
export const MAX_SOURCE_PIXELS = 7680 * 4320;
/** A key frame at least so often, beside those of the source. */
const KEY_FRAME_S = 2;
const AAC_BPS = 32_000;
const AAC_RATE_HZ = 16_000;

export const HARDWARE = ['none', 'vaapi', 'qsv', 'nvenc', 'v4l2m2m'] as const;
export type Hardware = (typeof HARDWARE)[number];

/** File descriptors of the child: pictures on its standard output, sound on the next one after standard error. */
export const OUTPUT_FD = { video: 1, audio: 3 } as const;

export type TrackPlan = 'pass' | 'encode' | 'none';

export interface TranscodePlan {
  readonly video: TrackPlan;
  readonly audio: TrackPlan;
  /** What is written to standard input as NUT, in the order of its stream numbers. Empty: no process is needed. */
  readonly inputs: readonly (VideoTrack | AudioTrack)[];
  readonly argv: readonly string[];
  /** Of the video encoder, `libx264` and the like; empty without one. */
  readonly encoder: string;
  /** Jobs of the same kind cost about the same for each megapixel: `h265>h264`, and megapixels a second in and out together. */
  readonly kind: string;
  readonly megapixelsPerS: number;
}

export interface TranscodeWishes {
  readonly rendition: Rendition;
  readonly tracks: MediaTracks;
  readonly hardware: Hardware;
  /** Encoders that ffmpeg has. */
  readonly encoders: ReadonlySet<string>;
  /** What was already shown: pictures and sound up to here are read but not given again. -1: all is given. */
  readonly after90k: number;
  readonly threads: number;
}

/** `at` is 0: there is no place in a stream. */
export function planTranscode(wishes: TranscodeWishes): Result<TranscodePlan> {
  const { rendition, tracks } = wishes;
  const video = planVideo(rendition, tracks.video);
  if (!video.ok) return video;
  const audio = planAudio(rendition, tracks.audio);
  const encodesVideo = video.value === 'encode';
  const encoder = encodesVideo ? pickEncoder(rendition.video as VideoCodec, wishes.hardware, wishes.encoders) : '';
  if (encoder === undefined) return fail(0, `ffmpeg has no encoder for ${rendition.video}`);
  const inputs = [...(encodesVideo ? [tracks.video!] : []), ...(audio === 'encode' ? [tracks.audio!] : [])];
  const argv = inputs.length === 0 ? [] : [
    ...inputArgs(wishes.threads, encoder),
    ...(encodesVideo ? videoArgs(wishes, encoder) : []),
    ...(audio === 'encode' ? audioArgs(wishes, encodesVideo ? 1 : 0) : []),
  ];
  return ok({ video: video.value, audio, inputs, argv, encoder, kind: encodesVideo ? `${tracks.video!.codec}>${encoder}` : 'sound', megapixelsPerS: encodesVideo ? megapixels(wishes) : 0 });
}

function planVideo({ video }: Rendition, track: VideoTrack | null): Result<TrackPlan> {
  if (track === null) return ok('none');
  if (video === 'copy') return ok('pass');
  if (track.codec !== 'h264' && track.codec !== 'h265') return fail(0, `${track.codec} cannot be decoded`);
  if (track.width * track.height > MAX_SOURCE_PIXELS) return fail(0, `pictures of ${track.width}x${track.height} are not decoded`);
  return ok('encode');
}

/** What cannot be decoded is left out rather than the whole stream. */
function planAudio({ audio }: Rendition, track: AudioTrack | null): TrackPlan {
  if (track === null || audio === 'none') return 'none';
  if (audio === 'copy' || audio === track.codec) return 'pass';
  return nutCarries(track.codec) ? 'encode' : 'none';
}

const ENCODERS: Readonly<Record<VideoCodec, Readonly<Record<Hardware, string>>>> = {
  h264: { none: 'libx264', vaapi: 'h264_vaapi', qsv: 'h264_qsv', nvenc: 'h264_nvenc', v4l2m2m: 'h264_v4l2m2m' },
  h265: { none: 'libx265', vaapi: 'hevc_vaapi', qsv: 'hevc_qsv', nvenc: 'hevc_nvenc', v4l2m2m: 'hevc_v4l2m2m' },
};

/** The configured hardware when ffmpeg was built with it, else the processor. */
function pickEncoder(codec: VideoCodec, hardware: Hardware, encoders: ReadonlySet<string>): string | undefined {
  return [ENCODERS[codec][hardware], ENCODERS[codec].none].find(name => encoders.has(name));
}

export const isHardware = (encoder: string): boolean => encoder !== '' && encoder !== 'libx264' && encoder !== 'libx265';

/**
 * No analysis and no picture held back: what is written comes out at once. Slices rather than pictures are decoded side by side, because
 * each picture in flight would be one of delay.
 */
function inputArgs(threads: number, encoder: string): string[] {
  return [
    '-nostdin', '-hide_banner', '-nostats', '-v', 'error', '-protocol_whitelist', 'pipe', '-flags', 'low_delay', '-thread_type', 'slice', '-threads', String(threads),
    '-probesize', '32', '-analyzeduration', '0', '-max_pixels', String(MAX_SOURCE_PIXELS), ...(encoder.endsWith('_vaapi') ? ['-vaapi_device', '/dev/dri/renderD128'] : []),
    '-copyts', '-f', 'nut', '-i', 'pipe:0',
  ];
}

function videoArgs(wishes: TranscodeWishes, encoder: string): string[] {
  const { rendition, threads } = wishes;
  const kbps = bitrateOf(wishes);
  const isVaapi = encoder.endsWith('_vaapi');
  return [
    '-map', '0:0', '-an', '-vf', filtersOf(wishes, isVaapi),
    ...(isVaapi ? [] : ['-pix_fmt', encoder.endsWith('_qsv') ? 'nv12' : 'yuv420p']),
    '-c:v', encoder, ...ENCODER_ARGS[encoder]!, ...(isHardware(encoder) ? [] : ['-threads', String(threads)]),
    '-b:v', `${kbps}k`, '-maxrate', `${kbps}k`, '-bufsize', `${kbps}k`,
    '-bf', '0', '-g', String(Math.max(1, (rendition.fps ?? MAX_FPS) * KEY_FRAME_S)), '-force_key_frames', 'source',
    '-bsf:v', 'dump_extra', '-enc_time_base', '1:90000', '-fps_mode', 'passthrough', '-flush_packets', '1', '-f', 'nut', `pipe:${OUTPUT_FD.video}`,
  ];
}

/** Without B pictures, parameter sets in every key frame, nothing looked ahead at. */
const ENCODER_ARGS: Readonly<Record<string, readonly string[]>> = {
  libx264: ['-preset', 'veryfast', '-tune', 'zerolatency', '-profile:v', 'baseline', '-sc_threshold', '0'],
  libx265: ['-preset', 'ultrafast', '-tune', 'zerolatency', '-x265-params', 'log-level=error:scenecut=0:open-gop=0:repeat-headers=1'],
  h264_vaapi: ['-profile:v', 'constrained_baseline'],
  hevc_vaapi: [],
  h264_qsv: ['-preset', 'veryfast', '-profile:v', 'baseline', '-async_depth', '1', '-forced_idr', '1'],
  hevc_qsv: ['-preset', 'veryfast', '-async_depth', '1', '-forced_idr', '1'],
  h264_nvenc: ['-preset', 'p3', '-tune', 'll', '-profile:v', 'baseline', '-zerolatency', '1', '-delay', '0', '-forced-idr', '1'],
  hevc_nvenc: ['-preset', 'p3', '-tune', 'll', '-zerolatency', '1', '-delay', '0', '-forced-idr', '1'],
  h264_v4l2m2m: [],
  hevc_v4l2m2m: [],
};

/** Pictures are left out by their time and never doubled: a source of 10 a second stays one of 10. */
function filtersOf({ rendition, tracks, after90k }: TranscodeWishes, isVaapi: boolean): string {
  const { size, fps } = rendition;
  const filters = [];
  if (after90k >= 0) filters.push(`select='gt(pts*TB*90000,${Math.round(after90k)}+0.5)'`);
  filters.push(`select='isnan(prev_selected_t)+gt(floor(t*${fps ?? MAX_FPS}+0.01),floor(prev_selected_t*${fps ?? MAX_FPS}+0.01))'`);
  const isEven = tracks.video!.width % 2 === 0 && tracks.video!.height % 2 === 0;
  if (size !== null) filters.push(`scale=${size.width}:${size.height}:flags=bilinear`);
  else if (!isEven || tracks.video!.width === 0) filters.push('scale=trunc(iw/2)*2:trunc(ih/2)*2:flags=bilinear');
  if (isVaapi) filters.push('format=nv12', 'hwupload');
  return filters.join(',');
}

function audioArgs({ rendition, after90k }: TranscodeWishes, stream: number): string[] {
  const codec = rendition.audio === 'aac' ? ['-c:a', 'aac', '-b:a', String(AAC_BPS), '-ar', String(AAC_RATE_HZ)] : ['-c:a', 'pcm_alaw', '-ar', '8000'];
  const skip = after90k >= 0 ? ['-af', `aselect='gt(pts*TB*90000,${Math.round(after90k)}+0.5)'`] : [];
  return ['-map', `0:${stream}`, '-vn', ...skip, ...codec, '-ac', '1', '-flush_packets', '1', '-f', 'nut', `pipe:${OUTPUT_FD.audio}`];
}

function outputSize({ rendition, tracks }: TranscodeWishes): { readonly width: number; readonly height: number } {
  const { width, height } = tracks.video!;
  return rendition.size ?? (width * height > 0 ? { width, height } : { width: 1920, height: 1080 });
}

/** Without a figure: 2 Mbit/s for 1280x720 at 25 a second, and in proportion. */
function bitrateOf(wishes: TranscodeWishes): number {
  const { bitrateKbps } = wishes.rendition;
  const { width, height } = outputSize(wishes);
  return bitrateKbps ?? Math.min(MAX_KBPS, Math.max(MIN_KBPS * 2, Math.round((width * height * 2048) / (1280 * 720))));
}

function megapixels(wishes: TranscodeWishes): number {
  const { width, height } = outputSize(wishes);
  const source = wishes.tracks.video!;
  return ((source.width * source.height || width * height) * MAX_FPS + width * height * (wishes.rendition.fps ?? MAX_FPS)) / 1e6;
}
