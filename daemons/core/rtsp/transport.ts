/** The Transport header (RFC 2326 12.39): which ways a client can take media, and which one was chosen. */
import { type Result, fail, ok } from '../result.ts';
import { parseDecimal, trimLws } from '../sip/grammar.ts';

const MAX_TRANSPORT_CHARS = 1024;
export const MAX_TRANSPORTS = 8;

export type Pair = readonly [number, number];

export interface TransportSpec {
  /** `other`: SRTP, raw and what else there is. */
  readonly lower: 'udp' | 'tcp' | 'other';
  readonly multicast: boolean;
  /** Channels of RTP and RTCP. */
  readonly interleaved?: Pair | undefined;
  readonly clientPort?: Pair | undefined;
  readonly serverPort?: Pair | undefined;
  /** Where the client wants the media to go: never done (fault 79). */
  readonly destination?: string | undefined;
  readonly source?: string | undefined;
  readonly ssrc?: number | undefined;
  /** Lower case without quotes; absent: play. */
  readonly mode?: string | undefined;
}

/** All that can be read, in the client's order. Fails on a number that is none, so that nothing is guessed. */
export function parseTransports(value: string): Result<TransportSpec[]> {
  if (value.length > MAX_TRANSPORT_CHARS) return fail(MAX_TRANSPORT_CHARS, 'Transport is too long');
  const specs: TransportSpec[] = [];
  let at = 0;
  for (const text of value.split(',')) {
    if (specs.length === MAX_TRANSPORTS) return fail(at, `more than ${MAX_TRANSPORTS} transports`);
    const spec = parseSpec(text, at);
    if (!spec.ok) return spec;
    specs.push(spec.value);
    at += text.length + 1;
  }
  return ok(specs);
}

const LOWER: Readonly<Record<string, TransportSpec['lower']>> = { 'RTP/AVP': 'udp', 'RTP/AVP/UDP': 'udp', 'RTP/AVP/TCP': 'tcp' };

function parseSpec(text: string, at: number): Result<TransportSpec> {
  const [protocol = '', ...words] = text.split(';').map(trimLws);
  const values = new Map<string, string>();
  for (const word of words) {
    const equal = word.indexOf('=');
    const name = (equal < 0 ? word : word.slice(0, equal)).toLowerCase();
    if (name !== '' && !values.has(name)) values.set(name, equal < 0 ? '' : word.slice(equal + 1));
  }
  const interleaved = readPair(values.get('interleaved'), 255);
  const clientPort = readPair(values.get('client_port'), 65535);
  const serverPort = readPair(values.get('server_port'), 65535);
  const ssrc = values.get('ssrc');
  if (interleaved === null || clientPort === null || serverPort === null) return fail(at, 'a pair of numbers in Transport is none');
  return ok({
    lower: LOWER[protocol.toUpperCase()] ?? 'other',
    multicast: values.has('multicast'),
    interleaved,
    clientPort,
    serverPort,
    destination: values.get('destination'),
    source: values.get('source'),
    ssrc: ssrc !== undefined && /^[0-9a-f]{1,8}$/i.test(ssrc) ? parseInt(ssrc, 16) : undefined,
    mode: values.get('mode')?.replaceAll('"', '').toLowerCase(),
  });
}

/** `4588-4589`, or `4588` for 4588 and the next. Null: not that. */
function readPair(text: string | undefined, max: number): Pair | undefined | null {
  if (text === undefined) return undefined;
  const [first = '', second] = text.split('-', 2);
  const low = parseDecimal(first, max);
  const high = second === undefined ? (low ?? 0) + 1 : parseDecimal(second, max);
  return low === undefined || high === undefined || high > max ? null : [low, high];
}

export function formatTransport(spec: TransportSpec): string {
  const protocol = spec.lower === 'tcp' ? 'RTP/AVP/TCP' : 'RTP/AVP';
  const pair = (name: string, value: Pair | undefined): string[] => (value === undefined ? [] : [`${name}=${value[0]}-${value[1]}`]);
  return [
    protocol,
    spec.multicast ? 'multicast' : 'unicast',
    ...pair('interleaved', spec.interleaved),
    ...(spec.source === undefined ? [] : [`source=${spec.source}`]),
    ...pair('client_port', spec.clientPort),
    ...pair('server_port', spec.serverPort),
    ...(spec.ssrc === undefined ? [] : [`ssrc=${spec.ssrc.toString(16).padStart(8, '0').toUpperCase()}`]),
    ...(spec.mode === undefined ? [] : [`mode="${spec.mode}"`]),
  ].join(';');
}
