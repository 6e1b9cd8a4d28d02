/**
 * What writer and reader of NUT share (nut.txt of the NUT project, version 3). NUT is the container toward and from ffmpeg: it carries
 * whole access units with exact 90 kHz time stamps of any size, and a frame is known to be complete with its last byte. A program or
 * transport stream tells the end of a picture by the begin of the next one (one picture of delay) and wraps its clock.
 */

export const NUT_ID = 'nut/multimedia container\0';

/** First two letters of a start code tell the packet: as two halves, since they are 64 bits wide. */
export const NUT_START = {
  main: [0x4e4d7a56, 0x1f5f04ad],
  stream: [0x4e531140, 0x5bf2f9db],
  syncpoint: [0x4e4be4ad, 0xeeca4569],
  index: [0x4e58dd67, 0x2f23e64e],
  info: [0x4e49ab68, 0xb596ba78],
} as const;
export type NutPacket = keyof typeof NUT_START;

export const FLAG = { key: 1, codedPts: 8, streamId: 16, sizeMsb: 32, checksum: 64, reserved: 128, sideData: 256, headerIdx: 1024, matchTime: 2048, coded: 4096, invalid: 8192 } as const;

/** A header with a longer forward_ptr carries a checksum of its own. */
export const LONG_PACKET_BYTES = 4096;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index << 24;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x80000000) !== 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc;
});

/** Generator 04C11DB7, start 0, nothing reflected. */
export function nutChecksum(bytes: ArrayLike<number>, start = 0, end = bytes.length): number {
  let crc = 0;
  for (let at = start; at < end; at++) crc = (crc << 8) ^ TABLE[((crc >>> 24) ^ bytes[at]!) & 0xff]!;
  return crc >>> 0;
}
