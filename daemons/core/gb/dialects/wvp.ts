import type { DialectFile } from './dialect-file.ts';

export const wvp: DialectFile = {
  name: 'wvp',
  about: 'WVP-GB28181-pro as a platform below',
  evidence: 'reported',
  userAgent: /\bwvp\b/i,
  device: {},
};
