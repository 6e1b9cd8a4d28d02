import type { DialectFile } from './dialect-file.ts';

export const dahua: DialectFile = {
  name: 'dahua',
  about: 'Dahua cameras, recorders and platforms',
  evidence: 'reported',
  userAgent: /dahua|\bDH-/i,
  manufacturer: /dahua|大华/i,
  device: { busyRetry: true },
  // Quirk 68: silent when it is told by broadcast; sound has to begin with the 200.
  deviceByName: { talkMode: 'talk', talkStart: 'answer' },
};
