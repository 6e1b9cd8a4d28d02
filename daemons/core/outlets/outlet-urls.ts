/** Addresses under which one channel can be watched, for `vlink play`. */

/** Ports that are 0 are off. */
export interface OutletPorts {
  readonly rtspPort: number;
  readonly rtmpPort: number;
  readonly httpPort: number;
  readonly webrtcPort: number;
}

export interface OutletUrl {
  readonly protocol: string;
  readonly url: string;
}

const FORMS: readonly (readonly [protocol: string, scheme: string, port: keyof OutletPorts, before: string, behind: string])[] = [
  ['rtsp', 'rtsp', 'rtspPort', 'live', ''],
  ['rtmp', 'rtmp', 'rtmpPort', 'live', ''],
  ['flv', 'http', 'httpPort', 'live', '.flv'],
  ['ws-flv', 'ws', 'httpPort', 'live', '.flv'],
  ['fmp4', 'http', 'httpPort', 'live', '.mp4'],
  ['ws-fmp4', 'ws', 'httpPort', 'live', '.mp4'],
  ['hls', 'http', 'httpPort', 'live', '/index.m3u8'],
  ['whep', 'http', 'httpPort', 'whep', ''],
  ['snapshot', 'http', 'httpPort', 'snapshot', '.jpg'],
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
  const isOn = (protocol: string, port: keyof OutletPorts): boolean => ports[port] !== 0 && (protocol !== 'whep' || ports.webrtcPort !== 0);
  return FORMS.filter(([protocol, , port]) => isOn(protocol, port)).map(([protocol, scheme, port, before, behind]) => ({ protocol, url: `${scheme}://${authority}:${ports[port]}/${before}/${channel}${behind}?${query}` }));
}
