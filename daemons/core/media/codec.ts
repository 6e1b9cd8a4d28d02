/** What the bytes of a track are. Names are ours; `unknown` is carried but not interpreted. */
import type { AudioCodec } from './audio.ts';
import type { VideoCodec } from './h26x.ts';

export type Codec = VideoCodec | AudioCodec | 'mpeg4' | 'svac' | 'unknown';
