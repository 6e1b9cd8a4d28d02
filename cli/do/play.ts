import { GatewayError } from '#core/result.ts';
import { allChannels } from '../all-channels.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { wholeNumber } from '../values.ts';

const DEFAULT_MINUTES = 60;
/** A year and a day. */
const MAX_MINUTES = 527_040;

/** As URLs name it: its ID, with its device where two devices have the same. */
async function channelNamed(context: Context, text: string): Promise<string> {
  if (/^\d{20}-\d{20}$/.test(text)) return text;
  const rows = await context.sipd(client => allChannels(client));
  const byId = rows.filter(({ channelId, mapped }) => channelId === text || mapped.some(({ id }) => id === text));
  const found = byId.length > 0 ? byId : rows.filter(({ name }) => name.includes(text));
  const [row] = found;
  if (row === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { channel: text });
  if (found.length > 1) throw new GatewayError('BAD_REQUEST', { channel: text, why: `${found.length} channels fit; name one as DEVICE-CHANNEL, e.g. ${row.deviceId}-${row.channelId}` });
  const twins = rows.filter(({ channelId }) => channelId === row.channelId).length;
  return twins > 1 ? `${row.deviceId}-${row.channelId}` : row.channelId;
}

export default defineCommand({
  path: 'play',
  access: 'watch',
  help: 'addresses where a channel can be watched, with a token; for a player, e.g. ffplay "$(vlink play CHANNEL --only rtsp)"',
  args: {
    channel: { type: 'argument', help: 'channel ID, the ID that an upstream knows it by, DEVICE-CHANNEL, or a part of its name' },
    stream: { type: 'option', help: 'stream number; 0: main stream (default)', values: [] },
    minutes: { type: 'option', help: `how long the token is valid; default ${DEFAULT_MINUTES}`, values: [] },
    only: { type: 'option', help: 'one protocol, and nothing but its address', values: ['rtsp', 'rtmp', 'flv', 'ws-flv', 'fmp4', 'ws-fmp4', 'hls', 'webrtc', 'snapshot'] },
    json: JSON_FLAG,
  },
  async run(context, { channel, stream, minutes, only, json }) {
    const params = { channel: await channelNamed(context, channel), streamNumber: wholeNumber('stream', stream, { min: 0, max: 99, otherwise: 0 }), minutes: wholeNumber('minutes', minutes, { min: 1, max: MAX_MINUTES, otherwise: DEFAULT_MINUTES }) };
    const [instance] = await context.mediadInstances();
    if (instance === undefined) throw new GatewayError('DAEMON_UNREACHABLE', { daemon: 'mediad' });
    const answer = await context.mediad(instance, client => client.call('outletUrls', params));
    const urls = only === undefined ? answer.urls : answer.urls.filter(({ protocol }) => protocol === only);
    if (urls.length === 0) throw new GatewayError('BAD_REQUEST', { why: only === undefined ? 'no outlet is on: set outlets.address and a port' : `no outlet ${only}; there is ${answer.urls.map(({ protocol }) => protocol).join(', ')}` });
    context.print({ ...answer, urls }, json, () => (only === undefined ? urls.map(({ protocol, url }) => `${protocol.padEnd(8)}  ${url}`).join('\n') : urls[0]!.url));
    return 0;
  },
});
