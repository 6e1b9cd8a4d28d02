/**
 * Controls on their way to cameras, whoever asks (a platform above us, or an operator of this gateway): how often, whose turn it is,
 * one after the other for each channel, and that nothing goes on moving when nobody is there who could stop it.
 */
import type { GatewayConfig } from '#core/config/schema.ts';
import { ControlPolicy, type DueStop, type Motion } from '#core/gb/control-policy.ts';
import { ControlPriority, type Operator } from '#core/gb/control-priority.ts';
import { type DeviceControl, formatDeviceControl } from '#core/gb/device-control.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { LENS_STOP, PTZ_STOP, type PtzCommand, isStop } from '#core/gb/ptz.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import { ControlLines } from './control-lines.ts';
import type { Counters } from '#kit/counters.ts';
import { MovingStore } from './moving-store.ts';

/** For the stops that leave when we do. */
const FAREWELL_MS = 500;

export type PtzControl = DeviceControl & { readonly kind: 'ptz' };

export interface SteeringDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  config(): GatewayConfig;
  nextSn(): number;
}

export class Steering implements AsyncDisposable {
  readonly #deps: SteeringDeps;
  readonly #policy = new ControlPolicy();
  readonly #priority = new ControlPriority();
  readonly #lines: ControlLines;
  readonly #moving: MovingStore;

  constructor(deps: SteeringDeps) {
    this.#deps = deps;
    this.#lines = new ControlLines({ clock: deps.clock, ask: (deviceId, xml) => deps.catalogs.ask(deviceId, xml) });
    this.#moving = new MovingStore(deps.store);
  }

  /** Whoever comes after us does not know what moves: it is stopped before we go. */
  async [Symbol.asyncDispose](): Promise<void> {
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

  /** Whether one more is within the rate of who asks; a stop always is. */
  admit(who: string, channel: ChannelRef, what: PtzCommand | 'control' | 'question'): boolean {
    return this.#policy.admit(who, channel, what, this.#deps.clock.now());
  }

  /** Undefined: has the turn from now on; otherwise who has it, for nobody of lower priority steers right after one of higher. */
  takeTurn(channel: ChannelRef, operator: Operator): Operator | undefined {
    const { clock, config } = this.#deps;
    return this.#priority.steer(channel, operator, config().devices.ptzHoldS * 1000, clock.now());
  }

  /** Sends what was admitted. `who` moves the camera until it says otherwise. */
  ptz(who: string, channel: ChannelRef, control: PtzControl): void {
    this.#policy.sent(who, channel, control.instruction.command);
    // Before it leaves: whoever comes after us has to know.
    this.#noteMoving();
    this.#send(channel, control);
  }

  /** A control that no Response is waited for. */
  control(channel: ChannelRef, content: string, moves: boolean): void {
    this.#lines.put(channel, this.#xmlOf(channel, content), moves ? 'move' : undefined, false);
  }

  /** After a restart: what moves since before it is stopped, as soon as its device can be told. */
  get devicesLeft(): readonly string[] {
    return this.#moving.devicesLeft;
  }

  deviceOnline(deviceId: string): void {
    this.#stop('before a restart', this.#moving.takeLeft(deviceId));
  }

  deviceOffline(deviceId: string): void {
    this.#policy.deviceGone(deviceId);
    this.#noteMoving();
  }

  /** Nobody is there who could stop what it moves. */
  gone(who: string): void {
    this.stopMoving(who);
    this.#priority.upstreamGone(who);
  }

  stopMoving(who: string): void {
    this.#stop(who, this.#policy.upstreamGone(who));
  }

  movedBy(who: string): readonly ChannelRef[] {
    return this.#policy.movedBy(who);
  }

  /** Stops what `who` moves there, unless somebody else has taken it over. */
  withdraw(who: string, channel: ChannelRef, motions?: readonly Motion[]): void {
    this.#stop(who, this.#policy.withdraw(who, channel, motions));
  }

  #stop(who: string, due: readonly DueStop[]): void {
    for (const { channel, motion } of due) {
      this.#deps.counters.add('control.dead-man');
      this.#deps.log.warn({ upstream: who, deviceId: channel.deviceId, channelId: channel.channelId, motion }, 'control.dead-man-stop');
      this.#send(channel, stopOf(motion));
    }
    this.#noteMoving();
  }

  #noteMoving(): void {
    this.#moving.write(this.#policy.movements);
  }

  #send(channel: ChannelRef, control: PtzControl): void {
    const { command } = control.instruction;
    this.#lines.put(channel, this.#ptzXml(channel, control), motionOf(command), isStop(command));
  }

  /** The same in both editions. */
  #ptzXml = (channel: ChannelRef, control: PtzControl): string => this.#xmlOf(channel, formatDeviceControl(control, '2016'));

  #xmlOf = ({ channelId }: ChannelRef, content: string): string => buildManscdp('Control', 'DeviceControl', { sn: this.#deps.nextSn(), deviceId: channelId }, content);
}

const stopOf = (motion: Motion): PtzControl => ({ kind: 'ptz', instruction: { command: motion === 'move' ? PTZ_STOP : LENS_STOP, address: 1 } });

/** What sets the camera moving by itself gives way to a later movement or stop too. */
const motionOf = ({ kind }: PtzCommand): Motion | undefined => (kind === 'lens' ? kind : kind === 'move' || kind === 'preset-call' || kind === 'cruise-start' || kind === 'scan-start' ? 'move' : undefined);
