/**
 * "Why is channel X not playing": walks channel, register, catalogue, invite, ports, rtp, ps, upstream and names the
 * first broken step with the evidence. Judging is a pure function over facts that others collect.
 */
import type { BridgeStats, StrayReport } from '#contracts/mediad.ts';
import type { WhyReport, WhyStep } from '#contracts/sipd.ts';

type Evidence = WhyStep['evidence'];

/** The last time that somebody tried to play the channel, and how it ended. */
export interface Attempt {
  readonly ageMs: number;
  readonly phase: 'opening' | 'inviting' | 'answered' | 'flowing' | 'ended';
  /** What its source does, when this is what feeds it. */
  readonly feeds: string | null;
  readonly failure: { readonly code: string; readonly why: string; readonly status?: number } | null;
  readonly cameraAnswered: boolean;
  readonly flowed: boolean;
  /** As it was when it ended, or as it is now. */
  readonly bridge: BridgeStats | null;
  readonly strays: readonly StrayReport[];
  /** Datagrams that reached this host on ports where nobody listens, while the attempt ran (UDP NoPorts). Null: not counted. */
  readonly noPortDatagrams: number | null;
  readonly localMedia: string | null;
  readonly transport: string;
  /** Why it was asked otherwise than configured. */
  readonly learnt: string | null;
}

export interface Refusal {
  readonly deviceId: string;
  readonly status: number;
  readonly why: string;
  readonly from: string;
  readonly ageMs: number;
}

/** A channel that is no GB/T 28181 camera. */
export interface InletFacts {
  readonly kind: 'rtsp' | 'rtmp';
  /** Where it comes from, without credentials. */
  readonly place: string;
  readonly isOnline: boolean;
  /** Why not, when mediad said so. */
  readonly why: string | null;
}

export interface WhyFacts {
  readonly asked: string;
  readonly channel: { readonly deviceId: string; readonly channelId: string; readonly name: string; readonly status: 'ON' | 'OFF'; /** Of its picture: said by the device, or seen by us. */ readonly fault: string | null } | null;
  /** More than one fits a name. */
  readonly candidates: number;
  readonly device: {
    readonly id: string;
    readonly configured: boolean;
    readonly state: 'online' | 'offline';
    readonly reason: string | null;
    readonly address: string | null;
    readonly lastKeepaliveAgeMs: number | null;
    readonly catalog: { readonly state: string; readonly expected: number; readonly received: number };
  } | null;
  /** Recent refused registrations: of the device, or, when the channel is unknown, of devices that might hold it. */
  readonly refusals: readonly Refusal[];
  readonly mediadUp: boolean;
  readonly portsFree: number | null;
  /** What keeps every media process from taking a new source; null: one of them does. */
  readonly refuses: string | null;
  /** What media processes give up for want of memory or processor. */
  readonly strained: readonly string[];
  readonly attempt: Attempt | null;
  /** Null: a camera of GB/T 28181. */
  readonly inlet: InletFacts | null;
  readonly viewers: readonly { readonly upstream: string; readonly phase: string; readonly sinkState: string | null; readonly packets: number }[];
}

const ok = (step: WhyStep['step'], says: string, evidence: Evidence = {}): WhyStep => ({ step, verdict: 'ok', says, evidence });
const broken = (step: WhyStep['step'], says: string, evidence: Evidence = {}): WhyStep => ({ step, verdict: 'broken', says, evidence });
const unknown = (step: WhyStep['step'], says: string, evidence: Evidence = {}): WhyStep => ({ step, verdict: 'unknown', says, evidence });

export function judge(facts: WhyFacts): WhyReport {
  const steps: WhyStep[] = [];
  const walks = facts.inlet === null ? [judgeRegister, judgeCatalogue, judgePorts, judgeInvite, judgeRtp, judgePs] : [judgeInlet, judgePorts, judgePull];
  for (const walk of [judgeChannel, ...walks, judgeUpstream]) {
    const step = walk(facts);
    steps.push(step);
    if (step.verdict === 'broken') break;
  }
  const first = steps.find(step => step.verdict === 'broken');
  return { channel: facts.channel?.channelId ?? facts.asked, verdict: first === undefined ? 'playable' : 'broken', firstBroken: first?.step ?? null, steps };
}

function judgeChannel(facts: WhyFacts): WhyStep {
  const { channel, device, refusals, asked } = facts;
  if (channel !== null) return ok('channel', `channel ${channel.channelId} belongs to device ${channel.deviceId}`, { deviceId: channel.deviceId, channelId: channel.channelId, status: channel.status });
  if (device !== null) return ok('channel', `${asked} is a device`, { deviceId: device.id });
  if (facts.candidates > 1) return broken('channel', `"${asked}" fits ${facts.candidates} channels; give DEVICE/CHANNEL, or the ID that a platform knows`, { candidates: facts.candidates });
  if (refusals.length === 1) return unknown('channel', `no catalogue lists ${asked}; one device of its region is being refused and may hold it`, { suspect: refusals[0]!.deviceId });
  return broken('channel', `no device has announced a channel ${asked}; check the ID and the device's catalogue (vlink catalog refresh DEVICE)`, { refusedDevices: refusals.length });
}

function judgeRegister({ device, refusals }: WhyFacts): WhyStep {
  const refusal = refusals[0];
  if (device?.state === 'online') {
    return ok('register', `device ${device.id} is registered from ${device.address ?? '?'}`, { address: device.address, lastKeepaliveAgeMs: device.lastKeepaliveAgeMs });
  }
  if (refusal !== undefined) {
    return broken('register', `device ${refusal.deviceId} was refused ${Math.round(refusal.ageMs / 1000)} s ago: ${refusal.why}`, {
      deviceId: refusal.deviceId,
      status: refusal.status,
      from: refusal.from,
      ageMs: Math.round(refusal.ageMs),
    });
  }
  if (device === null) return broken('register', 'the device never registered', {});
  return broken('register', `device ${device.id} is offline: ${device.reason ?? 'never registered'}`, {
    deviceId: device.id,
    reason: device.reason,
    address: device.address,
    lastKeepaliveAgeMs: device.lastKeepaliveAgeMs,
  });
}

function judgeInlet({ inlet, attempt }: WhyFacts): WhyStep {
  const { kind, place, isOnline } = inlet!;
  const why = inlet!.why ?? attempt?.failure?.why ?? null;
  const evidence = { kind, place, why };
  if (isOnline || attempt?.flowed === true) return ok('register', `an inlet of this gateway, there: ${place}`, evidence);
  const says = kind === 'rtsp' ? `the camera does not answer at ${place}` : 'nobody publishes it';
  return broken('register', why === null ? says : `${says}: ${why}`, evidence);
}

/** What INVITE, RTP and PS are to other cameras. */
function judgePull({ attempt }: WhyFacts): WhyStep {
  if (attempt === null) return unknown('invite', 'nobody has tried to play it since the start; try again with --probe');
  const evidence = { ageMs: Math.round(attempt.ageMs), code: attempt.failure?.code ?? null, codecs: attempt.bridge?.source.codecs.join(' ') ?? null, units: attempt.bridge?.source.packets ?? 0 };
  if (attempt.flowed) return ok('invite', 'pictures came when it was last played', evidence);
  if (attempt.failure !== null) return broken('invite', attempt.failure.why, evidence);
  return unknown('invite', 'it is being opened', evidence);
}

function judgeCatalogue({ channel, device, asked }: WhyFacts): WhyStep {
  const counts = { state: device?.catalog.state ?? 'none', expected: device?.catalog.expected ?? 0, received: device?.catalog.received ?? 0 };
  if (channel === null && asked === device?.id) {
    return counts.received > 0 ? ok('catalogue', `${counts.received} items are known`, counts) : broken('catalogue', 'the device has not given its catalogue (vlink catalog refresh DEVICE)', counts);
  }
  if (channel === null) return broken('catalogue', 'the device is registered but its catalogue has not this channel', counts);
  // What we saw ourselves is looked at again below.
  if (channel.fault !== null) return ok('catalogue', `the device lists it, its picture was ${channel.fault}`, { ...counts, fault: channel.fault });
  if (channel.status === 'OFF') return broken('catalogue', 'the device itself reports this channel as OFF', { ...counts, status: 'OFF' });
  return ok('catalogue', `the device lists it as ON`, counts);
}

function judgePorts({ mediadUp, portsFree, refuses, strained, attempt }: WhyFacts): WhyStep {
  if (!mediadUp) return broken('ports', 'no media process is running (systemctl status "viewlink-mediad@*")');
  if (attempt?.failure?.code === 'PORTS_EXHAUSTED' || portsFree === 0) return broken('ports', 'every media port is taken: widen media.ports or end sessions', { portsFree });
  if (attempt?.failure?.code === 'MEDIA_UNAVAILABLE') return broken('ports', attempt.failure.why, { portsFree });
  if (refuses !== null && attempt?.phase !== 'flowing') return broken('ports', `no media process takes a new source: ${refuses}`, { portsFree });
  if (strained.length > 0) return ok('ports', `a media port is to be had, but a media process is short of something: ${strained.join('; ')}`, { portsFree, localMedia: attempt?.localMedia ?? null });
  return ok('ports', 'a media port is to be had', { portsFree, localMedia: attempt?.localMedia ?? null });
}

function judgeInvite({ attempt }: WhyFacts): WhyStep {
  if (attempt === null) return unknown('invite', 'nobody has tried to play it since the start; try again with --probe');
  const evidence = { ageMs: Math.round(attempt.ageMs), status: attempt.failure?.status ?? null, code: attempt.failure?.code ?? null, transport: attempt.transport, learnt: attempt.learnt };
  if (attempt.cameraAnswered && attempt.failure?.code !== 'SIP_REJECTED') return ok('invite', `the camera accepted the INVITE${attempt.learnt === null ? '' : ` (over ${attempt.transport}: ${attempt.learnt})`}`, evidence);
  if (attempt.failure !== null) return broken('invite', attempt.failure.why, evidence);
  return unknown('invite', 'the INVITE is on its way', evidence);
}

function judgeRtp({ attempt }: WhyFacts): WhyStep {
  if (attempt === null) return unknown('rtp', 'not tried');
  const source = attempt.bridge?.source;
  const evidence: Record<string, string | number | boolean | null> = {
    localMedia: attempt.localMedia,
    packets: source?.packets ?? 0,
    lost: source?.lost ?? 0,
    noPortDatagrams: attempt.noPortDatagrams,
  };
  for (const [reason, count] of Object.entries(source?.dropped ?? {})) evidence[`dropped.${reason}`] = count;
  if (attempt.flowed && source === undefined) return ok('rtp', 'media flowed when it was last played', evidence);
  if (attempt.flowed || (source?.packets ?? 0) > 0) return ok('rtp', `${source?.packets ?? 0} packets came, ${source?.lost ?? 0} lost`, evidence);
  if (!attempt.cameraAnswered) return unknown('rtp', 'the camera has not answered yet', evidence);
  const stray = attempt.strays.find(report => report.bridgeId === attempt.bridge?.bridgeId) ?? attempt.strays[0];
  if (stray?.reason === 'wrong-port') {
    const from = `${stray.from.address}:${stray.from.port}`;
    return broken('rtp', `the camera sends to the wrong port: ${stray.count} packets from ${from} came to ${stray.localPort} and not to ${attempt.localMedia ?? 'ours'}`, { ...evidence, from, strayPort: stray.localPort });
  }
  if (stray !== undefined) {
    const from = `${stray.from.address}:${stray.from.port}`;
    return broken('rtp', `${stray.count} packets from ${from} to port ${stray.localPort} were refused: ${stray.reason}`, { ...evidence, from, strayPort: stray.localPort, reason: stray.reason });
  }
  const dropped = Object.values(source?.dropped ?? {}).reduce((sum, count) => sum + count, 0);
  if (dropped > 0) return broken('rtp', `${dropped} packets came and were dropped`, evidence);
  const others = (attempt.noPortDatagrams ?? 0) > 0 ? ` (this host had ${attempt.noPortDatagrams} datagrams for closed ports meanwhile, of whomever)` : '';
  return broken('rtp', `the camera accepted but sent nothing to ${attempt.localMedia ?? 'our port'}: look for a firewall between, or set its media transport to TCP${others}`, evidence);
}

function judgePs({ attempt }: WhyFacts): WhyStep {
  const source = attempt?.bridge?.source;
  if (source === undefined || source.packets === 0) return unknown('ps', attempt?.flowed === true ? 'it plays no more; --probe looks into its packets' : 'no packet to look into');
  const evidence = { payload: source.payload, codecs: source.codecs.join(',') || null };
  if (source.payload === 'unknown') return broken('ps', 'packets come, but they are no program stream', evidence);
  return ok('ps', source.codecs.length > 0 ? `program stream with ${source.codecs.join(' and ')}` : 'payload is passed through', evidence);
}

function judgeUpstream({ viewers }: WhyFacts): WhyStep {
  const stuck = viewers.find(viewer => viewer.phase === 'active' && viewer.packets === 0);
  if (stuck !== undefined) return broken('upstream', `${stuck.upstream} asked and was answered, but takes no media (${stuck.sinkState ?? 'no sink'})`, { upstream: stuck.upstream, sinkState: stuck.sinkState });
  return ok('upstream', viewers.length === 0 ? 'nobody is watching now' : `${viewers.length} watching`, { viewers: viewers.length });
}
