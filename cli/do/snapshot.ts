import { writeFile } from 'node:fs/promises';
import { GatewayError } from '#core/result.ts';
import { type Context, defineCommand } from '../command.ts';

export default defineCommand({
  path: 'snapshot',
  access: 'watch',
  help: 'writes the picture of a channel as a JPEG',
  args: {
    channel: { type: 'argument', help: 'channel ID, or DEVICE-CHANNEL' },
    file: { type: 'argument', help: 'default: CHANNEL.jpg', optional: true },
    stream: { type: 'option', help: '0: main stream (default)' },
    width: { type: 'option', help: 'pixels; default: as the picture' },
  },
  async run(context, { channel, file, stream, width }) {
    const [first = '1'] = await context.mediadInstances();
    const instance = (await instanceOf(context, channel)) ?? first;
    const params = { channel, streamNumber: numberOf('stream', stream) ?? 0, width: numberOf('width', width) };
    const { jpegBase64, tookMs } = await context.mediad(instance, client => client.call('snapshot', params, { timeoutMs: SNAPSHOT_TIMEOUT_MS }));
    const path = file ?? `${channel}.jpg`;
    const jpeg = Buffer.from(jpegBase64, 'base64');
    try {
      await writeFile(path, jpeg);
    } catch (error) {
      throw new GatewayError('BAD_REQUEST', { file: path, why: (error as Error).message }, { cause: error });
    }
    context.out(`${path}: ${jpeg.length} bytes, after ${tookMs} ms`);
    return 0;
  },
});

/** A camera may be asked first. */
const SNAPSHOT_TIMEOUT_MS = 60_000;

/** Where the channel runs already. */
async function instanceOf(context: Context, channel: string): Promise<string | undefined> {
  const sessions = await context.sipd(client => client.call('listSessions', {}));
  return sessions.find(session => session.channelId === channel || `${session.deviceId}-${session.channelId}` === channel)?.instance;
}

function numberOf(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^\d{1,5}$/.test(text)) throw new GatewayError('BAD_REQUEST', { [name]: text, why: 'expected a number' });
  return Number(text);
}
