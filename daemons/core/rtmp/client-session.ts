/**
 * One connection of RTMP from us to a server (Adobe RTMP 1.0, 7.2), to publish or to play:
 *
 *   handshake ──ready: connect──► connecting ──_result: createStream──► creating ──_result: publish, play──► asking ──onStatus──► running
 *   any ──_error, onStatus of level error, STEP_MS without an answer, what cannot be read──► closed
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import type { FlvTag } from '../flv/tags.ts';
import { type AmfValue, isObject } from './amf0.ts';
import { type LinkEvent, RtmpLink } from './link.ts';
import { type RtmpMessage, USER_EVENT, command, userControl } from './messages.ts';

/** For each answer of the server. */
const STEP_MS = 8000;
const CONNECT = 1;
const RELEASE = 2;
const FC_PUBLISH = 3;
const CREATE = 4;
const MAX_WORDS = 64;
const BUFFER_MS = 1000;

export interface RtmpTarget {
  readonly app: string;
  /** Name with its query: a secret for many servers. */
  readonly stream: string;
  /** rtmp://HOST:PORT/APP */
  readonly tcUrl: string;
}

export type ClientEvent =
  | { readonly type: 'running' }
  | { readonly type: 'media'; readonly message: RtmpMessage }
  | { readonly type: 'closed'; readonly why: string };

export type ClientState = 'handshake' | 'connecting' | 'creating' | 'asking' | 'running' | 'closed';

export class RtmpClientSession {
  readonly #link: RtmpLink;
  readonly #target: RtmpTarget;
  readonly #wants: 'publish' | 'play';
  readonly #timers = new TimerTable<'answer'>();
  #state: ClientState = 'handshake';
  #streamId = 0;

  /** `random`: HANDSHAKE_RANDOM_BYTES of it. */
  constructor(wants: 'publish' | 'play', target: RtmpTarget, random: Uint8Array, now: Ms) {
    this.#wants = wants;
    this.#target = target;
    this.#link = new RtmpLink('client', random);
    this.#timers.set('answer', addMs(now, STEP_MS));
  }

  get state(): ClientState {
    return this.#state;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  push(bytes: Uint8Array, now: Ms): ClientEvent[] {
    if (this.#state === 'closed') return [];
    const events: ClientEvent[] = [];
    for (const event of this.#link.push(bytes)) if (!this.#isClosed) events.push(...this.#on(event, now));
    if (this.#link.broken !== undefined) events.push(...this.#close(this.#link.broken));
    return events;
  }

  tick(now: Ms): ClientEvent[] {
    return this.#timers.takeDue(now) === undefined ? [] : this.#close(`no answer while ${this.#state}`);
  }

  /** To be sent now, after every call and at the begin. */
  drain(): readonly Uint8Array[] {
    return this.#link.drain();
  }

  media({ type, timestampMs, body }: FlvTag): void {
    if (this.#state === 'running') this.#link.send({ type, streamId: this.#streamId, timestampMs, body });
  }

  /** Says good-bye; the connection is closed behind it. */
  end(): void {
    if (this.#state === 'running') {
      this.#link.send(command(0, 'FCUnpublish', 0, null, this.#target.stream));
      this.#link.send(command(0, 'deleteStream', 0, null, this.#streamId));
    }
    this.#close('ended');
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #on(event: LinkEvent, now: Ms): ClientEvent[] {
    if (event.type === 'ready') return this.#connect(now);
    if (event.type === 'media') return this.#state === 'running' ? [event] : [];
    if (event.type !== 'command') return [];
    const { name, transaction, values } = event;
    if (name === '_error' && (transaction === CONNECT || transaction === CREATE)) return this.#close(`refused: ${wordsOf(values[1])}`);
    if (name === '_result') return this.#onResult(transaction, values, now);
    return name === 'onStatus' ? this.#onStatus(values[1]) : [];
  }

  #connect(now: Ms): ClientEvent[] {
    const { app, tcUrl } = this.#target;
    const fields: [string, AmfValue][] = [['app', app], ['type', 'nonprivate'], ['flashVer', 'FMLE/3.0 (compatible; ViewLink Gateway)'], ['tcUrl', tcUrl], ['fourCcList', ['hvc1', 'avc1']]];
    if (this.#wants === 'play') fields.push(['fpad', false], ['audioCodecs', 4071], ['videoCodecs', 252], ['videoFunction', 1]);
    this.#link.send(command(0, 'connect', CONNECT, new Map(fields)));
    return this.#step('connecting', now);
  }

  #onResult(transaction: number, values: readonly AmfValue[], now: Ms): ClientEvent[] {
    const { stream } = this.#target;
    if (transaction === CONNECT && this.#state === 'connecting') {
      if (this.#wants === 'publish') {
        this.#link.send(command(0, 'releaseStream', RELEASE, null, stream));
        this.#link.send(command(0, 'FCPublish', FC_PUBLISH, null, stream));
      }
      this.#link.send(command(0, 'createStream', CREATE, null));
      return this.#step('creating', now);
    }
    if (transaction !== CREATE || this.#state !== 'creating') return [];
    const id = values[1];
    if (typeof id !== 'number') return this.#close('createStream without a number');
    this.#streamId = id >>> 0;
    if (this.#wants === 'publish') this.#link.send(command(this.#streamId, 'publish', 0, null, stream, 'live'));
    else {
      this.#link.send(command(this.#streamId, 'play', 0, null, stream, -2000));
      this.#link.send(userControl(USER_EVENT.setBufferLength, BUFFER_MS));
    }
    return this.#step('asking', now);
  }

  #onStatus(info: AmfValue | undefined): ClientEvent[] {
    const [level, code] = isObject(info) ? [info.get('level'), info.get('code')] : [];
    if (level === 'error' || code === 'NetStream.Play.Stop' || code === 'NetStream.Unpublish.Success') return this.#close(`status: ${wordsOf(info)}`);
    if (this.#state !== 'asking' || (code !== 'NetStream.Publish.Start' && code !== 'NetStream.Play.Start')) return [];
    this.#state = 'running';
    this.#timers.stop('answer');
    return [{ type: 'running' }];
  }

  #step(state: ClientState, now: Ms): ClientEvent[] {
    this.#state = state;
    this.#timers.set('answer', addMs(now, STEP_MS));
    return [];
  }

  #close(why: string): ClientEvent[] {
    if (this.#state === 'closed') return [];
    this.#state = 'closed';
    this.#timers.stopAll();
    return [{ type: 'closed', why }];
  }
}

/** Only the code: descriptions of some servers repeat the stream's name. */
function wordsOf(info: AmfValue | undefined): string {
  const code = isObject(info) ? info.get('code') : undefined;
  return typeof code === 'string' && /^[A-Za-z.]+$/.test(code) ? code.slice(0, MAX_WORDS) : 'no code';
}

