/** What a=fmtp says about an elementary stream (RFC 6184 8.1, RFC 7798 7.1, RFC 3640 4.1). Unknown parameters are passed over. */
import { fromBase64 } from '../base64.ts';

export const MAX_FMTP_CHARACTERS = 16 * 1024;
const MAX_PARAMETERS = 64;
const MAX_SETS = 16;
const MAX_CONFIG_BYTES = 64;

export interface FormatParameters {
  /** VPS, SPS, PPS as far as they stand there, without start codes. */
  readonly parameterSets: readonly Uint8Array[];
  /** H.264: 0 single NAL units, 1 non-interleaved, 2 interleaved. */
  readonly packetizationMode: number;
  /** H.265: decoding order numbers stand in the payloads (sprop-max-don-diff > 0). */
  readonly hasDonl: boolean;
  /** AudioSpecificConfig; empty when it is not there. */
  readonly config: Uint8Array;
  /** Bits of the parts of an AU header of RFC 3640. */
  readonly sizeLength: number;
  readonly indexLength: number;
  readonly indexDeltaLength: number;
}

export const NO_PARAMETERS: FormatParameters = { parameterSets: [], packetizationMode: 1, hasDonl: false, config: new Uint8Array(0), sizeLength: 13, indexLength: 3, indexDeltaLength: 3 };

/** `text`: value of a=fmtp behind the payload type. */
export function parametersOf(text: string | undefined): FormatParameters {
  if (text === undefined || text.length > MAX_FMTP_CHARACTERS) return NO_PARAMETERS;
  const values = new Map<string, string>();
  for (const part of text.split(';').slice(0, MAX_PARAMETERS)) {
    const equals = part.indexOf('=');
    if (equals > 0) values.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
  }
  const number = (name: string, otherwise: number, max: number): number => {
    const value = values.get(name) ?? '';
    return /^\d{1,5}$/.test(value) && Number(value) <= max ? Number(value) : otherwise;
  };
  const sets = (name: string): Uint8Array[] => (values.get(name) ?? '').split(',').slice(0, MAX_SETS).flatMap(each => nonEmpty(fromBase64(each.trim())));
  return {
    parameterSets: [...sets('sprop-vps'), ...sets('sprop-sps'), ...sets('sprop-pps'), ...sets('sprop-parameter-sets')],
    packetizationMode: number('packetization-mode', 0, 2),
    hasDonl: number('sprop-max-don-diff', 0, 32767) > 0,
    config: hexBytes(values.get('config') ?? ''),
    sizeLength: number('sizelength', NO_PARAMETERS.sizeLength, 16),
    indexLength: number('indexlength', NO_PARAMETERS.indexLength, 16),
    indexDeltaLength: number('indexdeltalength', NO_PARAMETERS.indexDeltaLength, 16),
  };
}

const nonEmpty = (bytes: Uint8Array | undefined): Uint8Array[] => (bytes === undefined || bytes.length === 0 ? [] : [bytes]);

function hexBytes(text: string): Uint8Array {
  if (!/^([0-9a-f]{2})+$/i.test(text) || text.length > MAX_CONFIG_BYTES * 2) return NO_PARAMETERS.config;
  return Uint8Array.from({ length: text.length / 2 }, (_, index) => parseInt(text.slice(index * 2, index * 2 + 2), 16));
}
