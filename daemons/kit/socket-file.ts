/** Files of unix sockets: there as a whole or not at all, and never taken from a process that lives. */
import { chmod, mkdir, rename, stat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { GatewayError } from '#core/result.ts';

/**
 * Binds beside the path and renames over it, so that no client ever meets a half-made socket. Answers its inode. BAD_REQUEST: a
 * living process serves it. When the server closes the file stays, and refuses.
 */
export async function publishSocket(server: Server, path: string, mode: number): Promise<number | undefined> {
  await mkdir(dirname(path), { recursive: true });
  if (await isServed(path)) throw new GatewayError('BAD_REQUEST', { socket: path, why: 'another process serves it' });
  const temporary = join(dirname(path), `.${process.pid}.${(socketCount += 1)}`);
  await unlink(temporary).catch(() => undefined);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(temporary, resolve));
  await chmod(temporary, mode);
  await rename(temporary, path);
  return inodeOf(path);
}
let socketCount = 0;

export const inodeOf = (path: string): Promise<number | undefined> => stat(path).then(found => found.ino, () => undefined);

function isServed(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)).once('connect', () => socket.destroy());
  });
}
