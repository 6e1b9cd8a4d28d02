/**
 * The one schema of /etc/viewlink/gateway.yaml: shape, bounds, defaults, units and help (`describe`) in one place.
 * Nothing listens and nobody is admitted by default.
 */
import { z } from 'zod';

const gbId = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'an ID of digits (20 in GB/T 28181)');
const port = z.int().min(1).max(65535);
const address = z.string().min(1).max(255);
const cidr = z.string().regex(/^[0-9a-fA-F:.]+(\/\d{1,3})?$/, 'an address or network such as 10.1.0.0/16');
const legTransport = z.enum(['udp', 'tcp-active', 'tcp-passive']);
const charset = z.enum(['gb2312', 'gb18030', 'utf-8']);

const listen = z.strictObject({
  transport: z.enum(['udp', 'tcp']).describe('SIP transport'),
  address: address.describe('local address to bind; never 0.0.0.0 by default'),
  port: port.default(5060).describe('5060 is usual'),
});

const secret = {
  password: z.string().min(1).max(128).optional().describe('plain password; prefer ha1'),
  ha1: z.string().regex(/^([0-9a-f]{32}|[0-9a-f]{64})$/).optional().describe('MD5 or SHA-256 of user:realm:password'),
};

const device = z.strictObject({
  id: gbId.describe('20-digit ID of the device, NVR or platform below'),
  ...secret,
  digest: z.boolean().default(true).describe('false: this device never sends digest; it is then known by its network only'),
  networks: z.array(cidr).default([]).describe('addresses it may register from; empty: any'),
  contactElsewhere: z.boolean().default(false).describe('true: its Contact may name another address than it sends from'),
  nat: z.boolean().default(false).describe('true: media may come from another port than its SDP says'),
  transport: legTransport.optional().describe('media toward us, in our role; overrides devices.media.transport'),
  charset: charset.optional().describe('overrides what its XML declares'),
  ssrc: z.enum(['exact', 'adopt']).optional().describe('adopt: take the SSRC that it really sends (some cameras ignore y=)'),
  mediaNetworks: z.array(cidr).default([]).describe('more addresses that its media may come from'),
});

const unknownRule = z.strictObject({
  prefix: z.string().regex(/^\d{0,20}$/).default('').describe('admits IDs that begin so; empty: any'),
  networks: z.array(cidr).min(1).describe('and come from here'),
  ...secret,
  digest: z.boolean().default(true).describe('false: admitted without digest'),
});

const upstream = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/).describe('our short name for it'),
  enabled: z.boolean().default(true),
  id: gbId.describe('its 20-digit ID'),
  domain: z.string().max(255).default('').describe('its SIP domain; empty: first ten digits of id'),
  address,
  port: port.default(5060),
  transport: z.enum(['udp', 'tcp']).default('udp').describe('SIP transport toward it'),
  localId: gbId.describe('our ID toward it'),
  localAddress: z.string().default('').describe('our address toward it; empty: the one that routing picks among sip.listen'),
  username: z.string().max(64).default('').describe('digest user; empty: localId'),
  realm: z.string().max(255).default('').describe('the only realm that gets our credentials; empty: its domain or id'),
  ...secret,
  version: z.enum(['2016', '2022']).default('2016'),
  charset: charset.default('gb2312'),
  expiresS: z.int().min(60).max(604800).default(86400),
  retryS: z.int().min(1).max(3600).default(60).describe('first wait after a failed registration; doubles up to 16 times this'),
  keepaliveS: z.int().min(5).max(3600).default(60),
  keepaliveMisses: z.int().min(1).max(10).default(3),
  networks: z.array(cidr).default([]).describe('addresses that its requests may come from; empty: its address only'),
  mediaNetworks: z.array(cidr).default([]).describe('more addresses that media may be sent to'),
  ssrc: z.enum(['echo', 'own']).default('echo').describe('echo: send the SSRC of its y=; own: answer one of our domain'),
  share: z.array(z.string().regex(/^(\*|\d{1,20})$/)).default(['*']).describe('device or channel IDs or prefixes that it may see; *: all'),
  maxSessions: z.int().min(1).max(10000).default(256),
  catalog: z
    .strictObject({
      itemsPerMessage: z.int().min(1).max(10000).default(100).describe('over TCP; over UDP as many as fit 1300 bytes'),
      civilTree: z.boolean().default(true).describe('publish civil regions as items of their own'),
    })
    .prefault({}),
});

export const gatewaySchema = z.strictObject({
  node: z.strictObject({ name: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/).default('gateway').describe('name of this node in logs') }).prefault({}),
  sip: z
    .strictObject({
      id: gbId.default('34020000002000000001').describe('our 20-digit platform ID toward devices'),
      domain: z.string().max(255).default('').describe('our SIP domain and digest realm; empty: first ten digits of id'),
      listen: z.array(listen).max(16).default([]).describe('where SIP is received; empty: nowhere'),
      userAgent: z.string().max(64).default('ViewLink Gateway'),
      dateHeader: z.boolean().default(true).describe('send Date in the 200 to REGISTER, for clock sync'),
      tcpMaxConnections: z.int().min(8).max(65535).default(2048),
      tcpMaxPerPeer: z.int().min(1).max(1024).default(8),
      unknownRequestsPerS: z.int().min(1).max(10000).default(20).describe('per unregistered source address'),
    })
    .prefault({}),
  devices: z
    .strictObject({
      known: z.array(device).max(100000).default([]).describe('devices with credentials of their own'),
      admit: z.array(unknownRule).max(256).default([]).describe('rules that admit devices not listed; empty: deny'),
      minExpiresS: z.int().min(10).max(86400).default(60),
      maxExpiresS: z.int().min(60).max(604800).default(86400),
      keepaliveS: z.int().min(5).max(3600).default(60),
      keepaliveMisses: z.int().min(1).max(10).default(3),
      keepaliveRevives: z.boolean().default(true).describe('a keepalive within the binding brings a device back without a new REGISTER'),
      catalogOnRegister: z.boolean().default(true),
      catalogEveryS: z.int().min(0).max(604800).default(86400).describe('0: only on registration'),
      media: z
        .strictObject({
          transport: legTransport.default('udp').describe('how devices send to us, in our role'),
          ssrc: z.enum(['exact', 'adopt']).default('adopt'),
          inviteTimeoutS: z.int().min(1).max(120).default(15),
          firstPacketS: z.int().min(1).max(120).default(10).describe('from the answer to the first packet'),
          silenceS: z.int().min(2).max(3600).default(15),
          lingerS: z.int().min(0).max(3600).default(10).describe('source stays open this long after its last viewer'),
        })
        .prefault({}),
    })
    .prefault({}),
  upstreams: z.array(upstream).max(64).default([]).describe('platforms above us'),
  media: z
    .strictObject({
      instances: z.int().min(1).max(32).default(1).describe('mediad processes'),
      downstreamAddress: z.string().default('').describe('media address toward devices; empty: the SIP address that the device uses'),
      upstreamAddress: z.string().default('').describe('media address toward upstreams; empty: the SIP address that the upstream uses'),
      ports: z
        .strictObject({
          mode: z.enum(['range', 'fixed']).default('range').describe('fixed: one port per transport, told apart by SSRC (for a gap)'),
          first: port.default(30000).describe('range: first port, shared out over the instances'),
          last: port.default(39999),
          fixedUdp: port.default(10000),
          fixedTcp: port.default(10000),
        })
        .prefault({}),
      connectTimeoutS: z.int().min(1).max(60).default(10).describe('upstream that never connects'),
      receiveBufferKiB: z.int().min(64).max(65536).default(4096),
      maxBridges: z.int().min(1).max(100000).default(1000).describe('per instance'),
    })
    .prefault({}),
  state: z.strictObject({ directory: z.string().default('/var/lib/viewlink') }).prefault({}),
  rpc: z.strictObject({ directory: z.string().default('/run/viewlink') }).prefault({}),
  log: z.strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
});

export type GatewayConfig = z.infer<typeof gatewaySchema>;
export type DeviceConfig = GatewayConfig['devices']['known'][number];
export type UpstreamConfig = GatewayConfig['upstreams'][number];
