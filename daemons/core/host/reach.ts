/** Who may come to which of our ports, read out of the configuration: what the packet filter and the bans go by. */
import { pairOf } from '../config/cluster-schema.ts';
import type { GatewayConfig } from '../config/schema.ts';
import { parseNetwork } from '../ip.ts';
import { parseRtspUrl } from '../rtsp/url.ts';
import { ANYWHERE, type NetworkSet, networkSet, type PortRange } from './nft-text.ts';

/** Networks that devices, rules and platforms speak SIP from. One device that may come from anywhere opens them to all. */
export function sipNetworks(config: GatewayConfig): NetworkSet {
  const devices = config.devices.known.filter(({ networks }) => networks.length > 0);
  const declared = networkSet([...devices.flatMap(({ networks }) => networks), ...config.devices.admit.flatMap(({ networks }) => networks), ...upstreamNetworks(config)]);
  return config.devices.known.length > devices.length ? ANYWHERE : declared;
}

/** Where devices are expected, by name: who may come from anywhere is expected nowhere. */
export function deviceNetworks({ devices }: GatewayConfig): readonly string[] {
  return [...devices.known, ...devices.admit].flatMap(({ networks }) => networks).filter(cidr => parseNetwork(cidr)?.prefixBits !== 0);
}

/** Who is never shut out, whatever he does. */
export const spared = (config: GatewayConfig): readonly string[] => [...config.host.management, ...config.host.bans.never, ...upstreamNetworks(config), ...pairAddresses(config)];

/** SIP of platforms above. */
export function upstreamNetworks({ upstreams }: GatewayConfig): readonly string[] {
  return upstreams.filter(({ enabled }) => enabled).flatMap(({ address, networks }) => [address, ...networks]);
}

/** Where media comes from and goes to: who speaks SIP, and what else was declared for media. */
export function mediaNetworks(config: GatewayConfig): NetworkSet {
  const sip = sipNetworks(config);
  const pulled = config.inlets.flatMap(({ url, subUrl }) => [url, subUrl]).flatMap(hostOf);
  const more = networkSet([...config.devices.known.flatMap(({ mediaNetworks }) => mediaNetworks), ...config.upstreams.filter(({ enabled }) => enabled).flatMap(({ mediaNetworks }) => mediaNetworks), ...pulled]);
  return { v4: [...new Set([...sip.v4, ...more.v4])].sort(), v6: [...new Set([...sip.v6, ...more.v6])].sort(), any4: sip.any4 || more.any4, any6: sip.any6 || more.any6 };
}

function hostOf(url: string | undefined): readonly string[] {
  const parsed = url === undefined ? undefined : parseRtspUrl(url);
  return parsed?.ok === true ? [parsed.value.host] : [];
}

/** The other node of a pair, on both networks. */
export function pairAddresses(config: GatewayConfig): readonly string[] {
  const peer = pairOf(config)?.peer;
  return peer === undefined ? [] : [peer.link, peer.lan];
}

export const sipPorts = ({ sip }: GatewayConfig, transport: 'udp' | 'tcp'): readonly PortRange[] => sip.listen.filter(one => one.transport === transport).map(({ port }) => ({ first: port, last: port }));

export function mediaPorts({ media: { ports, instances } }: GatewayConfig, transport: 'udp' | 'tcp'): PortRange {
  if (ports.mode === 'range') return { first: ports.first, last: ports.last };
  const first = transport === 'udp' ? ports.fixedUdp : ports.fixedTcp;
  return { first, last: first + instances - 1 };
}

/** Each instance takes a number of its own from each port on. */
export function outletPorts({ outlets, media }: GatewayConfig, transport: 'udp' | 'tcp'): readonly PortRange[] {
  if (outlets.address === '') return [];
  const ports = transport === 'udp' ? [outlets.webrtcPort] : [outlets.rtspPort, outlets.rtmpPort, outlets.httpPort];
  return ports.filter(port => port !== 0).map(port => ({ first: port, last: port + media.instances - 1 }));
}

export const apiPorts = ({ api }: GatewayConfig): readonly PortRange[] => api.listen.map(({ port }) => ({ first: port, last: port }));
