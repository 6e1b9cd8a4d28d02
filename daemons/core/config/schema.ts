/**
 * The one schema of /etc/viewlink/gateway.yaml: shape, bounds, defaults, units and help (`describe`) in one place.
 * Nothing listens and nobody is admitted by default. What one field cannot know about another is in check.ts.
 */
import { z } from 'zod';
import { DIALECT_NAMES } from '../gb/dialects/index.ts';
import { deviceSwitches } from '../gb/dialects/switches.ts';
import { deviceGapSchema, upstreamGapSchema } from '../gb/gap-schema.ts';
import { isIp, parseNetwork } from '../ip.ts';
import { parseRtmpUrl } from '../rtmp/url.ts';
import { hostSchema } from './host-schema.ts';
import { traceSchema } from './trace-schema.ts';
import { apiSchema } from './api-schema.ts';
import { healthSchema } from './health-schema.ts';
import { clusterSchema } from './cluster-schema.ts';
import { renditionName, transcodeSchema } from './transcode-schema.ts';
import { channelFactsSchema, viewSchema } from './view-schema.ts';

const MAX_TEXT = 255;
/** A unix socket path ends at 107 bytes; the socket's own name needs some. */
const MAX_DIRECTORY = 80;

const gbId = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'expected an ID: digits, 20 of them in GB/T 28181');
const port = z.int().min(1).max(65535);
const ip = z.string().max(MAX_TEXT).refine(isIp, 'expected an IPv4 or IPv6 address');
const ipOrEmpty = z.string().max(MAX_TEXT).refine(text => text === '' || isIp(text), 'expected an IPv4 or IPv6 address, or empty');
const cidr = z.string().max(MAX_TEXT).refine(text => parseNetwork(text) !== undefined, 'expected an address or a network such as 10.1.0.0/16');
const directory = z.string().max(MAX_DIRECTORY).regex(/^\/[^\0\r\n]*$/, 'expected an absolute path');
const word = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, - or _');
const domain = z.string().regex(/^[A-Za-z0-9.-]{0,255}$/, 'expected letters, digits, dots and hyphens');
/** Quoted-string text without what would need escaping: realm and user names as peers send them. */
const plainText = z.string().max(MAX_TEXT).regex(/^[^\0-\x1f"\\\x7f]*$/, 'expected text without quotes, backslashes and control characters');
const legTransport = z.enum(['udp', 'tcp-active', 'tcp-passive']);
const charset = z.enum(['gb2312', 'gb18030', 'utf-8']);

const listen = z.strictObject({
  transport: z.enum(['udp', 'tcp']).describe('SIP transport'),
  address: ip.describe('local address to bind; name one rather than 0.0.0.0'),
  port: port.default(5060).describe('5060 is usual'),
});

const secret = {
  password: z.string().min(1).max(128).regex(/^[^\0\r\n]*$/, 'expected one line').optional().describe('digest password in plain text; prefer ha1').meta({ secret: 'whole' }),
  ha1: z.string().regex(/^([0-9a-f]{32}|[0-9a-f]{64})$/, 'expected 32 (MD5) or 64 (SHA-256) lower-case hex digits').optional().describe('instead of password: MD5 or SHA-256 of user:realm:password').meta({ secret: 'hash' }),
};

const device = z.strictObject({
  id: gbId.describe('20-digit ID of the device, NVR or platform below'),
  ...secret,
  digest: z.boolean().default(true).describe('false: this device never sends digest; it is then known by its network only'),
  networks: z.array(cidr).max(256).default([]).describe('addresses it may register from; empty: any'),
  contactElsewhere: z.boolean().default(false).describe('true: its Contact may name another address than it sends from'),
  nat: z.boolean().default(false).describe('true: media may come from another port than its SDP says'),
  transport: legTransport.optional().describe('media toward us, in our role; overrides devices.media.transport'),
  dialect: z.enum(DIALECT_NAMES).default('auto').describe('whose habits it has; auto: by its User-Agent and manufacturer, where that is harmless. The switches below go before it'),
  ...deviceSwitches.shape,
  returned: z.enum(['hide', 'publish']).default('hide').describe('a platform that lists what has an ID of ours: hide: it has it from us; publish: it is another camera'),
  mediaNetworks: z.array(cidr).max(256).default([]).describe('more addresses that its media may come from'),
});

const unknownRule = z.strictObject({
  prefix: z.string().regex(/^\d{0,20}$/, 'expected up to 20 digits').default('').describe('admits IDs that begin so; empty: any'),
  networks: z.array(cidr).min(1).max(256).describe('and come from here'),
  ...secret,
  digest: z.boolean().default(true).describe('false: admitted without digest'),
  contactElsewhere: z.boolean().default(false).describe('true: their Contact may name another address than they send from (NAT)'),
  nat: z.boolean().default(false).describe('true: their media may come from another port than their SDP says'),
  dialect: z.enum(DIALECT_NAMES).default('auto').describe('whose habits they have; auto: by their User-Agent and manufacturer, where that is harmless'),
});

const redirect = z.strictObject({
  prefix: z.string().regex(/^\d{0,20}$/, 'expected up to 20 digits').default('').describe('IDs that begin so; empty: any'),
  id: gbId.describe('20-digit ID of the platform where they shall register'),
  address: ip.describe('its SIP address'),
  port: port.default(5060).describe('its SIP port'),
  expiresS: z.int().min(60).max(604800).default(3600).describe('for so long; then they ask here again'),
});

const upstream = z.strictObject({
  name: word.describe('our short name for it'),
  enabled: z.boolean().default(true).describe('false: kept here, but not registered and not served'),
  id: gbId.describe('its 20-digit ID'),
  domain: domain.default('').describe('its SIP domain; empty: first ten digits of id'),
  address: ip.describe('its SIP address'),
  port: port.default(5060).describe('its SIP port'),
  transport: z.enum(['udp', 'tcp']).default('udp').describe('SIP transport toward it'),
  localId: gbId.describe('our ID toward it'),
  localAddress: ipOrEmpty.default('').describe('our address toward it, one of sip.listen; empty: the one that routing picks among them'),
  username: plainText.max(64).default('').describe('digest user; empty: localId'),
  realm: plainText.default('').describe('the only realm that gets our credentials; empty: its domain or id'),
  ...secret,
  version: z.enum(['2016', '2022']).default('2016').describe('edition of GB/T 28181 that it speaks'),
  charset: charset.default('gb2312').describe('of the XML that we send to it'),
  expiresS: z.int().min(60).max(604800).default(86400).describe('registration that we ask for'),
  retryS: z.int().min(1).max(3600).default(60).describe('first wait after a failed registration; doubles up to 16 times this'),
  keepaliveS: z.int().min(5).max(3600).default(60).describe('how often we tell it that we live'),
  keepaliveMisses: z.int().min(1).max(10).default(3).describe('so many unanswered keepalives and we register anew'),
  networks: z.array(cidr).max(256).default([]).describe('addresses that its requests may come from; empty: its address only'),
  mediaNetworks: z.array(cidr).max(256).default([]).describe('more addresses that media may be sent to'),
  voiceTransport: legTransport.default('udp').describe('how its voice comes to us, in our role'),
  pictures: z.enum(['whole', 'as-received']).default('whole').describe('whole: a picture with a part missing is held back, and all up to the next key picture; as-received: nothing is'),
  ssrc: z.enum(['echo', 'own']).default('echo').describe('echo: send the SSRC of its y=; own: answer one of our domain'),
  share: z.array(z.string().regex(/^(\*|\d{1,20})$/, 'expected * or up to 20 digits')).max(10000).default(['*']).describe('device or channel IDs or prefixes that it may see; *: all'),
  maxSessions: z.int().min(1).max(10000).default(256).describe('live sessions at once; more get 486'),
  transcode: renditionName.or(z.literal('')).default('').describe('rendition of transcode.renditions that it gets of every channel; empty: as the camera sends'),
  transcodeByF: z.boolean().default(false).describe('true: what its f= line asks for is made; goes before transcode'),
  alarms: z.boolean().default(true).describe('alarms of what it sees are sent to it, whether it subscribes or not'),
  positions: z.boolean().default(true).describe('it may subscribe positions of what it sees'),
  priority: z.int().min(0).max(255).default(100).describe('of its operators: one of a lower number may not steer a camera right after one of a higher'),
  permissions: z
    .strictObject({
      live: z.boolean().default(true).describe('live pictures'),
      playback: z.boolean().default(true).describe('recordings: playback and download'),
      query: z.boolean().default(true).describe('questions to a camera: recordings, presets, configuration, status'),
      ptz: z.boolean().default(true).describe('pan, tilt, zoom, lens, presets, cruises, home position, tracking'),
      control: z.boolean().default(true).describe('recording, guard, alarm reset, I-frame'),
      voice: z.boolean().default(true).describe('speaking through the loudspeakers of cameras'),
      config: z.boolean().default(true).describe('configuration of a camera'),
      maintenance: z.boolean().default(false).describe('restart, upgrade, formatting of its cards'),
      ptzMaxSpeed: z.int().min(1).max(255).default(255).describe('higher speeds are lowered to this'),
    })
    .prefault({})
    .describe('what it may do with the cameras that it sees'),
  gap: upstreamGapSchema.prefault({}).describe('where a network gap stands between it and us: what was declared'),
  catalog: z
    .strictObject({
      itemsPerMessage: z.int().min(1).max(10000).default(100).describe('over TCP; over UDP as many as fit 1300 bytes'),
      civilTree: z.boolean().default(true).describe('publish civil regions as items of their own'),
      notifyAfterMs: z.int().min(0).max(60000).default(500).describe('to a subscriber: changes are collected so long, unless a full message waits'),
      pauseMs: z.int().min(0).max(10000).default(0).describe('between two messages of one answer'),
      large: z.enum(['udp', 'tcp']).default('udp').describe('with transport udp, an answer of more than one message: udp, in datagrams; tcp, over TCP to the same address and port'),
    })
    .prefault({})
    .describe('how our catalogue looks to it'),
  view: viewSchema.prefault({}).describe('what it sees of what is shared, how it looks and what it may do with it'),
});

const sip = z.strictObject({
  id: gbId.default('34020000002000000001').describe('our 20-digit platform ID toward devices'),
  domain: domain.default('').describe('our SIP domain and digest realm; empty: first ten digits of id'),
  listen: z.array(listen).max(16).default([]).describe('where SIP is received; empty: nowhere'),
  userAgent: plainText.max(64).default('ViewLink Gateway').describe('User-Agent that we send'),
  digestAlgorithms: z.array(z.enum(['MD5', 'SHA-256'])).min(1).max(2).default(['MD5', 'SHA-256']).describe('offered to devices, in this order; some old ones stumble over a second challenge'),
  dateHeader: z.boolean().default(true).describe('send Date in the 200 to REGISTER, for clock sync'),
  tcpMaxConnections: z.int().min(8).max(65535).default(2048).describe('SIP/TCP connections in all'),
  tcpMaxPerPeer: z.int().min(1).max(1024).default(8).describe('SIP/TCP connections from one address'),
  unknownRequestsPerS: z.int().min(1).max(10000).default(20).describe('requests a second from one unregistered address; the rest is dropped'),
});

const deviceMedia = z.strictObject({
  transport: legTransport.default('udp').describe('how devices send to us, in our role'),
  payloads: z.array(z.enum(['ps', 'h264', 'h265'])).min(1).max(3).default(['ps', 'h264', 'h265']).describe('offered to devices, in this order; ps: everything in one stream, the others: pictures only, for devices that cannot do better'),
  ssrc: z.enum(['exact', 'adopt']).default('adopt').describe('adopt: take the SSRC that a device really sends; exact: only the one agreed'),
  inviteTimeoutS: z.int().min(1).max(120).default(15).describe('a device that does not answer our INVITE'),
  firstPacketS: z.int().min(1).max(120).default(10).describe('from the answer to the first packet'),
  faultS: z.int().min(0).max(86400).default(300).describe('a picture that is lost or broken is told to subscribers of the catalogue as VLOST or DEFECT, so long unless it is seen to be fine; 0: not at all'),
  maxPauseS: z.int().min(10).max(86400).default(300).describe('a recording that is paused ends after this'),
  silenceS: z.int().min(2).max(3600).default(15).describe('without media so long, the session ends on both sides'),
  lingerS: z.int().min(0).max(3600).default(10).describe('source stays open this long after its last viewer'),
  takeOverS: z.int().min(1).max(300).default(30).describe('a source that dies under its viewers: they are kept so long while the other sources of the resource are tried'),
  tcpForS: z.int().min(0).max(2592000).default(86400).describe('a camera whose UDP is lossy (media.loss.tcpAbovePercent) is asked over TCP, and again so for this long; 0: never; one with a transport of its own is left alone'),
});

const devices = z.strictObject({
  known: z.array(device).max(100000).default([]).describe('devices with credentials of their own'),
  admit: z.array(unknownRule).max(256).default([]).describe('rules that admit devices not listed; empty: deny'),
  redirects: z.array(redirect).max(64).default([]).describe('devices of the 2022 edition that shall register elsewhere: 302'),
  minExpiresS: z.int().min(10).max(86400).default(60).describe('shorter registrations get 423'),
  maxExpiresS: z.int().min(60).max(604800).default(86400).describe('longer registrations are shortened'),
  keepaliveS: z.int().min(5).max(3600).default(60).describe('keepalive interval that devices are set to'),
  keepaliveMisses: z.int().min(1).max(10).default(3).describe('so many missed keepalives and a device is offline'),
  keepaliveRevives: z.boolean().default(true).describe('a keepalive within the binding brings a device back without a new REGISTER'),
  catalogOnRegister: z.boolean().default(true).describe('ask for the catalogue when a device registers'),
  catalogEveryS: z.int().min(0).max(604800).default(86400).describe('and again so often; 0: only on registration'),
  subscribe: z
    .strictObject({
      catalog: z.boolean().default(false).describe('changes of their catalogue, so that nobody has to ask for it'),
      alarm: z.boolean().default(false).describe('alarms, of devices that send them to subscribers only'),
      position: z.boolean().default(false).describe('positions of every device; false: only of channels that a platform subscribed by their ID'),
      positionIntervalS: z.int().min(1).max(3600).default(5).describe('interval of positions that we ask for'),
      expiresS: z.int().min(30).max(86400).default(3600).describe('asked for; refreshed at 80 % of what is granted'),
      pollS: z.int().min(10).max(86400).default(600).describe('a device that refuses is asked for its catalogue so often'),
    })
    .prefault({})
    .describe('what is subscribed at every device'),
  ptzHoldS: z.int().min(0).max(3600).default(10).describe('so long after a PTZ command nobody of lower priority steers that camera; STOP always passes; 0: at any time'),
  localPriority: z.int().min(0).max(255).default(100).describe('of operators of this gateway itself, like priority of an upstream'),
  gap: deviceGapSchema.prefault({}).describe('where a network gap stands between devices and us: what was declared'),
  media: deviceMedia.prefault({}).describe('live media from devices'),
});

const ports = z.strictObject({
  mode: z.enum(['range', 'fixed']).default('range').describe('fixed: one port per transport, told apart by SSRC (for a gap)'),
  first: port.default(30000).describe('range: first port, shared out over the instances'),
  last: port.default(39999).describe('range: last port'),
  fixedUdp: port.default(10000).describe('fixed: the UDP port'),
  fixedTcp: port.default(10000).describe('fixed: the TCP port'),
});

const loss = z.strictObject({
  minWaitMs: z.int().min(0).max(500).default(50).describe('a missing packet is waited for at least so long'),
  maxWaitMs: z.int().min(20).max(2000).default(500).describe('and at most so long, whatever the jitter'),
  tcpAbovePercent: z.number().min(0.01).max(100).default(0.5).describe('a UDP source that loses more than this over 10 s is lossy'),
  nack: z.boolean().default(true).describe('between two ViewLink gateways: ask for lost packets again (RFC 4585)'),
});

const strain = z.strictObject({
  memoryPercent: z.int().min(0).max(99).default(90).describe('of MemoryHigh or MemoryMax of its unit, file cache left out'),
  memoryStallPercent: z.int().min(0).max(100).default(20).describe('of the time in which something in it waited for memory'),
  cpuStallPercent: z.int().min(0).max(100).default(40).describe('of the time in which all that would run in it waited for a processor'),
  stealPercent: z.int().min(0).max(100).default(50).describe('of the processors taken by the hypervisor'),
  lateMs: z.int().min(0).max(10000).default(400).describe('what is due comes so much too late, second after second'),
  holdS: z.int().min(1).max(60).default(3).describe('so long one of these, and something is given up; then it is looked again for so long'),
  calmS: z.int().min(1).max(3600).default(30).describe('so long none of them, by a fifth, and the last step is taken back; longer when it was too early'),
});

const media = z.strictObject({
  instances: z.int().min(1).max(32).default(1).describe('mediad processes: viewlink-mediad@1 to @N'),
  downstreamAddress: ipOrEmpty.default('').describe('media address toward devices; empty: the SIP address that the device uses'),
  upstreamAddress: ipOrEmpty.default('').describe('media address toward upstreams; empty: the SIP address that the upstream uses'),
  ports: ports.prefault({}).describe('local media ports'),
  connectTimeoutS: z.int().min(1).max(60).default(10).describe('an upstream that never connects'),
  receiveBufferKiB: z.int().min(64).max(65536).default(4096).describe('socket buffer of a source; net.core.rmem_max is the ceiling'),
  dscp: z.int().min(0).max(63).default(0).describe('DSCP of media that we send over UDP: 34 (AF41) is usual for video'),
  freebind: z.boolean().default(false).describe('media addresses may be bound before this node has them: for a pair'),
  orphanS: z.int().min(10).max(86400).default(300).describe('a silent source is closed when no daemon was connected for this long'),
  maxBridges: z.int().min(1).max(100000).default(1000).describe('running sources per instance; more get 486'),
  maxBitrateMbps: z.int().min(0).max(1000000).default(0).describe('an instance that receives and sends so much takes no new source; 0: no limit'),
  maxCpuPercent: z.int().min(0).max(100).default(90).describe('nor does one that uses so much of its core; 0: no limit'),
  gopKiB: z.int().min(0).max(65536).default(8192).describe('pictures since the last key picture, kept for each channel that players, converters or snapshots take, so that who joins sees at once; a longer group is not kept; 0: never'),
  keyPictureKiB: z.int().min(0).max(8192).default(192).describe('the last key picture of every channel that runs, kept so that snapshots and the first player of a channel need not wait for the next one; a larger picture is not kept; 0: never'),
  loss: loss.prefault({}).describe('what is done about packets that do not come'),
  strain: strain.prefault({}).describe('when an instance is short of memory or processor and gives up viewers of outlets, then transcodes, then takes no new sessions; 0 in one of them: not looked at'),
});

const portOrOff = z.int().min(0).max(65535);

const outletUser = z.strictObject({
  name: word.describe('user name'),
  ha1: z.string().regex(/^[0-9a-f]{32}$/, 'expected 32 lower-case hex digits').describe('MD5 of name:viewlink:password').meta({ secret: 'hash' }),
  channels: z.array(z.string().regex(/^(\*|\d{1,20})$/, 'expected * or up to 20 digits')).max(10000).default(['*']).describe('device or channel IDs or prefixes that it may see; *: all'),
  priority: z.int().min(0).max(255).default(100).describe('under strain viewers of lower numbers are ended first; who comes with a token has devices.localPriority'),
});

const outletPush = z.strictObject({
  channel: z.string().regex(/^(\d{20}-)?\d{18,20}$/, 'expected a channel ID, or DEVICE-CHANNEL where two devices have the same').describe('channel that is opened and kept open'),
  streamNumber: z.int().min(0).max(99).default(0).describe('0: main stream'),
  url: z.string().max(1024).refine(text => parseRtmpUrl(text).ok, 'expected rtmp://ADDRESS[:PORT]/APP/STREAM').describe('where it goes; what stands behind the app is never logged').meta({ secret: 'url' }),
  hevc: z.enum(['enhanced', 'legacy']).default('enhanced').describe('H.265 as FourCC hvc1, or as codec id 12 for servers that know nothing else'),
  retryS: z.int().min(1).max(600).default(5).describe('first wait after a failure; grows up to 12 times this'),
});

const outlets = z.strictObject({
  address: ipOrEmpty.default('').describe('local address of all outlets; empty: none listens'),
  rtspPort: portOrOff.default(0).describe('RTSP, TCP; 554 is usual; 0: off; further mediad instances take the next numbers, here and below'),
  rtmpPort: portOrOff.default(0).describe('RTMP: play, and publish to inlets; 1935 is usual; 0: off'),
  httpPort: portOrOff.default(0).describe('HTTP and WebSocket: FLV, fMP4, HLS, WHEP, snapshots; 0: off'),
  webrtcPort: portOrOff.default(0).describe('WebRTC: one UDP port for all viewers, beside httpPort where they ask (WHEP); 0: off'),
  users: z.array(outletUser).max(1000).default([]).describe('who may watch with name and password'),
  tokenKey: z.string().regex(/^[\x21-\x7e]{32,256}$/, 'expected 32 to 256 printable characters').optional().describe('secret that signs the tokens of URLs; without it no token is valid').meta({ secret: 'whole' }),
  maxViewers: z.int().min(1).max(10000).default(256).describe('per mediad instance'),
  connectionsPerAddress: z.int().min(1).max(10000).default(64).describe('HTTP and RTMP connections from one address; more are closed at once'),
  origins: z
    .array(z.string().max(MAX_TEXT).regex(/^https?:\/\/[^\s/]+$/, 'expected http://HOST[:PORT]'))
    .max(64)
    .default([])
    .describe('web pages of these may read the HTTP outlets and open WebSockets, besides pages from the address of the outlet itself'),
  pushes: z.array(outletPush).max(256).default([]).describe('channels that are pushed to RTMP servers; shared out over the mediad instances'),
});

const inlet = z.strictObject({
  id: gbId.describe('20-digit channel ID under which it is published'),
  name: z.string().min(1).max(128).describe('its name in catalogues'),
  kind: z.enum(['rtsp', 'rtmp']).describe('rtsp: we pull it; rtmp: it is published to outlets.rtmpPort as /inlet/ID'),
  url: z.string().max(1024).regex(/^rtsp:\/\/[^\s@]+$/, 'expected rtsp://host[:port]/path without user and password').optional().describe('rtsp: address of the stream'),
  subUrl: z.string().max(1024).regex(/^rtsp:\/\/[^\s@]+$/, 'expected rtsp://host[:port]/path without user and password').optional().describe('rtsp: address of its sub-stream'),
  username: plainText.max(64).default('').describe('rtsp: user'),
  password: z.string().max(128).regex(/^[^\0\r\n]*$/, 'expected one line').optional().describe('rtsp: password').meta({ secret: 'whole' }),
  transport: z.enum(['tcp', 'udp']).default('tcp').describe('rtsp: how media comes'),
  key: z.string().regex(/^[\x21-\x7e]{16,128}$/, 'expected 16 to 128 printable characters').optional().describe('rtmp: secret of the publisher, ?key= in its URL').meta({ secret: 'whole' }),
  civilCode: z.string().regex(/^\d{0,8}$/, 'expected up to 8 digits').default('').describe('civil code in catalogues'),
});

const resource = z.strictObject({
  id: gbId.describe('ID of the camera, whichever way it is reached; an upstream that already knows one of its sources by an ID keeps that'),
  name: z.string().min(1).max(128).optional().describe('its name; default: that of its first source'),
  sources: z
    .array(z.strictObject({ device: gbId.describe('device or platform ID'), channel: gbId.describe('channel ID there') }))
    .min(1)
    .max(16)
    .describe('ways to it, best first: the first that works is played, the next ones take over; one alone keeps it out of resourceRules'),
});

const resourceRules = z.strictObject({
  sameId: z.boolean().default(false).describe('the same 20-digit channel ID under two devices is one camera; of a platform below only with returned: publish, here and below'),
  sameAddress: z.boolean().default(false).describe('the same IPAddress and Port in two catalogues is one camera'),
  sameName: z.boolean().default(false).describe('the same name in the same civil code under two devices is one camera'),
});

export const gatewaySchema = z.strictObject({
  version: z.int().min(1).max(10_000).default(1).describe('of the schema that this file is written for; an older file is brought up to date by itself'),
  node: z.strictObject({ name: word.default('gateway').describe('name of this node in logs') }).prefault({}).describe('this machine; in a pair each node has its own'),
  sip: sip.prefault({}).describe('SIP signalling: our identity and where we listen'),
  devices: devices.prefault({}).describe('below us: cameras, NVRs and platforms that register here'),
  channels: z.array(channelFactsSchema).max(100000).default([]).describe('what devices do not say of single channels, or say wrong'),
  upstreams: z.array(upstream).max(64).default([]).describe('platforms above us'),
  media: media.prefault({}).describe('relay of the media itself'),
  transcode: transcodeSchema.prefault({}).describe('pictures and sound turned into other sizes, rates and codecs, by ffmpeg'),
  outlets: outlets.prefault({}).describe('channels for players and other systems; a valid token or a user is needed'),
  inlets: z.array(inlet).max(10000).default([]).describe('streams that are not GB/T 28181, published as channels'),
  resources: z.array(resource).max(100000).default([]).describe('cameras with more than one way to them: one resource upward, and a source that dies is replaced under its viewers'),
  resourceRules: resourceRules.prefault({}).describe('such cameras found by themselves; resources goes first (vlink show resources)'),
  health: healthSchema.prefault({}).describe('what healthd measures, keeps and raises alarms about'),
  cluster: clusterSchema.prefault({}).describe('a second node that takes over'),
  state: z.strictObject({ directory: directory.default('/var/lib/viewlink').describe('database of sipd') }).prefault({}).describe('what survives a restart; in a pair each node has its own'),
  rpc: z.strictObject({ directory: directory.default('/run/viewlink').describe('sockets of the daemons') }).prefault({}).describe('local control; in a pair each node has its own'),
  api: apiSchema.prefault({}).describe('HTTP interface for integrators and monitoring; vlink api first-password gives the first log-in'),
  host: hostSchema.prefault({}).describe('this machine: packet filter, and who is shut out'),
  trace: traceSchema.prefault({}).describe('what was said is kept for a while, to be looked at'),
  log: z.strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('least severity that is logged') }).prefault({}).describe('logs go to the journal, one JSON object a line'),
});

export type GatewayConfig = z.infer<typeof gatewaySchema>;
export type DeviceConfig = GatewayConfig['devices']['known'][number];
export type AdmitRule = GatewayConfig['devices']['admit'][number];
export type OutletsConfig = GatewayConfig['outlets'];
export type OutletPushConfig = OutletsConfig['pushes'][number];
export type InletConfig = GatewayConfig['inlets'][number];
export type ResourceConfig = GatewayConfig['resources'][number];
export type UpstreamConfig = GatewayConfig['upstreams'][number];
/** Top-level keys: the unit in which a reload is told to daemons. */
export type ConfigSection = keyof GatewayConfig;
