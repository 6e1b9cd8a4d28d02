/** What differs between the editions that a peer may speak (gb28181.md 10.1). */

/** 2011 peers are spoken to as 2016. */
export type GbVersion = '2016' | '2022';
export type Charset = 'gb2312' | 'gb18030' | 'utf-8';

export interface Dialect {
  readonly version: GbVersion;
  /** Of X-GB-Ver (2022 Annex I); a 2016 peer gets no such header. */
  readonly versionHeader: string | undefined;
  readonly defaultCharset: Charset;
  /** The 2016 text misspells it (gb28181.md 3.3). */
  readonly iFrameCommand: 'IFameCmd' | 'IFrameCmd';
  /** 302 to REGISTER is followed. */
  readonly followsRedirect: boolean;
}

export const DIALECTS: Readonly<Record<GbVersion, Dialect>> = {
  '2016': { version: '2016', versionHeader: undefined, defaultCharset: 'gb2312', iFrameCommand: 'IFameCmd', followsRedirect: false },
  '2022': { version: '2022', versionHeader: '3.0', defaultCharset: 'gb18030', iFrameCommand: 'IFrameCmd', followsRedirect: true },
};

/** Edition of a peer from its X-GB-Ver: `3.0` is 2022; absent or older is 2016. */
export function versionOf(header: string | undefined): GbVersion {
  const major = /^\s*(\d{1,3})\.\d/.exec(header ?? '')?.[1];
  return Number(major ?? 0) >= 3 ? '2022' : '2016';
}

/** Octets of the XML declaration that the encoder puts in front of a body, at most. */
export const PROLOGUE_BYTES = 42;

/** Octets of one text under a charset; an upper bound for characters that few fonts have (four octets in GB 18030). */
export function encodedLength(text: string, charset: Charset): number {
  let octets = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    if (charset === 'utf-8') octets += code < 0x800 ? 1 : isSurrogate(code) ? 1 : 2;
    else octets += isTwoOctets(code) || isSurrogate(code) ? 1 : 3;
  }
  return octets;
}

/** Half of a pair that takes four octets in either charset. */
const isSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdfff;
/** Blocks that GBK has whole: unified ideographs. */
const isTwoOctets = (code: number): boolean => code >= 0x4e00 && code <= 0x9fa5;
