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

const PORT_DIGITS = 4;

/**
 * Datagrams that found the receive buffer of this port full (column `drops` of /proc/net/udp). Null when the kernel does not show the
 * port. `address` as the socket reports it; `directory` has the files `udp` and `udp6`.
 */
export function udpOverflows(address: string, port: number, directory = '/proc/self/net'): number | null {
  const v6 = address.includes(':');
  let text: string;
  try {
    text = readFileSync(`${directory}/${v6 ? 'udp6' : 'udp'}`, 'latin1');
  } catch {
    return null;
  }
  const host = v6 ? undefined : hexOfIpv4(address);
  const ending = `:${port.toString(16).toUpperCase().padStart(PORT_DIGITS, '0')}`;
  for (const line of text.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    const local = columns[1] ?? '';
    if (local.endsWith(ending) && (host === undefined || local.startsWith(host))) return Number(columns.at(-1));
  }
  return null;
}

/** As the kernel writes it: 32 bits in the order of the machine, which is little-endian. */
const hexOfIpv4 = (address: string): string =>
  address
    .split('.')
    .reverse()
    .map(octet => Number(octet).toString(16).toUpperCase().padStart(2, '0'))
    .join('');
