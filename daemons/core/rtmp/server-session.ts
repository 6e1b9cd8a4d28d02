/**
 * One connection of RTMP toward us, as player or as publisher (Adobe RTMP 1.0, 7.2):
 *
 *   handshake ──ready──► idle ──connect──► connected ──play, publish──► asked ──grant──► playing │ publishing
 *      │                   │                  │                           └──refuse──► closed
 *      └──HANDSHAKE_MS─────┴──COMMAND_MS──────┴──► closed      publishing ──nothing for SILENCE_MS──► closed
 *   playing │ publishing ──deleteStream, closeStream, FCUnpublish──► connected: the far end closes, or asks again
 *   any ──what cannot be read──► closed
 *
 * One stream a connection: its number is always 1.
 */
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { FOURCC_HVC1, type FlvTag, type HevcForm } from '../flv/tags.ts';
import { type AmfValue, isObject } from './amf0.ts';
import { type LinkEvent, RtmpLink, WINDOW_BYTES } from './link.ts';
import { type RtmpMessage, USER_EVENT, command, setPeerBandwidth, userControl, windowAckSize } from './messages.ts';

const HANDSHAKE_MS = 4000;
const COMMAND_MS = 8000;
/** Of a publisher. */
const SILENCE_MS = 15_000;
const STREAM_ID = 1;
/** App and stream name together; more is nobody's. */
const MAX_NAME_CHARS = 512;
/** FourCCs that we take and give, as `connect` says them (Enhanced RTMP). */
const OUR_FOURCCS = ['hvc1', 'avc1'];

export type ServerEvent =
  /** `path`: /APP/STREAM with its query: core/outlets/outlet-path or an inlet. Answer with grant or refuse. */
  | { readonly type: 'play'; readonly path: string; readonly hevc: HevcForm }
  | { readonly type: 'publish'; readonly path: string }
  | { readonly type: 'media'; readonly message: RtmpMessage }
  | { readonly type: 'metadata'; readonly values: ReadonlyMap<string, AmfValue> }
  /** It plays or publishes no more; the connection stays. */
  | { readonly type: 'ended'; readonly why: string }
  | { readonly type: 'closed'; readonly why: string };

export type ServerState = 'handshake' | 'idle' | 'connected' | 'asked' | 'playing' | 'publishing' | 'closed';

export class RtmpServerSession {
  readonly #link: RtmpLink;
  readonly #timers = new TimerTable<'handshake' | 'command' | 'silence'>();
  #state: ServerState = 'handshake';
  #app = '';
  #asks: 'play' | 'publish' = 'play';
  #hevc: HevcForm = 'legacy';

  /** `random`: HANDSHAKE_RANDOM_BYTES of it. */
  constructor(random: Uint8Array, now: Ms) {
    this.#link = new RtmpLink('server', random);
    this.#timers.set('handshake', addMs(now, HANDSHAKE_MS));
  }

  get state(): ServerState {
    return this.#state;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  push(bytes: Uint8Array, now: Ms): ServerEvent[] {
    if (this.#state === 'closed') return [];
    const events: ServerEvent[] = [];
    for (const event of this.#link.push(bytes)) if (!this.#isClosed) events.push(...this.#on(event, now));
    if (this.#link.broken !== undefined) events.push(...this.#close(this.#link.broken));
    return events;
  }

  tick(now: Ms): ServerEvent[] {
    const due = this.#timers.takeDue(now);
    return due === undefined ? [] : this.#close(`${due} timeout`);
  }

  /** To be sent now, after every call. */
  drain(): readonly Uint8Array[] {
    return this.#link.drain();
  }

  grant(now: Ms): void {
    if (this.#state !== 'asked') return;
    this.#link.send(userControl(USER_EVENT.streamBegin, STREAM_ID));
    if (this.#asks === 'play') {
      this.#state = 'playing';
      this.#status('status', 'NetStream.Play.Start', 'started');
    } else {
      this.#state = 'publishing';
      this.#timers.set('silence', addMs(now, SILENCE_MS));
      this.#status('status', 'NetStream.Publish.Start', 'started');
    }
  }

  /** `words`: for the people at the far end. The connection is to be closed behind it. */
  refuse(words: string): void {
    if (this.#state !== 'asked') return;
    this.#status('error', this.#asks === 'play' ? 'NetStream.Play.StreamNotFound' : 'NetStream.Publish.BadName', words);
    this.#close('refused');
  }

  /** A tag for a player. */
  media({ type, timestampMs, body }: FlvTag): void {
    if (this.#state === 'playing') this.#link.send({ type, streamId: STREAM_ID, timestampMs, body });
  }

  /** The stream ended: a player is told. */
  end(): void {
    if (this.#state !== 'playing') return;
    this.#link.send(userControl(USER_EVENT.streamEof, STREAM_ID));
    this.#status('status', 'NetStream.Play.Stop', 'ended');
    this.#close('ended');
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #on(event: LinkEvent, now: Ms): ServerEvent[] {
    switch (event.type) {
      case 'ready':
        this.#state = 'idle';
        this.#timers.stop('handshake');
        this.#timers.set('command', addMs(now, COMMAND_MS));
        return [];
      case 'media':
        if (this.#state !== 'publishing') return [];
        this.#timers.set('silence', addMs(now, SILENCE_MS));
        return [event];
      case 'data':
        return this.#onData(event.values);
      case 'command':
        return this.#onCommand(event.name, event.transaction, event.values, now);
    }
  }

  #onCommand(name: string, transaction: number, values: readonly AmfValue[], now: Ms): ServerEvent[] {
    switch (name) {
      case 'connect':
        return this.#onConnect(transaction, values[0]);
      case 'createStream':
        this.#link.send(command(0, '_result', transaction, null, STREAM_ID));
        return [];
      case 'releaseStream':
      case 'FCPublish':
        this.#link.send(command(0, '_result', transaction, null, null));
        return [];
      case 'play':
      case 'publish':
        return this.#onAsk(name, values[1]);
      case 'deleteStream':
      case 'closeStream':
      case 'FCUnpublish':
        return this.#onLeave(name, now);
      default:
        return [];
    }
  }

  #onConnect(transaction: number, asked: AmfValue | undefined): ServerEvent[] {
    if (this.#state !== 'idle') return this.#close('connect twice');
    const app = isObject(asked) ? asked.get('app') : undefined;
    if (typeof app !== 'string' || app.length > MAX_NAME_CHARS) {
      this.#link.send(command(0, '_error', transaction, null, status('error', 'NetConnection.Connect.Rejected', 'no app')));
      return this.#close('no app');
    }
    this.#app = app;
    this.#hevc = isObject(asked) && takesHvc1(asked) ? 'enhanced' : 'legacy';
    this.#state = 'connected';
    this.#link.send(windowAckSize(WINDOW_BYTES));
    this.#link.send(setPeerBandwidth(WINDOW_BYTES));
    const about = new Map<string, AmfValue>([['fmsVer', 'FMS/3,0,1,123'], ['capabilities', 31]]);
    const info = new Map([...status('status', 'NetConnection.Connect.Success', 'connected'), ['objectEncoding', 0], ['fourCcList', OUR_FOURCCS]] as [string, AmfValue][]);
    this.#link.send(command(0, '_result', transaction, about, info));
    return [];
  }

  #onAsk(asks: 'play' | 'publish', name: AmfValue | undefined): ServerEvent[] {
    if (this.#state !== 'connected') return this.#close(`${asks} before connect, or twice`);
    if (typeof name !== 'string' || name.length > MAX_NAME_CHARS) return this.#close('no stream name');
    this.#asks = asks;
    this.#state = 'asked';
    this.#timers.stop('command');
    const path = streamPath(this.#app, name);
    return [asks === 'play' ? { type: 'play', path, hevc: this.#hevc } : { type: 'publish', path }];
  }

  #onLeave(why: string, now: Ms): ServerEvent[] {
    if (this.#state !== 'playing' && this.#state !== 'publishing') return [];
    if (this.#state === 'publishing') this.#status('status', 'NetStream.Unpublish.Success', 'ended');
    this.#state = 'connected';
    this.#timers.stop('silence');
    this.#timers.set('command', addMs(now, COMMAND_MS));
    return [{ type: 'ended', why }];
  }

  /** Encoders wrap it: @setDataFrame, onMetaData, values. */
  #onData(values: readonly AmfValue[]): ServerEvent[] {
    const behind = values[0] === '@setDataFrame' ? values.slice(1) : values;
    return this.#state === 'publishing' && behind[0] === 'onMetaData' && isObject(behind[1]) ? [{ type: 'metadata', values: behind[1] }] : [];
  }

  #status(level: 'status' | 'error', code: string, words: string): void {
    this.#link.send(command(STREAM_ID, 'onStatus', 0, null, status(level, code, words)));
  }

  #close(why: string): ServerEvent[] {
    if (this.#state === 'closed') return [];
    this.#state = 'closed';
    this.#timers.stopAll();
    return [{ type: 'closed', why }];
  }
}

const status = (level: string, code: string, description: string): Map<string, AmfValue> => new Map<string, AmfValue>([['level', level], ['code', code], ['description', description]]);

/** `fourCcList` of version 1, `videoFourCcInfoMap` of version 2; `*` is all. */
function takesHvc1(asked: ReadonlyMap<string, AmfValue>): boolean {
  const list = asked.get('fourCcList');
  const map = asked.get('videoFourCcInfoMap');
  const name = String.fromCharCode(FOURCC_HVC1 >>> 24, (FOURCC_HVC1 >>> 16) & 0xff, (FOURCC_HVC1 >>> 8) & 0xff, FOURCC_HVC1 & 0xff);
  if (Array.isArray(list)) return list.includes(name) || list.includes('*');
  return isObject(map) && (map.has(name) || map.has('*'));
}

/** Players put the query behind the app or behind the name, and slashes where they like. */
function streamPath(app: string, name: string): string {
  const [appPath, ...appQuery] = app.split('?');
  const [namePath, ...nameQuery] = name.split('?');
  const query = [appQuery.join('?'), nameQuery.join('?')].filter(part => part !== '').join('&');
  const path = [appPath!, namePath!].flatMap(part => part.split('/')).filter(part => part !== '').join('/');
  return `/${path}${query === '' ? '' : `?${query}`}`;
}
