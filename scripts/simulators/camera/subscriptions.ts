/** What a platform subscribed at one simulated device, and the NOTIFYs that a test has it send (gb28181.md 5). */
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildManscdp } from '#core/gb/manscdp-write.ts';
import { decodeBody } from '#kit/charset.ts';
import type { IncomingSubscribe, Notifier } from '#kit/sip-endpoint.ts';

export interface ChannelEvent {
  readonly id: string;
  readonly event: string;
  /** Elements behind Event. */
  readonly content?: string;
}

export interface CatalogNotice {
  readonly events: readonly ChannelEvent[];
  /** 2011 devices say Response. */
  readonly root?: 'Notify' | 'Response';
  /** Default: as many as there are. */
  readonly sumNum?: number;
}

export class CameraSubscriptions {
  /** Queries of the SUBSCRIBEs that were accepted, newest last. */
  readonly accepted: Manscdp[] = [];
  /** Refused ones too. */
  asked = 0;
  readonly #notifiers = new Map<string, Notifier>();
  readonly #encode: (xml: string) => Uint8Array;

  constructor(encode: (xml: string) => Uint8Array) {
    this.#encode = encode;
  }

  /** CmdTypes; of positions with the ID behind. */
  get topics(): string[] {
    return [...this.#notifiers.keys()];
  }

  /** `topics`: CmdTypes that this device knows; others are refused with 489. */
  onSubscribe(incoming: IncomingSubscribe, topics: readonly string[]): void {
    this.asked += 1;
    const query = parseManscdp(decodeBody(incoming.request.body).text);
    if (!query.ok) return incoming.respond(400);
    const { cmdType, deviceId } = query.value;
    const key = cmdType.endsWith('Position') ? `${cmdType} ${deviceId}` : cmdType;
    if (!topics.includes(cmdType)) return incoming.respond(489);
    const notifier = incoming.accept();
    if (notifier === undefined) return;
    this.#notifiers.get(key)?.replace();
    this.accepted.push(query.value);
    this.#notifiers.set(key, notifier);
    notifier.onEnded = (): void => {
      if (this.#notifiers.get(key) === notifier) this.#notifiers.delete(key);
    };
  }

  /** Status of the answer; undefined: nobody subscribed, or nobody answered. */
  async notify(topic: string, xml: string): Promise<number | undefined> {
    const outcome = await this.#notifiers.get(topic)?.notify({ contentType: MANSCDP_TYPE, body: this.#encode(xml) });
    return outcome?.type === 'response' ? outcome.response.status : undefined;
  }

  notifyCatalog(head: { sn: number; deviceId: string }, { events, root = 'Notify', sumNum = events.length }: CatalogNotice): Promise<number | undefined> {
    const items = events.map(({ id, event, content = '' }) => `<Item>\r\n<DeviceID>${id}</DeviceID>\r\n<Event>${event}</Event>\r\n${content}</Item>\r\n`);
    return this.notify('Catalog', buildManscdp(root, 'Catalog', head, `<SumNum>${sumNum}</SumNum>\r\n<DeviceList Num=" ${events.length} ">\r\n${items.join('')}</DeviceList>\r\n`));
  }
}
