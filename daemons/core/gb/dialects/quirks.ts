/**
 * What peers in the field do otherwise (gb28181.md 11) and what becomes of it here, one entry a row of that table.
 *
 * `always`: taken as it comes from everybody, because nobody is harmed. `switch`: said per peer, or by its dialect. `elsewhere`: it
 * concerns others than us. Each that concerns us names a test that shows it.
 */
export interface QuirkRule {
  /** Row of gb28181.md 11. */
  readonly quirk: number;
  readonly who: string;
  readonly what: string;
  readonly coping: 'always' | 'switch' | 'elsewhere';
  /** What we do; of `elsewhere`, why nothing. */
  readonly does: string;
  /** Key of the configuration, of a switch. */
  readonly key?: string;
  /** Test file, and words that stand in it. */
  readonly shown?: readonly [file: string, words: string];
}

type Rest = Pick<QuirkRule, 'key' | 'shown'>;
const rule = (coping: QuirkRule['coping']) => (quirk: number, who: string, what: string, does: string, rest: Rest = {}): QuirkRule => ({ quirk, who, what, coping, does, ...rest });
const always = rule('always');
const peer = rule('switch');
const elsewhere = rule('elsewhere');

const QUIRKS_TEST = 'test/wire/gateway-quirks.test.ts';
const here = (file: string, words: string): Rest => ({ shown: [file, words] });
const through = (simulated: string): Rest => here(QUIRKS_TEST, `'${simulated}'`);

export const QUIRK_RULES: readonly QuirkRule[] = [
  always(1, 'Hikvision cameras', 'a keepalive that is not answered makes them register anew', 'strangers get 404 or 403 to a keepalive, which makes them register', here('test/core/gb/registrar.test.ts', '404')),
  always(2, 'Hikvision', 'Content-Length 0 or wrong although a body follows', 'over UDP the datagram is as long as it is', through('content-length-zero')),
  always(3, 'Hikvision platforms', 'stumble over odd tags and branches', 'ours are those of RFC 3261', here('test/core/sip/transactions.test.ts', 'branch')),
  peer(4, 'Hikvision platforms', 'wrong channel states in NOTIFYs', 'states are ignored, items are taken', { key: 'devices.known[].notifiedStatus', ...here('test/wire/gateway-downward.test.ts', 'quirk 4') }),
  always(5, 'Huawei', 'SUBSCRIBE without Expires', 'a default is granted', here('test/core/sip/subscription.test.ts', 'without Expires')),
  peer(6, 'Huawei', 'only heartbeats after it was offline', 'a keepalive within the binding brings it back', { key: 'devices.keepaliveRevives', ...here('test/wire/gateway-timers.test.ts', 'quirk 6') }),
  peer(7, 'Huawei recorders', 'unreachable by their Contact behind NAT', 'requests go where the REGISTER came from', { key: 'devices.known[].contactElsewhere', ...here('test/wire/gateway-registrar.test.ts', 'contactElsewhere') }),
  always(8, 'Huawei', 'password mismatches because uri or realm differ', 'the digest is computed over what the header says, and why it was refused is shown', here('test/core/sip/digest.test.ts', 'uri')),
  always(9, 'several', 'another user in Authorization than in From', 'the digest is that of the user in the header, the password that of the device', through('other-username')),
  always(10, 'several', 'endless 401 after a change of address', 'the nonce is bound to the address, a new one is offered as stale', here('test/core/sip/digest.test.ts', 'stale')),
  always(11, 'some recorders', 'another source port with each REGISTER', 'the ID is the device; its address is the latest', here('test/core/gb/registrar.test.ts', 'quirk 11')),
  always(12, 'devices in loops', 'floods of REGISTER', 'rates per source, before anything is computed', here('test/wire/gateway-floods.test.ts', 'REGISTER')),
  always(13, 'several', 'spaces behind colons', 'they mean nothing', through('header-spaces')),
  always(14, 'several', 'break at odd branches', 'the ACK to a 2xx has a branch of its own', here('test/core/sip/user-agent.test.ts', 'ACK')),
  always(15, 'any', '200 to INVITE without Contact', 'the request URI stands in', through('no-contact-in-200')),
  always(16, 'platforms above', 'INVITE without Subject', 'the channel is in the request, or in u=', here('test/wire/gateway-upstream.test.ts', 'quirk 16')),
  always(17, 'platforms above', 'From and To swapped', 'who sent it counts, not what it says', through('swapped-from')),
  always(18, 'Hikvision', 'stray < > & in names', 'what is no markup is text', through('stray-markup')),
  always(19, 'Hikvision', 'long RecordInfo with stray markup', 'as any other XML', here('test/core/gb/controls.test.ts', 'RecordInfo')),
  peer(20, 'Uniview', 'names that no charset fits', 'a charset for its device', { key: 'devices.known[].charset', ...here('test/kit/charset.test.ts', 'quirks 20') }),
  always(21, 'many', 'characters beyond GB2312', 'read as GB 18030', here('test/kit/charset.test.ts', 'gb18030')),
  always(22, 'many', 'octets of another charset than declared', 'the octets tell', through('mislabelled-charset')),
  always(23, 'LiveQing, LiveGBS', 'MANSCDP in UTF-8', 'as declared', here('test/kit/charset.test.ts', 'utf-8')),
  always(24, 'several', 'lower-case elements, numbers with spaces', 'both mean the same', through('spaced-num')),
  always(25, 'Uniview', 'configuration block under another name', 'told by what is in it', here('test/wire/gateway-questions.test.ts', 'quirk 25')),
  always(26, 'several', 'ParentID null, or itself', 'no parent', through('parent-null')),
  peer(27, 'several', 'ParentID of several IDs', 'the last that exists; upward one or all', { key: 'upstreams[].view.compositeParents', ...through('composite-parent') }),
  peer(28, 'WVP above', 'flattens deep trees', 'a tree of another shape', { key: 'upstreams[].view.tree', ...here('test/core/gb/catalog-tree.test.ts', 'flat') }),
  always(29, 'Hikvision recorders', 'no ParentID', 'the device is the parent', through('no-parent')),
  always(30, 'several', 'the first part comes late', 'two minutes for the first', here('test/core/gb/catalog.test.ts', 'quirk 30')),
  always(31, 'several', 'SumNum wrong, items twice', 'silence ends it, an ID counts once', through('duplicate-items')),
  always(32, 'Mercury', 'odd record queries', 'unknown elements mean nothing', here('test/core/gb/controls.test.ts', 'quirks 31')),
  always(33, 'UNIS', 'times with zones, fractions, single digits', 'all of them are read', here('test/core/gb/manscdp.test.ts', 'quirk 33')),
  always(34, 'several', 'no list when there are no records', 'none', here('test/core/gb/controls.test.ts', '34')),
  always(35, 'several', 'record answers that stop halfway', 'what came is passed on', here('test/core/gb/controls.test.ts', '35')),
  always(36, 'several', 'mix up answers to parallel questions', 'one question at a time for a device', here('test/core/gb/controls.test.ts', 'quirk 36')),
  always(37, 'several', 'alarms and positions under the ID of the device', 'its only channel, else the device', here('test/wire/gateway-alarms.test.ts', 'quirk 37')),
  peer(38, 'Hikvision', 'sends another SSRC than y= says', 'the one that comes is taken', { key: 'devices.known[].ssrc', ...through('own-ssrc') }),
  always(39, 'many', 'no y= in the answer', 'what was asked for', through('no-y')),
  always(40, 'WVP', 'y=null', 'as if there were none', through('null-y')),
  always(41, 'many', 'an f= line that nobody can read', 'left out', through('garbage-f')),
  always(42, 'Hikvision', 'private PES between the others', 'passed over by its length', through('private-pes')),
  always(43, 'Dahua', 'wrong CRC in the map', 'no CRC is asked for', through('bad-psm-crc')),
  always(44, 'Hikvision', 'pack header cut short', 'the next start code counts', through('short-pack')),
  always(45, 'Keda', 'the map changes its mind about the codec', 'NAL headers know better', through('codec-flip')),
  always(46, 'many', 'PES length 0', 'it ends at the next start code', through('pes-length-zero')),
  always(47, 'some', 'no map, no PTS in sound', 'told by the bytes; times are made up', through('no-psm')),
  always(48, 'some', 'the map comes late', 'pictures are waited for', through('late-psm')),
  always(49, 'some', 'AAC that is called G.711', 'ADTS is known by its words', through('aac-as-g711')),
  always(50, 'TP-Link', 'sound that is declared and never comes', 'nobody waits for it', here('test/core/media/units.test.ts', 'from what a source gives to what takers may rely on')),
  always(51, 'Hikvision', 'PTS of 32 bits, sound in samples', 'unwrapped and scaled', through('pts-wrap')),
  always(52, 'some', 'another payload type, no rtpmap', 'the first bytes tell', through('other-payload-type')),
  always(53, 'some TCP senders', 'stale bytes at first', 'begins at a header that fits', through('garbage-start')),
  always(54, 'Ehome-like', 'private headers', 'passed over', here('test/core/rtp/tcp-framing.test.ts', 'quirk 54')),
  always(55, 'some', 'RTSP framing on the GB port', 'read', through('dollar-framing')),
  always(56, 'SRS', 'frames of no length, headers cut anywhere', 'a stream, never packets', through('zero-length-frames')),
  always(57, 'many', 'packets out of order', 'put in order', through('reorder')),
  peer(58, 'devices', 'connect once and give up', 'we listen before we ask; or we connect', { key: 'devices.known[].transport', ...through('tcp-once') }),
  peer(59, 'Hikvision recorders', 'refuse to be steered', 'their refusal is passed on; or they are not asked', { key: 'devices.known[].steering', ...here('test/wire/gateway-recordings.test.ts', 'cannot be steered') }),
  always(60, 'Dahua recorders', 'a pause looks like a lost stream', 'silence is meant while it is paused', here('test/wire/gateway-recordings.test.ts', 'a pause longer than the limit of silence')),
  always(61, 'several', 'time stamps of fast playback are not scaled', 'where it stands is told by the clock', here('test/core/gb/playback-session.test.ts', 'where it stands')),
  peer(62, 'several', '486 to the second playback of a channel', 'asked once more after a second', { key: 'devices.known[].busyRetry', ...here('test/core/gb/source-session.test.ts', 'busy') }),
  always(63, 'Hikvision', 'MediaStatus under another ID, outside the dialog', 'by its dialog, its channel, its device', here('test/wire/gateway-recordings.test.ts', 'media-status-outside')),
  always(64, 'Dahua', 'sound in the map that is switched off', 'nobody waits for it', here('test/core/media/units.test.ts', 'from what a source gives to what takers may rely on')),
  always(65, 'Hikvision', 'H.265 that is not declared', 'the map and the bytes tell', here('test/core/ps/demux.test.ts', 'h265')),
  always(66, 'Monibuca', 'SSRC not found over TCP', 'the connection is the session', here('test/wire/mediad.test.ts', 'tcp-passive')),
  peer(67, 'Hikvision loudspeakers', 'want mu-law', 'made of what comes', { key: 'devices.known[].talkCodec', ...here('test/wire/gateway-voice.test.ts', 'the other law') }),
  peer(68, 'Dahua', 'silent when told by broadcast; wants sound with the 200', 'called with s=Talk; sound at once', { key: 'devices.known[].talkMode', ...here('test/wire/gateway-voice.test.ts', 'sound with the 200') }),
  always(69, 'Keda', 'wants source, target and f= in the voice INVITE', 'they always stand there', here('test/wire/gateway-voice.test.ts', 'under the SSRC that it asked for')),
  always(70, 'platforms above', 'offer sound alone', 'accepted', through('audio-only')),
  always(71, 'LiveGBS above', 'BYE that comes late or never', 'the camera is let go with BYE, or when nobody takes its packets', here('test/wire/gateway-legs.test.ts', 'no-bye')),
  elsewhere(72, 'EasyGBS, LiveGBS, WVP', 'were tried with a simulator of others', 'nothing follows from it'),
  elsewhere(73, 'Dahua above', 'compatibility of recorders', 'the report names no behaviour'),
  always(74, 'LiveGBS, EasyGBS', 'BasicParam of 2011 with server and password', 'read, and never passed on', here('test/wire/gateway-questions.test.ts', 'hunter2')),
  elsewhere(75, 'Ezviz', 'nothing is known', 'nothing follows from it'),
  always(76, 'WVP', 'SumNum of NOTIFYs in two ways', 'its items are counted', here('test/wire/gateway-downward.test.ts', 'with a total that is none')),
  always(77, 'WVP below', 'no ParentID', 'a flat tree', through('no-parent')),
  always(78, 'Hikvision SDK', 'timers of its own', 'what it asks for within our bounds', here('test/core/gb/registrar.test.ts', 'minExpiresS')),
];
