/** Subject of an INVITE (gb28181.md 2.6): `<senderId>:<senderStream>,<receiverId>:<receiverStream>`. */

export interface Subject {
  /** The channel that sends media. */
  readonly senderId: string;
  /** Stream sequence of at most 20 characters; many put the SSRC here. */
  readonly senderStream: string;
  /** Empty strings when the peer named no receiver. */
  readonly receiverId: string;
  readonly receiverStream: string;
}

const MAX_SUBJECT = 256;
const PARTY = /^([0-9A-Za-z]{1,64})(?::([0-9A-Za-z_.-]{0,64}))?$/;

/** Undefined when the sender cannot be read. */
export function parseSubject(text: string): Subject | undefined {
  if (text.length > MAX_SUBJECT) return undefined;
  const [first = '', second = ''] = text.split(',');
  const sender = PARTY.exec(first.trim());
  if (sender === null) return undefined;
  const receiver = PARTY.exec(second.trim());
  return { senderId: sender[1]!, senderStream: sender[2] ?? '', receiverId: receiver?.[1] ?? '', receiverStream: receiver?.[2] ?? '' };
}

export const formatSubject = ({ senderId, senderStream, receiverId, receiverStream }: Subject): string => `${senderId}:${senderStream},${receiverId}:${receiverStream}`;
