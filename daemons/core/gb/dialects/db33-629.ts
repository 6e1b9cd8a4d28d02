import type { DialectFile } from './dialect-file.ts';

/** As far as it is known (core/db33/ddcp.ts): it registers and keeps itself alive; cameras behind it cannot be listed or played. */
export const db33: DialectFile = {
  name: 'db33-629',
  about: 'DB33/T 629 of Zhejiang: SIP with DO and DDCP in place of MESSAGE and MANSCDP; registration and keepalive only',
  evidence: 'unverified',
  device: {},
  deviceByName: { protocol: 'db33-629' },
};
