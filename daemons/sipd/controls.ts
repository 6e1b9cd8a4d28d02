/**
 * Controls and questions of upstreams that concern one camera.
 *
 *   upstreams.message -> command -> permission, rate, ID -> steering or question desk -> device
 *   routes (Response) -> response -> core/gb/forwarded-questions -> IDs back -> upstream
 */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import type { Permission } from '#core/config/view-schema.ts';
import { CONTROL_GROUP, type DeviceControl, describeControl, formatDeviceControl, parseDeviceControl, wantsResponse } from '#core/gb/device-control.ts';
import type { Question } from '#core/gb/forwarded-questions.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { clampSpeed, isStop } from '#core/gb/ptz.ts';
import { configBlocks } from '#core/gb/relayed-content.ts';
import type { Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import { Answers } from './control-answers.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';
import { type QuestionAnswer, QuestionDesk } from './question-desk.ts';
import { type QueryContent, readQuestion } from './questions.ts';
import { Steering } from './steering.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

export interface ControlsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly views: Views;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
  /** False: it is not an operator of this gateway who asked. */
  giveLocal(answer: QuestionAnswer): boolean;
}

/** Who asked, and for which channel. */
interface Asked {
  readonly link: UpstreamLink;
  readonly message: Manscdp;
  readonly channel: ChannelRef;
  readonly reach: DeviceReach;
}

export class Controls implements AsyncDisposable {
  readonly #deps: ControlsDeps;
  /** Shared with the operators of this gateway. */
  readonly steering: Steering;
  readonly desk: QuestionDesk;
  readonly #answers: Answers;
  readonly #refused: CountedLog;

  constructor(deps: ControlsDeps) {
    this.#deps = deps;
    this.#answers = new Answers(deps);
    this.desk = new QuestionDesk({ ...deps, give: answer => (deps.giveLocal(answer) || answer.type === 'done' ? undefined : this.#answers.give(answer)) });
    this.steering = new Steering({ ...deps, nextSn: () => this.desk.nextSn() });
    this.#refused = new CountedLog(deps.log, deps.clock, 'control.refused');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.desk[Symbol.dispose]();
    await this.steering[Symbol.asyncDispose]();
  }

  /** A Query or Control of this platform, already answered with 200. False: not one that a camera answers. */
  command(link: UpstreamLink, message: Manscdp): boolean {
    if (this.desk.closed) return false;
    const content = message.root === 'Query' ? readQuestion(message) : undefined;
    const isControl = message.root === 'Control' && (message.cmdType === 'DeviceControl' || message.cmdType === 'DeviceConfig');
    if (content === undefined && !isControl) return false;
    const channel = this.#deps.views.resolve(link.config.name, message.deviceId);
    if (typeof channel === 'string') return this.#refuse(link, message, channel === 'unknown' ? 'no such channel' : 'the channel is not shared to it');
    this.#deps.views.accessed(link.config.name, channel);
    const reach = this.#deps.reach(channel.deviceId);
    if (reach === null) return this.#refuse(link, message, 'the device is offline');
    const asked: Asked = { link, message, channel, reach };
    if (content !== undefined) return this.#question(asked, content);
    return message.cmdType === 'DeviceConfig' ? this.#configure(asked) : this.#control(asked);
  }

  /** A Response of this device, already answered with 200. True when it was one of ours to take. */
  response(deviceId: string, message: Manscdp): boolean {
    if (message.root !== 'Response' || !message.known) return false;
    this.desk.feed({ type: 'response', deviceId, message });
    return true;
  }

  /** After a restart: what moves since before it is stopped, as soon as its device can be told. */
  restore(): void {
    for (const deviceId of this.steering.devicesLeft) this.deviceOnline(deviceId);
  }

  deviceOnline(deviceId: string): void {
    if (this.#deps.reach(deviceId) !== null) this.steering.deviceOnline(deviceId);
  }

  deviceOffline(deviceId: string): void {
    this.steering.deviceOffline(deviceId);
    this.desk.feed({ type: 'device-gone', deviceId });
  }

  /** Nobody is there who could stop what moves, or hear an answer. */
  upstreamGone(upstream: string): void {
    this.steering.gone(upstream);
    this.desk.feed({ type: 'upstream-gone', upstream });
  }

  /** Stops what this platform set moving. */
  stopMoving(upstream: string): void {
    this.steering.stopMoving(upstream);
  }

  /** At this time of the week some may do less than before: what they move stops. */
  endUnpermitted(): void {
    for (const { config: { name } } of this.#deps.upstreams.links) {
      for (const channel of this.steering.movedBy(name)) if (!this.#deps.views.permits(name, channel, 'ptz')) this.steering.withdraw(name, channel);
    }
  }

  #question(asked: Asked, content: QueryContent): boolean {
    const { link, message } = asked;
    const right = message.cmdType === 'RecordInfo' ? 'playback' : 'query';
    if (!this.#may(asked, right)) return this.#refuse(link, message, `${right} is not permitted`);
    if (typeof content === 'string') return this.#refuse(link, message, content);
    if (!this.steering.admit(link.config.name, asked.channel, 'question')) return this.#refuse(link, message, 'too many questions a second');
    this.#ask(asked, content);
    return true;
  }

  #control(asked: Asked): boolean {
    const { link, message, channel, reach } = asked;
    const read = parseDeviceControl(message.element);
    if (!read.ok) {
      // A PTZ command that is damaged is dropped: its sender waits for nothing (fault 22).
      this.#deps.counters.add('control.malformed');
      return this.#refuse(link, message, read.error.why, !read.error.why.startsWith('PTZCmd'));
    }
    const control = this.#adapt(link.config, read.value);
    if (typeof control === 'string') return this.#refuse(link, message, control);
    const group = CONTROL_GROUP[control.kind];
    const command = control.kind === 'ptz' ? control.instruction.command : undefined;
    const stop = command !== undefined && isStop(command);
    if (!this.#may(asked, group, stop)) return this.#refuse(link, message, `${group} is not permitted`, wantsResponse(control));
    if (!this.steering.admit(link.config.name, channel, command ?? 'control')) {
      this.#deps.counters.add('control.too-fast');
      return this.#refuse(link, message, 'too many controls a second', wantsResponse(control));
    }
    if (group === 'ptz' && !stop && !this.#steers(asked, control)) return true;
    this.#audit(asked, describeControl(control));
    if (control.kind === 'ptz') this.steering.ptz(link.config.name, channel, control);
    else if (wantsResponse(control)) this.#ask(asked, { content: formatDeviceControl(control, reach.version) });
    else this.steering.control(channel, formatDeviceControl(control, reach.version), group === 'ptz');
    return true;
  }

  /** Now; a stop also where it may at some other time, for the movement may be older than the time. */
  #may({ link, channel }: Asked, what: Permission, stop = false): boolean {
    const { views } = this.#deps;
    return stop ? views.everPermits(link.config.name, channel, what) : views.permits(link.config.name, channel, what);
  }

  /** Nobody of higher priority has just steered this camera. */
  #steers({ link, message, channel }: Asked, control: DeviceControl): boolean {
    const { counters, log } = this.#deps;
    const { name, priority } = link.config;
    const operator = { upstream: name, priority, commandPriority: control.kind === 'ptz' ? control.priority : undefined };
    const holder = this.steering.takeTurn(channel, operator);
    if (holder === undefined) return true;
    counters.add('control.outranked');
    log.info({ upstream: name, priority, commandPriority: operator.commandPriority ?? null, ...channel, command: describeControl(control), heldBy: holder.upstream, heldPriority: holder.priority, heldCommandPriority: holder.commandPriority ?? null }, 'control.outranked');
    return !this.#refuse(link, message, `${holder.upstream} of higher priority steers it`, wantsResponse(control));
  }

  /** Within what this upstream may, and with the IDs of the device. */
  #adapt({ name, permissions }: UpstreamConfig, control: DeviceControl): DeviceControl | string {
    if (control.kind === 'ptz') return { ...control, instruction: { ...control.instruction, command: clampSpeed(control.instruction.command, permissions.ptzMaxSpeed) } };
    if (control.kind !== 'target-track' || control.panoramicId === undefined) return control;
    const panoramic = this.#deps.views.resolve(name, control.panoramicId);
    return typeof panoramic === 'string' ? 'no such panoramic channel' : { ...control, panoramicId: panoramic.channelId };
  }

  #configure(asked: Asked): boolean {
    const { link, message, channel } = asked;
    if (!this.#may(asked, 'config')) return this.#refuse(link, message, 'config is not permitted');
    const content = configBlocks(message, id => (id === message.deviceId ? channel.channelId : undefined));
    if (content === undefined) return this.#refuse(link, message, 'no configuration that we know');
    if (!this.steering.admit(link.config.name, channel, 'control')) return this.#refuse(link, message, 'too many controls a second');
    this.#audit(asked, 'config');
    this.#ask(asked, { content });
    return true;
  }

  #ask({ link, message, channel }: Asked, { content, parts, patienceMs }: Exclude<QueryContent, string>): void {
    const { root, cmdType, sn, deviceId: askedId } = message;
    const question: Question = { upstream: link.config.name, sn, askedId, ...channel, root: root === 'Control' ? 'Control' : 'Query', cmdType, content, ...(parts !== undefined && { parts }), ...(patienceMs !== undefined && { patienceMs }) };
    this.desk.ask(question);
  }

  /** Always true: the command was dealt with. */
  #refuse(link: UpstreamLink, message: Manscdp, why: string, answer = true): true {
    const { root, cmdType, sn, deviceId: askedId } = message;
    this.#deps.counters.add('control.refused');
    this.#refused.count({ upstream: link.config.name, askedId, cmdType, why });
    if (answer) this.#answers.fail({ upstream: link.config.name, sn, askedId, root: root === 'Control' ? 'Control' : 'Query', cmdType });
    return true;
  }

  /** One line a control, for whoever asks later who moved the camera. */
  #audit({ link, message, channel }: Asked, command: string): void {
    this.#deps.counters.add('control.forwarded');
    this.#deps.log.info({ upstream: link.config.name, askedId: message.deviceId, deviceId: channel.deviceId, channelId: channel.channelId, command }, 'control.forwarded');
  }
}
