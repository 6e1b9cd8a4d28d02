/** What a transcoder process writes on its pipes, as units on the timeline of the source. */
import { adtsHeader, readAudioSpecificConfig } from '#core/media/audio-tracks.ts';
import { concatBytes } from '#core/bytes.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import type { Rendition } from '#core/media/rendition.ts';
import { OUTPUT_FD } from '#core/media/transcode-plan.ts';
import { type NutFrame, NutReader } from '#core/nut/read.ts';
import { type Result, fail, ok } from '#core/result.ts';

export class TranscodeOutputs {
  readonly #rendition: Rendition;
  readonly #video = new NutReader();
  readonly #audio = new NutReader();

  constructor(rendition: Rendition) {
    this.#rendition = rendition;
  }

  /** Units that these bytes completed; a failure ends the process. */
  read(fd: number, bytes: Uint8Array): Result<readonly MediaUnit[]> {
    const isVideo = fd === OUTPUT_FD.video;
    const frames = (isVideo ? this.#video : this.#audio).push(bytes);
    if (!frames.ok) return frames;
    const units: MediaUnit[] = [];
    for (const frame of frames.value) {
      const unit = isVideo ? this.#picture(frame) : this.#sound(frame);
      if (unit === undefined) return fail(0, `sound in ${frame.stream.fourcc} that cannot be framed`);
      units.push(unit);
    }
    return ok(units);
  }

  /** Own bytes: a frame is a view of all that was read together. */
  #picture({ pts90k, keyFrame, bytes }: NutFrame): MediaUnit {
    const codec = this.#rendition.video === 'h265' ? 'h265' : 'h264';
    return { kind: 'video', codec, pts90k, dts90k: pts90k, keyFrame, damaged: false, bytes: bytes.slice() };
  }

  #sound({ pts90k, stream, bytes }: NutFrame): MediaUnit | undefined {
    const common = { kind: 'audio', pts90k, dts90k: pts90k, keyFrame: false, damaged: false } as const;
    if (this.#rendition.audio !== 'aac') return { ...common, codec: 'g711a', bytes: bytes.slice() };
    const config = readAudioSpecificConfig(stream.config);
    if (config === undefined) return undefined;
    return { ...common, codec: 'aac', bytes: concatBytes(adtsHeader(config.objectType, config.sampleRateHz, config.channels, bytes.length), bytes) };
  }
}
