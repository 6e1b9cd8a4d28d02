/** One connection of RTMP toward us: the session of core/rtmp/server-session with a socket, a door and the inlets. */
import type { Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import type { InletConfig } from '#core/config/schema.ts';
import { parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError, PEER_WORDS } from '#core/result.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { type ServerEvent, RtmpServerSession } from '#core/rtmp/server-session.ts';
import { sameSecret } from '#core/sip/digest.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { plainAddress } from '#kit/net.ts';
import type { Random } from '#kit/random.ts';
import type { OutletDoor } from './outlet-door.ts';
import type { PublishedInlet, RtmpInlets } from './rtmp-inlets.ts';
import { RtmpPacker, RtmpPipe } from './rtmp-pipe.ts';
import { StreamViewer } from './stream-viewer.ts';
import { closeSoon } from './tcp-close.ts';

export interface RtmpConnectionOptions {
  readonly door: OutletDoor;
  readonly inlets: RtmpInlets;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly count: (name: string) => void;
  /** Of the configuration as it is now. */
  inletOf(inletId: string): InletConfig | undefined;
  /** A publisher came with a wrong key. */
  onWrongKey(address: string): void;
}

/** Takes as long for an inlet that does not exist. */
const NO_KEY = '\0'.repeat(32);

export class RtmpConnection {
  readonly #socket: Socket;
  readonly #options: RtmpConnectionOptions;
  readonly #session: RtmpServerSession;
  readonly #alarm: Alarm;
  readonly remote: Endpoint;
  #viewer: StreamViewer | undefined;
  #inlet: PublishedInlet | undefined;
  #why = 'peer closed';

  constructor(socket: Socket, options: RtmpConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.remote = { address: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
    this.#session = new RtmpServerSession(options.random.bytes(HANDSHAKE_RANDOM_BYTES), options.clock.now());
    this.#alarm = new Alarm(options.clock, () => this.#run(this.#session.tick(options.clock.now())));
    this.#alarm.arm(this.#session.deadline);
    socket.on('data', bytes => this.#run(this.#session.push(bytes, options.clock.now())));
    socket.on('error', () => undefined);
    socket.once('close', () => this.#onClose());
    socket.resume();
  }

  /** The gateway stops. Ends when the socket is closed. */
  close(): Promise<void> {
    this.#why = 'the gateway stops';
    this.#viewer?.onEnd();
    return closeSoon(this.#socket, this.#options.clock);
  }

  #run(events: readonly ServerEvent[]): void {
    this.#flush();
    for (const event of events) this.#on(event);
    this.#alarm.arm(this.#session.deadline);
  }

  #flush(): void {
    const parts = this.#session.drain();
    if (parts.length === 0 || !this.#socket.writable) return;
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }

  #on(event: ServerEvent): void {
    switch (event.type) {
      case 'play':
        return void this.#play(event.path, event.hevc === 'enhanced' && !event.path.includes('hevc=legacy'));
      case 'publish':
        return this.#publish(event.path);
      case 'media':
        return this.#inlet?.media(event.message);
      case 'metadata':
        return;
      case 'ended':
        return this.#leave(event.why);
      case 'closed':
        this.#why = event.why;
        this.#options.count(`outlet.rtmp.closed.${/^[a-z ]+$/i.test(event.why) ? event.why.replaceAll(' ', '-') : 'unreadable'}`);
        return void closeSoon(this.#socket, this.#options.clock);
    }
  }

  async #play(text: string, enhanced: boolean): Promise<void> {
    const { door, log, count } = this.#options;
    const path = parseOutletPath(text);
    if (!path.ok || path.value.extension !== '' || path.value.file !== '') return this.#refuse('outlet.rtmp.refused.path', PEER_WORDS.BAD_REQUEST);
    if (!door.tokenFits(path.value)) {
      log.info({ remote: this.#far, channel: path.value.channel, why: path.value.token === null ? 'no token' : 'token' }, 'outlet.denied');
      return this.#refuse('outlet.rtmp.refused.token', PEER_WORDS.NOT_PERMITTED);
    }
    try {
      const lease = await door.open(path.value, { protocol: 'rtmp', remote: this.#far, report: () => this.#viewer?.report() ?? { sentBytes: 0, droppedUnits: 0 } });
      if (this.#socket.destroyed || this.#session.state !== 'asked') return lease[Symbol.dispose]();
      this.#session.grant(this.#options.clock.now());
      this.#flush();
      count('outlet.rtmp.played');
      this.#viewer = new StreamViewer(new RtmpPacker(this.#session, enhanced ? 'enhanced' : 'legacy'), new RtmpPipe(this.#socket, this.#session, this.#options.clock), lease);
      this.#viewer.start();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#refuse(`outlet.rtmp.refused.${error.code}`, PEER_WORDS[error.code]);
    }
  }

  #publish(text: string): void {
    const { inlets, inletOf, onWrongKey, log, clock } = this.#options;
    const form = /^\/inlet\/([0-9A-Za-z]{1,64})\?(?:.*&)?key=([^&]*)/.exec(text);
    const inlet = form === null ? undefined : inletOf(form[1]!);
    const key = inlet?.kind === 'rtmp' ? inlet.key : undefined;
    const right = sameSecret(form?.[2] ?? '', key ?? NO_KEY) && key !== undefined;
    if (!right || inlet === undefined) {
      onWrongKey(this.remote.address);
      log.warn({ remote: this.#far }, 'inlet.denied');
      return this.#refuse('inlet.rtmp.refused.key', PEER_WORDS.NOT_PERMITTED);
    }
    this.#session.grant(clock.now());
    this.#flush();
    this.#options.count('inlet.rtmp.published');
    this.#inlet = inlets.publish(inlet.id, {
      remote: this.remote,
      replaced: () => {
        this.#why = 'published anew';
        this.#socket.destroy();
      },
    });
  }

  get #far(): string {
    return `${this.remote.address}:${this.remote.port}`;
  }

  #refuse(counter: string, words: string): void {
    this.#options.count(counter);
    this.#session.refuse(words);
    this.#flush();
    void closeSoon(this.#socket, this.#options.clock);
  }

  #onClose(): void {
    this.#alarm[Symbol.dispose]();
    this.#leave(this.#why);
  }

  #leave(why: string): void {
    this.#viewer?.[Symbol.dispose]();
    this.#viewer = undefined;
    if (this.#inlet !== undefined) this.#options.inlets.unpublish(this.#inlet, why);
    this.#inlet = undefined;
  }
}
