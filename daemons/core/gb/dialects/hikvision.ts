import type { DialectFile } from './dialect-file.ts';

export const hikvision: DialectFile = {
  name: 'hikvision',
  about: 'Hikvision cameras, recorders and platforms',
  evidence: 'reported',
  userAgent: /hikvision|\bNCG\b|\bIVMS\b/i,
  manufacturer: /hikvision|海康/i,
  // Quirk 38: a cluster answers with one SSRC and sends another.
  device: { ssrc: 'adopt', busyRetry: true },
  // Quirk 59: recorders answer 400 to a change of speed. Quirk 67: speakers want PCMU. Quirk 4: platforms report wrong states.
  deviceByName: { talkCodec: 'pcmu' },
};

/** A platform, not a camera: told from one only by configuration. */
export const hikvisionPlatform: DialectFile = {
  name: 'hikvision-platform',
  about: 'a Hikvision platform below us whose NOTIFYs carry wrong states',
  evidence: 'reported',
  device: { ssrc: 'adopt', notifiedStatus: 'ignore' },
};

export const hikvisionRecorder: DialectFile = {
  name: 'hikvision-recorder',
  about: 'a Hikvision recorder that cannot be steered while it plays',
  evidence: 'reported',
  device: { ssrc: 'adopt', steering: false },
};
