/**
 * Alarms of devices on their way to the platforms above us (gb28181.md 3.8).
 *
 *   MESSAGE Notify/Alarm -> routes -> 200 -> Response/Alarm to the device
 *     -> for each platform that sees the channel: a row on disk and on the other node, core/gb/alarm-outbox
 *     -> NOTIFY where it subscribed and wants it, MESSAGE where it did not -> 200 -> the row goes
 */
import type { RaiseAlarmParams } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { isVoiceOutput } from '#core/gb/device-id.ts';
import { fingerprint } from '#core/fingerprint.ts';
import { type AlarmNotice, buildAlarm, readAlarm } from '#core/gb/alarm.ts';
import { AlarmMemory, type HeardAlarm } from '#core/gb/alarm-memory.ts';
import { AlarmOutbox, type OutboxOutcome, type OutboxOutput } from '#core/gb/alarm-outbox.ts';
import { formatGbTime } from '#core/gb/gb-time.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { buildResult } from '#core/gb/manscdp-write.ts';
import { wallMs } from '#core/units.ts';
import { Alarm as Timer, type Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs } from './catalogs.ts';
import { verdictOf } from './catalog-subscription.ts';
import type { Counters } from '#kit/counters.ts';
import type { EventFeed } from './event-feed.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

/** IDs are taken from the disk so many at a time: none is ever given twice. */
const ID_BLOCK = 1000;
const ID_KEY = 'alarms.nextId';
const MAX_SN = 0x7fff_fffe;
/** AlarmMethod. */
const DEVICE_FAULT = '6';
/** Rows that a storm pushed out leave the disk so many at a time; after a crash they would only be pushed out again. */
const FORGET_AT_ONCE = 256;

/** Runs this when what was written before is past a power cut, and outlives this node where there is another. */
export type WhenKept = (run: () => void) => void;

/** Written as JSON. */
interface Waiting {
  /** As the platform knows it. */
  readonly channelId: string;
  readonly alarm: AlarmNotice;
}

interface Line {
  readonly outbox: AlarmOutbox;
  readonly waiting: Map<number, Waiting>;
  readonly timer: Timer;
}

export interface AlarmsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly subscriptions: Subscriptions;
  readonly views: Views;
  readonly whenKept: WhenKept;
  readonly events: EventFeed;
  config(): GatewayConfig;
}

export class Alarms implements Disposable {
  readonly #deps: AlarmsDeps;
  readonly #lines = new Map<string, Line>();
  readonly #memory = new AlarmMemory();
  readonly #overflow: CountedLog;
  readonly #pushedOut: number[] = [];
  #closed = false;
  #nextId: number;
  #idsUntil: number;

  constructor(deps: AlarmsDeps) {
    this.#deps = deps;
    this.#overflow = new CountedLog(deps.log, deps.clock, 'alarm.overflow');
    this.#nextId = Number(deps.store.getMeta(ID_KEY) ?? 1);
    this.#idsUntil = this.#nextId;
  }

  /** What waits stays on disk. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { timer } of this.#lines.values()) timer[Symbol.dispose]();
    this.#lines.clear();
    this.#deps.store.deleteOutbox(this.#pushedOut.splice(0));
  }

  /** After the links stand: what nobody has accepted before we went. */
  restore(): void {
    this.#memory.restore(this.#deps.store.loadHeard());
    const gone: number[] = [];
    const outputs = new Map<string, OutboxOutput[]>();
    const rows = [...this.#deps.store.loadOutbox()].sort((a, b) => a.priority - b.priority || a.id - b.id);
    for (const { id, upstream, priority, json } of rows) {
      if (this.#deps.upstreams.link(upstream) === undefined) gone.push(id);
      else outputs.set(upstream, [...(outputs.get(upstream) ?? []), ...this.#queue(upstream, id, priority, JSON.parse(json) as Waiting)]);
    }
    if (gone.length > 0) this.#deps.store.deleteOutbox(gone);
    for (const [upstream, list] of outputs) this.#run(upstream, list);
  }

  dropUpstream(upstream: string): void {
    const line = this.#lines.get(upstream);
    if (line === undefined) return;
    this.#lines.delete(upstream);
    line.timer[Symbol.dispose]();
    this.#deps.store.deleteOutbox([...line.waiting.keys()]);
  }

  /** False: nothing more of priority 1 can be kept, and the device keeps it. */
  get hasRoom(): boolean {
    for (const { outbox } of this.#lines.values()) if (outbox.isFull) return false;
    return true;
  }

  /** An alarm that came as a MESSAGE wants an answer of its own (3.1). */
  acknowledge(deviceId: string, message: Manscdp): void {
    void this.#deps.catalogs.ask(deviceId, buildResult('Alarm', message, 'OK'));
  }

  /** Notify/Alarm of a device: written when it returns. */
  fromDevice(deviceId: string, message: Manscdp): void {
    const { counters } = this.#deps;
    const alarm = readAlarm(message.element);
    counters.add(`alarm.in.priority-${alarm.priority}`);
    const heard = this.#hear(markOf(deviceId, message, alarm));
    if (heard === undefined) return counters.add('alarm.repeated');
    const { priority, method = null, type: kind = null, time = null, description = null } = alarm;
    this.#deps.events.say(() => ({ type: 'camera-alarm', deviceId, channelId: message.deviceId, priority, method, kind, time, description }));
    const targets = this.#targets(deviceId, message.deviceId);
    if (targets.length === 0) counters.add('alarm.unseen');
    else this.#put(targets, alarm, heard);
  }

  /** A fault of the gateway itself, under our ID there: written when it returns. Answers how many platforms hear of it. */
  ofOurselves({ key, priority, faultType, atWallMs, description }: RaiseAlarmParams): number {
    const { upstreams, counters } = this.#deps;
    const wanting = upstreams.links.filter(({ config }) => config.enabled && config.alarms && config.view.healthAlarms);
    const heard = this.#hear(`health ${key}`);
    if (heard === undefined) return wanting.length;
    counters.add('alarm.of-ourselves');
    const alarm: AlarmNotice = { priority, method: DEVICE_FAULT, time: formatGbTime(wallMs(atWallMs)), description, longitude: undefined, latitude: undefined, type: faultType === null ? undefined : String(faultType), eventType: undefined };
    if (wanting.length > 0) this.#put(wanting.map(({ config }) => ({ upstream: config.name, channelId: config.localId })), alarm, heard);
    return wanting.length;
  }

  #put(targets: readonly { readonly upstream: string; readonly channelId: string }[], alarm: AlarmNotice, heard: HeardAlarm): void {
    const rows = targets.map(({ upstream, channelId }) => ({ upstream, id: this.#takeId(), priority: alarm.priority, waiting: { channelId, alarm } }));
    this.#deps.store.putOutbox(rows.map(({ id, upstream, priority, waiting }) => ({ id, upstream, priority, json: JSON.stringify(waiting) })), heard);
    // What went up and is not known to who comes after us would go up again when the device repeats it.
    this.#deps.whenKept(() => {
      for (const { upstream, id, priority, waiting } of rows) this.#begin(upstream, id, priority, waiting);
    });
  }

  #begin(upstream: string, id: number, priority: number, waiting: Waiting): void {
    if (this.#closed) return;
    if (this.#deps.upstreams.link(upstream) === undefined) return this.#deps.store.deleteOutbox([id]);
    this.#run(upstream, this.#queue(upstream, id, priority, waiting));
  }

  #hear(mark: string): HeardAlarm | undefined {
    return this.#memory.hear(mark, this.#deps.clock.wall());
  }

  /** The alarm names a channel, or the device for any of them (quirk 37); what a platform cannot know goes up under our own ID. */
  #targets(deviceId: string, source: string): { upstream: string; channelId: string }[] {
    const { catalogs, upstreams, views } = this.#deps;
    const channels = catalogs.channels(deviceId);
    const cameras = [...channels.keys()].filter(id => !isVoiceOutput(id));
    const channelId = channels.has(source) ? source : cameras.length === 1 ? cameras[0] : undefined;
    return upstreams.links.flatMap(({ config }) => {
      if (!config.enabled || !config.alarms) return [];
      const upstream = config.name;
      if (channelId === undefined) return views.permitsAny(config, deviceId, 'alarms') ? [{ upstream, channelId: config.localId }] : [];
      const mappedId = views.permits(upstream, { deviceId, channelId }, 'alarms') ? views.idOf(upstream, { deviceId, channelId }) : undefined;
      return mappedId === undefined ? [] : [{ upstream, channelId: mappedId }];
    });
  }

  #takeId(): number {
    if (this.#nextId >= this.#idsUntil) {
      this.#idsUntil = this.#nextId + ID_BLOCK;
      this.#deps.store.putMeta(ID_KEY, String(this.#idsUntil));
    }
    return this.#nextId++;
  }

  #queue(upstream: string, id: number, priority: number, waiting: Waiting): OutboxOutput[] {
    const line = this.#lineOf(upstream);
    line.waiting.set(id, waiting);
    return line.outbox.put(id, priority);
  }

  #lineOf(upstream: string): Line {
    let line = this.#lines.get(upstream);
    if (line === undefined) {
      const outbox = new AlarmOutbox();
      line = { outbox, waiting: new Map(), timer: new Timer(this.#deps.clock, () => this.#run(upstream, outbox.tick(this.#deps.clock.now()))) };
      this.#lines.set(upstream, line);
    }
    return line;
  }

  #run(upstream: string, outputs: readonly OutboxOutput[]): void {
    const line = this.#lines.get(upstream);
    if (line === undefined) return;
    for (const output of outputs) {
      if (output.type === 'remove') this.#remove(line, upstream, output);
      else void this.#send(upstream, output.id, line.waiting.get(output.id)!).then(outcome => this.#settled(line, upstream, output.id, outcome));
    }
    line.timer.arm(line.outbox.deadline);
  }

  #remove(line: Line, upstream: string, { id, why }: OutboxOutput & { type: 'remove' }): void {
    line.waiting.delete(id);
    this.#pushedOut.push(id);
    if (why !== 'overflow' || this.#pushedOut.length >= FORGET_AT_ONCE) this.#deps.store.deleteOutbox(this.#pushedOut.splice(0));
    this.#deps.counters.add(`alarm.out.${why}`);
    if (why === 'overflow') this.#overflow.count({ upstream, queued: line.outbox.size });
    if (why === 'refused') this.#deps.log.warn({ upstream }, 'alarm.refused');
  }

  #settled(line: Line, upstream: string, id: number, outcome: OutboxOutcome): void {
    if (this.#lines.get(upstream) === line) this.#run(upstream, line.outbox.settled(id, outcome, this.#deps.clock.now()));
  }

  /** The same SN however often it is said: a platform that heard it knows it again. */
  async #send(upstream: string, id: number, { channelId, alarm }: Waiting): Promise<OutboxOutcome> {
    const link = this.#deps.upstreams.link(upstream);
    if (link === undefined || link.view.state !== 'online') return 'absent';
    const xml = buildAlarm({ sn: (id % MAX_SN) + 1, deviceId: channelId }, alarm);
    const notified = this.#deps.subscriptions.notifyAlarm(link, channelId, alarm, xml);
    if (notified === 'unwanted') return 'unwanted';
    if (notified !== undefined) return verdictOf(await notified);
    const status = await link.message(xml);
    if (status === undefined) return 'unanswered';
    return status < 300 ? 'accepted' : 'refused';
  }
}

/** By which it is known again, from whatever address and in whatever transaction it comes. */
const markOf = (deviceId: string, { sn, deviceId: source }: Manscdp, alarm: AlarmNotice): string => `${deviceId} ${sn} ${fingerprint(`${source} ${JSON.stringify(alarm)}`)}`;
