/** A device that is registered with us, probed through sipd: asked, steered to a stop, played to nobody, and judged by what it said and sent. */
import type { ChannelRow, DeviceRow } from '#contracts/sipd.ts';
import { DEVICE_POINTS as POINTS } from '#core/diagnose/device-points.ts';
import type { Passed } from '#core/diagnose/passed.ts';
import type { Judged, PointFacts, PointRow } from '#core/diagnose/platform-points.ts';
import type { Finding } from '#core/diagnose/rule.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { PTZ_STOP } from '#core/gb/ptz.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Context } from '../command.ts';
import { bridgeOf, type LegReport, legsOf } from './channel-legs.ts';
import { captured } from './captured.ts';
import { pause } from './pause.ts';
import { decode, recorded } from './recorded.ts';

export interface DeviceProbe {
  readonly rows: readonly PointRow[];
  /** Of its media. */
  readonly findings: readonly Finding[];
}

const LOOK_EVERY_MS = 200;
const ANSWER_MS = 5000;
const CATALOG_MS = 15_000;
const BYE_MS = 8000;
const LIVE_SECONDS = 3;
const KEEPALIVE_MS = 180_000;
const DAY_MS = 86_400_000;
const HOLD_MS = 1000;

const right = (seen: string): Judged => ({ verdict: 'right', seen });
const loose = (seen: string): Judged => ({ verdict: 'loose', seen });
const wrong = (seen: string): Judged => ({ verdict: 'wrong', seen });
const untried = (seen: string): Judged => ({ verdict: 'not tried', seen });

type Step = readonly [point: PointFacts, judge: () => Promise<Judged>];

export async function probeDevice(context: Context, device: DeviceRow, channel: ChannelRow | undefined, onStep: (asks: string) => void): Promise<DeviceProbe> {
  const visit = new Visit(context, device, channel);
  const rows: PointRow[] = [];
  for (const [point, judge] of visit.steps()) {
    onStep(point.asks);
    rows.push({ ...point, ...(await judged(judge)) });
  }
  return { rows, findings: visit.findings };
}

/** What a daemon refuses is an answer too. */
async function judged(judge: () => Promise<Judged>): Promise<Judged> {
  try {
    return await judge();
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code === 'DAEMON_UNREACHABLE') throw error;
    const why = [error.code.toLowerCase().replaceAll('_', ' '), String(error.detail['why'] ?? '')].filter(word => word !== '').join(': ');
    return error.code === 'NOT_PERMITTED' || error.code === 'BAD_REQUEST' ? untried(why) : wrong(why);
  }
}

class Visit {
  findings: readonly Finding[] = [];
  readonly #context: Context;
  readonly #device: DeviceRow;
  readonly #channel: ChannelRow | undefined;
  #legs: readonly LegReport[] = [];
  #source: LegReport | undefined;
  #played = false;

  constructor(context: Context, device: DeviceRow, channel: ChannelRow | undefined) {
    this.#context = context;
    this.#device = device;
    this.#channel = channel;
  }

  steps(): readonly Step[] {
    return [
      [POINTS.registered, () => this.#registered()],
      [POINTS.keepalive, () => this.#keepalive()],
      [POINTS.catalog, () => this.#catalog()],
      [POINTS.deviceInfo, () => this.#query('DeviceInfo', wrong)],
      // Many cameras have never heard of it.
      [POINTS.deviceStatus, () => this.#query('DeviceStatus', loose)],
      [POINTS.records, () => this.#ofChannel(channel => this.#records(channel))],
      [POINTS.ptzStop, () => this.#ofChannel(channel => this.#ptzStop(channel))],
      [POINTS.live, () => this.#ofChannel(channel => this.#live(channel))],
      [POINTS.media, () => this.#media()],
      [POINTS.bye, () => this.#bye()],
      [POINTS.udp, () => this.#transport('udp', false)],
      [POINTS.tcpPassive, () => this.#transport('tcp', false)],
      [POINTS.tcpActive, () => this.#transport('tcp', true)],
    ];
  }

  #ofChannel(judge: (channel: ChannelRow) => Promise<Judged>): Promise<Judged> {
    return this.#channel === undefined ? Promise.resolve(untried('no channel of it is known')) : judge(this.#channel);
  }

  async #registered(): Promise<Judged> {
    const { state, reason, address, transport, expiresInMs } = this.#device;
    return state === 'online' ? right(`from ${address ?? '?'} over ${transport ?? '?'}, for ${Math.round((expiresInMs ?? 0) / 1000)} s more`) : wrong(reason ?? 'offline');
  }

  async #keepalive(): Promise<Judged> {
    const age = this.#device.lastKeepaliveAgeMs;
    if (age === null) return untried('none since it registered');
    return age < KEEPALIVE_MS ? right(`${Math.round(age / 1000)} s ago`) : wrong(`${Math.round(age / 1000)} s ago`);
  }

  async #catalog(): Promise<Judged> {
    const { id } = this.#device;
    const since = clock.wall();
    await this.#context.sipd(client => client.call('refreshCatalog', { deviceId: id }));
    const view = await this.#until(CATALOG_MS, async () => {
      const row = (await this.#context.sipd(client => client.call('listDevices', {}))).find(device => device.id === id);
      const { state, atWallMs } = row!.catalog;
      return (state === 'complete' || state === 'partial') && atWallMs !== null && atWallMs >= since ? row!.catalog : undefined;
    });
    if (view === undefined) return wrong(`not complete within ${CATALOG_MS / 1000} s`);
    return view.state === 'complete' ? right(`${view.received} items`) : wrong(`${view.received} of ${view.expected} items`);
  }

  async #query(cmdType: 'DeviceInfo' | 'DeviceStatus', unanswered: (seen: string) => Judged): Promise<Judged> {
    const { id } = this.#device;
    const sinceWallMs = clock.wall();
    const { sn, accepted } = await this.#context.sipd(client => client.call('probeQuery', { deviceId: id, cmdType }));
    if (!accepted) return wrong('the query itself was not answered 200');
    const answer = await this.#until(ANSWER_MS, async () => (await this.#messages(sinceWallMs)).map(bodyOf).find(body => body?.root === 'Response' && body.cmdType === cmdType && body.sn === sn));
    return answer === undefined ? unanswered(`200, and no Response within ${ANSWER_MS / 1000} s`) : right(`answered: ${summaryOf(answer.body)}`);
  }

  async #records({ deviceId, channelId }: ChannelRow): Promise<Judged> {
    const toWallMs = clock.wall();
    const { complete, records, missing } = await this.#context.sipd(client => client.call('records', { channel: `${deviceId}/${channelId}`, fromWallMs: toWallMs - DAY_MS, toWallMs, author: this.#author }));
    return complete ? right(`${records.length} of the last day`) : wrong(`${missing} of ${records.length + missing} were announced and never came`);
  }

  async #ptzStop({ deviceId, channelId }: ChannelRow): Promise<Judged> {
    const sinceWallMs = clock.wall();
    await this.#context.sipd(client => client.call('ptz', { channel: `${deviceId}/${channelId}`, command: PTZ_STOP, holdMs: HOLD_MS, author: this.#author }));
    const status = await this.#until(ANSWER_MS, async () => this.#answerTo(await this.#messages(sinceWallMs), message => this.#isHere(message) && bodyOf(message)?.cmdType === 'DeviceControl'));
    if (status === undefined) return wrong('no answer');
    return status === 200 ? right('200') : wrong(String(status));
  }

  get #author(): { readonly user: string; readonly via: 'cli'; readonly address: string | null } {
    const { user, address } = this.#context.identity;
    return { user, via: 'cli', address };
  }

  async #live(channel: ChannelRow): Promise<Judged> {
    const { bridgeId, instance, probeId } = await bridgeOf(this.#context, channel, LIVE_SECONDS);
    this.#played = probeId !== null;
    const taken = await captured(this.#context, instance, bridgeId, LIVE_SECONDS);
    this.#legs = await legsOf(this.#context, channel, taken);
    if (probeId !== null) await this.#context.sipd(client => client.call('closeProbe', { probeId }));
    this.#source = this.#legs.find(({ role }) => role === 'source');
    this.findings = this.#source?.findings ?? [];
    if (this.#source !== undefined) return right(`${this.#source.packets} packets in ${LIVE_SECONDS} s over ${this.#source.transport}`);
    const why = await this.#context.sipd(client => client.call('why', { channel: `${channel.deviceId}/${channel.channelId}`, probe: false }));
    return wrong(why.steps.find(({ verdict }) => verdict === 'broken')?.says ?? `nothing came within ${LIVE_SECONDS} s`);
  }

  async #media(): Promise<Judged> {
    if (this.#source === undefined) return untried('nothing came');
    if (this.findings.length === 0) return right('no rule is broken');
    const seen = this.findings.map(({ id }) => id).join(', ');
    return this.findings.some(({ severity }) => severity === 'wrong') ? wrong(seen) : loose(seen);
  }

  async #bye(): Promise<Judged> {
    if (!this.#played) return untried(this.#source === undefined ? 'nothing was played' : 'somebody else watches');
    const sinceWallMs = clock.wall() - BYE_MS;
    const isBye = ({ parsed, direction }: Passed): boolean => direction === 'out' && parsed.ok && parsed.value.type === 'request' && parsed.value.method === 'BYE';
    const status = await this.#until(BYE_MS, async () => this.#answerTo(await this.#messages(sinceWallMs), isBye));
    if (status !== undefined) return status === 200 ? right('200') : loose(String(status));
    return (await this.#messages(sinceWallMs)).some(isBye) ? wrong('no answer') : untried(`no BYE was sent within ${BYE_MS / 1000} s: devices.media.lingerS`);
  }

  /** Only the way that is configured is gone: others would need another configuration. */
  async #transport(transport: 'udp' | 'tcp', weConnect: boolean): Promise<Judged> {
    const source = this.#source;
    const isIt = source !== undefined && source.transport === transport && (transport === 'udp' || (source.agreed.place !== undefined) === weConnect);
    return isIt ? right(`${source.packets} packets`) : untried('configured otherwise: devices.known, transport');
  }

  async #messages(sinceWallMs: number): Promise<readonly Passed[]> {
    const { id, address } = this.#device;
    return (await this.#context.sipd(client => recorded(client, { sinceWallMs, needles: [id, ...(this.#channel === undefined ? [] : [this.#channel.channelId])], peers: address === null ? [] : [address] }))).messages;
  }

  /** Between us and this device: devices of one kind may call their channels alike. */
  #isHere({ remote }: Passed): boolean {
    return this.#device.address === null || this.#device.address === `${remote.address}:${remote.port}`;
  }

  /** Status of the final answer to the first request that fits. */
  #answerTo(messages: readonly Passed[], fits: (message: Passed) => boolean): number | undefined {
    const request = messages.find(message => message.direction === 'out' && fits(message));
    const answer = request === undefined ? undefined : messages.find(({ parsed, callId }) => callId === request.callId && parsed.ok && parsed.value.type === 'response' && parsed.value.status >= 200 && request.parsed.ok && parsed.value.cseq.method === request.parsed.value.cseq.method);
    return answer?.parsed.ok === true && answer.parsed.value.type === 'response' ? answer.parsed.value.status : undefined;
  }

  async #until<T>(limitMs: number, look: () => Promise<T | undefined>): Promise<T | undefined> {
    for (const until = clock.now() + limitMs; ; await pause(LOOK_EVERY_MS)) {
      const found = await look();
      if (found !== undefined || clock.now() > until || this.#context.signal.aborted) return found;
    }
  }
}

type Body = Extract<ReturnType<typeof parseManscdp>, { ok: true }>['value'];

function bodyOf({ parsed }: Passed): Body | undefined {
  if (!parsed.ok || parsed.value.contentType?.endsWith('xml') !== true) return undefined;
  const read = parseManscdp(decode(parsed.value.body).text);
  return read.ok ? read.value : undefined;
}

function summaryOf(body: Body['body']): string {
  if (body.kind === 'device-info') return [body.manufacturer, body.model, body.firmware].filter(word => word !== undefined).join(' ') || 'no facts';
  return body.kind === 'device-status' ? `${body.online === false ? 'offline' : 'online'}, ${body.status ?? 'no status'}` : body.kind;
}
