/** What a camera without faults and we say to each other, as vectors that tests change in one place each. */
import { fromByteString } from '#core/bytes.ts';
import { type Passed, readPassed } from '#core/diagnose/passed.ts';

export const DEVICE = '34020000001180000001';
export const CHANNEL = '34020000001320000001';
export const GATEWAY = '34020000002000000001';
export const CAMERA_PLACE = { address: '192.0.2.71', port: 5060 };
export const OUR_PLACE = { address: '192.0.2.10', port: 5060 };
export const PEER = '192.0.2.71:5060';

export interface Said {
  readonly name: string;
  readonly direction: 'in' | 'out';
  readonly atMs: number;
  readonly transport: 'UDP' | 'TCP';
  /** Byte string; `<n>` is replaced by the length of the body. */
  readonly text: string;
}

interface Parts {
  readonly start: string;
  readonly callId: string;
  readonly cseq: string;
  readonly branch: string;
  /** Who asked: he is From. */
  readonly by: 'camera' | 'us';
  readonly tags?: boolean;
  readonly fields?: readonly string[];
  readonly type?: string;
  readonly body?: string;
}

const crlf = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, '\r\n') + '\r\n';

function message({ start, callId, cseq, branch, by, tags = false, fields = [], type, body = '' }: Parts): string {
  const isResponse = start.startsWith('SIP/2.0');
  const [via, from, to] = by === 'camera' ? ['192.0.2.71', DEVICE, cseq.endsWith('REGISTER') ? DEVICE : GATEWAY] : ['192.0.2.10', GATEWAY, cseq.endsWith('MESSAGE') ? DEVICE : CHANNEL];
  const lines = [
    start,
    `Via: SIP/2.0/UDP ${via}:5060;rport;branch=z9hG4bK${branch}`,
    `From: <sip:${from}@3402000000>;tag=f1`,
    `To: <sip:${to}@3402000000>${isResponse || tags ? ';tag=t1' : ''}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq}`,
    ...(isResponse ? [] : ['Max-Forwards: 70']),
    ...fields,
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    'Content-Length: <n>',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

const xml = (root: string, inner: string): string => `<?xml version="1.0" encoding="GB2312"?>\r\n<${root}>\r\n${crlf(inner)}</${root}>\r\n`;
const MANSCDP = 'Application/MANSCDP+xml';
const both = (name: string, direction: 'in' | 'out', atMs: number, parts: Parts, status = '200 OK'): Said[] => [
  { name, direction, atMs, transport: 'UDP', text: message(parts) },
  { name: `${name} answered`, direction: direction === 'in' ? 'out' : 'in', atMs: atMs + 5, transport: 'UDP', text: message({ start: `SIP/2.0 ${status}`, callId: parts.callId, cseq: parts.cseq, branch: parts.branch, by: parts.by }) },
];

const REGISTER = `REGISTER sip:${GATEWAY}@3402000000 SIP/2.0`;
const CONTACT = `Contact: <sip:${DEVICE}@192.0.2.71:5060>`;
const register = (n: number, atMs: number, fields: readonly string[], status: string): Said[] =>
  both(`register ${n}`, 'in', atMs, { start: REGISTER, callId: 'reg@c', cseq: `${n} REGISTER`, branch: `r${n}`, by: 'camera', fields: [CONTACT, 'Expires: 3600', ...fields] }, status);

const keepalive = (n: number, atMs: number): Said[] =>
  both(`keepalive ${n}`, 'in', atMs, { start: `MESSAGE sip:${GATEWAY}@3402000000 SIP/2.0`, callId: `ka${n}@c`, cseq: '20 MESSAGE', branch: `k${n}`, by: 'camera', type: MANSCDP, body: xml('Notify', `<CmdType>Keepalive</CmdType>\n<SN>${n}</SN>\n<DeviceID>${DEVICE}</DeviceID>\n<Status>OK</Status>`) });

const item = (id: string): string => `<Item>\n<DeviceID>${id}</DeviceID>\n<Name>gate</Name>\n<ParentID>${DEVICE}</ParentID>\n<Status>ON</Status>\n</Item>`;
const page = (n: number, atMs: number, id: string): Said[] =>
  both(`catalog ${n}`, 'in', atMs, { start: `MESSAGE sip:${GATEWAY}@3402000000 SIP/2.0`, callId: `cat${n}@c`, cseq: '20 MESSAGE', branch: `p${n}`, by: 'camera', type: MANSCDP, body: xml('Response', `<CmdType>Catalog</CmdType>\n<SN>7</SN>\n<DeviceID>${DEVICE}</DeviceID>\n<SumNum>2</SumNum>\n<DeviceList Num="1">\n${item(id)}\n</DeviceList>`) });

const query: Said[] = both('query', 'out', 1000, { start: `MESSAGE sip:${DEVICE}@192.0.2.71:5060 SIP/2.0`, callId: 'q@g', cseq: '1 MESSAGE', branch: 'q1', by: 'us', type: MANSCDP, body: xml('Query', `<CmdType>Catalog</CmdType>\n<SN>7</SN>\n<DeviceID>${DEVICE}</DeviceID>`) });

const sdp = (owner: string, address: string, port: number, direction: string): string => crlf(`v=0
  o=${owner} 0 0 IN IP4 ${address}
  s=Play
  c=IN IP4 ${address}
  t=0 0
  m=video ${port} RTP/AVP 96
  a=rtpmap:96 PS/90000
  a=${direction}
  y=0200000001
  f=v/2/6/25/1/4096a/1/8/1`);

const INVITE: Parts = { start: `INVITE sip:${CHANNEL}@192.0.2.71:5060 SIP/2.0`, callId: 'inv@g', cseq: '1 INVITE', branch: 'i1', by: 'us', type: 'application/sdp', fields: [`Contact: <sip:${GATEWAY}@192.0.2.10:5060>`, `Subject: ${CHANNEL}:0200000001,${GATEWAY}:0`], body: sdp(GATEWAY, '192.0.2.10', 30_000, 'recvonly') };
const session: Said[] = [
  { name: 'invite', direction: 'out', atMs: 2000, transport: 'UDP', text: message(INVITE) },
  { name: 'invite answered', direction: 'in', atMs: 2050, transport: 'UDP', text: message({ ...INVITE, start: 'SIP/2.0 200 OK', fields: [`Contact: <sip:${CHANNEL}@192.0.2.71:5060>`], body: sdp(CHANNEL, '192.0.2.71', 15_060, 'sendonly') }) },
  { name: 'ack', direction: 'out', atMs: 2060, transport: 'UDP', text: message({ start: `ACK sip:${CHANNEL}@192.0.2.71:5060 SIP/2.0`, callId: 'inv@g', cseq: '1 ACK', branch: 'i2', by: 'us', tags: true }) },
  ...both('bye', 'out', 12_000, { start: `BYE sip:${CHANNEL}@192.0.2.71:5060 SIP/2.0`, callId: 'inv@g', cseq: '2 BYE', branch: 'i3', by: 'us', tags: true }),
];

const CREDENTIALS = `Authorization: Digest username="${DEVICE}",realm="3402000000",nonce="5c1e0a77d3f84b21",uri="sip:${GATEWAY}@3402000000",response="85cadfab6b635d32482c331ff44afb9e",algorithm=MD5`;

export const CLEAN: readonly Said[] = [
  ...register(1, 0, [], '401 Unauthorized'),
  ...register(2, 20, [CREDENTIALS], '200 OK'),
  ...query,
  ...page(1, 1100, CHANNEL),
  ...page(2, 1150, CHANNEL.replace(/1$/, '2')),
  ...session,
  ...[60, 120, 180, 240].flatMap((atS, i) => keepalive(i + 1, atS * 1000)),
];

/** How far the recording goes. */
export const UNTIL_MS = 300_000;

export function passedOf(said: readonly Said[]): Passed[] {
  return [...said]
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ direction, atMs, transport, text }, sequence) => {
      const end = text.indexOf('\r\n\r\n');
      const bytes = fromByteString(text.replace('<n>', String(end < 0 ? 0 : text.length - end - 4)));
      return readPassed({ sequence, atWallMs: atMs, direction, transport, local: OUR_PLACE, remote: CAMERA_PLACE, connectionId: transport === 'TCP' ? 1 : null, bytes, cut: false });
    });
}

/** The clean exchange with one message changed. */
export const changed = (name: string, change: (text: string) => string): Said[] => CLEAN.map(said => (said.name === name ? { ...said, text: change(said.text) } : said));
export const replaced = (name: string, from: string | RegExp, to: string): Said[] => changed(name, text => text.replace(from, to));
export const without = (...names: readonly string[]): Said[] => CLEAN.filter(({ name }) => !names.includes(name));
