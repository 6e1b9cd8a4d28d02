import type { DialectFile } from './dialect-file.ts';

export const uniview: DialectFile = {
  name: 'uniview',
  about: 'Uniview cameras and recorders',
  evidence: 'reported',
  userAgent: /uniview|\bUNV\b/i,
  manufacturer: /uniview|宇视/i,
  device: {},
  // Quirk 20: names are GB 18030 whatever the declaration says.
  deviceByName: { charset: 'gb18030' },
};
