/** Recorded messages as a capture file. */
import { writeFile } from 'node:fs/promises';
import { concatBytes } from '#core/bytes.ts';
import type { Passed } from '#core/diagnose/passed.ts';
import { CaptureWriter } from '#core/pcap/capture.ts';
import { GatewayError } from '#core/result.ts';

/** Whoever may read it reads addresses and signalling. */
const FILE_MODE = 0o600;

export async function writeCapture(path: string, parts: readonly Uint8Array[]): Promise<void> {
  try {
    await writeFile(path, concatBytes(...parts), { mode: FILE_MODE });
  } catch (error) {
    throw new GatewayError('BAD_REQUEST', { file: path, why: error instanceof Error ? error.message : String(error) });
  }
}

export function captureOf(messages: readonly Passed[]): Uint8Array[] {
  const writer = new CaptureWriter();
  return [
    writer.header(),
    ...messages.map(({ atWallMs, direction, transport, local, remote, connectionId, bytes }) => {
      const [from, to] = direction === 'in' ? [remote, local] : [local, remote];
      return transport === 'UDP' ? writer.datagram(atWallMs, from, to, bytes) : writer.stream(atWallMs, from, to, bytes, String(connectionId));
    }),
  ];
}
