import type { DialectFile } from './dialect-file.ts';

export const tplink: DialectFile = {
  name: 'tplink',
  about: 'TP-Link and Mercury cameras',
  evidence: 'reported',
  userAgent: /tp-?link|mercury/i,
  manufacturer: /tp-?link|mercury|水星/i,
  device: {},
  deviceByName: { streamAttribute: 'streamMode' },
};
