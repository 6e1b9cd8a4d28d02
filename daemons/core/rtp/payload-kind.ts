/** What an RTP payload is: a program stream, or NAL units of their own (RFC 6184, 7798). */
export type PayloadKind = 'ps' | 'h264' | 'h265' | 'unknown';
