/** Misbehaviour of a platform that can be switched on: for the whole platform, or for one play. */

interface MischiefFacts {
  readonly group: 'registration' | 'INVITE' | 'SDP' | 'media' | 'end';
  readonly help: string;
}

export const MISCHIEF = {
  'ignore-register': { group: 'registration', help: 'never answers REGISTER' },
  'reject-register': { group: 'registration', help: 'answers REGISTER 403' },
  'foreign-realm': { group: 'registration', help: 'challenges with a realm that is not its own' },
  'stale-nonce': { group: 'registration', help: 'the first right answer gets a new challenge with stale=true' },
  'short-expires': { group: 'registration', help: 'grants 30 s' },
  'no-date': { group: 'registration', help: '200 to REGISTER without Date' },
  'ignore-keepalive': { group: 'registration', help: 'never answers keepalives' },
  'reject-keepalive': { group: 'registration', help: 'answers keepalives 403' },

  'no-subject': { group: 'INVITE', help: 'INVITE without Subject (quirk 16)' },
  'swapped-from': { group: 'INVITE', help: 'From names the channel (quirk 17)' },
  'duplicate-invite': { group: 'INVITE', help: 'INVITE three times more, same branch (UDP)' },
  'no-ack': { group: 'INVITE', help: 'never sends the ACK' },
  'late-ack': { group: 'INVITE', help: 'ACK 2 s after the 200' },
  'cancel-at-once': { group: 'INVITE', help: 'CANCEL before any answer' },
  'cancel-after-100': { group: 'INVITE', help: 'CANCEL at the first provisional answer' },
  'cancel-crossing': { group: 'INVITE', help: 'CANCEL about when the 200 leaves' },
  'refuses-reinvite': { group: 'INVITE', help: 'answers a re-INVITE of the sender 488, also where it is over TCP' },

  'no-y': { group: 'SDP', help: 'no y=' },
  'long-y': { group: 'SDP', help: 'y= of eleven digits' },
  'no-setup': { group: 'SDP', help: 'TCP without a=setup' },
  'third-party-address': { group: 'SDP', help: 'c= names somebody else' },
  'unspecified-address': { group: 'SDP', help: 'c= 0.0.0.0' },
  'zero-port': { group: 'SDP', help: 'port 0' },
  'odd-port': { group: 'SDP', help: 'odd UDP port' },
  'elementary': { group: 'SDP', help: '98 H264 and 100 H265, no program stream' },
  'h264-only': { group: 'SDP', help: '98 H264 and nothing else' },
  'audio-only': { group: 'SDP', help: 'm=audio with G.711 A-law alone (quirk 70)' },
  'many-payloads': { group: 'SDP', help: '96 97 98 100 with their rtpmaps' },

  'never-connects': { group: 'media', help: 'says a=setup:active and never connects' },
  'stops-reading': { group: 'media', help: 'reads nothing from its TCP connection' },
  'closes-tcp': { group: 'media', help: 'closes the media connection after 2 s, without BYE' },
  'one-connection': { group: 'media', help: 'listens (TCP) until somebody connects; after a re-INVITE again, at another port' },
  'closes-port': { group: 'media', help: 'closes its UDP port after 2 s, without BYE' },

  'no-bye': { group: 'end', help: 'goes away without BYE' },
  'no-bye-answer': { group: 'end', help: 'does not answer BYE' },
  'bye-glare': { group: 'end', help: 'sends its own BYE when one comes, before it answers' },
} as const satisfies Readonly<Record<string, MischiefFacts>>;

export type Mischief = keyof typeof MISCHIEF;
export type Mischiefs = ReadonlySet<Mischief>;

export const NO_MISCHIEF: Mischiefs = new Set();

export const isMischief = (name: string): name is Mischief => Object.hasOwn(MISCHIEF, name);

/** The list for `--help`, by group. */
export function describeMischief(): string {
  const facts: readonly (readonly [string, MischiefFacts])[] = Object.entries(MISCHIEF);
  const groups = [...new Set(facts.map(([, { group }]) => group))];
  return groups.map(group => [`  ${group}`, ...facts.filter(([, each]) => each.group === group).map(([name, { help }]) => `    ${name.padEnd(24)}${help}`)].join('\n')).join('\n');
}
