/** How long a certificate is still good. */
import { Gathering, type Measured } from '../model.ts';

const DAY_MS = 86_400_000;

/** `expiresAtWallMs`: null when it cannot be read. */
export function measureCertificate(path: string, expiresAtWallMs: number | null, nowWallMs: number): Measured {
  const found = new Gathering();
  const left = expiresAtWallMs === null ? null : expiresAtWallMs - nowWallMs;
  found.sample('viewlink_certificate_expiry_seconds', { certificate: path }, left === null ? null : Math.round(left / 1000));
  const days = left === null ? 0 : Math.floor(left / DAY_MS);
  found.observe('certificate.expiry', `certificate:${path}`, left === null ? null : days, left === null ? 'cannot be read' : days >= 0 ? `good for ${days} days` : `expired ${-days} days ago`);
  return found;
}
