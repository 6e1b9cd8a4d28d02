/** A tar archive (POSIX ustar) of small files in memory, as every tool reads it. */
const BLOCK_BYTES = 512;
const MAX_NAME_BYTES = 100;
/** Owner reads and writes, nobody else. */
const MODE = '0000600';
const REGULAR_FILE = '0';

export interface TarEntry {
  /** Up to 100 bytes. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export function tar(entries: readonly TarEntry[], atWallMs: number): Buffer {
  const parts = entries.flatMap(({ name, bytes }) => [header(name, bytes.length, atWallMs), bytes, Buffer.alloc(-bytes.length & (BLOCK_BYTES - 1))]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');

function header(name: string, size: number, atWallMs: number): Buffer {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw new Error(`tar: a name of ${Buffer.byteLength(name)} bytes`);
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(name, 0);
  block.write(MODE, 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(Math.floor(atWallMs / 1000), 11), 136);
  // The sum is counted with blanks in its own place.
  block.fill(' ', 148, 156);
  block.write(REGULAR_FILE, 156);
  block.write('ustar\u000000', 257);
  block.write(`${octal(block.reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148);
  return block;
}
