import type { DialectFile } from './dialect-file.ts';

export const keda: DialectFile = {
  name: 'keda',
  about: 'Keda cameras and platforms',
  evidence: 'reported',
  userAgent: /\bkeda|kedacom/i,
  manufacturer: /\bkeda|科达/i,
  device: {},
};
