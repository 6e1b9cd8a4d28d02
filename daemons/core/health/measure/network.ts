/** Interfaces, bonds and what the kernel dropped. */
import type { Bond, NetDev, Softnet, UdpCounters } from '../linux/net.ts';
import { Gathering, type Measured, percentOf, rateOf, shown } from '../model.ts';

export interface Nic {
  readonly counters: NetDev;
  /** Switched on (IFF_UP). */
  readonly on: boolean;
  readonly carrier: boolean | null;
  /** Null: it does not say, as most virtual ones. */
  readonly speedMbps: number | null;
  /** A card or a bond; not a bridge, a tunnel or the like. */
  readonly physical: boolean;
}

export function measureTraffic(now: readonly NetDev[]): Measured {
  const found = new Gathering();
  for (const dev of now) {
    if (dev.name === 'lo') continue;
    const labels = { nic: dev.name };
    found.sample('viewlink_nic_receive_bytes_total', labels, dev.receiveBytes);
    found.sample('viewlink_nic_transmit_bytes_total', labels, dev.transmitBytes);
    found.sample('viewlink_nic_receive_packets_total', labels, dev.receivePackets);
    found.sample('viewlink_nic_transmit_packets_total', labels, dev.transmitPackets);
    found.sample('viewlink_nic_errors_total', labels, dev.receiveErrors + dev.transmitErrors);
    found.sample('viewlink_nic_drops_total', labels, dev.receiveDrops + dev.transmitDrops);
  }
  return found;
}

export function measureNics(now: readonly Nic[], before: ReadonlyMap<string, NetDev>, elapsedS: number): Measured {
  const found = new Gathering();
  // `lo` is always there: an empty list is one that could not be read.
  if (now.length > 0) found.complete.push('nic.down', 'nic.errors', 'nic.drops', 'nic.busy');
  for (const nic of now) {
    const { counters, on, carrier, speedMbps, physical } = nic;
    if (!physical) continue;
    const labels = { nic: counters.name };
    const subject = `nic:${counters.name}`;
    found.sample('viewlink_nic_up', labels, on && carrier === true ? 1 : 0);
    found.sample('viewlink_nic_speed_bits_per_second', labels, speedMbps === null ? null : speedMbps * 1e6);
    if (!on) continue;
    found.observe('nic.down', subject, carrier === null ? null : carrier ? 0 : 1, carrier === true ? `link${speedMbps === null ? '' : ` at ${speedMbps} Mbit/s`}` : carrier === null ? 'does not say whether it has a link' : 'no link');
    observeRates(found, subject, nic, before.get(counters.name), elapsedS);
  }
  return found;
}

function observeRates(found: Gathering, subject: string, { counters: now, speedMbps }: Nic, before: NetDev | undefined, elapsedS: number): void {
  const rate = (key: keyof Omit<NetDev, 'name'>): number => rateOf(before?.[key], now[key], elapsedS) ?? 0;
  const errors = rate('receiveErrors') + rate('transmitErrors');
  const drops = rate('receiveDrops') + rate('transmitDrops');
  found.observe('nic.errors', subject, errors, errors === 0 ? '' : `${shown(errors)} packets a second with errors`);
  found.observe('nic.drops', subject, drops, drops === 0 ? '' : `${shown(drops)} packets a second dropped`);
  if (speedMbps === null || speedMbps <= 0) return;
  const busy = percentOf(8 * Math.max(rate('receiveBytes'), rate('transmitBytes')), speedMbps * 1e6);
  found.observe('nic.busy', subject, busy, busy < 1 ? '' : `${shown(busy)} % of its speed used`);
}

export function measureBonds(bonds: ReadonlyMap<string, Bond>): Measured {
  const found = new Gathering();
  for (const [name, { mode, slaves, activeSlave }] of bonds) {
    const down = slaves.filter(({ up }) => !up);
    found.sample('viewlink_bond_members', { bond: name }, slaves.length);
    found.sample('viewlink_bond_members_up', { bond: name }, slaves.length - down.length);
    const active = activeSlave === null ? '' : `, ${activeSlave} carries`;
    found.observe('bond.degraded', `bond:${name}`, down.length, `${mode}: ${down.length === 0 ? `all ${slaves.length} members have a link` : `no link: ${down.map(slave => slave.name).join(' ')}`}${active}`);
  }
  return found;
}

export interface Drops {
  readonly softnet: Softnet | undefined;
  readonly udp: UdpCounters | undefined;
}

export function measureDrops(now: Drops, before: Drops | undefined, elapsedS: number): Measured {
  const found = new Gathering();
  found.sample('viewlink_udp_receive_buffer_errors_total', {}, now.udp?.receiveBufferErrors);
  found.sample('viewlink_udp_send_buffer_errors_total', {}, now.udp?.sendBufferErrors);
  found.sample('viewlink_softnet_dropped_total', {}, now.softnet?.dropped);
  if (now.udp !== undefined) {
    const rate = rateOf(before?.udp?.receiveBufferErrors, now.udp.receiveBufferErrors, elapsedS) ?? 0;
    found.observe('udp.dropped', 'network', rate, rate === 0 ? 'no datagram dropped' : `${shown(rate)} datagrams a second found their socket full`);
  }
  if (now.softnet !== undefined) {
    const rate = rateOf(before?.softnet?.dropped, now.softnet.dropped, elapsedS) ?? 0;
    found.observe('softnet.dropped', 'network', rate, rate === 0 ? '' : `${shown(rate)} packets a second dropped before the kernel looked at them`);
  }
  return found;
}
