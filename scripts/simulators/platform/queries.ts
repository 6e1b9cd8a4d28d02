/** Queries of the platform and the answers collected by SN (gb28181.md 3.1: SN, CmdType and DeviceID tie them together). */
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import type { DeviceInfoBody, DeviceStatusBody, Manscdp } from '#core/gb/manscdp.ts';
import { type XmlElement, childOf, textOf } from '#core/gb/xml.ts';
import type { Clock } from '#kit/clock.ts';
import { Conditions, within } from '../common/waiting.ts';

export interface CatalogAnswer {
  readonly items: readonly CatalogItem[];
  /** As declared by the last message. */
  readonly sumNum: number | undefined;
  readonly messages: number;
  /** All that was declared came. */
  readonly complete: boolean;
  /** Items whose DeviceID had come before. */
  readonly repeated: number;
  /** From the query to the first and to the last message. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
}

export interface RecordsAnswer {
  /** Item elements, as they came. */
  readonly items: readonly XmlElement[];
  readonly sumNum: number;
  readonly parts: readonly Manscdp[];
  readonly complete: boolean;
}

interface Running {
  readonly cmdType: string;
  readonly startedAt: number;
  count: number;
  last: Manscdp | undefined;
  readonly parts: Manscdp[];
  readonly items: Map<string, CatalogItem>;
  sumNum: number | undefined;
  repeated: number;
  firstMs: number | undefined;
  lastMs: number | undefined;
}

export class Queries {
  readonly #clock: Clock;
  readonly #running = new Map<number, Running>();
  readonly #conditions = new Conditions();
  #sn = 0;
  /** Answers to nothing that was asked. */
  strays = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(cmdType: string): number {
    this.#sn += 1;
    this.#running.set(this.#sn, { cmdType, startedAt: this.#clock.now(), count: 0, last: undefined, parts: [], items: new Map(), sumNum: undefined, repeated: 0, firstMs: undefined, lastMs: undefined });
    return this.#sn;
  }

  onResponse(message: Manscdp): void {
    const running = this.#running.get(message.sn);
    if (running === undefined || running.cmdType !== message.cmdType) {
      this.strays += 1;
      return;
    }
    const sinceMs = this.#clock.now() - running.startedAt;
    running.firstMs ??= sinceMs;
    running.lastMs = sinceMs;
    running.count += 1;
    running.last = message;
    if (message.cmdType === 'RecordInfo') running.parts.push(message);
    if (message.body.kind === 'catalog') {
      running.sumNum = message.body.sumNum;
      for (const item of message.body.items) {
        if (running.items.has(item.deviceId)) running.repeated += 1;
        running.items.set(item.deviceId, item);
      }
    }
    this.#conditions.check();
  }

  /** Until all items came, or with what there is after `timeoutMs`. */
  async catalog(sn: number, timeoutMs: number): Promise<CatalogAnswer> {
    const running = this.#running.get(sn)!;
    const isComplete = (): boolean => running.sumNum !== undefined && running.items.size >= running.sumNum;
    await within(this.#clock, timeoutMs, () => 'catalogue not complete', this.#conditions.when(isComplete)).catch(() => undefined);
    this.#running.delete(sn);
    const { items, sumNum, repeated, firstMs, lastMs, count: messages } = running;
    return { items: [...items.values()], sumNum, messages, complete: isComplete(), repeated, firstMs, lastMs };
  }

  /** Until as many recordings came as announced, or with what there is after `timeoutMs`. */
  async records(sn: number, timeoutMs: number): Promise<RecordsAnswer> {
    const { parts } = this.#running.get(sn)!;
    const items = (): XmlElement[] => parts.flatMap(({ element }) => [...(childOf(element, 'recordlist')?.children ?? [])]);
    const sumNum = (): number => Number(parts[0] === undefined ? NaN : textOf(parts[0].element, 'sumnum'));
    const isComplete = (): boolean => items().length >= sumNum();
    await within(this.#clock, timeoutMs, () => 'recordings not complete', this.#conditions.when(isComplete)).catch(() => undefined);
    this.#running.delete(sn);
    return { items: items(), sumNum: sumNum(), parts, complete: isComplete() };
  }

  /** The one answer to another query. */
  async single(sn: number, timeoutMs: number): Promise<Manscdp> {
    const running = this.#running.get(sn)!;
    try {
      await within(this.#clock, timeoutMs, () => `no answer to ${running.cmdType} ${sn}`, this.#conditions.when(() => running.last !== undefined));
      return running.last!;
    } finally {
      this.#running.delete(sn);
    }
  }
}

export function infoOf(message: Manscdp): DeviceInfoBody {
  if (message.body.kind !== 'device-info') throw new TypeError(`answered ${message.body.kind} to DeviceInfo`);
  return message.body;
}

export function statusOf(message: Manscdp): DeviceStatusBody {
  if (message.body.kind !== 'device-status') throw new TypeError(`answered ${message.body.kind} to DeviceStatus`);
  return message.body;
}
