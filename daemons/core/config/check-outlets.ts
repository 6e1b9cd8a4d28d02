/** Rules between fields of `outlets` and `inlets`. */
import { isIp } from '../ip.ts';
import { parseRtspUrl } from '../rtsp/url.ts';
import type { FieldProblem } from './field-problem.ts';
import { overlap } from './overlap.ts';
import type { GatewayConfig } from './schema.ts';

const MAX_PORT = 65535;
export const OUTLET_PORTS = ['rtspPort', 'rtmpPort', 'httpPort'] as const;
/** What stands in the query of a URL as it is. */
const URL_SAFE = /^[A-Za-z0-9._~!*'()/:@,;$-]+$/;

export function* checkOutlets(config: GatewayConfig): Generator<FieldProblem> {
  yield* checkPorts(config);
  yield* checkInlets(config);
  yield* firstTwice(config.outlets.pushes.map(({ channel, streamNumber, url }) => `${channel}/${streamNumber} to ${url}`), i => ({ path: ['outlets', 'pushes', i, 'url'], why: 'this channel is already pushed there' }));
  yield* firstTwice(config.outlets.users.map(({ name }) => name), i => ({ path: ['outlets', 'users', i, 'name'], why: 'this user is already there' }));
}

/** Each instance takes a number of its own from each port on. */
function* checkPorts({ outlets, media, sip }: GatewayConfig): Generator<FieldProblem> {
  const used = OUTLET_PORTS.filter(key => outlets[key] !== 0);
  if (outlets.address === '') return;
  for (const [i, key] of used.entries()) {
    const [first, last] = [outlets[key], outlets[key] + media.instances - 1];
    const path = ['outlets', key];
    if (last > MAX_PORT) yield { path, why: `no ports for ${media.instances} instances from ${first} on` };
    const other = used.slice(0, i).find(each => outlets[each] <= last && outlets[each] + media.instances - 1 >= first);
    if (other !== undefined) yield { path, why: `meets outlets.${other} with ${media.instances} instances` };
    const listen = sip.listen.find(({ transport, address, port }) => transport === 'tcp' && port >= first && port <= last && overlap(address, outlets.address));
    if (listen !== undefined) yield { path, why: `tcp port ${listen.port} is a SIP port` };
  }
}

function* checkInlets({ inlets, outlets }: GatewayConfig): Generator<FieldProblem> {
  yield* firstTwice(inlets.map(({ id }) => id), i => ({ path: ['inlets', i, 'id'], why: `${inlets[i]!.id} is already used` }));
  for (const [i, inlet] of inlets.entries()) {
    const { kind, key } = inlet;
    if (kind === 'rtsp') yield* checkUrls(inlet, i);
    if (kind !== 'rtmp') continue;
    if (key === undefined) yield { path: ['inlets', i, 'key'], why: 'an inlet of kind rtmp needs the secret of its publisher' };
    else if (!URL_SAFE.test(key)) yield { path: ['inlets', i, 'key'], why: 'has characters that cannot stand in a URL' };
    if (outlets.address === '' || outlets.rtmpPort === 0) yield { path: ['inlets', i, 'kind'], why: 'nobody can publish it: outlets.rtmpPort is off' };
  }
}

/** The gateway asks no DNS (faults.md 5). */
function* checkUrls({ url, subUrl }: GatewayConfig['inlets'][number], i: number): Generator<FieldProblem> {
  if (url === undefined) yield { path: ['inlets', i, 'url'], why: 'an inlet of kind rtsp needs the address of its stream' };
  for (const [key, text] of [['url', url], ['subUrl', subUrl]] as const) {
    const parsed = text === undefined ? undefined : parseRtspUrl(text);
    if (parsed !== undefined && !(parsed.ok && isIp(parsed.value.host))) yield { path: ['inlets', i, key], why: 'its host is not an IP address: no name is looked up' };
  }
}

function* firstTwice(values: readonly string[], problem: (index: number) => FieldProblem): Generator<FieldProblem> {
  const seen = new Set<string>();
  for (const [i, value] of values.entries()) {
    if (seen.has(value)) yield problem(i);
    seen.add(value);
  }
}
