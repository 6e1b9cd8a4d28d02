/** The packets of a channel as they come from its camera and go to its viewers: counted, judged, and in a file. */
import { walkRtp } from '#core/diagnose/rtp-walk.ts';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { writeCapture } from '../wire/capture-file.ts';
import { type Captured, captured, mediaCaptureOf, packetsOf } from '../wire/captured.ts';
import { bridgeOf, type LegReport, legsOf } from '../wire/channel-legs.ts';
import { spanMs } from '../wire/duration.ts';
import { findingLines } from '../wire/findings-text.ts';
import { inventoryOf, targetOf } from '../wire/target.ts';

const DEFAULT_SECONDS = '10';
const MAX_SECONDS = 110;
const FOUND = 1;

function legLine({ role, transport, local, remote, packets, bytes, ssrcs }: LegReport): string {
  const arrow = role === 'source' ? `from ${remote} to ${local}` : `from ${local} to ${remote}`;
  return `${role.padEnd(6)}  ${transport}  ${arrow}: ${packets} packets, ${bytes} bytes, SSRC ${ssrcs.join(', ') || 'none'}`;
}

/** The program stream of the source, as far as it came. */
function payloadOf(taken: Captured, legs: readonly LegReport[]): readonly Uint8Array[] {
  const source = legs.findIndex(({ role }) => role === 'source');
  if (source < 0) return [];
  const { remote } = taken.legs[source]!;
  return walkRtp(packetsOf(taken, source, legs[source]!.agreed).packets.map(bytes => ({ bytes, ...remote }))).runs;
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
    if (args.file !== undefined) await writeCapture(args.file, mediaCaptureOf(taken, legs.map(({ agreed }) => agreed)));
    if (args.payload !== undefined) await writeCapture(args.payload, payloadOf(taken, legs));
    context.print({ channel: channel.channelId, deviceId: channel.deviceId, bridgeId, played: probeId !== null, dropped: taken.dropped, legs }, args.json, () => {
      const dropped = taken.dropped > 0 ? [`${taken.dropped} packets were not kept`] : [];
      const files = [args.file, args.payload].flatMap(path => (path === undefined ? [] : [`written: ${path}`]));
      return [...(legs.length === 0 ? ['nothing came'] : legs.map(legLine)), ...dropped, '', ...findingLines(legs.flatMap(({ findings }) => findings)), ...files].join('\n');
    });
    return legs.length === 0 || legs.some(({ findings }) => findings.some(({ severity }) => severity === 'wrong')) ? FOUND : 0;
  },
});
