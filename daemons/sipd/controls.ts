/**
 * Controls and questions of upstreams that concern one camera.
 *
 *   upstreams.message -> command -> permission, rate, ID -> control line or forwarded question -> device
 *   routes (Response) -> response -> core/gb/forwarded-questions -> IDs back -> upstream
 */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import type { Permission } from '#core/config/view-schema.ts';
import { ControlPolicy, type DueStop, type Motion } from '#core/gb/control-policy.ts';
import { ControlPriority } from '#core/gb/control-priority.ts';
import { CONTROL_GROUP, type DeviceControl, describeControl, formatDeviceControl, parseDeviceControl, wantsResponse } from '#core/gb/device-control.ts';
import { ForwardedQuestions, type Question, type QuestionInput, type QuestionOutput } from '#core/gb/forwarded-questions.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { LENS_STOP, PTZ_STOP, type PtzCommand, clampSpeed, isStop } from '#core/gb/ptz.ts';
import { configBlocks } from '#core/gb/relayed-content.ts';
import { addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import { ControlLines } from './control-lines.ts';
import { Answers } from './control-answers.ts';
import type { Counters } from './counters.ts';
import type { DeviceReach } from './devices.ts';
import { MovingStore } from './moving-store.ts';
import { type QueryContent, readQuestion } from './questions.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

const MAX_FIRST_SN = 1_000_000_000;
/** For the stops that leave when we do. */
const FAREWELL_MS = 500;

type PtzControl = DeviceControl & { readonly kind: 'ptz' };

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
  readonly #policy = new ControlPolicy();
  readonly #priority = new ControlPriority();
  readonly #questions: ForwardedQuestions;
  readonly #alarm: Alarm;
  readonly #answers: Answers;
  readonly #refused: CountedLog;
  readonly #lines: ControlLines;
  readonly #moving: MovingStore;
  #closed = false;

  constructor(deps: ControlsDeps) {
    this.#deps = deps;
    this.#questions = new ForwardedQuestions(deps.random.int(MAX_FIRST_SN));
    this.#answers = new Answers(deps);
    this.#lines = new ControlLines({ clock: deps.clock, ask: (deviceId, xml) => deps.catalogs.ask(deviceId, xml) });
    this.#moving = new MovingStore(deps.store);
    this.#refused = new CountedLog(deps.log, deps.clock, 'control.refused');
    this.#alarm = new Alarm(deps.clock, () => this.#feed({ type: 'tick' }));
  }

  /** Whoever comes after us does not know what moves: it is stopped before we go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#alarm[Symbol.dispose]();
    this.#lines[Symbol.dispose]();
    const { catalogs, clock } = this.#deps;
    const stops = this.#policy.upstreamGone().map(({ channel, motion }) => catalogs.ask(channel.deviceId, this.#ptzXml(channel, stopOf(motion))));
    this.#noteMoving();
    if (stops.length === 0) return;
    const patience = Promise.withResolvers<void>();
    const limit = clock.schedule(addMs(clock.now(), FAREWELL_MS), () => patience.resolve());
    await Promise.race([Promise.all(stops), patience.promise]);
    limit[Symbol.dispose]();
  }

  /** A Query or Control of this platform, already answered with 200. False: not one that a camera answers. */
  command(link: UpstreamLink, message: Manscdp): boolean {
    if (this.#closed) return false;
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
    this.#feed({ type: 'response', deviceId, message });
    return true;
  }

  /** After a restart: what moves since before it is stopped, as soon as its device can be told. */
  restore(): void {
    for (const deviceId of this.#moving.devicesLeft) this.deviceOnline(deviceId);
  }

  deviceOnline(deviceId: string): void {
    if (this.#deps.reach(deviceId) === null) return;
    this.#stop('before a restart', this.#moving.takeLeft(deviceId));
  }

  deviceOffline(deviceId: string): void {
    this.#policy.deviceGone(deviceId);
    this.#noteMoving();
    this.#feed({ type: 'device-gone', deviceId });
  }

  /** Nobody is there who could stop what moves, or hear an answer. */
  upstreamGone(upstream: string): void {
    this.stopMoving(upstream);
    this.#priority.upstreamGone(upstream);
    this.#feed({ type: 'upstream-gone', upstream });
  }

  /** Stops what this platform set moving. */
  stopMoving(upstream: string): void {
    this.#stop(upstream, this.#policy.upstreamGone(upstream));
  }

  /** At this time of the week some may do less than before: what they move stops. */
  endUnpermitted(): void {
    for (const { config: { name } } of this.#deps.upstreams.links) {
      for (const channel of this.#policy.movedBy(name)) if (!this.#deps.views.permits(name, channel, 'ptz')) this.#stop(name, this.#policy.withdraw(name, channel));
    }
  }

  #stop(upstream: string, due: readonly DueStop[]): void {
    for (const { channel, motion } of due) {
      this.#deps.counters.add('control.dead-man');
      this.#deps.log.warn({ upstream, deviceId: channel.deviceId, channelId: channel.channelId, motion }, 'control.dead-man-stop');
      this.#sendPtz(channel, stopOf(motion));
    }
    this.#noteMoving();
  }

  #noteMoving(): void {
    this.#moving.write(this.#policy.movements);
  }

  #question(asked: Asked, content: QueryContent): boolean {
    const { link, message } = asked;
    const right = message.cmdType === 'RecordInfo' ? 'playback' : 'query';
    if (!this.#may(asked, right)) return this.#refuse(link, message, `${right} is not permitted`);
    if (typeof content === 'string') return this.#refuse(link, message, content);
    if (!this.#policy.admit(link.config.name, asked.channel, 'question', this.#deps.clock.now())) return this.#refuse(link, message, 'too many questions a second');
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
    if (!this.#policy.admit(link.config.name, channel, command ?? 'control', this.#deps.clock.now())) {
      this.#deps.counters.add('control.too-fast');
      return this.#refuse(link, message, 'too many controls a second', wantsResponse(control));
    }
    if (group === 'ptz' && !stop && !this.#steers(asked, control)) return true;
    this.#audit(asked, describeControl(control));
    if (command !== undefined) this.#policy.sent(link.config.name, channel, command);
    // Before it leaves: whoever comes after us has to know.
    if (command !== undefined) this.#noteMoving();
    if (control.kind === 'ptz') this.#sendPtz(channel, control);
    else if (wantsResponse(control)) this.#ask(asked, { content: formatDeviceControl(control, reach.version) });
    else this.#lines.put(channel, this.#xmlOf(channel, formatDeviceControl(control, reach.version)), group === 'ptz' ? 'move' : undefined, false);
    return true;
  }

  /** Now; a stop also where it may at some other time, for the movement may be older than the time. */
  #may({ link, channel }: Asked, what: Permission, stop = false): boolean {
    const { views } = this.#deps;
    return stop ? views.everPermits(link.config.name, channel, what) : views.permits(link.config.name, channel, what);
  }

  /** Nobody of higher priority has just steered this camera. */
  #steers({ link, message, channel }: Asked, control: DeviceControl): boolean {
    const { clock, config, counters, log } = this.#deps;
    const { name, priority } = link.config;
    const operator = { upstream: name, priority, commandPriority: control.kind === 'ptz' ? control.priority : undefined };
    const holder = this.#priority.steer(channel, operator, config().devices.ptzHoldS * 1000, clock.now());
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
    if (!this.#policy.admit(link.config.name, channel, 'control', this.#deps.clock.now())) return this.#refuse(link, message, 'too many controls a second');
    this.#audit(asked, 'config');
    this.#ask(asked, { content });
    return true;
  }

  #ask({ link, message, channel }: Asked, { content, parts, patienceMs }: Exclude<QueryContent, string>): void {
    const { root, cmdType, sn, deviceId: askedId } = message;
    const question: Question = { upstream: link.config.name, sn, askedId, ...channel, root: root === 'Control' ? 'Control' : 'Query', cmdType, content, ...(parts !== undefined && { parts }), ...(patienceMs !== undefined && { patienceMs }) };
    this.#feed({ type: 'ask', question });
  }

  #feed(input: QuestionInput): void {
    if (this.#closed) return;
    for (const output of this.#questions.handle(input, this.#deps.clock.now())) this.#carryOut(output);
    this.#alarm.arm(this.#questions.deadline);
  }

  #carryOut(output: QuestionOutput): void {
    switch (output.type) {
      case 'send': {
        const { sn, question } = output;
        const { root, cmdType, deviceId, channelId, content } = question;
        void this.#deps.catalogs.ask(deviceId, buildManscdp(root, cmdType, { sn, deviceId: channelId }, content)).then(accepted => {
          if (!accepted) this.#feed({ type: 'refused', sn });
        });
        return;
      }
      case 'unasked':
        return this.#deps.counters.add(`device.unasked.${output.cmdType}`);
      default:
        return this.#answers.give(output);
    }
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

  #sendPtz(channel: ChannelRef, control: PtzControl): void {
    const { command } = control.instruction;
    this.#lines.put(channel, this.#ptzXml(channel, control), motionOf(command), isStop(command));
  }

  /** The same in both editions. */
  #ptzXml = (channel: ChannelRef, control: PtzControl): string => this.#xmlOf(channel, formatDeviceControl(control, '2016'));

  #xmlOf = ({ channelId }: ChannelRef, content: string): string => buildManscdp('Control', 'DeviceControl', { sn: this.#questions.nextSn(), deviceId: channelId }, content);
}

const stopOf = (motion: Motion): PtzControl => ({ kind: 'ptz', instruction: { command: motion === 'move' ? PTZ_STOP : LENS_STOP, address: 1 } });

/** What sets the camera moving by itself gives way to a later movement or stop too. */
const motionOf = ({ kind }: PtzCommand): Motion | undefined => (kind === 'lens' ? kind : kind === 'move' || kind === 'preset-call' || kind === 'cruise-start' || kind === 'scan-start' ? 'move' : undefined);
