/**
 * Operators of this gateway (vlink, API) at a camera: the same way to it as platforms have, with a priority of their own.
 *
 *   RPC ptz, control     -> rate, turn -> steering -> device; a movement ends after its time (gb28181.md 4.5)
 *   RPC presets, records -> rate -> question desk -> device ... answers -> the call
 */
import type { Author } from '#contracts/configd.ts';
import type { LocalOutcome, RecordReport, RecordRow, SipdRequests } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { Deadlines } from '#core/deadlines.ts';
import type { Motion } from '#core/gb/control-policy.ts';
import { CONTROL_GROUP, type DeviceControl, describeControl, formatDeviceControl, wantsResponse } from '#core/gb/device-control.ts';
import type { Question } from '#core/gb/forwarded-questions.ts';
import { formatGbTime, parseGbTime } from '#core/gb/gb-time.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { MAX_PRESETS, type Preset, readPresetList } from '#core/gb/preset-list.ts';
import { isStop } from '#core/gb/ptz.ts';
import type { RecordItem } from '#core/gb/record-info.ts';
import { xmlText } from '#core/gb/xml-text.ts';
import { GatewayError } from '#core/result.ts';
import { addMs, wallMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { ParamsOf } from '#kit/rpc.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Controls } from './controls.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';
import type { QuestionAnswer } from './question-desk.ts';
import type { PtzControl } from './steering.ts';

/** No platform is called so: names of upstreams have no colon. */
const LOCAL = 'local:';
const MAX_TICKET = 0x7fff_ffff;

export interface LocalControlsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
  /** As `why` finds it; throws. */
  channelNamed(text: string): ChannelRef;
}

/** A question that is out. */
interface Waiting {
  readonly parts: Manscdp[];
  settle(answer: QuestionAnswer): void;
}

interface Moving {
  readonly who: string;
  readonly channel: ChannelRef;
  readonly motion: Motion;
}

export class LocalControls implements Disposable {
  readonly #deps: LocalControlsDeps;
  readonly #waiting = new Map<number, Waiting>();
  readonly #moving = new Map<string, Moving>();
  readonly #ends = new Deadlines<string>();
  readonly #alarm: Alarm;
  #controls: Controls | undefined;
  #ticket = 0;

  constructor(deps: LocalControlsDeps) {
    this.#deps = deps;
    this.#alarm = new Alarm(deps.clock, () => this.#endMovements());
  }

  /** The other half: it gives us the answers. */
  use(controls: Controls): void {
    this.#controls = controls;
  }

  /** What moves is stopped by steering. */
  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
    this.#waiting.clear();
  }

  ptz({ channel: text, command, holdMs, author }: ParamsOf<SipdRequests, 'ptz'>): LocalOutcome {
    const control: PtzControl = { kind: 'ptz', instruction: { command, address: 1 } };
    const { channel, who } = this.#admit(text, author, control);
    this.#steering.ptz(who, channel, control);
    if (command.kind === 'move' || command.kind === 'lens') this.#endAfter({ who, channel, motion: command.kind }, isStop(command) ? undefined : holdMs);
    return channel;
  }

  async control({ channel: text, control, author }: ParamsOf<SipdRequests, 'control'>): Promise<LocalOutcome> {
    const { channel, who, reach } = this.#admit(text, author, control);
    const content = formatDeviceControl(control, reach.version);
    if (!wantsResponse(control)) this.#steering.control(channel, content, CONTROL_GROUP[control.kind] === 'ptz');
    else {
      const [answer] = await this.#parts(who, channel, { root: 'Control', cmdType: 'DeviceControl', content });
      if (answer?.body.kind === 'result' && answer.body.result === 'ERROR') throw new GatewayError('SIP_REJECTED', { ...channel, why: 'the device answers ERROR' });
    }
    return channel;
  }

  async presets({ channel: text, author }: ParamsOf<SipdRequests, 'presets'>): Promise<LocalOutcome & { readonly presets: readonly Preset[] }> {
    const { channel, who } = this.#question(text, author);
    const parts = await this.#parts(who, channel, { root: 'Query', cmdType: 'PresetQuery', content: '' });
    const presets = new Map(parts.flatMap(({ element }) => readPresetList(element)).map(each => [each.preset, each]));
    return { ...channel, presets: [...presets.values()].sort((a, b) => a.preset - b.preset).slice(0, MAX_PRESETS) };
  }

  async records({ channel: text, fromWallMs, toWallMs, author }: ParamsOf<SipdRequests, 'records'>): Promise<RecordReport> {
    if (toWallMs <= fromWallMs) throw new GatewayError('BAD_REQUEST', { why: 'the span of time ends before it begins' });
    const { channel, who } = this.#question(text, author);
    const lines = [xmlText('StartTime', formatGbTime(wallMs(fromWallMs))), xmlText('EndTime', formatGbTime(wallMs(toWallMs))), xmlText('Secrecy', 0), xmlText('Type', 'all')];
    const answer = await this.#ask(who, channel, { root: 'Query', cmdType: 'RecordInfo', content: lines.map(line => `${line}\r\n`).join('') });
    if (answer.type !== 'records') throw failureOf(channel, answer);
    return { ...channel, complete: answer.complete, missing: answer.list.missing, records: answer.list.records.map(rowOf) };
  }

  /** An answer of the desk; false: a platform asked. */
  give(answer: QuestionAnswer): boolean {
    const { upstream, sn } = answer.question;
    if (!upstream.startsWith(LOCAL)) return false;
    const waiting = this.#waiting.get(sn);
    if (answer.type === 'relay') waiting?.parts.push(answer.message);
    else waiting?.settle(answer);
    return true;
  }

  get #steering(): Controls['steering'] {
    return this.#controls!.steering;
  }

  /** Which camera, within the rate, and nobody of higher priority steers it. */
  #admit(text: string, author: Author, control: DeviceControl): { readonly channel: ChannelRef; readonly who: string; readonly reach: DeviceReach } {
    const { counters, log, config } = this.#deps;
    const { channel, who, reach } = this.#reachable(text, author);
    const command = control.kind === 'ptz' ? control.instruction.command : undefined;
    if (!this.#steering.admit(who, channel, command ?? 'control')) throw tooFast(channel);
    const moves = CONTROL_GROUP[control.kind] === 'ptz' && !(command !== undefined && isStop(command));
    const holder = moves ? this.#steering.takeTurn(channel, { upstream: who, priority: config().devices.localPriority, commandPriority: undefined }) : undefined;
    if (holder !== undefined) throw new GatewayError('NOT_PERMITTED', { ...channel, why: `${holder.upstream} of higher priority steers it` });
    counters.add('control.local');
    log.info({ user: author.user, via: author.via, ...channel, command: describeControl(control) }, 'control.local');
    return { channel, who, reach };
  }

  #question(text: string, author: Author): { readonly channel: ChannelRef; readonly who: string } {
    const { channel, who } = this.#reachable(text, author);
    if (!this.#steering.admit(who, channel, 'question')) throw tooFast(channel);
    return { channel, who };
  }

  #reachable(text: string, author: Author): { readonly channel: ChannelRef; readonly who: string; readonly reach: DeviceReach } {
    const channel = this.#deps.channelNamed(text);
    const reach = this.#deps.reach(channel.deviceId);
    if (reach === null) throw new GatewayError('PEER_OFFLINE', { ...channel });
    return { channel, who: `${LOCAL}${author.user}`, reach };
  }

  /** Undefined: it was stopped. */
  #endAfter(moving: Moving, holdMs: number | undefined): void {
    const { clock } = this.#deps;
    const key = `${moving.channel.deviceId}\n${moving.channel.channelId}\n${moving.motion}`;
    if (holdMs === undefined) {
      this.#moving.delete(key);
      this.#ends.delete(key);
    } else {
      this.#moving.set(key, moving);
      this.#ends.set(key, addMs(clock.now(), holdMs));
    }
    this.#alarm.arm(this.#ends.next);
  }

  #endMovements(): void {
    const now = this.#deps.clock.now();
    for (let key = this.#ends.takeDue(now); key !== undefined; key = this.#ends.takeDue(now)) {
      const moving = this.#moving.get(key);
      this.#moving.delete(key);
      if (moving !== undefined) this.#steering.withdraw(moving.who, moving.channel, [moving.motion]);
    }
    this.#alarm.arm(this.#ends.next);
  }

  async #parts(who: string, channel: ChannelRef, asked: Pick<Question, 'root' | 'cmdType' | 'content'>): Promise<readonly Manscdp[]> {
    const parts: Manscdp[] = [];
    const answer = await this.#ask(who, channel, asked, parts);
    if (answer.type !== 'done') throw failureOf(channel, answer);
    return parts;
  }

  async #ask(who: string, channel: ChannelRef, asked: Pick<Question, 'root' | 'cmdType' | 'content'>, parts: Manscdp[] = []): Promise<QuestionAnswer> {
    const sn = (this.#ticket = (this.#ticket % MAX_TICKET) + 1);
    const settled = Promise.withResolvers<QuestionAnswer>();
    this.#waiting.set(sn, { parts, settle: settled.resolve });
    this.#controls!.desk.ask({ upstream: who, sn, askedId: channel.channelId, ...channel, ...asked, tellsEnd: true });
    const answer = await settled.promise;
    this.#waiting.delete(sn);
    return answer;
  }
}

const tooFast = (channel: ChannelRef): GatewayError => new GatewayError('CAPACITY_EXHAUSTED', { ...channel, why: 'too many commands a second' });

const failureOf = (channel: ChannelRef, answer: QuestionAnswer): GatewayError =>
  new GatewayError(answer.type === 'failed' && answer.why.includes('refused') ? 'SIP_REJECTED' : 'SIP_TIMEOUT', { ...channel, why: answer.type === 'failed' ? answer.why : answer.type });

function rowOf({ Name, StartTime, EndTime, Type, FileSize }: RecordItem): RecordRow {
  const bytes = FileSize !== undefined && /^\d{1,15}$/.test(FileSize) ? Number(FileSize) : null;
  return { name: Name ?? '', startWallMs: parseGbTime(StartTime ?? '') ?? null, endWallMs: parseGbTime(EndTime ?? '') ?? null, type: Type ?? null, bytes };
}
