/** Addresses under which one channel can be watched, for `vlink play`. */

/** Ports that are 0 are off. */
export interface OutletPorts {
  readonly rtspPort: number;
  readonly rtmpPort: number;
  readonly httpPort: number;
}

export interface OutletUrl {
  readonly protocol: string;
  readonly url: string;
}

const FORMS: readonly (readonly [protocol: string, scheme: string, port: keyof OutletPorts, behind: string])[] = [
  ['rtsp', 'rtsp', 'rtspPort', ''],
  ['rtmp', 'rtmp', 'rtmpPort', ''],
  ['flv', 'http', 'httpPort', '.flv'],
  ['ws-flv', 'ws', 'httpPort', '.flv'],
  ['fmp4', 'http', 'httpPort', '.mp4'],
  ['ws-fmp4', 'ws', 'httpPort', '.mp4'],
  ['hls', 'http', 'httpPort', '/index.m3u8'],
];

export interface OutletUrlOptions {
  /** IPv4, IPv6 or a name. */
  readonly host: string;
  readonly ports: OutletPorts;
  /** CHANNEL of core/outlets/outlet-path. */
  readonly channel: string;
  readonly streamNumber: number;
  readonly token: string;
}

export function outletUrls({ host, ports, channel, streamNumber, token }: OutletUrlOptions): OutletUrl[] {
  const authority = host.includes(':') ? `[${host}]` : host;
  const query = `${streamNumber === 0 ? '' : `stream=${streamNumber}&`}token=${token}`;
  return FORMS.filter(([, , port]) => ports[port] !== 0).map(([protocol, scheme, port, behind]) => ({ protocol, url: `${scheme}://${authority}:${ports[port]}/live/${channel}${behind}?${query}` }));
}
