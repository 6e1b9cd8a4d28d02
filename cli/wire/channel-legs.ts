/** The legs of a channel: where its packets pass, and what they are. */
import type { CaptureLeg } from '#contracts/mediad.ts';
import type { ChannelRow } from '#contracts/sipd.ts';
import type { Finding } from '#core/diagnose/rule.ts';
import { walkRtp } from '#core/diagnose/rtp-walk.ts';
import { type Agreed, validateMedia } from '#core/diagnose/validate-media.ts';
import { systemRandom } from '#kit/random.ts';
import type { Context } from '../command.ts';
import { agreedOn } from './agreed.ts';
import { type Captured, packetsOf } from './captured.ts';
import { recorded } from './recorded.ts';
import { idsOfChannel } from './target.ts';

/** A camera that is asked only now may take some time. */
const START_SECONDS = 10;

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
    const agreed = agreedOn(leg, messages);
    const { packets: all, tcp } = packetsOf(taken, index, agreed);
    const packets = all.map(bytes => ({ bytes, ...leg.remote }));
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
      findings: validateMedia(packets, agreed, leg.role === 'source' ? remote : 'us', tcp?.facts),
    };
  });
  // What a camera does wrong passes through: it is no fault of ours.
  const passed = new Set(legs.filter(({ role }) => role === 'source').flatMap(({ findings }) => findings.map(({ id }) => id)));
  return legs.map(leg => (leg.role === 'source' ? leg : { ...leg, findings: leg.findings.filter(({ id }) => !passed.has(id)) }));
}
