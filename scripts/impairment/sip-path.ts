/**
 * A bad network between a party and its platform, for the media of their sessions (SIP over UDP, which passes unharmed). The party
 * registers with us; the platform sees it at our address. Each session's offer and answer are changed on their way, so that the
 * media of both directions cross an impairment relay of their own:
 *
 *     party <--> [inner] SIP [outer] <--> platform        party <--> [left] media [right] <--> platform
 */
import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Clock } from '#kit/clock.ts';
import { ImpairmentRelay, type Place } from './relay.ts';
import type { ImpairmentRules } from './rules.ts';

export interface SipPathOptions {
  readonly clock: Clock;
  /** Ours on both sides; none of the party's, so that the platform does not follow its Contact. */
  readonly address: string;
  readonly platform: Place;
  /** Of the session for a channel, by the ID that the platform asks for. */
  rules(channelId: string): { readonly toPlatform: ImpairmentRules; readonly toParty: ImpairmentRules };
}

const CALL_ID = /^(?:Call-ID|i)\s*:\s*(\S+)/im;
const REQUEST_USER = /^INVITE sips?:([^@;>]*)@/;
const BODY_GAP = '\r\n\r\n';

export class SipPath implements AsyncDisposable {
  readonly #options: SipPathOptions;
  readonly #inner: Socket;
  readonly #outer: Socket;
  #party: Place | undefined;
  readonly #relays = new Map<string, Promise<ImpairmentRelay>>();

  private constructor(inner: Socket, outer: Socket, options: SipPathOptions) {
    this.#options = options;
    this.#inner = inner;
    this.#outer = outer;
    inner.on('message', (datagram: Buffer, from: RemoteInfo) => {
      this.#party = { address: from.address, port: from.port };
      void this.#fromParty(datagram);
    });
    outer.on('message', (datagram: Buffer) => void this.#fromPlatform(datagram));
  }

  static async open(options: SipPathOptions): Promise<SipPath> {
    const [inner, outer] = [createSocket('udp4'), createSocket('udp4')];
    for (const socket of [inner, outer]) {
      socket.bind(0, options.address);
      await once(socket, 'listening');
      socket.on('error', () => undefined);
    }
    return new SipPath(inner, outer, options);
  }

  /** Where the party is to register. */
  get place(): Place {
    return { address: this.#inner.address().address, port: this.#inner.address().port };
  }

  /** Of all sessions so far, by the channel's ID. */
  async relays(): Promise<ImpairmentRelay[]> {
    return await Promise.all(this.#relays.values());
  }

  async #fromPlatform(datagram: Buffer): Promise<void> {
    const text = datagram.toString('latin1');
    const channelId = REQUEST_USER.exec(text)?.[1];
    const media = mediaOf(text);
    if (channelId !== undefined && media !== undefined) {
      const relay = await this.#relayOf(callIdOf(text), channelId, media);
      this.#toParty(withMedia(text, relay.leftSocket));
    } else this.#toParty(datagram);
  }

  async #fromParty(datagram: Buffer): Promise<void> {
    const text = datagram.toString('latin1');
    const media = text.startsWith('SIP/2.0 ') ? mediaOf(text) : undefined;
    const relay = media === undefined ? undefined : await this.#relays.get(callIdOf(text));
    if (relay !== undefined) relay.left = media;
    const { address, port } = this.#options.platform;
    this.#outer.send(relay === undefined ? datagram : withMedia(text, relay.rightSocket), port, address);
  }

  /** A retransmitted INVITE finds the relay of the first one. */
  #relayOf(callId: string, channelId: string, platformMedia: Place): Promise<ImpairmentRelay> {
    const known = this.#relays.get(callId);
    if (known !== undefined) return known;
    const { clock, address, rules } = this.#options;
    const { toPlatform, toParty } = rules(channelId);
    const opening = ImpairmentRelay.open({ clock, address, right: platformMedia, toRight: toPlatform, toLeft: toParty });
    this.#relays.set(callId, opening);
    return opening;
  }

  #toParty(datagram: Buffer): void {
    if (this.#party !== undefined) this.#inner.send(datagram, this.#party.port, this.#party.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of await this.relays()) await relay[Symbol.asyncDispose]();
    await Promise.all([this.#inner, this.#outer].map(socket => new Promise<void>(resolve => socket.close(resolve))));
  }
}

const callIdOf = (text: string): string => CALL_ID.exec(text)?.[1] ?? '';

/** From the SDP of a message; undefined without one. */
function mediaOf(text: string): Place | undefined {
  const address = /^c=IN IP4 ([\d.]+)/m.exec(text)?.[1];
  const port = /^m=video (\d+)/m.exec(text)?.[1];
  return address === undefined || port === undefined ? undefined : { address, port: Number(port) };
}

function withMedia(text: string, { address, port }: Place): Buffer {
  const at = text.indexOf(BODY_GAP);
  const body = text.slice(at + BODY_GAP.length).replace(/^c=IN IP4 [\d.]+/gm, `c=IN IP4 ${address}`).replace(/^m=video \d+/m, `m=video ${port}`);
  const head = text.slice(0, at).replace(/^(Content-Length|l)(\s*:\s*)\d+/im, `$1$2${body.length}`);
  return Buffer.from(`${head}${BODY_GAP}${body}`, 'latin1');
}
