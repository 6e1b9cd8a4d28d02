/** `f=`: media parameters as codes (gb28181.md 6.1). Codes stay text; garbage is no f= at all (faults.md 34). */

export interface FLine {
  /** Codes of the table; empty where the peer left the place empty. */
  readonly video: { readonly format: string; readonly resolution: string; readonly frameRate: string; readonly bitrateType: string; readonly bitrateKbps: string };
  readonly audio: { readonly format: string; readonly bitrate: string; readonly sampleRate: string };
}

const CODE = '[0-9A-Za-z]{0,12}';
const GRAMMAR = new RegExp(`^v/(\\d{0,2})/(${CODE})/(\\d{0,3})/(\\d?)/(\\d{0,6})a/(\\d{0,2})/(\\d{0,2})/(\\d{0,2})$`);

/** Value of `f=` without the letter. Undefined when it does not follow the grammar. */
export function parseFLine(value: string): FLine | undefined {
  const match = GRAMMAR.exec(value.replaceAll(' ', ''));
  if (match === null) return undefined;
  const [, format = '', resolution = '', frameRate = '', bitrateType = '', bitrateKbps = '', audioFormat = '', bitrate = '', sampleRate = ''] = match;
  return { video: { format, resolution, frameRate, bitrateType, bitrateKbps }, audio: { format: audioFormat, bitrate, sampleRate } };
}

/** All slashes are kept, so that an absent half is `v/////` or `a///`. */
export function formatFLine({ video, audio }: FLine): string {
  const videoPart = [video.format, video.resolution, video.frameRate, video.bitrateType, video.bitrateKbps].join('/');
  return `v/${videoPart}a/${[audio.format, audio.bitrate, audio.sampleRate].join('/')}`;
}
