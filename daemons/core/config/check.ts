/** What the schema cannot say: rules between fields of one configuration. */
import { normalizeIp } from '../ip.ts';
import { checkApi } from './api-schema.ts';
import { checkCluster } from './check-cluster.ts';
import { checkHost } from './host-schema.ts';
import { checkOutlets, OUTLET_PORTS } from './check-outlets.ts';
import { checkViews } from './check-view.ts';
import type { FieldProblem } from './field-problem.ts';
import { overlap } from './overlap.ts';
import type { DeviceConfig, GatewayConfig, UpstreamConfig } from './schema.ts';

export type { FieldProblem };

/** Each media instance needs some ports of its own. */
const MIN_PORTS_PER_INSTANCE = 2;
const MAX_PORT = 65535;

type Path = readonly (string | number)[];

/** Empty when the configuration is sound. */
export function checkConfig(config: GatewayConfig): readonly FieldProblem[] {
  return [...checkListen(config), ...checkDevices(config), ...checkUpstreams(config), ...checkMediaPorts(config), ...checkResources(config), ...checkViews(config), ...checkRenditions(config), ...checkOutlets(config), ...checkCluster(config), ...checkApi(config.api), ...checkApiPorts(config), ...checkHost(config.host)];
}

function* checkListen({ sip }: GatewayConfig): Generator<FieldProblem> {
  for (const [i, one] of sip.listen.entries()) {
    const earlier = sip.listen.slice(0, i).find(other => other.transport === one.transport && other.port === one.port && overlap(other.address, one.address));
    if (earlier !== undefined) yield { path: ['sip', 'listen', i, 'port'], why: `${one.transport} port ${one.port} is already taken by ${earlier.address}` };
  }
}

function* checkApiPorts({ api, sip, outlets, media }: GatewayConfig): Generator<FieldProblem> {
  for (const [i, { address, port }] of api.listen.entries()) {
    const path: Path = ['api', 'listen', i, 'port'];
    if (sip.listen.some(one => one.transport === 'tcp' && one.port === port && overlap(one.address, address))) yield { path, why: `tcp port ${port} is a SIP port` };
    const outlet = OUTLET_PORTS.find(key => outlets.address !== '' && outlets[key] !== 0 && port >= outlets[key] && port < outlets[key] + media.instances && overlap(outlets.address, address));
    if (outlet !== undefined) yield { path, why: `meets outlets.${outlet} with ${media.instances} instances` };
  }
}

function* checkRenditions({ transcode, upstreams }: GatewayConfig): Generator<FieldProblem> {
  const names = transcode.renditions.map(({ name }) => name);
  yield* duplicates(names, i => ['transcode', 'renditions', i, 'name'], 'rendition name');
  for (const [i, { transcode: name }] of upstreams.entries()) {
    if (name !== '' && !names.includes(name)) yield { path: ['upstreams', i, 'transcode'], why: `transcode.renditions has no ${name}` };
  }
}

function* checkDevices({ devices }: GatewayConfig): Generator<FieldProblem> {
  yield* duplicates(devices.known.map(device => device.id), i => ['devices', 'known', i, 'id'], 'device ID');
  for (const [i, device] of devices.known.entries()) {
    const path: Path = ['devices', 'known', i];
    yield* checkSecret(device, path);
    if (!device.digest && device.networks.length === 0) yield { path: [...path, 'digest'], why: 'a device without digest needs networks to be known by' };
  }
  for (const [i, rule] of devices.admit.entries()) yield* checkSecret(rule, ['devices', 'admit', i]);
  if (devices.minExpiresS > devices.maxExpiresS) yield { path: ['devices', 'minExpiresS'], why: `more than maxExpiresS, ${devices.maxExpiresS}` };
}

function* checkSecret(owner: Pick<DeviceConfig, 'digest' | 'password' | 'ha1'>, path: Path): Generator<FieldProblem> {
  if (owner.password !== undefined && owner.ha1 !== undefined) yield { path: [...path, 'ha1'], why: 'give password or ha1, not both' };
  if (owner.digest && owner.password === undefined && owner.ha1 === undefined) yield { path, why: 'needs password or ha1, or digest: false' };
}

function* checkUpstreams({ upstreams, sip }: GatewayConfig): Generator<FieldProblem> {
  yield* duplicates(upstreams.map(one => one.name), i => ['upstreams', i, 'name'], 'upstream name');
  yield* duplicates(upstreams.map(one => `${one.localId} toward ${normalizeIp(one.address)}:${one.port}/${one.transport}`), i => ['upstreams', i, 'localId'], 'account');
  for (const [i, one] of upstreams.entries()) {
    yield* checkSecret({ ...one, digest: false }, ['upstreams', i]);
    if (!one.enabled) continue;
    const ours = sip.listen.filter(listen => listen.transport === one.transport);
    if (ours.length === 0) yield { path: ['upstreams', i, 'transport'], why: `sip.listen has no ${one.transport}` };
    else if (one.transport === 'udp' && one.catalog.large === 'tcp' && !sip.listen.some(listen => listen.transport === 'tcp')) yield { path: ['upstreams', i, 'catalog', 'large'], why: 'sip.listen has no tcp' };
    else if (!reaches(ours.map(listen => listen.address), one)) yield { path: ['upstreams', i, 'localAddress'], why: `sip.listen has no ${one.transport} at this address` };
  }
}

function reaches(addresses: readonly string[], { localAddress }: UpstreamConfig): boolean {
  return localAddress === '' || addresses.some(address => overlap(address, localAddress));
}

function* checkMediaPorts({ media, sip }: GatewayConfig): Generator<FieldProblem> {
  const { mode, first, last, fixedUdp, fixedTcp } = media.ports;
  const path: Path = ['media', 'ports'];
  const taken = (transport: 'udp' | 'tcp', from: number, to: number): number | undefined => sip.listen.find(one => one.transport === transport && one.port >= from && one.port <= to)?.port;
  if (mode === 'fixed') {
    // Processes cannot share a port: the second instance takes the next number, and so on.
    for (const [key, transport, port] of [['fixedUdp', 'udp', fixedUdp], ['fixedTcp', 'tcp', fixedTcp]] as const) {
      const end = port + media.instances - 1;
      const sipPort = taken(transport, port, end);
      if (sipPort !== undefined) yield { path: [...path, key], why: `${transport} port ${sipPort} is a SIP port` };
      if (end > MAX_PORT) yield { path: [...path, key], why: `no ports for ${media.instances} instances from ${port} on` };
    }
    return;
  }
  if (last - first + 1 < media.instances * MIN_PORTS_PER_INSTANCE) yield { path: [...path, 'last'], why: `${first} to ${last} is too small for ${media.instances} instances` };
  const inside = taken('udp', first, last) ?? taken('tcp', first, last);
  if (inside !== undefined) yield { path: [...path, 'first'], why: `SIP port ${inside} lies in the media range ${first} to ${last}` };
}

/** One channel is one camera, and a resource has the name of no platform. */
function* checkResources({ resources, sip, upstreams }: GatewayConfig): Generator<FieldProblem> {
  yield* duplicates(resources.map(({ id }) => id), i => ['resources', i, 'id'], 'resource ID');
  const places = resources.flatMap(({ sources }, i) => sources.map((source, j) => ({ key: `${source.device}/${source.channel}`, path: ['resources', i, 'sources', j] as Path })));
  yield* duplicates(places.map(({ key }) => key), i => places[i]!.path, 'source');
  const reserved = new Set([sip.id, ...upstreams.flatMap(({ id, localId }) => [id, localId])]);
  for (const [i, { id }] of resources.entries()) if (reserved.has(id)) yield { path: ['resources', i, 'id'], why: `${id} is the ID of a platform` };
}

function* duplicates(values: readonly string[], pathOf: (index: number) => Path, what: string): Generator<FieldProblem> {
  const firstAt = new Map<string, number>();
  for (const [i, value] of values.entries()) {
    const earlier = firstAt.get(value);
    if (earlier === undefined) firstAt.set(value, i);
    else yield { path: pathOf(i), why: `${what} ${value} is already used by entry ${earlier + 1}` };
  }
}
