import { readFileSync } from 'node:fs';

/** /proc/self, so that it works under ProtectProc and ProcSubset too. */
const SNMP = '/proc/self/net/snmp';

/**
 * Datagrams that this host received for ports where nobody listens, since boot (RFC 4113 udpNoPorts). It grows when a
 * camera sends its media to a wrong port, which no socket of ours can see. Null when the kernel does not say.
 */
export function udpNoPorts(path = SNMP): number | null {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return null;
  }
  const [names, values] = text.split('\n').filter(line => line.startsWith('Udp: '));
  const at = names?.split(' ').indexOf('NoPorts') ?? -1;
  const value = at < 0 ? NaN : Number(values?.split(' ')[at]);
  return Number.isFinite(value) ? value : null;
}
