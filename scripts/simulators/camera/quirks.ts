/** Misbehaviour that can be switched on, each as seen in the field. `number`: row of gb28181.md 11. */

interface QuirkFacts {
  readonly number?: number;
  readonly group: 'registration' | 'SIP' | 'XML' | 'catalogue' | 'answer' | 'session' | 'stream' | 'packets' | 'TCP';
  readonly help: string;
}

export const QUIRKS = {
  'no-digest': { group: 'registration', help: 'never sends Authorization' },
  'other-username': { number: 9, group: 'registration', help: 'digest user name is not the device ID' },
  'keepalive-only': { number: 6, group: 'registration', help: 'registers once and never again; only keepalives go on' },
  'no-keepalive': { group: 'registration', help: 'never sends keepalives' },
  'no-refresh': { group: 'registration', help: 'does not refresh its registration' },
  'short-expires': { group: 'registration', help: 'asks for 30 s whatever was configured' },
  'keepalive-twice': { group: 'registration', help: 'sends each keepalive twice, as two requests' },

  'content-length-zero': { number: 2, group: 'SIP', help: 'Content-Length: 0 although a body follows (UDP)' },
  'header-spaces': { number: 13, group: 'SIP', help: 'many spaces behind the colon of each header (UDP)' },
  'no-contact-in-200': { number: 15, group: 'SIP', help: '200 to INVITE without Contact (UDP)' },
  'lower-case-headers': { group: 'SIP', help: 'header names in lower case (UDP)' },
  'lf-sdp': { group: 'SIP', help: 'SDP with LF line ends' },

  'stray-markup': { number: 18, group: 'XML', help: 'bare & and < in names and addresses' },
  'mislabelled-charset': { number: 22, group: 'XML', help: 'UTF-8 octets under a GB2312 label' },
  'gb-under-utf8': { number: 22, group: 'XML', help: 'GB octets under a UTF-8 label' },
  'no-prologue': { number: 22, group: 'XML', help: 'no XML declaration' },
  'spaced-num': { number: 24, group: 'XML', help: 'DeviceList Num=" 2 " and lower-case tags' },

  'parent-null': { number: 26, group: 'catalogue', help: 'ParentID is the word null' },
  'parent-self': { number: 26, group: 'catalogue', help: 'every channel is its own parent' },
  'composite-parent': { number: 27, group: 'catalogue', help: 'ParentID of two IDs with a slash' },
  'no-parent': { number: 29, group: 'catalogue', help: 'no ParentID' },
  'late-first-part': { number: 30, group: 'catalogue', help: 'first part after 5 s' },
  'wrong-sumnum': { number: 31, group: 'catalogue', help: 'SumNum is three more than what comes' },
  'duplicate-items': { number: 31, group: 'catalogue', help: 'every item twice' },
  'no-sumnum-end': { number: 31, group: 'catalogue', help: 'the last part never comes' },
  'no-catalogue': { group: 'catalogue', help: 'answers 200 to the query and nothing more' },

  'own-ssrc': { number: 38, group: 'answer', help: 'echoes y= but sends another SSRC' },
  'own-y': { number: 38, group: 'answer', help: 'answers and sends an SSRC of its own' },
  'no-y': { number: 39, group: 'answer', help: 'no y= in the answer' },
  'null-y': { number: 40, group: 'answer', help: 'y=null in the answer' },
  'short-y': { group: 'answer', help: 'y= without leading zeros' },
  'garbage-f': { number: 41, group: 'answer', help: 'f= that nobody can read' },
  'setup-on-udp': { group: 'answer', help: 'a=setup lines although the transport is UDP' },
  'answers-active': { group: 'answer', help: 'answers a=setup:active to a=setup:active' },
  'other-payload-type': { number: 52, group: 'answer', help: 'PS under payload type 98' },
  'elementary': { group: 'answer', help: 'answers H.264 (98) or H.265 (100), whatever it has, and sends only that' },
  'no-rtpmap': { number: 52, group: 'answer', help: 'no a=rtpmap in the answer' },
  'third-party-media': { group: 'answer', help: 'c= names an address that is not ours' },

  'reject-486': { number: 62, group: 'session', help: 'answers every INVITE 486' },
  'busy': { number: 62, group: 'session', help: 'answers 486 while the channel is already playing' },
  'no-answer': { group: 'session', help: 'never answers an INVITE beyond 100' },
  'slow-answer': { group: 'session', help: 'answers an INVITE after 3 s, with 180 before' },
  'never-sends': { group: 'session', help: 'answers 200 and sends nothing' },
  'stops-sending': { group: 'session', help: 'stops after 3 s without BYE' },
  'hangs-up': { group: 'session', help: 'sends BYE after 3 s' },
  'no-bye-answer': { group: 'session', help: 'stops at BYE but does not answer it' },
  'early-media': { group: 'session', help: 'sends from its 200 on, without waiting for the ACK' },
  'no-key-frames': { group: 'session', help: 'does nothing when a key frame is asked for' },
  'no-scale': { number: 59, group: 'session', help: 'answers 400 to a change of speed of a recording' },
  'no-info-answer': { group: 'session', help: 'does not answer INFO at all' },
  'bare-info-answer': { group: 'session', help: 'answers INFO 200 without a body' },
  'recording-ends-with-bye': { group: 'session', help: 'BYE at the end of a recording, without MediaStatus' },
  'recording-ends-silently': { group: 'session', help: 'neither MediaStatus nor BYE at the end of a recording' },
  'media-status-outside': { number: 63, group: 'session', help: 'MediaStatus outside the dialog, and not under the ID of the channel' },
  'wrong-source-port': { group: 'session', help: 'sends from another port than its answer says (UDP)' },
  'wrong-target-port': { group: 'session', help: 'sends to the asked port plus 2 (UDP)' },

  'starts-mid-gop': { group: 'stream', help: 'begins with pictures that need an earlier one' },
  'private-pes': { number: 42, group: 'stream', help: 'private PES 0xBD between video and audio' },
  'bad-psm-crc': { number: 43, group: 'stream', help: 'wrong CRC in the program stream map' },
  'short-pack': { number: 44, group: 'stream', help: 'pack header cut to its start code' },
  'codec-flip': { number: 45, group: 'stream', help: 'map says H.264 and H.265 in turn' },
  'pes-length-zero': { number: 46, group: 'stream', help: 'PES_packet_length 0 in video' },
  'no-psm': { number: 47, group: 'stream', help: 'no program stream map' },
  'late-psm': { number: 48, group: 'stream', help: 'program stream map only from the third key frame on' },
  'aac-as-g711': { number: 49, group: 'stream', help: 'map says G.711 A-law over AAC (needs footage with AAC)' },
  'sample-clock': { number: 51, group: 'stream', help: 'audio PTS counts 8 kHz samples' },
  'pts-wrap': { number: 51, group: 'stream', help: 'PTS begins 4 s before a wrap at 32 bits' },

  'marker-never': { group: 'packets', help: 'marker bit never set' },
  'marker-always': { group: 'packets', help: 'marker bit on every packet' },
  'reorder': { number: 57, group: 'packets', help: 'every tenth packet changes place with the next (UDP)' },
  'loss': { group: 'packets', help: 'every hundredth packet is lost (UDP)' },
  'duplicates': { group: 'packets', help: 'every tenth packet twice (UDP)' },
  'rtp-extension': { group: 'packets', help: 'RTP header extension and padding on every packet' },
  'ssrc-restart': { group: 'packets', help: 'after 3 s a new SSRC, sequence and timestamp' },
  'first-audio-timestamp-zero': { group: 'packets', help: 'the first audio packets carry RTP timestamp 0' },

  'big-frames': { group: 'TCP', help: 'RTP payload of up to 60,000 bytes' },
  'dollar-framing': { number: 55, group: 'TCP', help: 'RTSP interleaved framing ($, channel, length)' },
  'zero-length-frames': { number: 56, group: 'TCP', help: 'empty frames in between' },
  'garbage-start': { number: 53, group: 'TCP', help: 'stale bytes before the first frame' },
  'port-9': { group: 'TCP', help: 'names port 9 when it is the one that connects (RFC 4145)' },
  'tcp-once': { number: 58, group: 'TCP', help: 'connects once and gives up' },
  'never-connects': { group: 'TCP', help: 'answers 200 and never connects' },
  'closes-tcp': { group: 'TCP', help: 'closes the connection after 3 s, without BYE' },
} as const satisfies Readonly<Record<string, QuirkFacts>>;

export type Quirk = keyof typeof QUIRKS;
export type Quirks = ReadonlySet<Quirk>;

export const NO_QUIRKS: Quirks = new Set();

export const isQuirk = (name: string): name is Quirk => Object.hasOwn(QUIRKS, name);

/** The list for `--help`, by group. */
export function describeQuirks(): string {
  const facts: readonly (readonly [string, QuirkFacts])[] = Object.entries(QUIRKS);
  const groups = [...new Set(facts.map(([, { group }]) => group))];
  const line = ([name, { number, help }]: readonly [string, QuirkFacts]): string => `    ${name.padEnd(28)}${number === undefined ? '      ' : `(${number})`.padEnd(6)}${help}`;
  return groups.map(group => [`  ${group}`, ...facts.filter(([, each]) => each.group === group).map(line)].join('\n')).join('\n');
}
