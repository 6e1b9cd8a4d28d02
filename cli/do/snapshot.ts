import { writeFile } from 'node:fs/promises';
import { MAX_SNAPSHOT_WIDTH } from '#core/media/snapshot-plan.ts';
import { GatewayError } from '#core/result.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { wholeNumber } from '../values.ts';

export default defineCommand({
  path: 'snapshot',
  access: 'watch',
  help: 'writes the picture of a channel as a JPEG',
  args: {
    channel: { type: 'argument', help: 'channel ID, or DEVICE-CHANNEL' },
    file: { type: 'argument', help: 'default: CHANNEL.jpg', optional: true },
    stream: { type: 'option', help: '0: main stream (default)', values: [] },
    width: { type: 'option', help: 'pixels; default: as the picture', values: [] },
    json: JSON_FLAG,
  },
  async run(context, { channel, file, stream, width, json }) {
    const [first = '1'] = await context.mediadInstances();
    const instance = (await instanceOf(context, channel)) ?? first;
    const params = { channel, streamNumber: wholeNumber('stream', stream, { min: 0, max: 99, otherwise: 0 }), width: width === undefined ? null : wholeNumber('width', width, { min: 1, max: MAX_SNAPSHOT_WIDTH, otherwise: 0 }) };
    context.progress(`${channel}: waiting for a picture`);
    const { jpegBase64, tookMs } = await context.mediad(instance, client => client.call('snapshot', params, { timeoutMs: SNAPSHOT_TIMEOUT_MS })).finally(() => context.progress(''));
    const path = file ?? `${channel}.jpg`;
    const jpeg = Buffer.from(jpegBase64, 'base64');
    try {
      await writeFile(path, jpeg);
    } catch (error) {
      throw new GatewayError('BAD_REQUEST', { file: path, why: (error as Error).message }, { cause: error });
    }
    context.print({ file: path, bytes: jpeg.length, tookMs }, json, () => `${path}: ${jpeg.length} bytes, after ${tookMs} ms`);
    return 0;
  },
});

/** A camera may be asked first. */
const SNAPSHOT_TIMEOUT_MS = 60_000;

/** Where the channel runs already, on this node; one on the other node is fed from here. */
async function instanceOf(context: Context, channel: string): Promise<string | undefined> {
  const sessions = await context.sipd(client => client.call('listSessions', {}));
  const instance = sessions.find(session => session.channelId === channel || `${session.deviceId}-${session.channelId}` === channel)?.instance;
  return instance?.includes('/') === true ? undefined : instance;
}
