import type { DialectFile } from './dialect-file.ts';

export const wvp: DialectFile = {
  name: 'wvp',
  about: 'WVP-GB28181-pro, as a platform below or above',
  evidence: 'reported',
  userAgent: /\bwvp\b/i,
  device: {},
  upstream: {},
  // Quirks 28, 77: a tree deeper than one level is flattened there, and odd.
  upstreamByName: { parentIds: false },
};
