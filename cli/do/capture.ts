/** The packets of a channel as they come from its camera and go to its viewers: counted, judged, and in a file. */
import type { CaptureLeg } from '#contracts/mediad.ts';
import type { ChannelRow } from '#contracts/sipd.ts';
import type { Finding } from '#core/diagnose/rule.ts';
import { walkRtp } from '#core/diagnose/rtp-walk.ts';
import { type Agreed, validateMedia } from '#core/diagnose/validate-media.ts';
import { GatewayError } from '#core/result.ts';
import { systemRandom } from '#kit/random.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { agreedOn } from '../wire/agreed.ts';
import { writeCapture } from '../wire/capture-file.ts';
import { type Captured, captured, mediaCaptureOf, packetsOf } from '../wire/captured.ts';
import { spanMs } from '../wire/duration.ts';
import { findingLines } from '../wire/findings-text.ts';
import { recorded } from '../wire/recorded.ts';
import { idsOfChannel, inventoryOf, targetOf } from '../wire/target.ts';

const DEFAULT_SECONDS = '10';
const MAX_SECONDS = 110;
/** A camera that is asked only now may take some time. */
const START_SECONDS = 10;
const FOUND = 1;

export interface LegReport {
  readonly role: CaptureLeg['role'];
  readonly transport: CaptureLeg['transport'];
  readonly local: string;
  readonly remote: string;
  readonly packets: number;
  readonly bytes: number;
  readonly ssrcs: readonly string[];
  readonly agreed: Agreed;
  readonly findings: readonly Finding[];
}

/** Where its packets pass; a channel that nobody watches is played for this. */
export async function bridgeOf(context: Context, { deviceId, channelId }: ChannelRow, seconds: number): Promise<{ readonly bridgeId: string; readonly instance: string; readonly probeId: string | null }> {
  return context.sipd(async client => {
    const { sources } = await client.call('summary', {});
    const running = sources.find(source => source.deviceId === deviceId && source.channelId === channelId);
    if (running !== undefined) return { bridgeId: running.bridgeId, instance: running.instance, probeId: null };
    const probeId = systemRandom.hex(6);
    return { ...(await client.call('openProbe', { probeId, deviceId, channelId, seconds: seconds + START_SECONDS })), probeId };
  });
}

export async function legsOf(context: Context, channel: ChannelRow, taken: Captured): Promise<LegReport[]> {
  const { messages } = await context.sipd(client => recorded(client, { needles: idsOfChannel(channel) }));
  const legs = taken.legs.map((leg, index) => {
    const packets = packetsOf(taken, index).map(({ bytes }) => ({ bytes, ...leg.remote }));
    const agreed = agreedOn(leg, messages);
    const place = ({ address, port }: { address: string; port: number }): string => `${address}:${port}`;
    const remote = place(leg.remote);
    return {
      role: leg.role,
      transport: leg.transport,
      local: place(leg.local),
      remote,
      packets: packets.length,
      bytes: packets.reduce((sum, { bytes }) => sum + bytes.length, 0),
      ssrcs: [...walkRtp(packets).ssrcs].map(ssrc => `0x${ssrc.toString(16).padStart(8, '0')}`),
      agreed,
      findings: validateMedia(packets, agreed, leg.role === 'source' ? remote : 'us'),
    };
  });
  // What a camera does wrong passes through: it is no fault of ours.
  const passed = new Set(legs.filter(({ role }) => role === 'source').flatMap(({ findings }) => findings.map(({ id }) => id)));
  return legs.map(leg => (leg.role === 'source' ? leg : { ...leg, findings: leg.findings.filter(({ id }) => !passed.has(id)) }));
}

function legLine({ role, transport, local, remote, packets, bytes, ssrcs }: LegReport): string {
  const arrow = role === 'source' ? `from ${remote} to ${local}` : `from ${local} to ${remote}`;
  return `${role.padEnd(6)}  ${transport}  ${arrow}: ${packets} packets, ${bytes} bytes, SSRC ${ssrcs.join(', ') || 'none'}`;
}

/** The program stream of the source, as far as it came. */
function payloadOf(taken: Captured): readonly Uint8Array[] {
  const source = taken.legs.findIndex(({ role }) => role === 'source');
  return source < 0 ? [] : walkRtp(packetsOf(taken, source).map(({ bytes }) => ({ bytes, ...taken.legs[source]!.remote }))).runs;
}

export default defineCommand({
  path: 'capture',
  access: 'diagnose',
  help: 'the packets of a channel from its camera and to its viewers, judged; plays it when nobody does; exit code 1 when a rule is broken or nothing comes',
  args: {
    channel: { type: 'argument', help: 'channel ID, the ID that an upstream knows it by, DEVICE-CHANNEL, or a part of its name' },
    seconds: { type: 'option', help: `how long; default ${DEFAULT_SECONDS}` },
    file: { type: 'option', values: 'file', help: 'write a capture file for Wireshark' },
    payload: { type: 'option', values: 'file', help: 'write the payload of the source alone: a program stream that players take' },
    json: JSON_FLAG,
  },
  async run(context, args) {
    const seconds = spanMs('seconds', args.seconds ?? DEFAULT_SECONDS) / 1000;
    if (seconds < 1 || seconds > MAX_SECONDS) throw new GatewayError('BAD_REQUEST', { seconds, why: `expected 1 to ${MAX_SECONDS}` });
    const { channel } = targetOf(args.channel, await context.sipd(inventoryOf));
    if (channel === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { channel: args.channel });
    const { bridgeId, instance, probeId } = await bridgeOf(context, channel, seconds);
    const taken = await captured(context, instance, bridgeId, seconds);
    const legs = await legsOf(context, channel, taken);
    if (probeId !== null) await context.sipd(client => client.call('closeProbe', { probeId }));
    if (args.file !== undefined) await writeCapture(args.file, mediaCaptureOf(taken));
    if (args.payload !== undefined) await writeCapture(args.payload, payloadOf(taken));
    context.print({ channel: channel.channelId, deviceId: channel.deviceId, bridgeId, played: probeId !== null, dropped: taken.dropped, legs }, args.json, () => {
      const dropped = taken.dropped > 0 ? [`${taken.dropped} packets were not kept`] : [];
      const files = [args.file, args.payload].flatMap(path => (path === undefined ? [] : [`written: ${path}`]));
      return [...(legs.length === 0 ? ['nothing came'] : legs.map(legLine)), ...dropped, '', ...findingLines(legs.flatMap(({ findings }) => findings)), ...files].join('\n');
    });
    return legs.length === 0 || legs.some(({ findings }) => findings.some(({ severity }) => severity === 'wrong')) ? FOUND : 0;
  },
});
