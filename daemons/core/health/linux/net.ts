/** /proc/net/dev, /proc/net/softnet_stat, /proc/net/snmp, /proc/net/bonding/*. */
import { fieldsOf, linesOf, numberOf, pairsOf } from './text.ts';

const MAX_INTERFACES = 128;
const MAX_SLAVES = 16;

export interface NetDev {
  readonly name: string;
  readonly receiveBytes: number;
  readonly receivePackets: number;
  readonly receiveErrors: number;
  readonly receiveDrops: number;
  readonly transmitBytes: number;
  readonly transmitPackets: number;
  readonly transmitErrors: number;
  readonly transmitDrops: number;
}

export function parseNetDev(text: string): readonly NetDev[] {
  const found: NetDev[] = [];
  for (const line of linesOf(text)) {
    const colon = line.indexOf(':');
    if (colon < 1 || found.length >= MAX_INTERFACES) continue;
    const name = line.slice(0, colon).trim();
    const numbers = fieldsOf(line.slice(colon + 1)).map(numberOf);
    if (!/^[^\s/]{1,15}$/.test(name) || numbers.length < 16 || numbers.some(value => value === undefined)) continue;
    const [receiveBytes, receivePackets, receiveErrors, receiveDrops, , , , , transmitBytes, transmitPackets, transmitErrors, transmitDrops] = numbers as number[];
    found.push({
      name,
      receiveBytes: receiveBytes!,
      receivePackets: receivePackets!,
      receiveErrors: receiveErrors!,
      receiveDrops: receiveDrops!,
      transmitBytes: transmitBytes!,
      transmitPackets: transmitPackets!,
      transmitErrors: transmitErrors!,
      transmitDrops: transmitDrops!,
    });
  }
  return found;
}

/** Over all cores: packets that found the queue full, and rounds that ran out of time. */
export interface Softnet {
  readonly dropped: number;
  readonly squeezed: number;
}

export function parseSoftnet(text: string): Softnet | undefined {
  let lines = 0;
  let dropped = 0;
  let squeezed = 0;
  for (const line of linesOf(text)) {
    const fields = fieldsOf(line);
    if (fields.length < 3 || !fields.slice(0, 3).every(field => /^[0-9a-f]{8}$/.test(field))) continue;
    lines += 1;
    dropped += parseInt(fields[1]!, 16);
    squeezed += parseInt(fields[2]!, 16);
  }
  return lines === 0 ? undefined : { dropped, squeezed };
}

export interface UdpCounters {
  readonly receiveBufferErrors: number;
  readonly sendBufferErrors: number;
  readonly inErrors: number;
}

/** Of `Udp:` in /proc/net/snmp: a line of names, then one of values. */
export function parseSnmpUdp(text: string): UdpCounters | undefined {
  const [names, values] = linesOf(text).filter(line => line.startsWith('Udp: ')).map(fieldsOf);
  if (names === undefined || values === undefined) return undefined;
  const of = (name: string): number | undefined => numberOf(values[names.indexOf(name)]);
  const receiveBufferErrors = of('RcvbufErrors');
  return receiveBufferErrors === undefined ? undefined : { receiveBufferErrors, sendBufferErrors: of('SndbufErrors') ?? 0, inErrors: of('InErrors') ?? 0 };
}

export interface Bond {
  readonly mode: string;
  /** Null where the mode has none. */
  readonly activeSlave: string | null;
  readonly up: boolean;
  readonly slaves: readonly { readonly name: string; readonly up: boolean; readonly speedMbps: number | null; readonly failures: number }[];
}

export function parseBonding(text: string): Bond | undefined {
  const [head, ...parts] = text.slice(0, 65_536).split(/^Slave Interface: /m, MAX_SLAVES + 1);
  const pairs = pairsOf(head ?? '', /:/);
  const mode = pairs.get('Bonding Mode');
  if (mode === undefined) return undefined;
  const active = pairs.get('Currently Active Slave');
  const slaves = parts.map(part => {
    const name = (linesOf(part)[0] ?? '').trim().slice(0, 15);
    const of = pairsOf(part, /:/);
    return { name, up: of.get('MII Status') === 'up', speedMbps: numberOf(/^(\d+) Mbps/.exec(of.get('Speed') ?? '')?.[1]) ?? null, failures: numberOf(of.get('Link Failure Count')) ?? 0 };
  });
  return { mode: mode.slice(0, 64), activeSlave: active === undefined || active === 'None' ? null : active.slice(0, 15), up: pairs.get('MII Status') === 'up', slaves };
}
