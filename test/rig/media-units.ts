/** Test footage as neutral units: what a bridge gives its takers. Picture and sound begin at 0 and are in order of time. */
import type { AudioTrack, MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { audioTrackOf } from '#core/media/audio-tracks.ts';
import { ParameterSets, isSps } from '#core/media/parameter-sets.ts';
import { readPictureSize } from '#core/media/sps.ts';
import { type FootageName, loadFootage } from '../../scripts/media/footage.ts';

export interface FootageUnits {
  readonly tracks: MediaTracks;
  readonly units: readonly MediaUnit[];
  readonly pictures: number;
  readonly videoPath: string;
}

export async function footageUnits(name: FootageName, start90k = 0): Promise<FootageUnits> {
  const footage = await loadFootage(name);
  const { videoCodec, audioCodec } = footage;
  const sets = new ParameterSets(videoCodec);
  sets.learn(footage.pictures[0]!.bytes);
  const size = readPictureSize(videoCodec, sets.sets.find(set => isSps(videoCodec, set))!);
  const video = { codec: videoCodec, parameterSets: sets.sets, ...(size.ok ? size.value : { width: 0, height: 0 }) };
  const audio: AudioTrack | null = audioCodec === undefined ? null : (audioTrackOf(audioCodec, footage.audioFrames[0]!.bytes) ?? null);
  const pictures: MediaUnit[] = footage.pictures.map(({ bytes, keyFrame }, i) => unit('video', videoCodec, start90k + i * footage.ticksPerPicture90k, keyFrame, bytes));
  const sound: MediaUnit[] = audioCodec === undefined ? [] : footage.audioFrames.map(({ bytes }, i) => unit('audio', audioCodec, start90k + Math.round(i * footage.ticksPerAudioFrame90k), false, bytes));
  // The picture first where both begin at the same time: a stream begins with a key frame.
  const units = [...pictures, ...sound].sort((a, b) => a.dts90k - b.dts90k || (a.kind === 'video' ? -1 : 1));
  return { tracks: { video, audio }, units, pictures: pictures.length, videoPath: footage.videoPath };
}

function unit(kind: MediaUnit['kind'], codec: MediaUnit['codec'], at90k: number, keyFrame: boolean, bytes: Uint8Array): MediaUnit {
  return { kind, codec, pts90k: at90k, dts90k: at90k, keyFrame, damaged: false, bytes };
}
