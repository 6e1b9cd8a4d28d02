/**
 * RTP payloads that came over TCP may be up to 64 KiB long; a datagram should fit the path (gb28181.md 6.5). A program stream may be
 * cut anywhere: pieces share the timestamp, only the last keeps the marker, numbers are consecutive.
 */

/** Payload bytes of one datagram: what GB/T 28181 senders use. */
export const MAX_PIECE_BYTES = 1400;
/** A payload that came as one datagram of an Ethernet path leaves as it came: 1500 - IPv4 20 - UDP 8 - RTP 12. */
export const MAX_DATAGRAM_PAYLOAD_BYTES = 1460;

/** How many pieces a payload becomes; 1 for an empty one. */
export const pieceCount = (payloadLength: number): number => Math.max(1, Math.ceil(payloadLength / MAX_PIECE_BYTES));

/** Length of piece `piece` (0-based). All are full except the last. */
export const pieceLength = (payloadLength: number, piece: number): number => Math.min(MAX_PIECE_BYTES, payloadLength - piece * MAX_PIECE_BYTES);
